/**
 * Refusal: how the door says no. The contract's own errors keep their shape and status, with what is
 * wrong and what to do in words; clients of the compatible endpoints get the form that their vendor's
 * library reads. Nothing that was sent is repeated.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Schema } from "effect"
import {
  BodyTooLarge,
  Forbidden,
  NotForThisDoor,
  TooManyRequests,
  Unauthenticated,
  UnsupportedBody
} from "../../contract/access.ts"
import { GroundFailed, InternalFailure } from "../../contract/failures.ts"

/** A request that is wrong in itself, whatever it asks. */
export class TurnedAway extends Schema.TaggedError<TurnedAway>()("TurnedAway", {
  status: Schema.Literal(400, 404, 405, 408, 431),
  detail: Schema.String,
  fix: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return this.detail
  }
}

const contracted = [
  Unauthenticated,
  Forbidden,
  TooManyRequests,
  NotForThisDoor,
  BodyTooLarge,
  UnsupportedBody,
  GroundFailed,
  InternalFailure
] as const
type Contracted = InstanceType<(typeof contracted)[number]>
export type Refusal = TurnedAway | Contracted

const statuses = new Map<string, number>(
  contracted.map((error): [string, number] => [error._tag, HttpApiSchema.getStatusError(error)])
)
const encode = Schema.encodeSync(Schema.Union(...contracted))

/** 400 is the contract's word for what does not decode. */
const tags = {
  400: "HttpApiDecodeError",
  404: "RouteNotFound",
  405: "MethodNotAllowed",
  408: "RequestTimeout",
  431: "HeadersTooLarge"
} as const

export const malformed = (detail: string, fix?: string) =>
  new TurnedAway({ status: 400, detail, ...(fix === undefined ? {} : { fix }) })

export const statusOf = (refusal: Refusal): number =>
  refusal._tag === "TurnedAway" ? refusal.status : (statuses.get(refusal._tag) ?? 500)

const fixOf = (refusal: Refusal): string | undefined => ("fix" in refusal ? refusal.fix : undefined)

const ownForm = (refusal: Refusal): object => {
  const fix = fixOf(refusal)
  const words = { message: refusal.message, ...(fix === undefined ? {} : { fix }) }
  return refusal._tag === "TurnedAway"
    ? { _tag: tags[refusal.status], ...(refusal.status === 400 ? { issues: [] } : {}), ...words }
    : { ...encode(refusal), ...words }
}

const inOneLine = (refusal: Refusal): string => {
  const fix = fixOf(refusal)
  return fix === undefined ? refusal.message : `${refusal.message}; ${fix}`
}

/** https://platform.openai.com/docs/guides/error-codes */
const openAiKinds: Readonly<Record<number, readonly [type: string, code: string]>> = {
  401: ["authentication_error", "invalid_api_key"],
  403: ["permission_error", "forbidden"],
  404: ["invalid_request_error", "not_found"],
  413: ["invalid_request_error", "request_too_large"],
  429: ["rate_limit_error", "rate_limit_exceeded"],
  500: ["server_error", "internal_error"],
  503: ["server_error", "service_unavailable"]
}
const openAiForm = (refusal: Refusal): object => {
  const [type, code] = openAiKinds[statusOf(refusal)] ?? ["invalid_request_error", "invalid_request"]
  return { error: { message: inOneLine(refusal), type, param: null, code } }
}

/** https://docs.anthropic.com/en/api/errors */
const anthropicKinds: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  500: "api_error",
  503: "api_error"
}
const anthropicForm = (refusal: Refusal, requestId: string): object => ({
  type: "error",
  error: { type: anthropicKinds[statusOf(refusal)] ?? "invalid_request_error", message: inOneLine(refusal) },
  request_id: requestId
})

const startsAt = (path: string, prefix: string) => path === prefix || path.startsWith(`${prefix}/`)

/** `headers` are those of the request. The answer still lacks what every answer carries. */
export const render = (
  refusal: Refusal,
  path: string,
  headers: Readonly<Record<string, string | undefined>>,
  requestId: string
): HttpServerResponse.HttpServerResponse => {
  const status = statusOf(refusal)
  const form = !startsAt(path, "/v1")
    ? ownForm
    : startsAt(path, "/v1/messages") || headers["anthropic-version"] !== undefined
      ? anthropicForm
      : openAiForm
  return HttpServerResponse.unsafeJson(form(refusal, requestId), {
    status,
    headers: {
      ...(status === 405 ? { allow: allowed.join(", ") } : {}),
      ...(refusal._tag === "TooManyRequests" ? { "retry-after": retryAfter(refusal.retryAfterMs) } : {})
    }
  })
}

/** What the door lets in; a route may know fewer. */
export const allowed: ReadonlyArray<string> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

/** In whole seconds, as the header wants it. */
export const retryAfter = (millis: number): string => String(Math.max(1, Math.ceil(millis / 1000)))
