/**
 * The endpoints that Anthropic's clients speak, with the same meaning as OpenAI's (see openai.ts).
 * Their /v1/models is the same path, told apart by the `anthropic-version` header.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Calls } from "./access.ts"
import { CountRequest, MessageObject, MessagesRequest, TokenCount } from "./anthropicMessages.ts"
import { about, base } from "./failures.ts"
import * as Errors from "./vendorErrors.ts"

export const AnthropicGroup = HttpApiGroup.make("anthropic")
  .annotateContext(about("For Anthropic's clients", "Anthropic-compatible endpoints in front of agents and models."))
  .add(
    HttpApiEndpoint.post("messages", "/v1/messages")
      .middleware(Calls)
      .annotateContext(
        about("Message", "With stream: true the answer is a stream of Server-Sent Events, as Anthropic documents them.")
      )
      .setPayload(MessagesRequest)
      .addSuccess(MessageObject)
      .addError(Errors.AnthropicInvalidRequest)
      .addError(Errors.AnthropicPermission)
      .addError(Errors.AnthropicModelNotFound)
      .addError(Errors.AnthropicRateLimit)
      .addError(Errors.AnthropicServerError)
      .addError(Errors.AnthropicUnavailable)
      .addError(Errors.AnthropicOverloaded)
  )
  .add(
    HttpApiEndpoint.post("countTokens", "/v1/messages/count_tokens")
      .middleware(Calls)
      .annotateContext(about("Count tokens", "An estimate by this gateway: no provider is asked and nothing is spent."))
      .setPayload(CountRequest)
      .addSuccess(TokenCount)
      .addError(Errors.AnthropicInvalidRequest)
      .addError(Errors.AnthropicPermission)
      .addError(Errors.AnthropicModelNotFound)
  )
  // Whatever refuses or fails before an endpoint answers, it is told in Anthropic's form here.
  .addError(Errors.AnthropicAuthentication)
  .addError(Errors.AnthropicRequestTooLarge)

export const AnthropicApi = base.add(AnthropicGroup)
