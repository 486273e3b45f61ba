/**
 * What goes over the wire at /v1/chat/completions. Fields that are not named here are taken and
 * ignored (`logprobs`, `seed`, `user`, `metadata`, penalties, …); fields that are named are checked.
 */
import { Schema } from "effect"

/** Clients use "missing" and "null" for the same thing. */
export const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(Schema.NullOr(schema))

const Id = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(256))
export const ToolName = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(128))
export const JsonObject = Schema.Record({ key: Schema.String, value: Schema.Unknown })
/** Far above what any model writes in one answer. */
export const OutputTokens = Schema.Int.pipe(Schema.between(1, 1_000_000))
export const ModelName = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(256)).annotations({
  description: "An agent's id (or agent/<id>), or a raw provider/model."
})
export const Temperature = Schema.Number.pipe(Schema.between(0, 2))
export const TopP = Schema.Number.pipe(Schema.between(0, 1))

/** Parts other than text (images, sound, files) are refused by name. */
const Part = Schema.Struct({ type: Schema.String, text: maybe(Schema.String), refusal: maybe(Schema.String) })

const Call = Schema.Struct({
  id: Id,
  type: Schema.optional(Schema.String),
  function: Schema.Struct({ name: ToolName, arguments: Schema.String })
})

export const ChatMessage = Schema.Struct({
  role: Schema.Literal("system", "developer", "user", "assistant", "tool"),
  content: maybe(Schema.Union(Schema.String, Schema.Array(Part))),
  refusal: maybe(Schema.String),
  tool_calls: maybe(Schema.Array(Call)),
  /** Of a tool's result: the call that it answers. */
  tool_call_id: maybe(Id)
})
export type ChatMessage = typeof ChatMessage.Type

const Tool = Schema.Struct({
  type: Schema.String,
  function: Schema.optional(
    Schema.Struct({ name: ToolName, description: maybe(Schema.String), parameters: maybe(JsonObject) })
  )
})

export const ChatRequest = Schema.Struct({
  model: ModelName,
  messages: Schema.NonEmptyArray(ChatMessage),
  tools: maybe(Schema.Array(Tool)),
  tool_choice: maybe(
    Schema.Union(
      Schema.Literal("auto", "none", "required"),
      Schema.Struct({ type: Schema.Literal("function"), function: Schema.Struct({ name: ToolName }) })
    )
  ),
  parallel_tool_calls: maybe(Schema.Boolean),
  stream: maybe(Schema.Boolean),
  stream_options: maybe(Schema.Struct({ include_usage: maybe(Schema.Boolean) })),
  max_tokens: maybe(OutputTokens),
  max_completion_tokens: maybe(OutputTokens),
  temperature: maybe(Temperature),
  top_p: maybe(TopP),
  stop: maybe(Schema.Union(Schema.String, Schema.Array(Schema.String).pipe(Schema.maxItems(16)))),
  /** One answer per request. */
  n: maybe(Schema.Literal(1)),
  response_format: maybe(
    Schema.Struct({
      type: Schema.Literal("text", "json_object", "json_schema"),
      json_schema: maybe(Schema.Struct({ name: Schema.String, schema: maybe(JsonObject) }))
    })
  )
}).annotations({ identifier: "OpenAiChatRequest" })
export type ChatRequest = typeof ChatRequest.Type

const Count = Schema.Int.pipe(Schema.nonNegative())

/** Tokens of the whole request; an answer from the gateway's cache used none. */
export const ChatUsage = Schema.Struct({
  prompt_tokens: Count,
  completion_tokens: Count,
  total_tokens: Count,
  prompt_tokens_details: Schema.Struct({ cached_tokens: Count, cache_write_tokens: Count })
})
export type ChatUsage = typeof ChatUsage.Type

export const ChatFinish = Schema.Literal("stop", "length", "tool_calls", "content_filter")
export type ChatFinish = typeof ChatFinish.Type

const CallOut = Schema.Struct({
  id: Schema.String,
  type: Schema.Literal("function"),
  function: Schema.Struct({ name: Schema.String, arguments: Schema.String })
})

export const ChatCompletion = Schema.Struct({
  id: Schema.String,
  object: Schema.Literal("chat.completion"),
  /** Epoch seconds. */
  created: Schema.Int,
  /** As it was asked for. */
  model: Schema.String,
  choices: Schema.Tuple(
    Schema.Struct({
      index: Schema.Literal(0),
      message: Schema.Struct({
        role: Schema.Literal("assistant"),
        content: Schema.NullOr(Schema.String),
        refusal: Schema.NullOr(Schema.String),
        tool_calls: Schema.optional(Schema.Array(CallOut))
      }),
      logprobs: Schema.Null,
      finish_reason: ChatFinish
    })
  ),
  usage: ChatUsage
}).annotations({ identifier: "OpenAiChatCompletion" })
export type ChatCompletion = typeof ChatCompletion.Type

/** One `data:` line of a stream; the last one is `[DONE]`. */
export const ChatChunk = Schema.Struct({
  id: Schema.String,
  object: Schema.Literal("chat.completion.chunk"),
  created: Schema.Int,
  model: Schema.String,
  choices: Schema.Array(
    Schema.Struct({
      index: Schema.Literal(0),
      delta: Schema.Struct({
        role: Schema.optional(Schema.Literal("assistant")),
        content: Schema.optional(Schema.String),
        tool_calls: Schema.optional(Schema.Array(Schema.Struct({ ...CallOut.fields, index: Count })))
      }),
      logprobs: Schema.Null,
      finish_reason: Schema.NullOr(ChatFinish)
    })
  ),
  usage: maybe(ChatUsage)
})
export type ChatChunk = typeof ChatChunk.Type
