/**
 * Failure: how anything that goes wrong at a compatible endpoint is told, in the envelope, status
 * and words of the vendor whose client asks. Official clients raise their own typed errors from it,
 * and try again only where that can help.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Schema } from "effect"
import type { RunError } from "../../agent/AgentRuntime.ts"
import type { CompletionError } from "../../agent/Completions.ts"
import type { Refused } from "../../contract/access.ts"
import type { ModelUnavailable } from "../../domain/Model.ts"

export const Kind = Schema.Literal(
  "invalid_request",
  "authentication",
  "permission",
  "not_found",
  "too_large",
  "rate_limit",
  "quota",
  "overloaded",
  "unavailable",
  "internal"
)
export type Kind = typeof Kind.Type

/** What is told of a failure; also raised as such by what reads and serves these requests. */
export class CompatibleFailure extends Schema.TaggedError<CompatibleFailure>()("CompatibleFailure", {
  kind: Kind,
  text: Schema.String,
  code: Schema.optional(Schema.String),
  /** The field that is wrong. */
  param: Schema.optional(Schema.String),
  retryAfterMs: Schema.optional(Schema.Finite),
  /** What of a request this gateway does not do, where the client can do without it. */
  unsupported: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return this.text
  }
}

export const invalid = (param: string, text: string, code?: string): CompatibleFailure =>
  new CompatibleFailure({ kind: "invalid_request", param, text, ...(code === undefined ? {} : { code }) })

const withFix = ({ fix, message }: { readonly message: string; readonly fix?: string | undefined }): string =>
  fix === undefined ? message : `${message}; ${fix}`

const ofModels = (error: ModelUnavailable): CompatibleFailure => {
  const last = error.attempts.at(-1) ?? error.attempts[0]
  const text = error.message
  const retry = last.retryAfterMs === undefined ? {} : { retryAfterMs: last.retryAfterMs }
  switch (last.failure) {
    case "context_too_long":
      // Clients look for these words before they compact.
      return new CompatibleFailure({
        kind: "invalid_request",
        code: "context_length_exceeded",
        text: `prompt is too long: ${text}`
      })
    case "content_refused":
      return new CompatibleFailure({ kind: "invalid_request", code: "content_filter", text })
    case "bad_request":
      return new CompatibleFailure({ kind: "invalid_request", text })
    case "rate_limit":
      return new CompatibleFailure({ kind: "rate_limit", code: "rate_limit_exceeded", text, ...retry })
    case "overloaded":
      return new CompatibleFailure({ kind: "overloaded", code: "overloaded", text, ...retry })
    case "auth":
      // The gateway's own key for the provider, which the client can do nothing about.
      return new CompatibleFailure({ kind: "unavailable", code: "provider_auth", text: withFix(error) })
    case "timeout":
    case "network":
      return new CompatibleFailure({ kind: "unavailable", code: last.failure, text })
  }
}

/** Of what the path answers. */
export const ofError = (error: RunError | CompletionError | CompatibleFailure): CompatibleFailure => {
  switch (error._tag) {
    case "CompatibleFailure":
      return error
    case "ThreatBlocked":
      return new CompatibleFailure({ kind: "invalid_request", code: "threat_blocked", text: error.reply })
    case "BudgetExceeded":
    case "AgentPaused":
      return new CompatibleFailure({ kind: "quota", code: "insufficient_quota", text: withFix(error) })
    case "UnknownPrice":
    case "AgentNotFound":
      return new CompatibleFailure({ kind: "not_found", code: "model_not_found", param: "model", text: withFix(error) })
    case "ModelUnavailable":
      return ofModels(error)
    case "SessionNotFound":
    case "SessionCorrupt":
    case "SessionOfOtherAgent":
    case "MessageKeyTaken":
      return new CompatibleFailure({ kind: "internal", text: withFix(error) })
    case "DatabaseError":
    case "AuditUnavailable":
      return new CompatibleFailure({ kind: "unavailable", code: "ground_failed", text: withFix(error) })
  }
}

/** Of what the door and the access rules answer. */
export const ofRefused = (error: Refused): CompatibleFailure => {
  const text = withFix(error)
  switch (error._tag) {
    case "Unauthenticated":
      return new CompatibleFailure({ kind: "authentication", code: "invalid_api_key", text })
    case "Forbidden":
      return new CompatibleFailure({ kind: "permission", code: "forbidden", text })
    case "TooManyRequests":
      return new CompatibleFailure({ kind: "rate_limit", code: error.reason, text, retryAfterMs: error.retryAfterMs })
    case "BodyTooLarge":
      return new CompatibleFailure({ kind: "too_large", code: "body_too_large", text })
    case "NotForThisDoor":
    case "UnsupportedBody":
      return new CompatibleFailure({ kind: "invalid_request", code: "unsupported", text })
  }
}

/** Of what the platform says of a request that nothing could answer. */
export const unreadable = (message: string, path?: ReadonlyArray<PropertyKey>): CompatibleFailure => {
  const param = (path ?? []).map(String).join(".").slice(0, 200)
  return new CompatibleFailure({ kind: "invalid_request", text: message, ...(param === "" ? {} : { param }) })
}

export const noRoute = new CompatibleFailure({
  kind: "not_found",
  code: "unknown_url",
  text: "nothing answers this method and path"
})

export const internal = new CompatibleFailure({
  kind: "internal",
  text: "an internal error; nothing more is known to be wrong with what was asked"
})

export type Vendor = "openai" | "anthropic"

/** Whose form an answer at this address has; null for what is no compatible endpoint. `url` may be a path. */
export const vendorOf = (url: string, headers: Readonly<Record<string, string | undefined>>): Vendor | null => {
  const path = url.replace(/^[a-z]+:\/\/[^/]*/i, "").split("?", 1)[0] ?? ""
  if (!path.startsWith("/v1/")) return null
  if (path === "/v1/messages" || path.startsWith("/v1/messages/")) return "anthropic"
  return (path === "/v1/models" || path.startsWith("/v1/models/")) && headers["anthropic-version"] !== undefined
    ? "anthropic"
    : "openai"
}

const openAiForm: Record<Kind, readonly [status: number, type: string]> = {
  invalid_request: [400, "invalid_request_error"],
  authentication: [401, "authentication_error"],
  permission: [403, "permission_error"],
  not_found: [404, "invalid_request_error"],
  too_large: [413, "invalid_request_error"],
  rate_limit: [429, "rate_limit_error"],
  quota: [429, "insufficient_quota"],
  overloaded: [503, "server_error"],
  unavailable: [503, "server_error"],
  internal: [500, "server_error"]
}

const anthropicForm: Record<Kind, readonly [status: number, type: string]> = {
  invalid_request: [400, "invalid_request_error"],
  authentication: [401, "authentication_error"],
  permission: [403, "permission_error"],
  not_found: [404, "not_found_error"],
  too_large: [413, "request_too_large"],
  rate_limit: [429, "rate_limit_error"],
  quota: [429, "rate_limit_error"],
  overloaded: [529, "overloaded_error"],
  unavailable: [503, "api_error"],
  internal: [500, "api_error"]
}

export const bodyOf = (vendor: Vendor, { code, kind, param, text, unsupported }: CompatibleFailure): object =>
  vendor === "openai"
    ? { error: { message: text, type: openAiForm[kind][1], param: param ?? null, code: code ?? null } }
    : {
        type: "error",
        // This envelope has no field for a code.
        error: {
          type: anthropicForm[kind][1],
          message: code === "threat_blocked" ? `threat_blocked: ${text}` : text,
          ...(unsupported === undefined ? {} : { details: { error_code: code ?? kind, unsupported: [unsupported] } })
        },
        request_id: null
      }

/** Waiting mends these; everything else fails the same way again. */
const passing: ReadonlySet<Kind> = new Set<Kind>(["rate_limit", "overloaded", "unavailable", "internal"])

export const respond = (
  vendor: Vendor,
  failure: CompatibleFailure,
  status?: number
): HttpServerResponse.HttpServerResponse => {
  const { kind, retryAfterMs } = failure
  const wait: Record<string, string> =
    retryAfterMs === undefined
      ? {}
      : {
          "retry-after": String(Math.max(1, Math.ceil(retryAfterMs / 1000))),
          "retry-after-ms": String(Math.ceil(retryAfterMs))
        }
  return HttpServerResponse.unsafeJson(bodyOf(vendor, failure), {
    status: status ?? (vendor === "openai" ? openAiForm : anthropicForm)[kind][0],
    headers: {
      // Both vendors' clients obey it; without, they would ask again after every 429.
      "x-should-retry": passing.has(kind) ? "true" : "false",
      ...wait
    }
  })
}
