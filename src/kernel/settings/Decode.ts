/**
 * Decode: from the text of `ai-desk.json` to a Config, or to what is wrong with it.
 *
 * Guarantees: comments and trailing commas are fine; a file that is too large, too deep, not UTF-8,
 * or that holds a key twice or a key of JavaScript's own objects is refused before anything is
 * built from it. An unknown key is set aside and reported; where ignoring it would silently drop a
 * guard it makes the file invalid.
 */
import { Either, Option, Schema, SchemaAST } from "effect"
import { createScanner, type Node, type ParseError, parseTree, printParseErrorCode } from "jsonc-parser"
import { Config } from "../../domain/Config.ts"
import { child, nearestOf, problemsOf, SettingsProblem, showKey } from "./Problems.ts"

export const maxBytes = 1_048_576
export const maxDepth = 64

export interface Decoded {
  /** Present exactly if `errors` is empty. */
  readonly config: Option.Option<Config>
  readonly errors: ReadonlyArray<SettingsProblem>
  /** Unknown keys that were left out of `config`. */
  readonly unknown: ReadonlyArray<SettingsProblem>
}

const refused = (...errors: ReadonlyArray<SettingsProblem>): Decoded => ({ config: Option.none(), errors, unknown: [] })

const lineOf = (text: string, offset: number): string => {
  const before = text.slice(0, offset)
  const line = before.split("\n").length
  return `line ${line}, column ${offset - before.lastIndexOf("\n")}`
}

/** jsonc-parser's token numbers; its own names for them are a const enum, which type stripping cannot use. */
const token = { openBrace: 1, closeBrace: 2, openBracket: 3, closeBracket: 4, end: 17 }

/** Counted on tokens, before the recursive parser sees the text. */
const depthOf = (text: string): number => {
  const scanner = createScanner(text, true)
  let depth = 0
  let deepest = 0
  for (let seen: number = scanner.scan(); seen !== token.end; seen = scanner.scan()) {
    if (seen === token.openBrace || seen === token.openBracket) depth += 1
    if (seen === token.closeBrace || seen === token.closeBracket) depth -= 1
    deepest = Math.max(deepest, depth)
  }
  return deepest
}

/** These reach JavaScript's own machinery when used as names; no setting is called so. */
export const poisonous: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"])

/** Plain data from the parsed tree; objects have no prototype, so a lookup finds only what the file says. */
const toValue = (node: Node, path: string, errors: Array<SettingsProblem>): unknown => {
  switch (node.type) {
    case "array":
      return (node.children ?? []).map((item, i) => toValue(item, child(path, i), errors))
    case "object": {
      const out: Record<string, unknown> = Object.create(null)
      for (const { children } of node.children ?? []) {
        const [key, value] = children ?? []
        if (key === undefined || value === undefined) continue
        const name = String(key.value)
        const at = child(path, name)
        if (poisonous.has(name)) {
          errors.push(new SettingsProblem({ at, expected: "a name that is not reserved", found: "a reserved name" }))
        } else if (Object.hasOwn(out, name)) {
          errors.push(new SettingsProblem({ at, expected: "each key once", found: "the same key again" }))
        } else {
          out[name] = toValue(value, at, errors)
        }
      }
      return out
    }
    default:
      return node.value
  }
}

interface Known {
  /** With `[]` for a list's entry and `*` for a name the owner chooses. */
  readonly path: string
  readonly name: string
}

const objectOf = (ast: SchemaAST.AST): SchemaAST.AST =>
  SchemaAST.isTransformation(ast) || SchemaAST.isRefinement(ast) ? objectOf(ast.from) : ast

const itemOf = (ast: SchemaAST.TupleType): SchemaAST.AST | undefined => ast.rest[0]?.type

const catalogue = (ast: SchemaAST.AST, path: string): ReadonlyArray<Known> => {
  const base = objectOf(ast)
  if (SchemaAST.isTupleType(base)) {
    const item = itemOf(base)
    return item === undefined ? [] : catalogue(item, `${path}[]`)
  }
  if (!SchemaAST.isTypeLiteral(base)) return []
  return [
    ...base.propertySignatures.flatMap((property) => {
      const at = child(path, property.name)
      return [{ path: at, name: String(property.name) }, ...catalogue(property.type, at)]
    }),
    ...base.indexSignatures.flatMap((index) => catalogue(index.type, child(path, "*")))
  ]
}

const known = catalogue(Config.ast, "")

/**
 * Sections whose every key is a guard, and the sections that contain one: a mistyped name there
 * must not pass as "unknown, ignored".
 */
const guards = [
  /^gateway(\.(auth|rateLimit)\b.*)?$/,
  /^agents(\.defaults|\.list(\[\d*\])?)?(\.(tools|sandbox|budget|subagents)\b.*)?$/,
  /^(messaging|webhooks|mcp|approvals)\b/
]
const isGuard = (path: string): boolean => guards.some((pattern) => pattern.test(path))

interface Sifted {
  readonly errors: Array<SettingsProblem>
  readonly unknown: Array<SettingsProblem>
}

const siftKey = (name: string, path: string, names: ReadonlyArray<string>, out: Sifted): void => {
  const near = nearestOf(name, names)
  const elsewhere = known.filter((k) => k.name.toLowerCase() === name.toLowerCase())
  const meant = near === undefined ? elsewhere.map((k) => k.path) : [child(path, near)]
  // agents.list[0] and the like contain every guard of an agent, but not each of their keys is one.
  const inGuard = isGuard(path) && !/^(gateway|agents(\.defaults|\.list(\[\d*\])?)?)?$/.test(path)
  const nearest = near ?? elsewhere[0]?.path
  const problem = new SettingsProblem({
    at: child(path, name),
    expected: "a known key",
    found: "an unknown key",
    ...(nearest === undefined ? {} : { nearest }),
    fix: nearest === undefined ? `remove "${showKey(name)}"` : `rename it to "${nearest}", or remove it`
  })
  ;(inGuard || meant.some(isGuard) ? out.errors : out.unknown).push(problem)
}

/** The value without the keys that the schema does not know. */
const sift = (ast: SchemaAST.AST, value: unknown, path: string, out: Sifted): unknown => {
  const base = objectOf(ast)
  if (Array.isArray(value)) {
    const item = SchemaAST.isTupleType(base) ? itemOf(base) : undefined
    return item === undefined ? value : value.map((v, i) => sift(item, v, child(path, i), out))
  }
  if (typeof value !== "object" || value === null || !SchemaAST.isTypeLiteral(base)) return value
  const properties = new Map(base.propertySignatures.map((p) => [String(p.name), p.type]))
  const index = base.indexSignatures[0]
  const kept: Record<string, unknown> = Object.create(null)
  for (const [name, inner] of Object.entries(value)) {
    const at = child(path, name)
    const type = properties.get(name)
    if (type !== undefined) {
      kept[name] = sift(type, inner, at, out)
    } else if (index === undefined) {
      siftKey(name, path, [...properties.keys()], out)
    } else {
      const named = Schema.decodeUnknownEither(Schema.make<string>(index.parameter))(name)
      if (Either.isRight(named)) kept[name] = sift(index.type, inner, at, out)
      else
        out.errors.push(
          ...problemsOf(named.left.issue, at).map((p) => new SettingsProblem({ ...p, found: "another name" }))
        )
    }
  }
  return kept
}

const decode = Schema.decodeUnknownEither(Config, { errors: "all", onExcessProperty: "error" })

const syntax = (text: string, error: ParseError): SettingsProblem =>
  new SettingsProblem({
    at: lineOf(text, error.offset),
    expected: "JSON (comments and trailing commas are fine)",
    found: printParseErrorCode(error.error)
      .replaceAll(/([a-z])([A-Z])/g, "$1 $2")
      .toLowerCase()
  })

const problem = (expected: string, found: string): Decoded =>
  refused(new SettingsProblem({ at: "the file", expected, found }))

/** Total: every input gives a Decoded, in time linear in its size. */
export const decodeText = (text: string): Decoded => {
  // A character takes up to three bytes; the exact size of a file was checked before it was read.
  if (text.length > maxBytes) return problem("at most 1 MiB", "a larger one")
  if (depthOf(text) > maxDepth) return problem(`at most ${maxDepth} levels of nesting`, "a deeper one")
  const parseErrors: Array<ParseError> = []
  const root = parseTree(text, parseErrors, { allowTrailingComma: true, allowEmptyContent: false })
  const [firstError] = parseErrors
  if (firstError !== undefined) return refused(syntax(text, firstError))
  if (root === undefined) return problem("an object in braces", "nothing")
  const sifted: Sifted = { errors: [], unknown: [] }
  const value = toValue(root, "", sifted.errors)
  const result = decode(sift(Config.ast, value, "", sifted))
  const errors = [...sifted.errors, ...(Either.isLeft(result) ? problemsOf(result.left.issue) : [])]
  return { config: errors.length === 0 ? Either.getRight(result) : Option.none(), errors, unknown: sifted.unknown }
}

const utf8 = (bytes: Uint8Array): string | null => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return null
  }
}

/** As `decodeText`, from the bytes of a file. */
export const decodeBytes = (bytes: Uint8Array): Decoded => {
  if (bytes.length > maxBytes) return problem("at most 1 MiB", "a larger one")
  const text = utf8(bytes)
  return text === null ? problem("text in UTF-8", "other bytes") : decodeText(text)
}
