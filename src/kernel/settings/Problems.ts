/**
 * Problems: turns what is wrong with a settings file into something its owner can act on. A problem
 * names the path, what was expected in words, the kind of what was found and the nearest known key;
 * it never repeats a value from the file, because that may be a secret.
 */
import { type ParseResult, Schema, SchemaAST } from "effect"

/** One thing wrong with the settings. `at` is a path such as `agents.list[0].tools.profile`. */
export class SettingsProblem extends Schema.Class<SettingsProblem>("SettingsProblem")({
  at: Schema.String,
  expected: Schema.String,
  /** The kind of what was found, never its value: it may be a secret. */
  found: Schema.String,
  /** For an unknown key: the nearest known one. */
  nearest: Schema.optional(Schema.String),
  fix: Schema.optional(Schema.String)
}) {
  get line(): string {
    const hint = this.nearest === undefined ? "" : ` (did you mean "${this.nearest}"?)`
    return `${this.at}: expected ${this.expected}, found ${this.found}${hint}`
  }
}

export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  /** The file, or `environment`. */
  source: Schema.String,
  problems: Schema.NonEmptyArray(SettingsProblem)
}) {
  override get message(): string {
    const lines = this.problems.map((problem) => problem.line)
    return lines.length === 1
      ? `${this.source}: ${lines[0]}`
      : `${this.source}:\n${lines.map((l) => `  ${l}`).join("\n")}`
  }
  get fix(): string {
    return this.problems.find((p) => p.fix !== undefined)?.fix ?? "correct the file, then run: ai-desk config check"
  }
}

/** More than a screenful helps nobody. */
const shown = 20

/** Null when there is nothing wrong. */
export const invalid = (source: string, problems: ReadonlyArray<SettingsProblem>): SettingsInvalid | null => {
  const listed = problems.length > shown ? problems.slice(0, shown - 1) : problems
  const more =
    problems.length > shown
      ? [
          new SettingsProblem({
            at: "…",
            expected: "nothing else wrong",
            found: `${problems.length - listed.length} more problems`
          })
        ]
      : []
  const [first, ...rest] = [...listed, ...more]
  return first === undefined ? null : new SettingsInvalid({ source, problems: [first, ...rest] })
}

const plain = /^[A-Za-z_$][A-Za-z0-9_$-]{0,63}$/

/** Keys come from the file: shortened, and control characters escaped. */
export const showKey = (key: string): string =>
  plain.test(key) ? key : JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key)

export const child = (path: string, key: PropertyKey): string => {
  if (typeof key === "number") return `${path}[${key}]`
  const name = showKey(String(key))
  if (name.startsWith('"')) return `${path}[${name}]`
  return path === "" ? name : `${path}.${name}`
}

export const kindOf = (value: unknown): string => {
  if (value === null) return "null"
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list"
  switch (typeof value) {
    case "undefined":
      return "nothing"
    case "string":
      return value === "" ? "an empty text" : "a text"
    case "number":
      return Number.isInteger(value) ? "a whole number" : "a number with a fraction"
    case "boolean":
      return "true or false"
    default:
      return "an object"
  }
}

const asNumber = (value: unknown): number | null => (typeof value === "number" ? value : null)

/** The limits of a chain of refinements, as JSON Schema keywords. */
const limitsOf = (ast: SchemaAST.AST): Record<string, unknown> =>
  SchemaAST.isRefinement(ast)
    ? { ...limitsOf(ast.from), ...(ast.annotations[SchemaAST.JSONSchemaAnnotationId] as object | undefined) }
    : {}

const range = (least: number | null, most: number | null, unit: string): string => {
  if (least !== null && most !== null) return ` from ${least} to ${most}${unit}`
  if (least !== null) return ` of at least ${least}${unit}`
  return most === null ? "" : ` of at most ${most}${unit}`
}

const innermost = (ast: SchemaAST.AST): SchemaAST.AST =>
  SchemaAST.isRefinement(ast) ? innermost(ast.from) : SchemaAST.isTransformation(ast) ? innermost(ast.from) : ast

/** Our own schemas say in a `message` annotation what they want; it takes no account of the issue. */
const ownWords = (ast: SchemaAST.AST, issue: ParseResult.ParseIssue): string | null => {
  const said = ast.annotations[SchemaAST.MessageAnnotationId]
  if (typeof said === "function") {
    const words: unknown = said(issue)
    if (typeof words === "string") return words
  }
  return SchemaAST.isRefinement(ast) || SchemaAST.isTransformation(ast) ? ownWords(ast.from, issue) : null
}

/** What a schema wants, in words: `a whole number from 0 to 65535`, `one of "token", "password"`. */
export const expectation = (ast: SchemaAST.AST, issue: ParseResult.ParseIssue): string => {
  const own = ownWords(ast, issue)
  if (own !== null) return own
  if (SchemaAST.isTransformation(ast)) return expectation(ast.from, issue)
  const base = innermost(ast)
  const limits = limitsOf(ast)
  switch (base._tag) {
    case "Literal":
      return JSON.stringify(base.literal)
    case "Union":
      return base.types.every((type) => type._tag === "Literal")
        ? `one of ${base.types.map((type) => expectation(type, issue)).join(", ")}`
        : base.types.map((type) => expectation(type, issue)).join(" or ")
    case "StringKeyword":
      return `a text${range(asNumber(limits.minLength), asNumber(limits.maxLength), " characters")}`
    case "NumberKeyword":
      return `a ${limits.type === "integer" ? "whole number" : "number"}${range(asNumber(limits.minimum), asNumber(limits.maximum), "")}`
    case "BooleanKeyword":
      return "true or false"
    case "TupleType":
      return `a list${range(null, asNumber(limits.maxItems), " entries")}`
    default:
      return "an object"
  }
}

const structural = (ast: SchemaAST.AST): boolean => {
  const base = innermost(ast)
  return base._tag === "TypeLiteral" || base._tag === "TupleType"
}

/** A list or object was wanted and something else was there, so there is nothing inside to look at. */
const ofWrongKind = (issue: ParseResult.ParseIssue): boolean =>
  issue._tag === "Type" || (issue._tag === "Refinement" && issue.kind === "From" && ofWrongKind(issue.issue))

/** The literals a text could have been meant as. */
const literalsOf = (ast: SchemaAST.AST): ReadonlyArray<string> => {
  const base = innermost(ast)
  if (base._tag === "Literal") return typeof base.literal === "string" ? [base.literal] : []
  return base._tag === "Union" ? base.types.flatMap(literalsOf) : []
}

const issuesOf = (issue: ParseResult.Composite): ReadonlyArray<ParseResult.ParseIssue> =>
  "_tag" in issue.issues ? [issue.issues] : issue.issues

/** One problem per place, whatever the depth of refinements and unions there. */
export const problemsOf = (issue: ParseResult.ParseIssue, path = ""): ReadonlyArray<SettingsProblem> => {
  const at = path === "" ? "the file" : path
  const here = (ast: SchemaAST.AST, actual: unknown): ReadonlyArray<SettingsProblem> => {
    const near = typeof actual === "string" ? nearestOf(actual, literalsOf(ast)) : undefined
    return [
      new SettingsProblem({
        at,
        expected: expectation(ast, issue),
        found: kindOf(actual),
        ...(near === undefined ? {} : { nearest: near })
      })
    ]
  }
  switch (issue._tag) {
    case "Pointer": {
      const keys: ReadonlyArray<PropertyKey> = Array.isArray(issue.path) ? issue.path : [issue.path as PropertyKey]
      return problemsOf(issue.issue, keys.reduce(child, path))
    }
    case "Composite":
      return structural(issue.ast)
        ? issuesOf(issue).flatMap((inner) => problemsOf(inner, path))
        : here(issue.ast, issue.actual)
    case "Refinement":
      return issue.kind === "From" && structural(issue.ast) && !ofWrongKind(issue)
        ? problemsOf(issue.issue, path)
        : here(issue.ast, issue.actual)
    case "Transformation":
      return issue.kind === "Encoded" ? problemsOf(issue.issue, path) : here(issue.ast.from, issue.actual)
    case "Type":
    case "Forbidden":
      return here(issue.ast, issue.actual)
    case "Missing":
      return [
        new SettingsProblem({
          at,
          expected: expectation("type" in issue.ast ? issue.ast.type : issue.ast, issue),
          found: "nothing"
        })
      ]
    case "Unexpected":
      return [new SettingsProblem({ at, expected: "no such key", found: "an unknown key" })]
  }
}

/** Edit distance; both are cut to 64 characters, so the cost is bounded. */
export const distance = (left: string, right: string): number => {
  const a = left.slice(0, 64)
  const b = right.slice(0, 64)
  let before = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (before[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min((before[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced))
    }
    before = row
  }
  return before[b.length] ?? 0
}

/** The known word that was probably meant: at most a third of it differs, case and dashes aside. */
export const nearestOf = (word: string, known: ReadonlyArray<string>): string | undefined => {
  const fold = (text: string) => text.toLowerCase().replaceAll(/[-_ ]/g, "")
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const away = distance(fold(word), fold(candidate))
    if (away < least && away <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate
      least = away
    }
  }
  return best
}
