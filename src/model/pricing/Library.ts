/**
 * Library: prices from the price library's bundled data. Imported on first use, because the data
 * is large. Guarantees: the network is never asked; a listing without both a prompt and an answer
 * price (as "free" models have) is no price; of prices that vary by the hour the highest counts.
 */
import { calcPrice, findProvider, type ModelPrice as Listing } from "@pydantic/genai-prices"
import { DateTime } from "effect"
import { ModelPrice, type ModelRef, splitModelRef } from "../../domain/Model.ts"

/** Windows that nobody states. Small enough for any current model of the listed vendors. */
const assumedWindow = 128_000

/** Our provider names and the library's are the same for these; others are not priced by it. */
const vendors: ReadonlyArray<string> = ["anthropic", "google", "openrouter"]

/** OpenRouter writes versions with a dot where the vendor has a dash: `claude-sonnet-4.6`. */
const spellings = (provider: string, model: string): ReadonlyArray<string> =>
  provider === "openrouter" ? [model, model.replace(/-(\d{1,2})-(\d{1,2})(?=$|[:-])/, "-$1.$2")] : [model]

const rateAt = (value: Listing[string], prompt: number): number | undefined =>
  typeof value !== "object"
    ? value
    : value.tiers.reduce((rate, tier) => (prompt > tier.start ? tier.price : rate), value.base)

const usable = (rate: number | undefined): rate is number => rate !== undefined && Number.isFinite(rate) && rate >= 0

const ratesAt = (listing: Listing, prompt: number) => {
  const input = rateAt(listing["input_mtok"], prompt)
  const outputs = ["output_mtok", "output_reasoning_mtok"].map((key) => rateAt(listing[key], prompt)).filter(usable)
  if (!usable(input) || !usable(rateAt(listing["output_mtok"], prompt))) return undefined
  const read = rateAt(listing["cache_read_mtok"], prompt)
  const write = rateAt(listing["cache_write_mtok"], prompt)
  return {
    inputPerMillion: input,
    outputPerMillion: Math.max(...outputs),
    cacheReadPerMillion: usable(read) ? read : input,
    cacheWritePerMillion: usable(write) ? write : input
  }
}

const startsOf = (listing: Listing): ReadonlyArray<number> =>
  [...new Set(Object.values(listing).flatMap((v) => (typeof v === "object" ? v.tiers.map((t) => t.start) : [])))].sort(
    (a, b) => a - b
  )

type Rates = NonNullable<ReturnType<typeof ratesAt>>

const dearest = (all: ReadonlyArray<Rates>): Rates => ({
  inputPerMillion: Math.max(...all.map((r) => r.inputPerMillion)),
  outputPerMillion: Math.max(...all.map((r) => r.outputPerMillion)),
  cacheReadPerMillion: Math.max(...all.map((r) => r.cacheReadPerMillion)),
  cacheWritePerMillion: Math.max(...all.map((r) => r.cacheWritePerMillion))
})

const find = (providerId: string, modelId: string, now: number) => {
  const provider = findProvider({ providerId })
  if (provider === undefined) return undefined
  // Without its fallbacks, or a vendor's own name would be priced as another vendor's model.
  const { fallback_model_providers: _, ...alone } = provider
  return (
    calcPrice({ input_tokens: 1, output_tokens: 1 }, modelId, {
      provider: alone,
      timestamp: DateTime.toDateUtc(DateTime.unsafeMake(now))
    }) ?? undefined
  )
}

/** The bundled price of a model at a time (epoch milliseconds), if there is a whole one. A price of zero for everything is not one. */
export const listed = (ref: ModelRef, now: number): ModelPrice | undefined => {
  const { provider, model } = splitModelRef(ref)
  if (!vendors.includes(provider)) return undefined
  for (const spelling of spellings(provider, model)) {
    const found = find(provider, spelling, now)
    if (found === undefined) continue
    const { model: info } = found
    const byTheHour =
      Array.isArray(info.prices) && info.prices.some(({ constraint }) => constraint?.type === "time_of_date")
    const listings = byTheHour && Array.isArray(info.prices) ? info.prices.map((p) => p.prices) : [found.model_price]
    const rates = (prompt: number): Rates | undefined => {
      const all = listings.map((listing) => ratesAt(listing, prompt))
      const whole = all.filter((r) => r !== undefined)
      return whole.length === all.length ? dearest(whole) : undefined
    }
    const base = rates(0)
    if (base === undefined || (base.inputPerMillion === 0 && base.outputPerMillion === 0)) return undefined
    const tiers: Array<{ readonly above: number } & Rates> = []
    for (const start of [...new Set(listings.flatMap(startsOf))].sort((a, b) => a - b)) {
      const at = rates(start + 1)
      if (at === undefined) return undefined
      tiers.push({ above: start, ...at })
    }
    return new ModelPrice({
      ...base,
      contextWindow: info.context_window ?? assumedWindow,
      ...(info.context_window === undefined ? { windowAssumed: true } : {}),
      ...(tiers.length === 0 ? {} : { tiers })
    })
  }
  return undefined
}
