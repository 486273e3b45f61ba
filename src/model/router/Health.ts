/**
 * Health: which models are left alone for a while (a circuit breaker per model, not per provider).
 *
 * Guarantees: a model rests after `cooldownAfter` failures in a row, at once when its key is not
 * accepted; after the rest one call tries it while others still go elsewhere; one success forgives
 * everything. Kept in memory: a restart forgets, and finds out again.
 */
import { Clock, Effect } from "effect"
import type { ModelError, ModelRef } from "../../domain/Model.ts"
import { bearing, type Limits } from "./Taxonomy.ts"

/** `trying`: the rest is over, but somebody else is finding out right now. */
export type State = "ready" | "resting" | "trying"

export interface Health {
  readonly state: (model: ModelRef) => Effect.Effect<State>
  /** Must be followed by `succeeded`, `failed` or `left`. */
  readonly entered: (model: ModelRef) => Effect.Effect<void>
  readonly succeeded: (model: ModelRef) => Effect.Effect<void>
  readonly failed: (error: ModelError, limits: Limits) => Effect.Effect<void>
  /** The attempt ended without saying anything about the model. */
  readonly left: (model: ModelRef) => Effect.Effect<void>
}

interface Entry {
  failures: number
  /** Monotonic milliseconds; undefined while the model is not resting. */
  until: number | undefined
  trying: boolean
}

/** A rest that a provider asks for is believed up to here, milliseconds. */
const longestRestMs = 15 * 60_000

/** Not the wall clock: a clock that is set must neither end a rest nor prolong it. */
const monotonicMs = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos / 1_000_000n))

export const make = (): Health => {
  const entries = new Map<ModelRef, Entry>()
  const fresh = (): Entry => ({ failures: 0, until: undefined, trying: false })
  return {
    state: (model) =>
      Effect.map(monotonicMs, (now) => {
        const entry = entries.get(model)
        if (entry?.until === undefined) return "ready"
        if (entry.trying) return "trying"
        return now < entry.until ? "resting" : "ready"
      }),
    entered: (model) =>
      Effect.sync(() => {
        const entry = entries.get(model)
        if (entry?.until !== undefined) entry.trying = true
      }),
    succeeded: (model) => Effect.sync(() => void entries.delete(model)),
    failed: (error, limits) =>
      Effect.map(monotonicMs, (now) => {
        const weight = bearing(error)
        if (weight === "healthy") return void entries.delete(error.model)
        const entry = entries.get(error.model) ?? fresh()
        entries.set(error.model, entry)
        entry.failures += 1
        const wasTried = entry.trying
        entry.trying = false
        if (limits.cooldownMs === 0) return
        const asked = Math.min(longestRestMs, error.retryAfterMs ?? 0)
        // A model that asks for more patience than a caller has is left alone for that long.
        const mustRest =
          weight === "down" || wasTried || entry.failures >= limits.cooldownAfter || asked > limits.backoffMaxMs
        if (mustRest) entry.until = now + Math.max(limits.cooldownMs, asked)
      }),
    left: (model) =>
      Effect.sync(() => {
        const entry = entries.get(model)
        if (entry !== undefined) entry.trying = false
      })
  }
}
