/**
 * Pricing: what a model costs and the most that a request to it can cost. Prices come from the
 * settings first, then from the price library's bundled data (never from the network). An unknown
 * price is refused: a model that nobody can price is not free.
 *
 * Guarantees: amounts are whole nano-USD, rounded up; for a price that holds, `worstCase` is at
 * least the `cost` of any usage the request can cause. Free is only what the owner states as free,
 * and the built-in rehearsal model.
 */
import { Clock, Context, Effect, Layer } from "effect"
import type { Config } from "../domain/Config.ts"
import {
  ModelPrice,
  type ModelRef,
  type ModelRequest,
  splitModelRef,
  UnknownPrice,
  type Usage
} from "../domain/Model.ts"
import { NanoUsd } from "../domain/Money.ts"
import { Settings } from "../kernel/Settings.ts"
import { upperBound } from "./Tokens.ts"

export interface WorstCase {
  /** Input and output together. */
  readonly tokens: number
  readonly cost: NanoUsd
}

export class Pricing extends Context.Tag("ai-desk/model/Pricing")<
  Pricing,
  {
    readonly price: (model: ModelRef) => Effect.Effect<ModelPrice, UnknownPrice>
    /** Cost of what was used, rounded up to a nano-USD. */
    readonly cost: (price: ModelPrice, usage: Usage) => NanoUsd
    /** An upper bound: no tokenizer makes more tokens than there are UTF-8 bytes, plus framing, plus the whole output allowance; and no model takes a prompt beyond its stated window. */
    readonly worstCase: (price: ModelPrice, request: ModelRequest) => WorstCase
  }
>() {}

interface Rates {
  readonly inputPerMillion: number
  readonly outputPerMillion: number
  readonly cacheReadPerMillion: number
  readonly cacheWritePerMillion: number
}

/** USD per million tokens are micro-USD per token, hence 1e3 nano-USD. Rounded up; 15 digits so that 0.1 + 0.2 does not round up to one more. */
const toNano = (microUsd: number): NanoUsd =>
  NanoUsd.make(Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(Number((microUsd * 1000).toPrecision(15)))))

/** The tier that a prompt of so many tokens falls into; its rates then hold for the whole request. */
const ratesFor = (price: ModelPrice, promptTokens: number): Rates =>
  (price.tiers ?? []).reduce<Rates>((rates, tier) => (promptTokens > tier.above ? tier : rates), price)

export const cost = (price: ModelPrice, usage: Usage): NanoUsd => {
  const rates = ratesFor(price, usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens)
  return toNano(
    usage.inputTokens * rates.inputPerMillion +
      usage.outputTokens * rates.outputPerMillion +
      usage.cacheReadTokens * rates.cacheReadPerMillion +
      usage.cacheWriteTokens * rates.cacheWritePerMillion
  )
}

export const worstCase = (price: ModelPrice, request: ModelRequest): WorstCase => {
  const bound = upperBound(request)
  const prompt = price.windowAssumed === true ? bound : Math.min(bound, price.contextWindow)
  const output = request.maxOutputTokens
  // A tier need not be dearer in every rate, so each that the prompt could fall into is tried.
  const reachable: ReadonlyArray<Rates> = [price, ...(price.tiers ?? []).filter((tier) => prompt > tier.above)]
  const costs = reachable.map((rates) => {
    const input = Math.max(rates.inputPerMillion, rates.cacheReadPerMillion, rates.cacheWritePerMillion)
    return toNano(prompt * input + output * rates.outputPerMillion)
  })
  const most = Math.max(...costs)
  // One unit more, because a sum of several products can round up where this one product does not.
  return { tokens: prompt + output, cost: NanoUsd.make(most === 0 ? 0 : Math.min(most + 1, Number.MAX_SAFE_INTEGER)) }
}

/** The rehearsal model runs in this process: its answers cost nothing and its window is a stand-in for a real one. */
const rehearsal = new ModelPrice({
  inputPerMillion: 0,
  outputPerMillion: 0,
  cacheReadPerMillion: 0,
  cacheWritePerMillion: 0,
  contextWindow: 200_000
})

const stated = (prices: Config["prices"], model: ModelRef): ModelPrice | undefined => {
  const found = Object.hasOwn(prices, model) ? prices[model] : undefined
  if (found === undefined) return undefined
  const { inputPerMillion, outputPerMillion, contextWindow } = found
  return new ModelPrice({
    inputPerMillion,
    outputPerMillion,
    cacheReadPerMillion: found.cacheReadPerMillion ?? inputPerMillion,
    // What most vendors that charge for it take.
    cacheWritePerMillion: found.cacheWritePerMillion ?? inputPerMillion * 1.25,
    contextWindow
  })
}

const dayMs = 86_400_000

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const loadLibrary = yield* Effect.cached(Effect.promise(() => import("./pricing/Library.ts")))
  const known = new Map<ModelRef, { readonly day: number; readonly price: ModelPrice | undefined }>()

  return Pricing.of({
    price: Effect.fn("Pricing.price")(function* (model) {
      const { config } = yield* settings.current
      const own = stated(config.prices, model)
      if (own !== undefined) return own
      const { provider } = splitModelRef(model)
      if (provider === "rehearsal") return rehearsal
      // A provider of the owner's own making has the owner's prices or none, whatever it is called.
      if (config.providers[provider]?.kind !== undefined) return yield* new UnknownPrice({ model })
      const now = yield* Clock.currentTimeMillis
      // Listed prices can change from one day to the next.
      const day = Math.floor(now / dayMs)
      const kept = known.get(model)
      if (kept?.day === day && kept.price !== undefined) return kept.price
      const { listed } = yield* loadLibrary
      const price = kept?.day === day ? kept.price : listed(model, now)
      known.set(model, { day, price })
      return price === undefined ? yield* new UnknownPrice({ model }) : price
    }),
    cost,
    worstCase
  })
})

export const layer: Layer.Layer<Pricing, never, Settings> = Layer.effect(Pricing, make)
