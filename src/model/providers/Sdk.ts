/**
 * Sdk: runs one attempt through a vendor's SDK as a stream of model events.
 *
 * Guarantees: each chunk is decoded before anything believes it; exactly one `Completed` comes last;
 * any failure arrives as a `ModelError`, `partial` once the provider has sent a single chunk; when
 * the stream ends, fails or is interrupted, the connection is aborted first and nobody waits for a
 * provider to agree.
 */
import { Effect, Option, type ParseResult, Schema, Stream } from "effect"
import { type Completed, ModelError, type ModelEvent, type ModelRef } from "../../domain/Model.ts"
import { type Exchange, makeExchange } from "./Exchange.ts"
import { badAnswer, faultOf, type ProviderFault } from "./ModelErrors.ts"

/** What an adapter does with the chunks of one answer. */
export interface Reading {
  readonly take: (chunk: unknown) => Effect.Effect<ReadonlyArray<ModelEvent>, ProviderFault>
  /** True when the provider has said that nothing follows; whatever does follow is not read. */
  readonly ended: () => boolean
  readonly complete: Effect.Effect<Completed, ProviderFault>
}

export interface Attempt {
  readonly model: ModelRef
  readonly hideAuthorization?: boolean
  /** Everything that can be refused before anything is sent. */
  readonly check: Effect.Effect<void, ProviderFault>
  /** Loads the SDK and sends. */
  readonly open: (exchange: Exchange) => Promise<AsyncIterable<unknown>>
  readonly read: () => Reading
}

export const modelError = (model: ModelRef, fault: ProviderFault, partial: boolean): ModelError =>
  new ModelError({
    model,
    failure: fault.failure,
    detail: fault.detail,
    partial,
    ...(fault.status === undefined ? {} : { status: fault.status }),
    ...(fault.unsent === true ? { unsent: true } : {}),
    ...(fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs })
  })

/** Decodes by schema; the error names the place, never the value. */
export const decoder = <A, I>(what: string, schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknown(schema)
  return (chunk: unknown): Effect.Effect<A, ProviderFault> =>
    Effect.mapError(decode(chunk), (error) => badAnswer(`${what} has a wrong ${placeOf(error.issue)}`))
}

const placeOf = (issue: ParseResult.ParseIssue): string => {
  switch (issue._tag) {
    case "Pointer": {
      const here = Array.isArray(issue.path) ? issue.path.map(String).join(".") : String(issue.path)
      const below = placeOf(issue.issue)
      return below === "form" ? here : `${here}.${below}`
    }
    case "Composite":
      return placeOf(Array.isArray(issue.issues) ? issue.issues[0] : issue.issues)
    case "Refinement":
    case "Transformation":
      return placeOf(issue.issue)
    default:
      return "form"
  }
}

/** A wrapper, because an SDK may throw anything at all and an error channel may not hold just anything. */
interface Thrown {
  readonly _tag: "Thrown"
  readonly error: unknown
}
const thrown = (error: unknown): Thrown => ({ _tag: "Thrown", error })

export const runAttempt = (attempt: Attempt): Stream.Stream<ModelEvent, ModelError> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const exchange = yield* Effect.acquireRelease(
        Effect.sync(() => makeExchange(attempt.hideAuthorization === true ? { hideAuthorization: true } : {})),
        (exchange) => Effect.sync(exchange.abort)
      )
      let partial = false
      const failed = (error: Thrown | ProviderFault): Effect.Effect<never, ModelError> =>
        Effect.flatMap(error._tag === "Thrown" ? faultOf(error.error, exchange) : Effect.succeed(error), (fault) =>
          Effect.fail(modelError(attempt.model, fault, partial))
        )

      yield* Effect.catchAll(attempt.check, failed)
      const opened = yield* Effect.tryPromise({ try: () => attempt.open(exchange), catch: thrown }).pipe(
        Effect.catchAll(failed)
      )
      const chunks = opened[Symbol.asyncIterator]()
      const reading = attempt.read()

      // Pulled by hand: Stream.fromAsyncIterable would, on interruption, wait for the generator's
      // `return()`, and that waits for a chunk that a stalled provider never sends.
      const next = Effect.gen(function* () {
        if (reading.ended()) return yield* Effect.fail(Option.none())
        const result = yield* Effect.tryPromise({ try: () => chunks.next(), catch: thrown }).pipe(
          Effect.catchAll(failed),
          Effect.asSome,
          Effect.mapError(Option.some)
        )
        if (Option.isNone(result) || result.value.done === true) return yield* Effect.fail(Option.none())
        const events = yield* reading.take(result.value.value).pipe(
          Effect.tap(() =>
            Effect.sync(() => {
              partial = true
            })
          ),
          Effect.catchAll(failed),
          Effect.mapError(Option.some)
        )
        return events
      })

      const last = Effect.suspend(() => reading.complete).pipe(Effect.catchAll(failed))
      return Stream.repeatEffectOption(next).pipe(Stream.flattenIterables, Stream.concat(Stream.fromEffect(last)))
    })
  )
