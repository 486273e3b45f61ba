/** Until: waiting by the wall clock, however far away the moment is; and putting work off, so that it is done once for many. */
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

/** What is asked for again and again is done once, so long after it was first asked for; and when the scope closes. */
export const soon = (
  millis: number,
  effect: Effect.Effect<void>
): Effect.Effect<() => Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    let waiting = false
    yield* Effect.addFinalizer(() => effect)
    const later = Effect.zipRight(
      Effect.sleep(millis),
      Effect.suspend(() => {
        waiting = false
        return effect
      })
    )
    return () => {
      if (waiting) return Effect.void
      waiting = true
      return Effect.asVoid(Effect.forkIn(later, scope))
    }
  })
