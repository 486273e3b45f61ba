/**
 * Json: reads JSON from strangers. Looked through before it is parsed, in pieces that let others go
 * on in between.
 *
 * Guarantees: nesting, the number of keys and of values and the length of a number are bounded before
 * anything is built; keys that reach into JavaScript's own objects, and keys that stand twice in one
 * object, are refused (of two readers one would take the first, the other the last); bytes that are
 * not UTF-8 are refused. Nothing that stands in the text is repeated in an error, save a key's name.
 */
import { isUtf8 } from "node:buffer"
import { Effect, Either } from "effect"
import { malformed, type TurnedAway } from "./Refusal.ts"

export interface JsonLimits {
  readonly depth: number
  readonly keys: number
  /** Of arrays and objects together. */
  readonly values: number
}

/** More digits than any number of any contract has. */
const longestNumber = 128
/** Longer keys than this are not compared with the forbidden ones; escapes make a key six times as long. */
const longestForbidden = 6 * "constructor".length
/** Which of them escapes the quote behind it is found by counting them all. */
const mostBackslashes = 65_536
/** Bytes looked through in one go: about three milliseconds of quotes, the slowest to look through. */
const piece = 128 * 1024

export const forbiddenKeys: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"])

const [quote, backslash, comma] = [0x22, 0x5c, 0x2c]
const [openObject, closeObject, openArray, closeArray] = [0x7b, 0x7d, 0x5b, 0x5d]

const isToken = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) || byte === 0x2b || byte === 0x2d || byte === 0x2e || (byte | 0x20) === 0x65

/** A name as it may be shown: without what a terminal or a page would take for more than text. */
const shown = (key: string): string => JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key)

/**
 * Looks through JSON text. What is no JSON may pass, and is then found by the parser; whatever passes
 * and is JSON keeps within the limits. `step` goes on for some bytes and answers whether it is through.
 */
const scanner = (bytes: Buffer, limits: JsonLimits) => {
  /** One entry per open bracket: the keys so far, null for an array. */
  const open: Array<Set<string> | null> = []
  let at = 0
  let keys = 0
  let values = 0
  let keyNext = false
  /** Where the string began that the last step ended in; -1 outside one. */
  let stringFrom = -1

  const key = (from: number, to: number): string | undefined => {
    keys += 1
    if (keys > limits.keys) return `more than ${limits.keys} keys`
    const raw = bytes.subarray(from, to)
    const escaped = raw.includes(backslash)
    let name = raw.toString("utf8")
    if (escaped) {
      try {
        name = String(JSON.parse(`"${name}"`))
      } catch {
        return "a key that cannot be read"
      }
    }
    if (raw.length <= longestForbidden && forbiddenKeys.has(name)) return `the key ${shown(name)}, which is not taken`
    const here = open.at(-1)
    if (here?.has(name)) return `the key ${shown(name)} twice in one object`
    here?.add(name)
    return undefined
  }

  /** From within a string to behind its end, or as far as this step goes. */
  const endString = (until: number): "ended" | "goes on" | "slashes" => {
    while (at < until) {
      const next = bytes.indexOf(quote, at)
      if (next === -1) {
        at = bytes.length
        return "goes on"
      }
      let slashes = 0
      while (next - 1 - slashes >= stringFrom && bytes[next - 1 - slashes] === backslash) {
        slashes += 1
        if (slashes > mostBackslashes) return "slashes"
      }
      at = next + 1
      if (slashes % 2 === 0) return "ended"
    }
    return "goes on"
  }

  const step = (count: number): Either.Either<boolean, string> => {
    const until = Math.min(bytes.length, at + count)
    while (at < until) {
      if (stringFrom !== -1) {
        const how = endString(until)
        if (how === "slashes") return Either.left(`more than ${mostBackslashes} backslashes in a row`)
        if (how === "goes on") break
        const from = stringFrom
        stringFrom = -1
        if (keyNext) {
          keyNext = false
          const problem = key(from, at - 1)
          if (problem !== undefined) return Either.left(problem)
        }
        continue
      }
      const byte = bytes[at] ?? 0
      at += 1
      if (byte === quote) stringFrom = at
      else if (byte === openObject || byte === openArray) {
        open.push(byte === openObject ? new Set() : null)
        keyNext = byte === openObject
        values += 1
        if (open.length > limits.depth) return Either.left(`more than ${limits.depth} levels`)
      } else if (byte === closeObject || byte === closeArray) {
        open.pop()
        keyNext = false
      } else if (byte === comma) {
        keyNext = open.at(-1) instanceof Set
        values += 1
      } else if (isToken(byte)) {
        let end = at
        while (end - at <= longestNumber && isToken(bytes[end] ?? 0)) end += 1
        if (end - at > longestNumber) return Either.left(`a number of more than ${longestNumber} digits`)
        at = end
      }
      if (values > limits.values) return Either.left(`more than ${limits.values} values`)
    }
    return Either.right(at >= bytes.length)
  }
  return step
}

const nextTurn: Effect.Effect<void> = Effect.async((resume) => {
  setImmediate(() => resume(Effect.void))
})

const unreadable = () => malformed("the body: expected JSON, and it cannot be read as that")

const parsed = (text: string): Effect.Effect<unknown, TurnedAway> =>
  Effect.try({ try: (): unknown => JSON.parse(text), catch: unreadable })

/** What is wrong with the text before it is parsed; undefined for nothing. */
const problem = (bytes: Buffer, limits: JsonLimits): Effect.Effect<void, TurnedAway> => {
  const step = scanner(bytes, limits)
  const go: Effect.Effect<void, TurnedAway> = Effect.suspend(() =>
    Either.match(step(piece), {
      onLeft: (found) => Effect.fail(malformed(`the body: found ${found}`)),
      onRight: (through) => (through ? Effect.void : Effect.zipRight(nextTurn, go))
    })
  )
  return go
}

interface Read {
  readonly text: string
  readonly value: unknown
}

const small = (bytes: Buffer, limits: JsonLimits): Effect.Effect<Read, TurnedAway> => {
  const looked = scanner(bytes, limits)(piece)
  if (Either.isLeft(looked)) return Effect.fail(malformed(`the body: found ${looked.left}`))
  const text = bytes.toString("utf8")
  return Effect.map(parsed(text), (value) => ({ text, value }))
}

const large = (bytes: Buffer, limits: JsonLimits): Effect.Effect<Read, TurnedAway> =>
  Effect.gen(function* () {
    yield* problem(bytes, limits)
    yield* nextTurn
    const text = bytes.toString("utf8")
    yield* nextTurn
    return { text, value: yield* parsed(text) }
  })

/** The value and its text. An empty body is null, as the platform has it. */
export const read = (bytes: Buffer, limits: JsonLimits): Effect.Effect<Read, TurnedAway> =>
  Effect.suspend(() => {
    if (bytes.length === 0) return Effect.succeed({ text: "", value: null })
    if (!isUtf8(bytes)) return Effect.fail(malformed("the body: expected UTF-8, and found other bytes"))
    return bytes.length <= piece ? small(bytes, limits) : large(bytes, limits)
  })
