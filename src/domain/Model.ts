/**
 * What is asked of a model and what comes back: references, requests, usage, stream events, and
 * the error taxonomy on which the router decides between retry, failover and stop.
 */
import { Schema } from "effect"
import { ToolCallId } from "./Ids.ts"
import { AssistantMessage, Message } from "./Message.ts"
import { NanoUsd } from "./Money.ts"

export const ProviderName = Schema.String.pipe(
  Schema.pattern(/^[a-z0-9][a-z0-9-]{0,31}$/, {
    message: () => "a provider name such as anthropic, google, openrouter, rehearsal or one named under providers"
  })
)
export type ProviderName = typeof ProviderName.Type

/** `provider/model`, for example `anthropic/claude-sonnet-4-6` or `openrouter/openai/gpt-4o`. */
export const ModelRef = Schema.String.pipe(
  Schema.pattern(/^[a-z0-9][a-z0-9-]{0,31}\/[A-Za-z0-9][A-Za-z0-9._:@/-]{0,190}$/, {
    message: () => "a model as provider/model, for example anthropic/claude-sonnet-4-6"
  }),
  Schema.brand("ModelRef")
)
export type ModelRef = typeof ModelRef.Type

export const splitModelRef = (ref: ModelRef): { readonly provider: ProviderName; readonly model: string } => {
  const slash = ref.indexOf("/")
  return { provider: ref.slice(0, slash), model: ref.slice(slash + 1) }
}

/** The tool as offered to a model: name, description and a JSON Schema (draft 2020-12) of its arguments. */
export class ToolSpec extends Schema.Class<ToolSpec>("ToolSpec")({
  name: Schema.String,
  description: Schema.String,
  parameters: Schema.Record({ key: Schema.String, value: Schema.Unknown })
}) {}

/** Which tools a model may or must call: as it likes, none, at least one, or this one. */
export const ToolChoice = Schema.Union(
  Schema.Literal("auto", "none", "required"),
  Schema.Struct({ name: Schema.String })
)
export type ToolChoice = typeof ToolChoice.Type

/** A request before it is addressed to a model. `maxOutputTokens` bounds the worst case that is reserved. */
export class ModelRequest extends Schema.Class<ModelRequest>("ModelRequest")({
  system: Schema.String,
  messages: Schema.NonEmptyArray(Message),
  tools: Schema.Array(ToolSpec),
  maxOutputTokens: Schema.Int.pipe(Schema.positive()),
  temperature: Schema.optional(Schema.Number.pipe(Schema.between(0, 2))),
  topP: Schema.optional(Schema.Number.pipe(Schema.between(0, 1))),
  /** Texts before which the answer ends. */
  stop: Schema.optional(Schema.Array(Schema.String)),
  toolChoice: Schema.optional(ToolChoice),
  /** False: at most one call per answer, where the provider can be told so. */
  parallelCalls: Schema.optional(Schema.Boolean),
  /** The answer is to be JSON: any object, or one of this schema. */
  format: Schema.optional(
    Schema.Struct({
      name: Schema.String,
      schema: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
    })
  )
}) {}

const Tokens = Schema.Int.pipe(Schema.nonNegative(), Schema.lessThanOrEqualTo(1e9))

/** Tokens as billed. `inputTokens` excludes both cache counts; the three add up to the whole prompt. */
export class Usage extends Schema.Class<Usage>("Usage")({
  inputTokens: Tokens,
  outputTokens: Tokens,
  cacheReadTokens: Tokens,
  cacheWriteTokens: Tokens
}) {
  get totalTokens(): number {
    return this.inputTokens + this.outputTokens + this.cacheReadTokens + this.cacheWriteTokens
  }
}

export const noUsage = new Usage({ inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 })

export const FinishReason = Schema.Literal("stop", "tool_calls", "max_tokens", "refused")
export type FinishReason = typeof FinishReason.Type

/** Streamed while a model answers; exactly one `Completed` ends a stream that did not fail. */
export class TextDelta extends Schema.TaggedClass<TextDelta>()("TextDelta", { text: Schema.String }) {}
export class ToolCallStarted extends Schema.TaggedClass<ToolCallStarted>()("ToolCallStarted", {
  id: ToolCallId,
  name: Schema.String
}) {}
/** `usage` is absent when the provider reported none or nonsense: the whole reservation is then charged. */
export class Completed extends Schema.TaggedClass<Completed>()("Completed", {
  message: AssistantMessage,
  finish: FinishReason,
  usage: Schema.optional(Usage)
}) {}

export type ModelEvent = TextDelta | ToolCallStarted | Completed

const Rates = {
  inputPerMillion: Schema.Number.pipe(Schema.nonNegative()),
  outputPerMillion: Schema.Number.pipe(Schema.nonNegative()),
  cacheReadPerMillion: Schema.Number.pipe(Schema.nonNegative()),
  cacheWritePerMillion: Schema.Number.pipe(Schema.nonNegative())
}

/** USD per million tokens, and the sizes that bound a worst case. */
export class ModelPrice extends Schema.Class<ModelPrice>("ModelPrice")({
  ...Rates,
  contextWindow: Schema.Int.pipe(Schema.positive()),
  /** True when nobody stated the window and it was assumed; it then bounds no worst case. */
  windowAssumed: Schema.optional(Schema.Boolean),
  /** Rates of the whole request once its prompt has more than `above` tokens; ascending. */
  tiers: Schema.optional(Schema.Array(Schema.Struct({ above: Schema.Int.pipe(Schema.nonNegative()), ...Rates })))
}) {}

export class Answer extends Schema.Class<Answer>("Answer")({
  model: ModelRef,
  message: AssistantMessage,
  finish: FinishReason,
  usage: Usage,
  cost: NanoUsd
}) {}

/** What went wrong at a provider, in the router's terms. */
export const ModelFailure = Schema.Literal(
  "auth",
  "rate_limit",
  "overloaded",
  "timeout",
  "context_too_long",
  "content_refused",
  "bad_request",
  "network"
)
export type ModelFailure = typeof ModelFailure.Type

/**
 * One failed attempt. `detail` is our own words plus status and the provider's error type, never
 * its raw body (which can echo prompts or keys).
 */
export class ModelError extends Schema.TaggedError<ModelError>()("ModelError", {
  model: ModelRef,
  failure: ModelFailure,
  detail: Schema.String,
  status: Schema.optional(Schema.Int),
  retryAfterMs: Schema.optional(Schema.Finite),
  /** True when the provider had begun to answer: output tokens may be billed and text may have been shown. */
  partial: Schema.Boolean,
  /** True when the request provably never reached the provider (no address, connection refused), so that nothing can be billed. */
  unsent: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    const status = this.status === undefined ? "" : ` (HTTP ${this.status})`
    return `${this.model} failed: ${this.failure}${status}: ${this.detail}`
  }
}

/** Every model of the chain failed, or one failed in a way that failing over cannot mend. */
export class ModelUnavailable extends Schema.TaggedError<ModelUnavailable>()("ModelUnavailable", {
  attempts: Schema.NonEmptyArray(ModelError)
}) {
  override get message(): string {
    const [first, ...rest] = this.attempts
    return rest.length === 0
      ? first.message
      : `no model answered after ${this.attempts.length} attempts: ${this.attempts.map((a) => `${a.model} ${a.failure}`).join(", ")}; last: ${this.attempts.at(-1)!.message}`
  }
  get fix(): string {
    const last = this.attempts.at(-1)!
    switch (last.failure) {
      case "auth":
        return `set a valid key with: ai-desk credential set ${splitModelRef(last.model).provider}`
      case "context_too_long":
        return "start a new session, or shorten the message"
      case "bad_request":
      case "content_refused":
        return "change the message; another model would be sent the same request"
      case "rate_limit":
      case "overloaded":
      case "timeout":
      case "network":
        return "try again later, or add a failover model to the agent"
    }
  }
}

/** A model whose price nobody knows is refused, never treated as free. */
export class UnknownPrice extends Schema.TaggedError<UnknownPrice>()("UnknownPrice", { model: ModelRef }) {
  override get message(): string {
    return `no price is known for ${this.model}, so it cannot be used under a budget`
  }
  get fix(): string {
    return `state its price in ai-desk.json under "prices": {"${this.model}": {"inputPerMillion": …, "outputPerMillion": …, "contextWindow": …}}, or choose a priced model`
  }
}
