/**
 * What goes over the wire at /v1/responses. The gateway keeps no responses: a request carries its
 * whole conversation, and `previous_response_id` is refused. Fields that are not named here are taken
 * and ignored; fields that are named are checked.
 */
import { Schema } from "effect"
import { JsonObject, maybe, ModelName, OutputTokens, Temperature, ToolName, TopP } from "./openaiChat.ts"

const Id = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(256))

/** `input_text`, `output_text`, `refusal`; others (images, files) are refused by name. */
const Part = Schema.Struct({ type: Schema.String, text: maybe(Schema.String), refusal: maybe(Schema.String) })

const kinds = ["message", "function_call", "function_call_output"] as const
const known: ReadonlySet<string> = new Set(kinds)

/** A message, a call or a call's result. */
const KnownItem = Schema.Struct({
  /** Absent: a message. */
  type: Schema.optional(Schema.Literal(...kinds)),
  role: maybe(Schema.Literal("system", "developer", "user", "assistant")),
  content: maybe(Schema.Union(Schema.String, Schema.Array(Part))),
  call_id: maybe(Id),
  name: maybe(ToolName),
  arguments: maybe(Schema.String),
  output: maybe(Schema.Union(Schema.String, Schema.Array(Part)))
})
export type KnownItem = typeof KnownItem.Type

/** What a model thought, what became of tools that a provider runs, and what is yet to be invented. */
const OtherItem = Schema.Struct({ type: Schema.String.pipe(Schema.filter((type) => !known.has(type))) })

export const InputItem = Schema.Union(KnownItem, OtherItem)
export type InputItem = typeof InputItem.Type

/** Those of other types than `function` (a provider's own, groups of tools) are not offered to the model. */
const Tool = Schema.Struct({
  type: Schema.String,
  name: maybe(ToolName),
  description: maybe(Schema.String),
  parameters: maybe(JsonObject)
})

export const ResponsesRequest = Schema.Struct({
  model: ModelName,
  input: Schema.Union(Schema.String, Schema.NonEmptyArray(InputItem)),
  instructions: maybe(Schema.String),
  tools: maybe(Schema.Array(Tool)),
  tool_choice: maybe(
    Schema.Union(
      Schema.Literal("auto", "none", "required"),
      Schema.Struct({ type: Schema.Literal("function"), name: ToolName })
    )
  ),
  parallel_tool_calls: maybe(Schema.Boolean),
  stream: maybe(Schema.Boolean),
  max_output_tokens: maybe(OutputTokens),
  temperature: maybe(Temperature),
  top_p: maybe(TopP),
  text: maybe(
    Schema.Struct({
      format: maybe(
        Schema.Struct({
          type: Schema.Literal("text", "json_object", "json_schema"),
          name: maybe(Schema.String),
          schema: maybe(JsonObject)
        })
      )
    })
  ),
  previous_response_id: maybe(Schema.String),
  conversation: Schema.optional(Schema.Unknown),
  background: maybe(Schema.Boolean)
}).annotations({ identifier: "OpenAiResponsesRequest" })
export type ResponsesRequest = typeof ResponsesRequest.Type

const Count = Schema.Int.pipe(Schema.nonNegative())

export const ResponsesUsage = Schema.Struct({
  input_tokens: Count,
  input_tokens_details: Schema.Struct({ cached_tokens: Count }),
  output_tokens: Count,
  output_tokens_details: Schema.Struct({ reasoning_tokens: Count }),
  total_tokens: Count
})

const Status = Schema.Literal("in_progress", "completed", "incomplete")

export const OutputMessage = Schema.Struct({
  type: Schema.Literal("message"),
  id: Schema.String,
  status: Status,
  role: Schema.Literal("assistant"),
  content: Schema.Array(
    Schema.Struct({
      type: Schema.Literal("output_text"),
      text: Schema.String,
      annotations: Schema.Array(Schema.Unknown),
      logprobs: Schema.Array(Schema.Unknown)
    })
  )
})
export type OutputMessage = typeof OutputMessage.Type
export const OutputCall = Schema.Struct({
  type: Schema.Literal("function_call"),
  id: Schema.String,
  call_id: Schema.String,
  name: Schema.String,
  arguments: Schema.String,
  status: Status
})
export type OutputCall = typeof OutputCall.Type

/** The fields that tell something; those that only repeat the request's settings come with them. */
export const ResponseObject = Schema.Struct({
  id: Schema.String,
  object: Schema.Literal("response"),
  created_at: Schema.Int,
  status: Schema.Literal("completed", "in_progress", "incomplete", "failed"),
  completed_at: Schema.NullOr(Schema.Int),
  error: Schema.NullOr(Schema.Struct({ code: Schema.String, message: Schema.String })),
  incomplete_details: Schema.NullOr(Schema.Struct({ reason: Schema.Literal("max_output_tokens", "content_filter") })),
  model: Schema.String,
  output: Schema.Array(Schema.Union(OutputMessage, OutputCall)),
  usage: Schema.NullOr(ResponsesUsage)
}).annotations({ identifier: "OpenAiResponse" })
export type ResponseObject = typeof ResponseObject.Type
