/**
 * Money is an integer count of nano-USD (1e-9 USD), so that sums are exact and one token of the
 * cheapest model still costs at least one unit. Number.MAX_SAFE_INTEGER is then 9 million USD.
 */
import { Schema } from "effect"

export const NanoUsd = Schema.Int.pipe(
  Schema.nonNegative(),
  Schema.lessThanOrEqualTo(Number.MAX_SAFE_INTEGER),
  Schema.brand("NanoUsd")
)
export type NanoUsd = typeof NanoUsd.Type

const perUsd = 1e9

/** Rounds up: a cost is never understated by rounding. `usd` must be finite and >= 0. */
export const fromUsd = (usd: number): NanoUsd => NanoUsd.make(Math.ceil(Number((usd * perUsd).toPrecision(15))))

export const toUsd = (amount: number): number => amount / perUsd

/** `$0.0123`; four decimals below one dollar, two above. */
export const formatUsd = (amount: number): string => {
  const usd = toUsd(amount)
  if (usd === 0) return "$0"
  if (usd < 0.0001) return "<$0.0001"
  return `$${usd.toFixed(usd < 1 ? 4 : 2)}`
}
