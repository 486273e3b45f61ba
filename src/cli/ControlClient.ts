/**
 * ControlClient: how verbs ask. Every verb speaks the contract over an HttpClient. Its other end is the
 * gateway that runs on the data folder, if there is one: then only that one writes. Otherwise it is
 * this very process, and only the part that the asked group needs is started. Answers and errors are
 * the same.
 */
import type * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Context, Deferred, Effect, Layer, Schema, type Scope } from "effect"
import type { Handler } from "../App.ts"
import type { GroupName } from "../contract/Api.ts"
import type { Announcement } from "../domain/Announcement.ts"
import type { AppOptions } from "../domain/App.ts"
import { Caller, localOwner } from "../domain/Caller.ts"
import { lossIn } from "./control/GatewayLost.ts"
import { find } from "./control/Running.ts"

/** The gateway's parts could not be started: bad settings, wrong key, a second process, a broken database. */
export class StartFailed extends Schema.TaggedError<StartFailed>()("StartFailed", {
  /** The tag of what went wrong. */
  kind: Schema.String,
  detail: Schema.String,
  fix: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return this.detail
  }
}

const startFailed = (error: { readonly _tag: string; readonly message: string; readonly fix?: string | undefined }) =>
  new StartFailed({
    kind: error._tag,
    detail: error.message,
    ...(error.fix === undefined ? {} : { fix: error.fix })
  })

export class ControlClient extends Context.Tag("ai-desk/cli/ControlClient")<
  ControlClient,
  {
    /** A client that reaches one group's handlers; lives as long as the scope. */
    readonly connect: (group: GroupName) => Effect.Effect<HttpClient.HttpClient, StartFailed, Scope.Scope>
  }
>() {}

/** Only there to make addresses absolute; nothing listens on it. */
const origin = "http://ai-desk.local"

/**
 * A question without a body, and its short answer, as much of the web's Request and Response as is
 * looked at. The real classes bring in the whole of Node's fetch, which takes longer than the answer.
 */
const askLightly = (app: Handler, request: HttpClientRequest.HttpClientRequest, url: string) =>
  Effect.gen(function* () {
    const asked = { method: request.method, url, headers: request.headers, body: null }
    const answered = yield* Deferred.make<HttpServerResponse.HttpServerResponse>()
    yield* HttpApp.toHandled(app, (_, response) =>
      Deferred.succeed(answered, HttpApp.unsafeEjectStreamScope(response))
    ).pipe(
      Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(asked as unknown as Request))
    )
    const response = yield* Deferred.await(answered)
    if (response.body._tag !== "Uint8Array")
      return HttpClientResponse.fromWeb(request, HttpServerResponse.toWeb(response))
    const bytes = response.body.body
    const short = {
      status: response.status,
      headers: response.headers,
      body: null,
      text: () => Promise.resolve(new TextDecoder().decode(bytes)),
      arrayBuffer: () => Promise.resolve(new Uint8Array(bytes).buffer)
    }
    return HttpClientResponse.fromWeb(request, short as unknown as Response)
  })

const askFully = (app: Handler, request: HttpClientRequest.HttpClientRequest, url: string, signal: AbortSignal) =>
  Effect.gen(function* () {
    const { body, headers, method } = request
    const init: RequestInit = { method, headers, signal }
    if (body._tag === "Uint8Array") init.body = new Uint8Array(body.body)
    const response = yield* Effect.tryPromise({
      try: () => HttpApp.toWebHandler(app)(new Request(url, init)),
      catch: (cause) => new HttpClientError.RequestError({ request, reason: "Transport", cause })
    })
    return HttpClientResponse.fromWeb(request, response)
  })

const overHandler = (app: Handler): HttpClient.HttpClient =>
  HttpClient.make((request, { pathname, search }, signal) =>
    request.body._tag === "Empty"
      ? askLightly(app, request, `${origin}${pathname}${search}`)
      : askFully(app, request, `${origin}${pathname}${search}`, signal)
  )

/** Starts what is asked for, when it is asked for, in this process. */
export const layerInProcess = (options: AppOptions): Layer.Layer<ControlClient> =>
  Layer.scoped(
    ControlClient,
    Effect.gen(function* () {
      const { open } = yield* Effect.promise(() => import("../App.ts"))
      const app = yield* open(options)
      return ControlClient.of({
        connect: (group) =>
          app.handler(group).pipe(
            Effect.map((app) => overHandler(Effect.provideService(app, Caller, localOwner))),
            Effect.catchAll(startFailed)
          )
      })
    })
  )

const Refusal = Schema.Struct({ kind: Schema.String, detail: Schema.String, fix: Schema.optional(Schema.String) })

/** Asks the gateway that was found. */
export const layerRunning = (gateway: Announcement): Layer.Layer<ControlClient> =>
  Layer.effect(
    ControlClient,
    Effect.gen(function* () {
      const { make } = yield* Effect.promise(() => import("./control/SocketClient.ts"))
      const client = make(gateway)
      const started = (group: GroupName) =>
        Effect.gen(function* () {
          const response = yield* client.get(`${origin}/control/start/${group}`)
          if (response.status === 204) return client
          const { detail, fix, kind } = yield* HttpClientResponse.schemaBodyJson(Refusal)(response)
          return yield* new StartFailed({ kind, detail, ...(fix === undefined ? {} : { fix }) })
        })
      return ControlClient.of({
        connect: (group) =>
          started(group).pipe(
            Effect.catchTags({
              RequestError: (error) => startFailed(lossIn(error)),
              ResponseError: (error) => startFailed(lossIn(error)),
              ParseError: () =>
                new StartFailed({
                  kind: "GatewayOfOtherRelease",
                  detail: `the gateway that runs (process ${gateway.pid}, version ${gateway.version}) does not know what is asked`,
                  fix: "restart it, so that both are of one release"
                })
            })
          )
      })
    })
  )

/** Whichever end there is. */
export const layer = (options: AppOptions): Layer.Layer<ControlClient> =>
  Layer.unwrapEffect(
    Effect.map(find(options), (gateway) => (gateway === null ? layerInProcess(options) : layerRunning(gateway)))
  )

/** The derived client of one group's API. */
export const use = <Groups extends HttpApiGroup.HttpApiGroup.Any, E>(
  api: HttpApi.HttpApi<"ai-desk", Groups, E, never>,
  group: GroupName
) =>
  Effect.gen(function* () {
    const control = yield* ControlClient
    const httpClient = yield* control.connect(group)
    return yield* HttpApiClient.makeWith(api, { httpClient, baseUrl: origin })
  })
