/**
 * Redaction: keeps secrets out of whatever leaves as text (logs, errors, tool output).
 *
 * Guarantees: a registered secret is replaced wherever it occurs, as it is and as base64, base64url,
 * hex, URL-encoded or JSON-escaped text, also in the middle of longer base64; and text that has the
 * form of a known kind of key is replaced even if nobody registered it. One registry per process,
 * which only grows: a secret that was in use may still turn up after it was rotated.
 */
import { type Redacted, Redacted as RedactedValue } from "effect"

/** Shorter values occur by chance in ordinary text, and replacing them would garble it. */
const shortest = 6

/** Every form of every registered secret; longest first, so that no form hides a longer one. */
let needles: ReadonlyArray<string> = []
const seen = new Set<string>()

const mark = "[redacted]"

const base64At = (bytes: Uint8Array, shift: number): string => {
  // Base64 packs three bytes into four characters, so the same bytes look different at each of the
  // three offsets within a longer value. The characters that depend on neighbours are cut off.
  const padded = new Uint8Array(bytes.length + shift)
  padded.set(bytes, shift)
  const text = Buffer.from(padded).toString("base64").replaceAll("=", "")
  const spoiled = [0, 2, 3][shift] ?? 0
  return (bytes.length + shift) % 3 === 0 ? text.slice(spoiled) : text.slice(spoiled, -1)
}

const formsOf = (secret: string): ReadonlyArray<string> => {
  const bytes = new TextEncoder().encode(secret)
  const base64 = [0, 1, 2].map((shift) => base64At(bytes, shift))
  const hex = Buffer.from(bytes).toString("hex")
  const wellFormed = secret.isWellFormed() ? [encodeURIComponent(secret), encodeURI(secret)] : []
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    ...wellFormed,
    ...wellFormed.map((text) => text.replaceAll("%20", "+")),
    ...base64,
    ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
    hex,
    hex.toUpperCase()
  ].filter((form) => form.length >= shortest)
}

const add = (secret: string): void => {
  if (secret.length < shortest || seen.has(secret)) return
  seen.add(secret)
  needles = [...new Set([...needles, ...formsOf(secret)])].sort((a, b) => b.length - a.length)
}

export const Secrets = {
  /** From now on no text that passes `redactText` holds this value. A value of several lines is also looked for line by line. */
  register: (secret: Redacted.Redacted<string>): void => {
    const value = RedactedValue.value(secret)
    add(value)
    if (value.includes("\n")) for (const line of value.split(/\r?\n/)) add(line.trim())
  }
}

/** Forms of keys that speak for themselves. Each is linear: bounded or single-class repetitions only. */
const patterns: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[A-Za-z0-9+/=\s\\]{0,20000}(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?/g,
    mark
  ],
  [/\bsk-[A-Za-z0-9_-]{16,}/g, mark],
  // Our own: tokens, cookies and proofs of log-ins, one-time links.
  [/\baid[tspl]_[A-Za-z0-9]{20,}/g, mark],
  [/\bAIza[A-Za-z0-9_-]{30,}/g, mark],
  [/\bgh[pousr]_[A-Za-z0-9]{20,}/g, mark],
  [/\bgithub_pat_[A-Za-z0-9_]{20,}/g, mark],
  [/\bglpat-[A-Za-z0-9_-]{16,}/g, mark],
  [/\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g, mark],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, mark],
  [/\b(?:hf|npm|pypi|dop_v1|shpat|rk_live|sk_live|rk_test|sk_test)[_-][A-Za-z0-9_-]{20,}/g, mark],
  [/\b\d{8,10}:[A-Za-z0-9_-]{35}\b/g, mark],
  [/\bya29\.[A-Za-z0-9_-]{20,}/g, mark],
  [/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{0,}/g, mark],
  [/\b(Bearer|Basic)(\s{1,4})[A-Za-z0-9._~+/=-]{8,}/gi, `$1$2${mark}`],
  [/\b([a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/"]{1,100}:)[^\s@/"]{1,200}@/gi, `$1${mark}@`],
  [
    /((?:x-api-key|x-goog-api-key|api[_-]?key|authorization|passw(?:or)?d|passphrase|master[_-]?key|client[_-]?secret|access[_-]?token|refresh[_-]?token)"?\s{0,4}[=:]\s{0,4}"?)(?!\[redacted\]|Bearer|Basic)[^\s"',;&]{6,}/gi,
    `$1${mark}`
  ]
]

/** The text without registered secrets. What only has the form of a key stays: it is part of what somebody said. */
const withoutRegistered = (text: string): string => {
  let out = text
  for (const needle of needles) if (out.includes(needle)) out = out.replaceAll(needle, mark)
  return out
}

/** Plain data, whole, without registered secrets in its texts and keys; for what leaves as a record of a conversation. */
export const redactRegistered = (value: unknown): unknown => {
  if (typeof value === "string") return withoutRegistered(value)
  if (Array.isArray(value)) return value.map(redactRegistered)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [withoutRegistered(key), redactRegistered(inner)])
  )
}

/** The text without secrets. Total; linear in the text times the number of registered secrets. */
export const redactText = (text: string): string => {
  let out = withoutRegistered(text)
  for (const [pattern, replacement] of patterns) out = out.replace(pattern, replacement)
  return out
}

const mostEntries = 1000

const hasToJson = (value: object): value is { readonly toJSON: () => unknown } =>
  "toJSON" in value && typeof value.toJSON === "function"

const redactObject = (value: object, depth: number): unknown => {
  const next = (inner: unknown) => redacted(inner, depth + 1)
  if (RedactedValue.isRedacted(value)) return "<redacted>"
  if (value instanceof Error) {
    const cause = value.cause === undefined ? {} : { cause: next(value.cause) }
    return { name: value.name, message: redactText(value.message), ...cause }
  }
  if (ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`
  if (Array.isArray(value)) return value.slice(0, mostEntries).map(next)
  if (value instanceof Map || value instanceof Set) return [...value].slice(0, mostEntries).map(next)
  if (hasToJson(value)) return next(value.toJSON())
  const entries = Object.entries(value).slice(0, mostEntries)
  return Object.fromEntries(entries.map(([key, inner]) => [redactText(key), next(inner)]))
}

const redacted = (value: unknown, depth: number): unknown => {
  switch (typeof value) {
    case "string":
      return redactText(value)
    case "bigint":
    case "symbol":
    case "function":
      return redactText(String(value))
    case "object":
      return value === null ? null : depth > 8 ? "…" : redactObject(value, depth)
    default:
      return value
  }
}

/** Plain data with every text in it redacted, keys and causes of errors too. Total, also for cycles and throwing getters. */
export const redactValue = (value: unknown): unknown => {
  try {
    return redacted(value, 0)
  } catch {
    return "<unprintable>"
  }
}

/** So many characters at the end of a text could be the beginning of a registered secret. One is enough: shown, it would hide the secret from what comes next. */
const heldAtEnd = (text: string): number => {
  let most = 0
  const last = text.at(-1)
  for (const needle of needles) {
    for (let length = Math.min(needle.length - 1, text.length); length > most; length--) {
      if (needle[length - 1] === last && text.endsWith(needle.slice(0, length))) most = length
    }
  }
  return most
}

export interface StreamRedactor {
  /** What may be shown of the text so far: all of it, but for an end that could become a secret. */
  readonly next: (piece: string) => string
  /** What was held back, once nothing more comes. */
  readonly rest: () => string
}

/** Keeps registered secrets out of a text that comes in pieces, wherever it is cut. */
export const streamRedactor = (): StreamRedactor => {
  let held = ""
  return {
    next: (piece) => {
      const text = withoutRegistered(held + piece)
      const keep = heldAtEnd(text)
      held = keep === 0 ? "" : text.slice(-keep)
      return keep === 0 ? text : text.slice(0, -keep)
    },
    rest: () => {
      const text = held
      held = ""
      return text
    }
  }
}
