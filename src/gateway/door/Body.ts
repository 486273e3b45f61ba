/**
 * Body: what a request may bring, and how it is read: once, up to a size, within a time.
 *
 * Guarantees: what changes something is JSON or nothing (a form only where a page of ours sends one),
 * so no page of another site can send it without asking first; nothing compressed; a body that is
 * announced as too large is refused unread, one that turns out so is not read on; one that trickles
 * or breaks off is no body.
 */
import type { IncomingMessage } from "node:http"
import { Effect } from "effect"
import { BodyTooLarge, UnsupportedBody } from "../../contract/access.ts"
import { type JsonLimits, read as readJson } from "./Json.ts"
import { malformed, TurnedAway } from "./Refusal.ts"

export interface BodyRule {
  /** Bytes. */
  readonly size: number
  /** Milliseconds from the first look to the last byte. */
  readonly withinMs: number
  readonly json: JsonLimits
  /** Whether a form is taken, and nothing else. */
  readonly form: boolean
}

const mebibyte = 1024 * 1024
const usualJson: JsonLimits = { depth: 64, keys: 10_000, values: 50_000 }

/** Slow clients are gone within 15 seconds; this leaves some for the headers. */
const usualMs = 10_000

export const usual: BodyRule = { size: mebibyte, withinMs: usualMs, json: usualJson, form: false }

/** For those who have not shown who they are: log-in and set-up ask for a few fields. */
export const unproven: BodyRule = { ...usual, size: 65_536 }
export const formOnly: BodyRule = { ...unproven, form: true }

/**
 * For the compatible endpoints: a coding agent sends its whole conversation with every request, and
 * pictures in it. Parsing the most that is let through takes about 30 ms.
 */
export const conversation: BodyRule = {
  size: 16 * mebibyte,
  withinMs: 60_000,
  json: { depth: 64, keys: 50_000, values: 100_000 },
  form: false
}

export type Body =
  | { readonly kind: "none" }
  | { readonly kind: "json"; readonly text: string; readonly value: unknown }
  | { readonly kind: "form"; readonly text: string }

const none: Body = { kind: "none" }

type Headers = Readonly<Record<string, string | undefined>>

const bodiless = new Set(["GET", "HEAD", "OPTIONS"])

/** Whether the request brings one, by what it announces. An empty one is none. */
export const brings = (headers: Headers): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0

const jsonType = /^application\/json\s*(;\s*charset=("?)utf-8\2\s*)?;?\s*$/i
const formType = /^application\/x-www-form-urlencoded\s*(;\s*charset=("?)utf-8\2\s*)?;?\s*$/i

/** What is wrong with it before a byte of it is read. */
export const refused = (
  method: string,
  headers: Headers,
  rule: BodyRule
): TurnedAway | UnsupportedBody | BodyTooLarge | undefined => {
  const type = headers["content-type"]
  const encoding = headers["content-encoding"]
  if (encoding !== undefined && encoding.trim().toLowerCase() !== "identity") {
    return new UnsupportedBody({ found: "compressed" })
  }
  if (bodiless.has(method)) {
    return brings(headers) ? malformed(`the request: ${method} takes no body`, "send it without a body") : undefined
  }
  if (type === undefined ? brings(headers) : !(rule.form ? formType : jsonType).test(type)) {
    return new UnsupportedBody({ found: type === undefined ? "of no stated kind" : "of another kind" })
  }
  const announced = Number(headers["content-length"] ?? 0)
  return announced > rule.size ? new BodyTooLarge({ limit: rule.size }) : undefined
}

const brokeOff = malformed("the body: it broke off")
const tooSlow = new TurnedAway({ status: 408, detail: "the body: it did not arrive in time" })

type Arrived = Effect.Effect<Buffer, TurnedAway | BodyTooLarge>

/** Takes in what comes, from now on. */
const collect = (source: IncomingMessage, { size: most }: BodyRule) => {
  const chunks: Array<Buffer> = []
  let size = 0
  let arrived: Arrived | undefined
  let tell: ((arrived: Arrived) => void) | undefined
  const done = (result: Arrived) => {
    stop()
    arrived = result
    tell?.(result)
  }
  const onData = (chunk: Buffer) => {
    size += chunk.length
    if (size <= most) return void chunks.push(chunk)
    source.pause()
    done(Effect.fail(new BodyTooLarge({ limit: most })))
  }
  const onEnd = () => {
    // A request that offers another protocol may end without the body that it announced.
    const announced = source.headers["content-length"]
    if (announced !== undefined && Number(announced) !== size) return done(Effect.fail(brokeOff))
    done(Effect.succeed(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)))
  }
  const onClose = () => done(Effect.fail(brokeOff))
  const stop = () => source.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onClose)
  if (source.readableEnded || source.destroyed) onClose()
  else source.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onClose)
  return {
    /** The outcome, if there is one by the next turn. */
    soon: Effect.async<Arrived | undefined>((resume) => {
      tell = (result) => resume(Effect.succeed(result))
      if (arrived !== undefined) return tell(arrived)
      setImmediate(() => resume(Effect.sync(() => arrived)))
    }),
    late: Effect.async<Buffer, TurnedAway | BodyTooLarge>((resume) => {
      tell = resume
      if (arrived !== undefined) return tell(arrived)
      return Effect.sync(() => void stop().pause())
    })
  }
}

const bytesOf = (source: IncomingMessage, rule: BodyRule): Arrived =>
  Effect.suspend(() => {
    const collected = collect(source, rule)
    // Small bodies come with their heads; to watch the clock for them would cost more than to read them.
    return Effect.flatMap(
      collected.soon,
      (arrived) =>
        arrived ??
        collected.late.pipe(
          Effect.interruptible,
          Effect.timeoutFail({ duration: rule.withinMs, onTimeout: () => tooSlow })
        )
    )
  })

/** After `refused` found nothing. */
export const read = (
  source: IncomingMessage,
  headers: Headers,
  rule: BodyRule
): Effect.Effect<Body, TurnedAway | BodyTooLarge> =>
  brings(headers)
    ? Effect.flatMap(bytesOf(source, rule), (bytes) =>
        rule.form
          ? Effect.succeed<Body>({ kind: "form", text: bytes.toString("utf8") })
          : Effect.map(readJson(bytes, rule.json), (json): Body => ({ kind: "json", ...json }))
      )
    : Effect.succeed(none)

/** Of an unread body, bytes and milliseconds. More is not waited for. */
const lingerBytes = 4 * mebibyte
const lingerMs = 1000

/**
 * Throws away what is still coming, for a while: closing at once would take the answer out of the
 * client's hands before it has read it. Whoever calls this closes the connection then.
 */
export const linger = (source: IncomingMessage): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    let left = lingerBytes
    const stop = () => source.off("data", onData).off("end", done).off("close", done).off("error", done)
    const done = () => {
      stop()
      resume(Effect.void)
    }
    const onData = (chunk: Buffer) => {
      left -= chunk.length
      if (left < 0) done()
    }
    if (source.readableEnded || source.destroyed) return done()
    source.on("data", onData).on("end", done).on("close", done).on("error", done).resume()
    return Effect.sync(() => void stop())
  }).pipe(Effect.interruptible, Effect.timeoutTo({ duration: lingerMs, onSuccess: () => {}, onTimeout: () => {} }))
