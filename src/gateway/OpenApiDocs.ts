/**
 * OpenApiDocs: the contract as an OpenAPI document, and as a page for people.
 *
 * Guarantees: both are computed from the contract that the server answers by, so they cannot say
 * anything else; every operation names who may ask it and how they prove it. The document is for
 * callers with a credential; the page holds nothing of this gateway's data, runs no script, and asks
 * no other server for anything.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as OpenApi from "@effect/platform/OpenApi"
import { Effect, Schema } from "effect"
import { Unauthenticated } from "../contract/access.ts"
import { Api } from "../contract/Api.ts"
import { worded } from "../contract/failures.ts"
import { Caller } from "../domain/Caller.ts"
import { sha256Hex } from "../kernel/Crypto.ts"
import type { App } from "./Door.ts"
import { proofHeader, sessionCookie } from "./door/Credentials.ts"
import { docsPage } from "./pages/DocsPage.ts"

/** Of the contract; grows when something is taken away or changes its meaning. */
const contractVersion = "1.0.0"

/** Who may ask, by the name of the access rule, in words for a reader. */
export const accessRules: Readonly<Record<string, string>> = {
  Owns: "owner",
  Reads: "owner or read",
  Chats: "owner or chat",
  Sees: "owner, read or chat",
  Calls: "owner or client",
  Open: "anyone"
}

const rulesOf = (): ReadonlyMap<string, string> => {
  const rules = new Map<string, string>()
  HttpApi.reflect(Api, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint, group, middleware }) => {
      for (const { key } of middleware) rules.set(`${group.identifier}.${endpoint.name}`, key.replace(/^.*\//, ""))
    }
  })
  return rules
}

const securitySchemes = {
  token: {
    type: "http",
    scheme: "bearer",
    description: "A token of `ai-desk token create`: `Authorization: Bearer …`."
  },
  apiKey: {
    type: "apiKey",
    in: "header",
    name: "x-api-key",
    description: "The same token, where a client sends it so."
  },
  session: {
    type: "apiKey",
    in: "cookie",
    name: sessionCookie(false),
    description: `A browser's log-in. Over TLS the cookie is named ${sessionCookie(true)}. Without the proof it counts for nothing.`
  },
  proof: {
    type: "apiKey",
    in: "header",
    name: proofHeader,
    description: "What only the page that logged in knows; goes with the cookie."
  },
  certificate: { type: "mutualTLS", description: "A client certificate of `ai-desk cert issue`, in that mode." }
}

const everyWay = [{ token: [] }, { apiKey: [] }, { session: [], proof: [] }, { certificate: [] }]

/** Titles such as `maxLength(200)` say nothing that the keywords do not. */
const tidy = (node: unknown): unknown => {
  if (Array.isArray(node)) return node.map(tidy)
  if (typeof node !== "object" || node === null) return node
  return Object.fromEntries(
    Object.entries(node).flatMap(([key, value]) =>
      (key === "title" && typeof value === "string" && /^\w+\(.*\)$/.test(value)) || key === "$id"
        ? []
        : [[key, tidy(value)]]
    )
  )
}

export type Operation = OpenApi.OpenAPISpecOperation & { readonly "x-access": string }

/** A WebSocket's 101 is no success that a document may end with, so it is the default as well. */
const withSuccess = (responses: OpenApi.OpenAPISpecOperation["responses"]) => {
  const upgrade = responses?.[101]
  return upgrade === undefined ? responses : { ...responses, default: upgrade }
}

const compute = () => {
  const spec = OpenApi.fromApi(Api)
  const rules = rulesOf()
  const paths = Object.fromEntries(
    Object.entries(spec.paths).map(([path, operations]) => [
      path,
      Object.fromEntries(
        Object.entries(operations).map(([method, operation]): [string, Operation] => {
          const access = accessRules[rules.get(operation.operationId) ?? ""] ?? "nobody"
          return [
            method,
            {
              ...operation,
              responses: withSuccess(operation.responses),
              description: `${operation.description ?? ""}\n\nFor: ${access}.`.trim(),
              security: access === "anyone" ? [] : everyWay,
              "x-access": access
            }
          ]
        })
      )
    ])
  )
  return {
    ...spec,
    info: {
      ...spec.info,
      version: contractVersion,
      license: { name: "MIT", identifier: "MIT" },
      description:
        "Everything that a client may ask of the gateway. Errors carry `message` (what is wrong) and, where one is known, `fix` (what to do)."
    },
    servers: [{ url: "/", description: "The gateway that you read this from." }],
    security: everyWay,
    components: { ...spec.components, securitySchemes },
    paths
  }
}

export type Document = ReturnType<typeof compute>

let made: Document | undefined
/** Computed once, when first asked for. */
export const document = (): Document => (made ??= compute())

/** As it is sent. */
export const text = (): string => JSON.stringify(tidy(document()))

const encodeRefusal = Schema.encodeSync(worded(Unauthenticated))
const refused = HttpServerResponse.unsafeJson(encodeRefusal(new Unauthenticated({ reason: "missing" })), {
  status: 401,
  headers: { "www-authenticate": "Bearer" }
})

/** The paths that are answered here. */
export const owns = (path: string): boolean => path === "/openapi.json" || path === "/docs" || path === "/docs/"

export const make: Effect.Effect<App> = Effect.gen(function* () {
  const openapi = yield* Effect.cached(
    Effect.sync(() => {
      const body = text()
      return { body, etag: `"${sha256Hex(body).slice(0, 32)}"` }
    })
  )
  const page = yield* Effect.cached(Effect.sync(() => docsPage(document())))
  const app: App = Effect.gen(function* () {
    const { headers, method, url } = yield* HttpServerRequest.HttpServerRequest
    const path = url.split(/[?#]/, 1)[0] ?? ""
    if (method !== "GET" && method !== "HEAD")
      return HttpServerResponse.empty({ status: 405, headers: { allow: "GET, HEAD" } })
    if (path !== "/openapi.json") return yield* page
    const { by } = yield* Caller
    if (by === "nobody") return refused
    const { body, etag } = yield* openapi
    if (headers["if-none-match"] === etag) return HttpServerResponse.empty({ status: 304, headers: { etag } })
    return HttpServerResponse.text(body, {
      contentType: "application/json; charset=utf-8",
      headers: { etag, "cache-control": "private, no-cache" }
    })
  })
  return app
})
