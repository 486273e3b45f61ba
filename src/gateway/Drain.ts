/**
 * Drain: whether the gateway is starting, answering, or on its way out, for whoever has to know:
 * `/readyz`, and everything that holds a connection open. What awaits `begun` says good-bye in its
 * own way (a last event, close code 1001) and ends by itself; whatever has not is cut off later.
 */
import { Context, Deferred, Effect, Layer, Ref } from "effect"

export type Phase = "starting" | "ready" | "draining"

export class Drain extends Context.Tag("ai-desk/gateway/Drain")<
  Drain,
  {
    readonly phase: Effect.Effect<Phase>
    readonly ready: Effect.Effect<void>
    /** Returns when the gateway begins to stop. */
    readonly begun: Effect.Effect<void>
    /** Once; there is no way back. */
    readonly begin: Effect.Effect<void>
  }
>() {}

export const make = Effect.gen(function* () {
  const phase = yield* Ref.make<Phase>("starting")
  const begun = yield* Deferred.make<void>()
  return Drain.of({
    phase: Ref.get(phase),
    ready: Ref.update(phase, (now) => (now === "starting" ? "ready" : now)),
    begun: Deferred.await(begun),
    begin: Effect.zipRight(Ref.set(phase, "draining"), Effect.asVoid(Deferred.succeed(begun, undefined)))
  })
})

export const layer = Layer.effect(Drain, make)
