/**
 * Anthropic: the Messages API through Anthropic's SDK.
 *
 * Guarantees: nothing is taken from the SDK's own environment, profiles or log settings; one request
 * per attempt; the stable front of a request (tools, system prompt) and the conversation so far are
 * marked for the provider's prompt cache.
 */
import type {
  ContentBlockParam,
  MessageCreateParamsStreaming,
  MessageParam
} from "@anthropic-ai/sdk/resources/messages"
import { Effect, Predicate, Redacted, Schema, type Stream } from "effect"
import type { Message } from "../../domain/Message.ts"
import {
  type FinishReason,
  type ModelError,
  type ModelEvent,
  type ModelRef,
  type ModelRequest,
  splitModelRef
} from "../../domain/Model.ts"
import { type Assembler, makeAssembler } from "./Assembler.ts"
import { asObject, idsFor, refuseImages, textsOf, visible } from "./Conversation.ts"
import { badAnswer, type ProviderFault } from "./ModelErrors.ts"
import { decoder, type Reading, runAttempt } from "./Sdk.ts"
import { maybe } from "./Wire.ts"

export const anthropicAddress = "https://api.anthropic.com"

export interface AnthropicOptions {
  readonly baseUrl: string
  readonly key: Redacted.Redacted<string>
  /** `oauth`: the key is a log-in token of Claude Code, not an API key. */
  readonly auth: "key" | "oauth"
  readonly headers: Readonly<Record<string, string>>
}

const cached = { cache_control: { type: "ephemeral" as const } }

type Blocks = Array<ContentBlockParam>

const turnsOf = (messages: ReadonlyArray<Message>): Array<MessageParam> => {
  const id = idsFor(messages, (given) => /^[a-zA-Z0-9_-]{1,128}$/.test(given))
  const turns: Array<{ role: "user" | "assistant"; content: Blocks }> = []
  const add = (role: "user" | "assistant", blocks: Blocks) => {
    const last = turns.at(-1)
    // Two messages of one role in a row are one turn here.
    if (last?.role === role) last.content.push(...blocks)
    else turns.push({ role, content: blocks })
  }
  for (const message of messages) {
    switch (message._tag) {
      case "User":
        add(
          "user",
          textsOf(message.content).map((text) => ({ type: "text", text }))
        )
        break
      case "Assistant": {
        const blocks = message.content.flatMap(
          (part): Blocks =>
            part._tag === "ToolCall"
              ? [{ type: "tool_use", id: id(part.id), name: part.name, input: asObject(part.arguments) }]
              : visible(part.text)
                ? [{ type: "text", text: part.text }]
                : []
        )
        add("assistant", blocks.length > 0 ? blocks : [{ type: "text", text: "(empty message)" }])
        break
      }
      case "Tool":
        add(
          "user",
          message.results.map((r) => ({
            type: "tool_result",
            tool_use_id: id(r.id),
            is_error: r.isError,
            ...(visible(r.content) ? { content: r.content } : {})
          }))
        )
        break
    }
  }
  const last = turns.at(-1)
  const block = last?.content.at(-1)
  if (last?.role === "user" && (block?.type === "text" || block?.type === "tool_result")) Object.assign(block, cached)
  return turns
}

const toolChoiceOf = ({
  parallelCalls,
  toolChoice
}: ModelRequest): Pick<MessageCreateParamsStreaming, "tool_choice"> => {
  const single = parallelCalls === false ? { disable_parallel_tool_use: true } : {}
  if (toolChoice === undefined || toolChoice === "auto") {
    return parallelCalls === false ? { tool_choice: { type: "auto", ...single } } : {}
  }
  if (toolChoice === "none") return { tool_choice: { type: "none" } }
  if (toolChoice === "required") return { tool_choice: { type: "any", ...single } }
  return { tool_choice: { type: "tool", name: toolChoice.name, ...single } }
}

const bodyOf = (model: string, request: ModelRequest): MessageCreateParamsStreaming => ({
  model,
  max_tokens: request.maxOutputTokens,
  stream: true,
  messages: turnsOf(request.messages),
  ...(visible(request.system) ? { system: [{ type: "text", text: request.system, ...cached }] } : {}),
  ...(request.temperature === undefined ? {} : { temperature: Math.min(1, request.temperature) }),
  ...(request.topP === undefined ? {} : { top_p: request.topP }),
  ...(request.stop === undefined ? {} : { stop_sequences: [...request.stop] }),
  // This API knows no JSON without a schema; what was asked for in words is then all there is.
  ...(request.format?.schema === undefined
    ? {}
    : { output_config: { format: { type: "json_schema" as const, schema: { ...request.format.schema } } } }),
  ...(request.tools.length === 0
    ? {}
    : {
        ...toolChoiceOf(request),
        tools: request.tools.map((tool, i) => ({
          name: tool.name,
          description: tool.description,
          input_schema: { ...tool.parameters, type: "object" as const },
          ...(i === request.tools.length - 1 ? cached : {})
        }))
      })
})

/** Counts stay unknown here: nonsense among them must not fail the answer, it only makes the bill unknown. */
const Counts = Schema.Struct({
  input_tokens: Schema.optional(Schema.Unknown),
  output_tokens: Schema.optional(Schema.Unknown),
  cache_read_input_tokens: Schema.optional(Schema.Unknown),
  cache_creation_input_tokens: Schema.optional(Schema.Unknown)
})

const anyEvent = decoder("an event", Schema.Struct({ type: Schema.String }))
const messageStart = decoder("message_start", Schema.Struct({ message: Schema.Struct({ usage: maybe(Counts) }) }))
const blockStart = decoder(
  "content_block_start",
  Schema.Struct({
    index: Schema.Int,
    content_block: Schema.Struct({
      type: Schema.String,
      text: maybe(Schema.String),
      id: maybe(Schema.String),
      name: maybe(Schema.String)
    })
  })
)
const blockDelta = decoder(
  "content_block_delta",
  Schema.Struct({
    index: Schema.Int,
    delta: Schema.Struct({ type: Schema.String, text: maybe(Schema.String), partial_json: maybe(Schema.String) })
  })
)
const blockStop = decoder("content_block_stop", Schema.Struct({ index: Schema.Int }))
const messageDelta = decoder(
  "message_delta",
  Schema.Struct({ delta: Schema.Struct({ stop_reason: maybe(Schema.String) }), usage: maybe(Counts) })
)

const finishOf = (reason: string): FinishReason | undefined => {
  switch (reason) {
    case "end_turn":
    case "stop_sequence":
    case "pause_turn":
      return "stop"
    case "tool_use":
      return "tool_calls"
    case "max_tokens":
    case "model_context_window_exceeded":
      return "max_tokens"
    case "refusal":
      return "refused"
    default:
      return undefined
  }
}

const reader = (assembler: Assembler): Reading => {
  let ended = false
  let counts: typeof Counts.Type = {}
  // Later events repeat or correct the counts of earlier ones; what is null there says nothing.
  const merge = (more: typeof Counts.Type | undefined) => {
    counts = {
      ...counts,
      ...Object.fromEntries(Object.entries(more ?? {}).filter(([, v]) => Predicate.isNotNullable(v)))
    }
  }
  const nothing: ReadonlyArray<ModelEvent> = []
  const take = (chunk: unknown): Effect.Effect<ReadonlyArray<ModelEvent>, ProviderFault> =>
    Effect.gen(function* () {
      const { type } = yield* anyEvent(chunk)
      switch (type) {
        case "message_start": {
          const event = yield* messageStart(chunk)
          // Its output count is a placeholder: only message_delta bills output.
          merge({ ...event.message.usage, output_tokens: null })
          return nothing
        }
        case "content_block_start": {
          const { index, content_block: block } = yield* blockStart(chunk)
          if (block.type === "tool_use") return yield* assembler.call(String(index), block.id, block.name ?? "")
          return block.type === "text" ? yield* assembler.text(block.text ?? "") : nothing
        }
        case "content_block_delta": {
          const { index, delta } = yield* blockDelta(chunk)
          if (delta.type === "text_delta") return yield* assembler.text(delta.text ?? "")
          return delta.type === "input_json_delta"
            ? yield* assembler.args(String(index), delta.partial_json ?? "")
            : nothing
        }
        case "content_block_stop":
          assembler.close(String((yield* blockStop(chunk)).index))
          return nothing
        case "message_delta": {
          const { delta, usage } = yield* messageDelta(chunk)
          merge(usage)
          if (delta.stop_reason === undefined) return nothing
          const finish = finishOf(delta.stop_reason)
          if (finish === undefined) return yield* badAnswer("it ended for a reason that is not known")
          assembler.finish(finish)
          return nothing
        }
        case "message_stop":
          ended = true
          assembler.counts({
            inputTokens: counts.input_tokens,
            outputTokens: counts.output_tokens,
            cacheReadTokens: counts.cache_read_input_tokens ?? 0,
            cacheWriteTokens: counts.cache_creation_input_tokens ?? 0
          })
          return nothing
        default:
          return nothing
      }
    })
  const lost = badAnswer("its end is missing")
  return { take, ended: () => ended, complete: Effect.suspend(() => (ended ? assembler.complete : Effect.fail(lost))) }
}

export const askAnthropic =
  (options: AnthropicOptions) =>
  (model: ModelRef, request: ModelRequest, leaseId: string): Stream.Stream<ModelEvent, ModelError> =>
    runAttempt({
      model,
      check: refuseImages(request),
      open: (exchange) =>
        import("@anthropic-ai/sdk").then(({ Anthropic }) => {
          const secret = Redacted.value(options.key)
          const client = new Anthropic({
            ...(options.auth === "key" ? { apiKey: secret, authToken: null } : { apiKey: null, authToken: secret }),
            baseURL: options.baseUrl,
            webhookKey: null,
            maxRetries: 0,
            logLevel: "off",
            openTelemetry: false,
            fetch: exchange.fetch,
            defaultHeaders: {
              ...options.headers,
              ...(options.auth === "oauth" ? { "anthropic-beta": "oauth-2025-04-20" } : {}),
              // Said again here because the SDK lets an environment variable override its own header.
              authorization: `Bearer ${secret}`
            }
          })
          return client.messages.create(bodyOf(splitModelRef(model).model, request))
        }),
      read: () => reader(makeAssembler({ leaseId, messages: request.messages, closesCalls: true }))
    })
