/**
 * Edit: changes the text of `ai-desk.json` and leaves the rest of it as its owner wrote it, comments
 * and layout included.
 *
 * Guarantees: what the new text means is exactly the old meaning with the change applied, checked by
 * reading it back; a text that cannot be changed so is not changed at all. A merge patch follows
 * RFC 7396: objects are merged, null removes, everything else replaces.
 */
import { isDeepStrictEqual } from "node:util"
import { Either } from "effect"
import { applyEdits, createScanner, type FormattingOptions, modify, type ParseError, parse } from "jsonc-parser"
import { maxDepth } from "./Decode.ts"
import { child, SettingsProblem } from "./Problems.ts"

export interface JsonRecord {
  readonly [key: string]: unknown
}

/** `undefined` removes. A path's last number -1 appends to the list. */
export interface Step {
  readonly path: ReadonlyArray<string | number>
  readonly value: unknown
}

export const isRecord = (value: unknown): value is JsonRecord =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Deeper than any settings file may be; counted before anything recurses over it. */
export const tooDeep = (value: unknown): boolean => {
  let level: ReadonlyArray<unknown> = [value]
  for (let depth = 0; depth <= maxDepth; depth++) {
    level = level.flatMap((item) => (typeof item === "object" && item !== null ? Object.values(item) : []))
    if (level.length === 0) return false
  }
  return true
}

/** A new value as a merge patch leaves it: without the nulls, which would have removed something. */
const withoutNulls = (value: unknown): unknown =>
  isRecord(value)
    ? Object.fromEntries(
        Object.entries(value).flatMap(([key, inner]) => (inner === null ? [] : [[key, withoutNulls(inner)]]))
      )
    : value

const at = (value: unknown, key: string | number): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? Object.entries(value).find(([name]) => name === String(key))?.[1]
    : undefined

/** The steps of a merge patch on what is there. One that is too deep to look into is handed on whole, to be refused. */
export const mergeSteps = (
  there: unknown,
  patch: JsonRecord,
  path: ReadonlyArray<string | number> = []
): ReadonlyArray<Step> => {
  if (tooDeep(patch)) return [{ path, value: patch }]
  return Object.entries(patch).flatMap(([key, value]): ReadonlyArray<Step> => {
    const before = at(there, key)
    const here = [...path, key]
    if (value === null) return before === undefined ? [] : [{ path: here, value: undefined }]
    if (isRecord(value) && isRecord(before)) return mergeSteps(before, value, here)
    const after = withoutNulls(value)
    return isDeepStrictEqual(before, after) ? [] : [{ path: here, value: after }]
  })
}

/** `agents.list[0].model`. */
export const pathOf = (path: ReadonlyArray<string | number>): string => path.reduce<string>(child, "")

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** What a text means, as plain data; undefined when it cannot be read. */
export const meaning = (text: string): unknown => {
  const errors: Array<ParseError> = []
  const value: unknown = parse(text, errors, { allowTrailingComma: true })
  return errors.length === 0 && value !== undefined ? plain(value) : undefined
}

const stepped = (value: unknown, path: ReadonlyArray<string | number>, leaf: unknown): unknown => {
  const [key, ...rest] = path
  if (key === undefined) return leaf
  if (Array.isArray(value)) {
    if (key === -1) return [...value, leaf]
    const index = Number(key)
    if (rest.length === 0 && leaf === undefined) return value.filter((_, i) => i !== index)
    return value.map((item: unknown, i) => (i === index ? stepped(item, rest, leaf) : item))
  }
  const entries = new Map<string, unknown>(isRecord(value) ? Object.entries(value) : [])
  const next = stepped(entries.get(String(key)), rest, leaf)
  if (next === undefined) entries.delete(String(key))
  else entries.set(String(key), next)
  return Object.fromEntries(entries)
}

const layoutOf = (text: string): FormattingOptions => {
  const indent = /^([ \t]+)\S/m.exec(text)?.[1] ?? "  "
  return {
    insertSpaces: !indent.startsWith("\t"),
    tabSize: indent.startsWith("\t") ? 2 : Math.min(indent.length, 8),
    eol: text.includes("\r\n") ? "\r\n" : "\n"
  }
}

/** jsonc-parser's token numbers, as in Decode. */
const token = {
  closeBrace: 2,
  closeBracket: 4,
  comma: 5,
  lineComment: 12,
  blockComment: 13,
  lineBreak: 14,
  trivia: 15,
  end: 17
}
const silent: ReadonlySet<number> = new Set([token.lineComment, token.blockComment, token.lineBreak, token.trivia])

/** The editor of the library cannot remove the only entry of a list or object when a comma follows it. */
const withoutTrailingCommas = (text: string): string => {
  const scanner = createScanner(text, false)
  const cut: Array<number> = []
  let comma = -1
  for (let seen: number = scanner.scan(); seen !== token.end; seen = scanner.scan()) {
    if (silent.has(seen)) continue
    if (comma !== -1 && (seen === token.closeBrace || seen === token.closeBracket)) cut.push(comma)
    comma = seen === token.comma ? scanner.getTokenOffset() : -1
  }
  return cut.reduceRight((rest, offset) => rest.slice(0, offset) + rest.slice(offset + 1), text)
}

const written = (text: string, steps: ReadonlyArray<Step>): string =>
  steps.reduce(
    (now, { path, value }) =>
      applyEdits(
        now,
        modify(now, [...path], value, {
          formattingOptions: layoutOf(text),
          ...(path.at(-1) === -1 ? { isArrayInsertion: true } : {})
        })
      ),
    text
  )

const unreadable = (found: string): SettingsProblem =>
  new SettingsProblem({
    at: "the file",
    expected: "a settings file that can be changed",
    found,
    fix: "correct the file by hand, then run: ai-desk config check"
  })

/** The text after the steps. */
export const edited = (text: string, steps: ReadonlyArray<Step>): Either.Either<string, SettingsProblem> => {
  const before = meaning(text)
  if (!isRecord(before)) return Either.left(unreadable("one that is not JSON with comments"))
  const wanted = steps.reduce<unknown>((value, { path, value: leaf }) => stepped(value, path, leaf), before)
  for (const source of [text, withoutTrailingCommas(text)]) {
    const after = written(source, steps)
    if (isDeepStrictEqual(meaning(after), plain(wanted))) return Either.right(after)
  }
  return Either.left(unreadable("one whose layout does not allow this change"))
}
