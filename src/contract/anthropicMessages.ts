/**
 * What goes over the wire at /v1/messages and /v1/messages/count_tokens. Fields that are not named
 * here are taken and ignored (`metadata`, `thinking`, `top_k`, `context_management`, `defer_loading`:
 * all tools are offered at once; `cache_control`: the gateway marks prompts for the provider's cache
 * by itself, …); fields that are named are checked.
 */
import { Schema } from "effect"
import { JsonObject, maybe, ModelName, OutputTokens, TopP } from "./openaiChat.ts"

const Id = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(256))
const ToolName = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(128))

/** `text`; in a tool's result also `tool_reference`: a tool, by name, that a search for tools found. */
const Inner = Schema.Struct({ type: Schema.String, text: maybe(Schema.String), tool_name: maybe(ToolName) })

/** `text`, `tool_use`, `tool_result`; what a model thought is dropped. Others (images, documents) are refused by name. */
export const Block = Schema.Struct({
  type: Schema.String,
  text: maybe(Schema.String),
  id: maybe(Id),
  name: maybe(ToolName),
  input: Schema.optional(Schema.Unknown),
  tool_use_id: maybe(Id),
  content: maybe(Schema.Union(Schema.String, Schema.Array(Inner))),
  is_error: maybe(Schema.Boolean)
})
export type Block = typeof Block.Type

export const InputMessage = Schema.Struct({
  role: Schema.Literal("user", "assistant", "system"),
  content: Schema.Union(Schema.String, Schema.Array(Block))
})
export type InputMessage = typeof InputMessage.Type

const Tool = Schema.Struct({
  type: maybe(Schema.String),
  name: ToolName,
  description: maybe(Schema.String),
  input_schema: maybe(JsonObject)
})

const Prompt = {
  model: ModelName,
  messages: Schema.NonEmptyArray(InputMessage),
  system: maybe(Schema.Union(Schema.String, Schema.Array(Inner))),
  tools: maybe(Schema.Array(Tool)),
  tool_choice: maybe(
    Schema.Struct({
      type: Schema.Literal("auto", "any", "tool", "none"),
      name: maybe(ToolName),
      disable_parallel_tool_use: maybe(Schema.Boolean)
    })
  )
}

export const CountRequest = Schema.Struct(Prompt).annotations({ identifier: "AnthropicCountRequest" })
export type CountRequest = typeof CountRequest.Type

export const MessagesRequest = Schema.Struct({
  ...Prompt,
  max_tokens: OutputTokens,
  /** Refused: the gateway holds no conversations. Anthropic's client then sends the whole one each time. */
  thread: Schema.optional(Schema.Unknown),
  stream: maybe(Schema.Boolean),
  temperature: maybe(Schema.Number.pipe(Schema.between(0, 1))),
  top_p: maybe(TopP),
  stop_sequences: maybe(Schema.Array(Schema.String).pipe(Schema.maxItems(64))),
  output_config: maybe(
    Schema.Struct({
      format: maybe(Schema.Struct({ type: Schema.Literal("json_schema"), schema: JsonObject }))
    })
  )
}).annotations({ identifier: "AnthropicMessagesRequest" })
export type MessagesRequest = typeof MessagesRequest.Type

const Count = Schema.Int.pipe(Schema.nonNegative())

/** An answer from the gateway's cache used no tokens. */
export const MessageUsage = Schema.Struct({
  input_tokens: Count,
  output_tokens: Count,
  cache_creation_input_tokens: Count,
  cache_read_input_tokens: Count
})
export type MessageUsage = typeof MessageUsage.Type

/** A stop sequence that was met is told as `end_turn`: not every provider says which one it was. */
export const StopReason = Schema.Literal("end_turn", "max_tokens", "tool_use", "refusal")
export type StopReason = typeof StopReason.Type

export const MessageObject = Schema.Struct({
  id: Schema.String,
  type: Schema.Literal("message"),
  role: Schema.Literal("assistant"),
  model: Schema.String,
  content: Schema.Array(
    Schema.Union(
      Schema.Struct({ type: Schema.Literal("text"), text: Schema.String, citations: Schema.Null }),
      Schema.Struct({
        type: Schema.Literal("tool_use"),
        id: Schema.String,
        name: Schema.String,
        input: Schema.Unknown
      })
    )
  ),
  stop_reason: Schema.NullOr(StopReason),
  stop_sequence: Schema.Null,
  usage: MessageUsage
}).annotations({ identifier: "AnthropicMessage" })
export type MessageObject = typeof MessageObject.Type

/** An estimate: nobody is asked and nothing is spent. */
export const TokenCount = Schema.Struct({ input_tokens: Count }).annotations({ identifier: "AnthropicTokenCount" })
