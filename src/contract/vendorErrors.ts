/**
 * How the compatible endpoints fail: in the words and envelopes that the vendors' own clients know,
 * one schema per status, so that each is documented where it can happen.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"

const openAi = (name: string, status: number, ...types: readonly [string, ...ReadonlyArray<string>]) =>
  Schema.Struct({
    error: Schema.Struct({
      message: Schema.String,
      type: Schema.Literal(...types),
      /** The field that is wrong, if one is. */
      param: Schema.NullOr(Schema.String),
      code: Schema.NullOr(Schema.String)
    })
  }).annotations({ identifier: name, ...HttpApiSchema.annotations({ status }) })

/** `threat_blocked`: the scanner did not let the message pass. `context_length_exceeded`, `content_filter`: as the vendor says it. */
export const OpenAiInvalidRequest = openAi("OpenAiInvalidRequest", 400, "invalid_request_error")
export const OpenAiAuthentication = openAi("OpenAiAuthentication", 401, "authentication_error")
export const OpenAiPermission = openAi("OpenAiPermission", 403, "permission_error")
export const OpenAiModelNotFound = openAi("OpenAiModelNotFound", 404, "invalid_request_error")
export const OpenAiRequestTooLarge = openAi("OpenAiRequestTooLarge", 413, "invalid_request_error")
/** `insufficient_quota`: a budget is used up, and asking again does not help. */
export const OpenAiRateLimit = openAi("OpenAiRateLimit", 429, "insufficient_quota", "rate_limit_error")
export const OpenAiServerError = openAi("OpenAiServerError", 500, "server_error")
export const OpenAiUnavailable = openAi("OpenAiUnavailable", 503, "server_error")

const anthropic = (name: string, status: number, type: string) =>
  Schema.Struct({
    type: Schema.Literal("error"),
    error: Schema.Struct({
      type: Schema.Literal(type),
      message: Schema.String,
      /** What a client can act upon: for `thread_unsupported_request`, what is not supported. */
      details: Schema.optional(
        Schema.Struct({ error_code: Schema.String, unsupported: Schema.optional(Schema.Array(Schema.String)) })
      )
    }),
    request_id: Schema.NullOr(Schema.String)
  }).annotations({ identifier: name, ...HttpApiSchema.annotations({ status }) })

export const AnthropicInvalidRequest = anthropic("AnthropicInvalidRequest", 400, "invalid_request_error")
export const AnthropicAuthentication = anthropic("AnthropicAuthentication", 401, "authentication_error")
export const AnthropicPermission = anthropic("AnthropicPermission", 403, "permission_error")
export const AnthropicModelNotFound = anthropic("AnthropicModelNotFound", 404, "not_found_error")
export const AnthropicRequestTooLarge = anthropic("AnthropicRequestTooLarge", 413, "request_too_large")
/** Also when a budget is used up; asking again does not help then, and `x-should-retry` says so. */
export const AnthropicRateLimit = anthropic("AnthropicRateLimit", 429, "rate_limit_error")
export const AnthropicServerError = anthropic("AnthropicServerError", 500, "api_error")
export const AnthropicUnavailable = anthropic("AnthropicUnavailable", 503, "api_error")
export const AnthropicOverloaded = anthropic("AnthropicOverloaded", 529, "overloaded_error")
