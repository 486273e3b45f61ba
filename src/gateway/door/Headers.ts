/**
 * Headers: what every answer carries, so that a browser does no harm with it. Not to be weakened by
 * whoever made the answer, but for `cache-control`, which they may set.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { retryAfter } from "./Refusal.ts"

const always = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "x-frame-options": "DENY"
}

const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
/** For what is no page but might be opened as one. */
const dataPolicy = "default-src 'none'; frame-ancestors 'none'; sandbox"

/** A year, as browsers ask of those who mean it. */
const onlyEncrypted = "max-age=31536000"

const challenge = "Bearer"

/** The other page may read these of an answer. */
const exposed = "etag, retry-after, x-request-id"

export interface Dress {
  readonly requestId: string
  readonly encrypted: boolean
  readonly foreignOrigin: string | null
}

const json = new TextDecoder()

/** A handler's own refusal says in its body how long to wait. */
const waitIn = (response: HttpServerResponse.HttpServerResponse): string | undefined => {
  if (response.body._tag !== "Uint8Array") return undefined
  const found = /"retryAfterMs":(\d{1,15})/.exec(json.decode(response.body.body.subarray(0, 4096)))
  return found === null ? undefined : retryAfter(Number(found[1]))
}

export const dress = (
  response: HttpServerResponse.HttpServerResponse,
  { encrypted, foreignOrigin, requestId }: Dress
): HttpServerResponse.HttpServerResponse => {
  const own = response.headers
  const kind = own["content-type"] ?? response.body.contentType ?? ""
  const more: Record<string, string> = {
    ...always,
    "x-request-id": requestId,
    "content-security-policy": /^text\/html\b/i.test(kind) ? pagePolicy : dataPolicy
  }
  if (own["cache-control"] === undefined) more["cache-control"] = "no-store"
  if (encrypted) more["strict-transport-security"] = onlyEncrypted
  if (response.status === 401) more["www-authenticate"] = challenge
  if (response.status === 429 && own["retry-after"] === undefined) more["retry-after"] = waitIn(response) ?? "1"
  if (foreignOrigin !== null) {
    more["access-control-allow-origin"] = foreignOrigin
    more["access-control-expose-headers"] = exposed
    more["vary"] = own["vary"] === undefined ? "origin" : `${own["vary"]}, origin`
  }
  return HttpServerResponse.setHeaders(response, more)
}

/** What the browser of an allowed page is told before it sends something. Ten minutes, then it asks again. */
export const preflight = (asked: Readonly<Record<string, string | undefined>>): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
      // The star stands for all but this one.
      "access-control-allow-headers": "authorization, *",
      "access-control-max-age": "600",
      ...(asked["access-control-request-private-network"] === "true"
        ? { "access-control-allow-private-network": "true" }
        : {})
    }
  })
