/**
 * Taxonomy: what follows from each kind of failure, and what it costs. Pure, so that the whole
 * table can be tested.
 *
 * Guarantees: the same request is sent again only where that can mend something; no pause is
 * longer than the settings' cap; what may have been billed is charged whole, what cannot have been
 * billed is not charged.
 */
import type { Config } from "../../domain/Config.ts"
import type { ModelError } from "../../domain/Model.ts"

export type Limits = Config["router"]

export type Decision =
  /** The same model again, after a pause in milliseconds. */
  | { readonly _tag: "retry"; readonly afterMs: number }
  | { readonly _tag: "failover" }
  /** Only to a model that takes longer prompts. */
  | { readonly _tag: "larger" }
  | { readonly _tag: "stop" }

const failover: Decision = { _tag: "failover" }
const stop: Decision = { _tag: "stop" }

/** Doubles with each repeat, up to the cap; a random half of it, so that callers who failed together do not come back together. */
export const backoffMs = (limits: Limits, retries: number, random: number): number => {
  const full = Math.min(limits.backoffMaxMs, limits.backoffBaseMs * 2 ** Math.min(retries, 30))
  return Math.ceil(full / 2 + (full / 2) * random)
}

const askedWait = (error: ModelError): number | undefined =>
  error.retryAfterMs !== undefined && Number.isFinite(error.retryAfterMs) && error.retryAfterMs >= 0
    ? Math.ceil(error.retryAfterMs)
    : undefined

/** `retries` have been made at this model already; `random` is from 0 to 1. */
export const decide = (error: ModelError, retries: number, limits: Limits, random: number): Decision => {
  const again = (most: number): Decision =>
    retries < Math.min(most, limits.maxRetries)
      ? { _tag: "retry", afterMs: backoffMs(limits, retries, random) }
      : failover
  switch (error.failure) {
    case "auth":
    case "timeout":
      return failover
    case "rate_limit": {
      const wait = askedWait(error)
      if (wait === undefined) return again(limits.maxRetries)
      return wait <= limits.backoffMaxMs && retries < limits.maxRetries ? { _tag: "retry", afterMs: wait } : failover
    }
    case "overloaded": {
      const wait = askedWait(error)
      if (wait !== undefined && wait > limits.backoffMaxMs) return failover
      const next = again(limits.maxRetries)
      return next._tag === "retry" && wait !== undefined
        ? { _tag: "retry", afterMs: Math.max(wait, next.afterMs) }
        : next
    }
    case "network":
      return again(1)
    case "context_too_long":
      return { _tag: "larger" }
    case "content_refused":
    case "bad_request":
      return stop
  }
}

/** Whether the provider may bill the failed attempt. Answers of 408 and 499 can come after work was done. */
export const mayBeBilled = (error: ModelError): boolean => {
  if (error.partial) return true
  if (error.unsent === true) return false
  const { status } = error
  if (status !== undefined && status >= 300 && status < 500 && status !== 408 && status !== 499) return false
  switch (error.failure) {
    case "auth":
    case "rate_limit":
    case "overloaded":
    case "context_too_long":
    case "bad_request":
      return false
    case "timeout":
    case "network":
    case "content_refused":
      return true
  }
}

/** How a failure bears on the model's health: `down` at once, one `strike` of several, or nothing against it. */
export const bearing = (error: ModelError): "down" | "strike" | "healthy" => {
  switch (error.failure) {
    case "auth":
      return "down"
    case "rate_limit":
    case "overloaded":
    case "timeout":
    case "network":
      return "strike"
    case "context_too_long":
    case "content_refused":
    case "bad_request":
      return "healthy"
  }
}
