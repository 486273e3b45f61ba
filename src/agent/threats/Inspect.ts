/**
 * What a text is, by the rules: pure, deterministic, and linear in the length of the text. Each
 * rule counts once, by its gravest match in any view; severities combine into a score from 0 to 1,
 * and a text at or above `blockAt` is to be blocked. A match that stands in quotation marks, in a
 * text that talks about attacks, weighs less: people must be able to discuss them.
 */
import { Finding, type Severity, Verdict } from "../../domain/Threat.ts"
import { compile, type Lexicon, match } from "./Lexicon.ts"
import { phraseRules, sets } from "./Rules.ts"
import { signatures } from "./Signatures.ts"
import { viewsOf } from "./Views.ts"

/** How much one finding says, as the probability that it is meant. Two mediums reach `blockAt`, one high does. */
const weight: Readonly<Record<Severity, number>> = { low: 0.2, medium: 0.5, high: 0.8, critical: 0.95 }

export const blockAt = 0.75

const milder: Readonly<Record<Severity, Severity>> = { low: "low", medium: "low", high: "low", critical: "medium" }

export const rules = [...phraseRules, ...signatures]

interface Literal {
  readonly text: string
  readonly signature: number
  /** Does it open the stretch in which the signature may stand, or is it the place to try it? */
  readonly opens: boolean
}

interface Prepared {
  readonly lexicon: Lexicon
  /** Literals by their first two characters, where both are ASCII. */
  readonly pairs: ReadonlyArray<ReadonlyArray<Literal> | undefined>
  readonly others: ReadonlyArray<Literal>
}

const pair = (first: number, second: number): number => (first << 7) | second

const prepare = (): Prepared => {
  const literals = signatures.flatMap(({ literals, after }, signature) => [
    ...(after?.literals ?? []).map((text): Literal => ({ text, signature, opens: true })),
    ...literals.map((text): Literal => ({ text, signature, opens: false }))
  ])
  const pairs: Array<Array<Literal> | undefined> = Array.from({ length: 1 << 14 })
  const others: Array<Literal> = []
  for (const literal of literals) {
    const first = literal.text.charCodeAt(0)
    if (first > 0x7f) {
      others.push(literal)
      continue
    }
    // A literal of one character stands before any other, and at the end of the text.
    const seconds = literal.text.length === 1 ? Array.from({ length: 128 }, (_, i) => i) : [literal.text.charCodeAt(1)]
    for (const second of seconds) {
      ;(pairs[pair(first, second)] ??= []).push(literal)
    }
  }
  return {
    lexicon: compile(
      phraseRules.flatMap(({ phrases }, rule) => phrases.map((phrase) => ({ rule, phrase }))),
      sets
    ),
    pairs,
    others
  }
}

// Built at the first scan: commands that scan nothing should not pay for it.
let built: Prepared | undefined
const prepared = (): Prepared => (built ??= prepare())

/** Calls `found` for every signature that stands in the text; `found` says whether to go on looking for it. */
const matchSignatures = (
  { pairs, others }: Prepared,
  code: string,
  isDone: (signature: number) => boolean,
  found: (signature: number, from: number, to: number) => void
): number => {
  let work = code.length
  const opened = new Float64Array(signatures.length).fill(Number.NEGATIVE_INFINITY)
  const consider = (literal: Literal, at: number): void => {
    const { signature, text, opens } = literal
    if (isDone(signature) || !code.startsWith(text, at)) {
      return
    }
    if (opens) {
      opened[signature] = at
      return
    }
    const { after, expression } = signatures[signature]!
    if (after !== undefined && at - opened[signature]! > after.within) {
      return
    }
    work += text.length
    expression.lastIndex = at
    if (expression.test(code)) {
      found(signature, at, expression.lastIndex)
    }
  }
  for (let i = 0; i < code.length; i++) {
    const first = code.charCodeAt(i)
    const next = i + 1 < code.length ? code.charCodeAt(i + 1) : 0
    const candidates = first < 128 ? pairs[pair(first, next < 128 ? next : 0)] : undefined
    if (candidates !== undefined) {
      for (const literal of candidates) {
        consider(literal, i)
      }
    }
  }
  for (const literal of others) {
    for (let at = code.indexOf(literal.text); at >= 0 && !isDone(literal.signature); ) {
      consider(literal, at)
      at = code.indexOf(literal.text, at + literal.text.length)
    }
  }
  return work
}

/** Words by which a text says that it is about attacks, not one. */
const discussion =
  /\b(?:attack(?:er)?s?|injections?|jailbreaks?|phishing|detect(?:s|ion|ing|or)?|examples?|phrases?|payloads?|patterns?|filter(?:s|ed|ing)?|scanner|classif(?:y|ier)|malicious|vulnerab(?:le|ility|ilities)|exploits?|documentation|blog|paper|article|logs?|test(?:s|ing)?|regex|review|explain|means?|why|blocked|flagged|warn(?:s|ing)?)\b/g

const talksAboutAttacks = (text: string): boolean => new Set(text.slice(0, 20_000).match(discussion) ?? []).size >= 2

const quotes = new Set(['"', "`", "'", "“", "”", "„", "«", "»"])

/** Is `text[from, to)` inside quotation marks or backticks that open and close near it, or in a quoted or fenced line? */
const isQuoted = (text: string, from: number, to: number): boolean => {
  const start = Math.max(0, from - 160)
  let open = ""
  for (let i = from - 1; i >= start; i--) {
    const char = text[i]!
    const before = text[i - 1]
    if (quotes.has(char) && (before === undefined || !/[a-z0-9]/.test(before))) {
      open = char
      break
    }
    if (char === "\n") {
      break
    }
  }
  if (open === "") {
    return false
  }
  const end = text.indexOf(open, to)
  return end >= 0 && end - to <= 200
}

export interface Inspection {
  readonly verdict: Verdict
  /** Characters read, words compared and expressions tried, over all views: the cost, independent of the machine. */
  readonly work: number
}

/** Findings as independent signs: how sure it is that at least one is meant. */
const scoreOf = (findings: Iterable<{ readonly severity: Severity }>): number => {
  let innocent = 1
  for (const { severity } of findings) {
    innocent *= 1 - weight[severity]
  }
  return Math.round((1 - innocent) * 1000) / 1000
}

/**
 * A text may cost this much per character to read (ordinary text costs 4, the most of 27,000 collected
 * harmless ones 17). One that is in so many disguises at once that it costs more is blocked unread.
 */
const workPerCharacter = 22
const smallText = 20_000

export const tooMuchDisguise = { id: "INJ-900", class: "injection" } as const
const unreadable = -1

interface Hit {
  readonly severity: Severity
  readonly view: string
}

/** Runs of blanks become one; line ends stay. */
const collapse = (text: string): string => text.replace(/[^\S\n]+/g, " ").replace(/\n[ \n]*/g, "\n")

export const inspectCounting = (text: string): Inspection => {
  const known = prepared()
  const allowance = workPerCharacter * text.length + smallText
  let work = 0
  const hits = new Map<number, Hit>()
  const about = talksAboutAttacks(text.toLowerCase())

  const note = (rule: number, view: string, quoted: boolean): boolean => {
    const { severity: full } = rules[rule]!
    const severity = quoted ? milder[full] : full
    const before = hits.get(rule)
    if (before === undefined || weight[before.severity] < weight[severity]) {
      hits.set(rule, { severity, view })
    }
    return !quoted
  }

  const done = new Uint8Array(rules.length)
  for (const view of viewsOf(known.lexicon, text)) {
    // The rest of the views could at most find more of what is blocked already.
    if (scoreOf(hits.values()) >= blockAt) {
      break
    }
    if (work > allowance) {
      hits.set(unreadable, { severity: "high", view: view.name })
      break
    }
    work += view.cost
    const plain = view.name === "plain"
    const source = view.text ?? ""
    work += match(known.lexicon, view.words, done, ({ rule, from, to }) => {
      const quoted = plain && about && isQuoted(source, from, to)
      done[rule] = note(rule, view.name, quoted) ? 1 : 0
    })
    if (view.text === undefined) {
      continue
    }
    const code = collapse(view.text)
    work += matchSignatures(
      known,
      code,
      (signature) => done[phraseRules.length + signature] === 1,
      (signature, from, to) => {
        const rule = phraseRules.length + signature
        done[rule] = note(rule, view.name, plain && about && isQuoted(code, from, to)) ? 1 : 0
      }
    )
  }

  const findings = [...hits]
    .map(([rule, { severity, view }]) => {
      const { id, class: kind } = rule === unreadable ? tooMuchDisguise : rules[rule]!
      return new Finding({ rule: id, class: kind, severity, view })
    })
    .sort((a, b) => weight[b.severity] - weight[a.severity] || a.rule.localeCompare(b.rule))
  const score = scoreOf(findings)
  return { verdict: new Verdict({ action: score >= blockAt ? "block" : "allow", score, findings }), work }
}

/** The verdict on one text. */
export const inspect = (text: string): Verdict => inspectCounting(text).verdict
