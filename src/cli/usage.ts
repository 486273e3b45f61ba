/** What @effect/cli says about a command line it cannot read, as one plain sentence that says where and what. */
import { stripVTControlCharacters } from "node:util"
import * as HelpDoc from "@effect/cli/HelpDoc"
import type { ValidationError } from "@effect/cli/ValidationError"
import { type Param, type Verb, wordOf } from "./Grammar.ts"

/** Without colour codes; spaces at the ends of lines go too. */
export const plain = (text: string): string => stripVTControlCharacters(text).replaceAll(/[ \t]+$/gm, "")

/** Longer words are cut in messages. */
const quoted = (word: string): string => `"${word.length > 60 ? `${word.slice(0, 60)}…` : word}"`

interface Spoken {
  /** `ai-desk agent test`. */
  readonly path: string
  /** The verb that the path names; undefined when it names none. */
  readonly verb: Verb | undefined
  readonly words: ReadonlyArray<string>
}

const optionsOf = (
  verb: Verb | undefined
): ReadonlyArray<readonly [names: ReadonlyArray<string>, param: Param<unknown>]> =>
  Object.entries(verb?.params ?? {}).flatMap(([key, param]) =>
    param.parser.kind === "option"
      ? [[[`--${wordOf(key)}`, ...(param.short === null ? [] : [`-${param.short}`])], param] as const]
      : []
  )

/** The library stops at the first word that it cannot place; what is wrong with it depends on what it is. */
const unplaced = ({ path, verb, words }: Spoken, word: string): string => {
  if (!word.startsWith("-")) return `${path}: expected no further word, found ${quoted(word)}`
  const [name = word] = word.split("=")
  const found = optionsOf(verb).find(([names]) => names.includes(name))
  if (found === undefined) {
    const known = [...optionsOf(verb).map(([[long = ""]]) => long), "--help"]
    return `${path}: there is no option ${quoted(name)}; expected one of ${known.join(", ")}`
  }
  const times = words.filter((each) => each === name || each.startsWith(`${name}=`)).length
  if (times > 1) return `${path}: ${name}: expected once, found ${times} times`
  return `${path}: ${name}: expected a value (${found[1].label}), found none`
}

const choice = ({ path, verb, words }: Spoken, cases: string): string => {
  const found = optionsOf(verb).find(
    ([, { offer }]) => typeof offer === "object" && offer !== null && offer.join(", ") === cases
  )
  const names: ReadonlyArray<string> = found?.[0] ?? []
  const at = words.findIndex((word) => names.includes(word.split("=")[0] ?? ""))
  const word = words[at] ?? ""
  const value = word.includes("=") ? word.slice(word.indexOf("=") + 1) : (words[at + 1] ?? "")
  return `${names[0] ?? path}: expected one of ${cases}, found ${quoted(value)}`
}

export const usageText = (spoken: Spoken, error: ValidationError): string => {
  const said = plain(HelpDoc.toAnsiText(error.error)).replaceAll(/\s+/g, " ").trim()
  const { path, verb } = spoken
  const unknown = /^Received unknown argument: '(.*)'$/.exec(said)?.[1]
  if (unknown !== undefined) return unplaced(spoken, unknown)
  const cases = /^Expected one of the following cases: (.*)$/.exec(said)?.[1]
  if (cases !== undefined) return choice(spoken, cases)
  const missing = /^Missing argument <(.*)>$/.exec(said)?.[1]
  const param = missing === undefined ? undefined : verb?.params[missing]
  if (param !== undefined) return `${path}: ${param.label} is missing: ${param.about}`
  const valueless = /^Expected a value following option: '(.*)'$/.exec(said)?.[1]
  if (valueless !== undefined) return unplaced(spoken, valueless)
  // A value's own sentence names its option already.
  return /^(--|[A-Z]+:)/.test(said) ? said : `${path}: ${said}`
}
