/**
 * Pricing: what a model costs and the most that a request to it can cost. Prices come from the
 * settings first, then from the price library's bundled data (never from the network). An unknown
 * price is refused: a model that nobody can price is not free.
 */
import { Context, type Effect } from "effect"
import type { ModelPrice, ModelRef, ModelRequest, UnknownPrice, Usage } from "../domain/Model.ts"
import type { NanoUsd } from "../domain/Money.ts"

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
    /** An upper bound: no tokenizer makes more tokens than there are UTF-8 bytes, plus framing, plus the whole output allowance. */
    readonly worstCase: (price: ModelPrice, request: ModelRequest) => WorstCase
  }
>() {}
