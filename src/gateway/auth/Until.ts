/** Until: waiting by the wall clock, however far away the moment is; and doing something again and again until the scope closes, and once more then. */
import { Clock, Effect, type Scope } from "effect"

/** Timers take no more than 24 days; and who waits notices within so long that the clock was moved, ms. */
const longest = 3_600_000

/** Returns at that moment (epoch milliseconds), or at once when it has passed. */
export const until = (at: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now >= at
      ? Effect.void
      : Effect.zipRight(
          Effect.sleep(Math.min(at - now, longest)),
          Effect.suspend(() => until(at))
        )
  )

export const every = (millis: number, effect: Effect.Effect<void>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    yield* Effect.addFinalizer(() => effect)
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sleep(millis), effect)))
  })
