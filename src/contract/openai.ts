/**
 * The endpoints that OpenAI's clients speak. `model` is an agent or a raw provider/model, and the
 * whole guarded path applies to both. An agent that is asked without tools runs as it does anywhere,
 * with its own; whoever brings tools runs them, and gets the calls.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { Calls } from "./access.ts"
import { about, base } from "./failures.ts"
import { ChatCompletion, ChatRequest } from "./openaiChat.ts"
import { ResponseObject, ResponsesRequest } from "./openaiResponses.ts"
import * as Errors from "./vendorErrors.ts"

const OpenAiModel = Schema.Struct({
  id: Schema.String,
  object: Schema.Literal("model"),
  created: Schema.Int,
  owned_by: Schema.String
}).annotations({ identifier: "OpenAiModel" })

const AnthropicModel = Schema.Struct({
  type: Schema.Literal("model"),
  id: Schema.String,
  display_name: Schema.String,
  created_at: Schema.String
}).annotations({ identifier: "AnthropicModel" })

/** In Anthropic's form for clients that send `anthropic-version`. */
export const ModelObject = Schema.Union(OpenAiModel, AnthropicModel)
export const ModelList = Schema.Union(
  Schema.Struct({ object: Schema.Literal("list"), data: Schema.Array(OpenAiModel) }),
  Schema.Struct({
    data: Schema.Array(AnthropicModel),
    has_more: Schema.Boolean,
    first_id: Schema.NullOr(Schema.String),
    last_id: Schema.NullOr(Schema.String)
  })
)

/** With `stream`: a stream of Server-Sent Events instead, as the vendor documents them. */
const streamed = "With stream: true the answer is a stream of Server-Sent Events, as OpenAI documents them."

export const OpenAiGroup = HttpApiGroup.make("openai")
  .annotateContext(about("For OpenAI's clients", "OpenAI-compatible endpoints in front of agents and models."))
  .add(
    HttpApiEndpoint.get("models", "/v1/models")
      .middleware(Calls)
      .annotateContext(about("Models that may be used", "Agents first, then raw models that the settings name."))
      .addSuccess(ModelList)
  )
  .add(
    HttpApiEndpoint.get("model", "/v1/models/:model")
      .middleware(Calls)
      .annotateContext(about("One model", "An agent, or a raw model with a price. A slash in the id is sent as %2F."))
      .setPath(Schema.Struct({ model: Schema.String }))
      .addSuccess(ModelObject)
      .addError(Errors.OpenAiInvalidRequest)
      .addError(Errors.OpenAiPermission)
      .addError(Errors.OpenAiModelNotFound)
  )
  .add(
    HttpApiEndpoint.post("chat", "/v1/chat/completions")
      .middleware(Calls)
      .annotateContext(about("Chat completion", streamed))
      .setPayload(ChatRequest)
      .addSuccess(ChatCompletion)
      .addError(Errors.OpenAiInvalidRequest)
      .addError(Errors.OpenAiPermission)
      .addError(Errors.OpenAiModelNotFound)
      .addError(Errors.OpenAiRateLimit)
      .addError(Errors.OpenAiServerError)
      .addError(Errors.OpenAiUnavailable)
  )
  .add(
    HttpApiEndpoint.post("responses", "/v1/responses")
      .middleware(Calls)
      .annotateContext(about("Response", streamed))
      .setPayload(ResponsesRequest)
      .addSuccess(ResponseObject)
      .addError(Errors.OpenAiInvalidRequest)
      .addError(Errors.OpenAiPermission)
      .addError(Errors.OpenAiModelNotFound)
      .addError(Errors.OpenAiRateLimit)
      .addError(Errors.OpenAiServerError)
      .addError(Errors.OpenAiUnavailable)
  )
  // Whatever refuses or fails before an endpoint answers, it is told in OpenAI's form here.
  .addError(Errors.OpenAiAuthentication)
  .addError(Errors.OpenAiRequestTooLarge)

export const OpenAiApi = base.add(OpenAiGroup)
