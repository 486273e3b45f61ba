/**
 * ModelErrors: whatever an SDK throws, in the router's taxonomy.
 *
 * Guarantees: what leaves is our own words, a status and an error type from a narrow alphabet that
 * no key fits into. A provider's own message is looked at here to tell cases apart, and goes no
 * further: it can echo prompts and keys.
 */
import { Clock, Effect, Option, Predicate, Schema } from "effect"
import { ModelFailure } from "../../domain/Model.ts"
import { type Exchange, secondRequestMarker, tooLargeMarker } from "./Exchange.ts"
import { maybe } from "./Wire.ts"

/** A failed attempt before it is known which model it belongs to and whether an answer had begun. */
export class ProviderFault extends Schema.TaggedError<ProviderFault>()("ProviderFault", {
  failure: ModelFailure,
  detail: Schema.String,
  status: Schema.optional(Schema.Int),
  retryAfterMs: Schema.optional(Schema.Number),
  /** The request provably never reached the provider. */
  unsent: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    return this.detail
  }
}

/** An answer that cannot be used although the provider thinks it is fine: the router may ask again. */
export const badAnswer = (what: string): ProviderFault =>
  new ProviderFault({ failure: "network", detail: `the answer is unusable: ${what}` })

const ErrorBody = Schema.Struct({
  type: maybe(Schema.String),
  code: maybe(Schema.Union(Schema.String, Schema.Number)),
  status: maybe(Schema.String),
  message: maybe(Schema.String),
  metadata: maybe(Schema.Struct({ reasons: maybe(Schema.Array(Schema.Unknown)) })),
  details: maybe(Schema.Array(Schema.Struct({ reason: maybe(Schema.String), retryDelay: maybe(Schema.String) })))
})
type ErrorBody = typeof ErrorBody.Type

/** `{error: {…}}` as Anthropic and Google send it; the OpenAI SDK has already taken the envelope off. */
const Envelope = Schema.Struct({ error: ErrorBody })
const decodeEnvelope = Schema.decodeUnknownOption(Envelope)
const decodeBody = Schema.decodeUnknownOption(ErrorBody)
const decodeJsonEnvelope = Schema.decodeUnknownOption(Schema.parseJson(Envelope))

const Thrown = Schema.Struct({
  name: maybe(Schema.String),
  message: maybe(Schema.String),
  code: maybe(Schema.Union(Schema.String, Schema.Number)),
  status: maybe(Schema.Number),
  error: Schema.optional(Schema.Unknown),
  cause: Schema.optional(Schema.Unknown)
})
const decodePlain = Schema.decodeUnknownOption(Thrown)

/** Errors keep half of their fields on the prototype, where a schema does not look. */
const decodeThrown = (error: unknown): Option.Option<typeof Thrown.Type> =>
  Predicate.isObject(error)
    ? decodePlain(
        Object.fromEntries(
          Object.keys(Thrown.fields).flatMap((key) => (key in error ? [[key, Reflect.get(error, key)]] : []))
        )
      )
    : Option.none()

const bodyOf = (thrown: typeof Thrown.Type): ErrorBody => {
  const wrapped = decodeEnvelope(thrown.error).pipe(Option.map((e) => e.error))
  // Google's SDK keeps the body only as text inside its message, sometimes after "got status: X. ".
  const text = thrown.message ?? ""
  const inMessage = decodeJsonEnvelope(text.slice(Math.max(0, text.indexOf("{")))).pipe(Option.map((e) => e.error))
  return wrapped.pipe(
    Option.orElse(() => (thrown.error === undefined ? Option.none() : decodeBody(thrown.error))),
    Option.orElse(() => inMessage),
    Option.getOrElse((): ErrorBody => ({}))
  )
}

/** The error type if it is one word of the kind providers use (`overloaded_error`, `RESOURCE_EXHAUSTED`): no digits, so no key passes for one. */
const typeOf = (body: ErrorBody): string => {
  const word = [body.type, body.status, body.code].find(
    (w): w is string => typeof w === "string" && w.length <= 48 && /^([a-z]+(_[a-z]+)*|[A-Z]+(_[A-Z]+)*)$/.test(w)
  )
  return word === undefined ? "" : ` (${word})`
}

/** For an error inside a stream that began with 200. */
const statusOfType = new Map<string, number>([
  ["invalid_request_error", 400],
  ["authentication_error", 401],
  ["billing_error", 402],
  ["permission_error", 403],
  ["not_found_error", 404],
  ["request_too_large", 413],
  ["rate_limit_error", 429],
  ["rate_limit_exceeded", 429],
  ["api_error", 500],
  ["server_error", 500],
  ["timeout_error", 504],
  ["overloaded_error", 529]
])

const effectiveStatus = (httpStatus: number | undefined, body: ErrorBody): number | undefined => {
  if (httpStatus !== undefined) return httpStatus
  if (typeof body.code === "number" && body.code >= 400 && body.code < 600) return body.code
  return [body.type, body.code]
    .flatMap((w) => (typeof w === "string" ? [statusOfType.get(w)] : []))
    .find((s) => s !== undefined)
}

const tooLong =
  /prompt is too long|exceed(s|ed)? (the )?context|context[ _](length|window)|maximum context|token count .* exceeds|too many (input )?tokens|input is too long/i

interface Verdict {
  readonly failure: ModelFailure
  readonly words: string
}

const verdict = (status: number, body: ErrorBody): Verdict => {
  const said = body.message ?? ""
  const codes = [body.type, body.code, ...(body.details ?? []).map((d) => d.reason)]
  const code = (...names: ReadonlyArray<string>) => codes.some((c) => typeof c === "string" && names.includes(c))
  const isRequestFault = status === 400 || status === 413 || status === 422
  if (status === 413 || code("context_length_exceeded") || (isRequestFault && tooLong.test(said))) {
    return { failure: "context_too_long", words: "the conversation does not fit into the model's context" }
  }
  if (code("API_KEY_INVALID") || (status === 400 && /api[ _]key (not valid|expired|not found)/i.test(said))) {
    return { failure: "auth", words: "the provider does not accept the key" }
  }
  if (
    status === 402 ||
    code("insufficient_quota", "billing_error") ||
    (status === 400 && /credit balance/i.test(said))
  ) {
    return { failure: "auth", words: "the account behind the key has no credit" }
  }
  if (
    status === 451 ||
    code("content_filter", "content_policy_violation") ||
    (status === 403 && (body.metadata?.reasons !== undefined || /moderation|flagged/i.test(said)))
  ) {
    return { failure: "content_refused", words: "the provider refused the content of the request" }
  }
  switch (status) {
    case 401:
      return { failure: "auth", words: "the provider does not accept the key" }
    case 403:
      return { failure: "auth", words: "the key is not allowed to do this" }
    // Another model can mend this, and the remedy lies with the account: so `auth`, not `bad_request`.
    case 404:
      return { failure: "auth", words: "the provider offers no model of that name to this key" }
    case 408:
    case 504:
    case 524:
      return { failure: "timeout", words: "the provider took too long" }
    case 429:
      return { failure: "rate_limit", words: "the provider's rate limit is reached" }
    case 409:
      return { failure: "overloaded", words: "the provider reports a conflict with itself" }
    case 499:
      return { failure: "network", words: "the connection was closed under way" }
    case 503:
    case 529:
      return { failure: "overloaded", words: "the provider is overloaded" }
  }
  if (status >= 500) return { failure: "overloaded", words: "the provider has an internal error" }
  if (status >= 400) return { failure: "bad_request", words: "the provider does not accept the request" }
  return {
    failure: "network",
    words:
      status >= 300 ? "the provider's address redirects elsewhere, which is never followed" : "the provider broke off"
  }
}

const decodeDate = Schema.decodeUnknownOption(Schema.Date)

/** No wait is believed beyond a day; the router has its own, shorter cap. */
const longestWaitMs = 86_400_000

const milliseconds = (value: number): number | undefined =>
  Number.isFinite(value) && value >= 0 ? Math.min(Math.ceil(value), longestWaitMs) : undefined

/** From `retry-after-ms`, `retry-after` (seconds or a date) or Google's `retryDelay`. */
export const retryAfterOf = (
  headers: Headers | undefined,
  body: { readonly details?: ErrorBody["details"] },
  now: number
): number | undefined => {
  const ms = headers?.get("retry-after-ms")?.trim()
  if (ms !== undefined && /^\d+(\.\d+)?$/.test(ms)) return milliseconds(Number(ms))
  const after = headers?.get("retry-after")?.trim()
  if (after !== undefined && /^\d+(\.\d+)?$/.test(after)) return milliseconds(Number(after) * 1000)
  // Only what looks like a date: the engine reads "-4" as one too.
  if (after !== undefined && /^([A-Z][a-z]{2,8},? |\d{4}-\d\d-\d\d)/.test(after)) {
    const at = decodeDate(after)
    if (Option.isSome(at)) return milliseconds(Math.max(0, at.value.getTime() - now))
  }
  const delay = (body.details ?? [])
    .map((d) => /^(\d+(?:\.\d+)?)s$/.exec(d.retryDelay ?? "")?.[1])
    .find((s) => s !== undefined)
  return delay === undefined ? undefined : milliseconds(Number(delay) * 1000)
}

interface ConnectionFault {
  readonly pattern: RegExp
  readonly failure: ModelFailure
  readonly words: string
  /** True only for what can happen before a connection stands, and never after. */
  readonly unsent: boolean
}

const connectionFaults: ReadonlyArray<ConnectionFault> = [
  {
    pattern: /^(ETIMEDOUT|UND_ERR_(CONNECT|HEADERS|BODY)_TIMEOUT)$/,
    failure: "timeout",
    words: "the provider did not answer in time",
    unsent: false
  },
  {
    pattern: /^(ENOTFOUND|EAI_[A-Z]+)$/,
    failure: "network",
    words: "the provider's name cannot be resolved",
    unsent: true
  },
  { pattern: /^ECONNREFUSED$/, failure: "network", words: "nothing listens at the provider's address", unsent: true },
  {
    pattern: /^(EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/,
    failure: "network",
    words: "the provider's address cannot be reached",
    unsent: false
  },
  {
    pattern: /CERT|UNABLE_TO_VERIFY/,
    failure: "network",
    words: "the provider's TLS certificate is not acceptable",
    unsent: true
  },
  { pattern: /TLS|SSL/, failure: "network", words: "the TLS connection to the provider failed", unsent: false }
]

/** The error and its causes, outermost first. */
const chainOf = (error: unknown): ReadonlyArray<typeof Thrown.Type> => {
  const chain: Array<typeof Thrown.Type> = []
  let next: unknown = error
  while (chain.length < 8) {
    const decoded = decodeThrown(next)
    if (Option.isNone(decoded)) break
    chain.push(decoded.value)
    next = decoded.value.cause
  }
  return chain
}

const withoutStatus = (chain: ReadonlyArray<typeof Thrown.Type>, exchange: Exchange): ProviderFault => {
  const names = chain.map((c) => c.name ?? "")
  const codes = chain.flatMap((c) => (typeof c.code === "string" && /^[A-Z][A-Z_]{2,47}$/.test(c.code) ? [c.code] : []))
  if (names.includes(tooLargeMarker)) return badAnswer("it is larger than any answer may be")
  if (names.includes(secondRequestMarker)) return badAnswer("it would have taken a second request, which was not sent")
  for (const { pattern, failure, words, unsent } of connectionFaults) {
    const found = codes.find((c) => pattern.test(c))
    if (found === undefined) continue
    const never = unsent && exchange.response() === undefined
    return new ProviderFault({ failure, detail: `${words} (${found})`, ...(never ? { unsent: true } : {}) })
  }
  if (!exchange.sent()) {
    return new ProviderFault({
      failure: "bad_request",
      detail: "the request cannot be put into the provider's form",
      unsent: true
    })
  }
  const began = exchange.response() !== undefined
  if (
    began &&
    codes.length === 0 &&
    chain.some((c) => c.name === "SyntaxError" || /JSON|parsing stream chunk/.test(c.message ?? ""))
  ) {
    return badAnswer("the stream is malformed")
  }
  // A body that is cut surfaces as undici's bare TypeError "terminated", with or without a code; SDKs pass it on as it is.
  const code = codes[0] === undefined ? "" : ` (${codes[0]})`
  return new ProviderFault({
    failure: "network",
    detail: began ? `the connection was lost during the answer${code}` : `the provider cannot be reached${code}`
  })
}

/** What an SDK threw, classified. Needs the exchange for the headers that some SDKs drop. */
export const faultOf = (error: unknown, exchange: Exchange): Effect.Effect<ProviderFault> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const chain = chainOf(error)
    const outer = chain[0] ?? {}
    const seen = exchange.response()
    const httpStatus = seen !== undefined && (seen.status < 200 || seen.status >= 300) ? seen.status : undefined
    const body = bodyOf(outer)
    const status = effectiveStatus(httpStatus, body) ?? effectiveStatus(outer.status ?? undefined, {})
    if (status === undefined && Object.values(body).every((v) => v === undefined)) return withoutStatus(chain, exchange)
    const { failure, words } = verdict(status ?? 0, body)
    const retryAfterMs = retryAfterOf(httpStatus === undefined ? undefined : seen?.headers, body, now)
    return new ProviderFault({
      failure,
      detail: `${words}${typeOf(body)}`,
      ...(httpStatus === undefined ? {} : { status: httpStatus }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs })
    })
  })
