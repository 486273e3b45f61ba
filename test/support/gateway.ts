/** The handlers as a client meets them: over the web handler of an opened app, by the derived client or by raw requests. */
import type * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { Effect } from "effect"
import * as App from "../../src/App.ts"
import type { GroupName } from "../../src/contract/Api.ts"
import { Caller, type CallerInfo, localOwner } from "../../src/domain/Caller.ts"
import type { Place } from "./path.ts"

const origin = "http://gateway.test"

/** Open until the scope closes. A group that does not start is a broken test. */
export const open = ({ options }: Place, replaced: Partial<App.Parts> = {}, caller: CallerInfo = localOwner) =>
  Effect.gen(function* () {
    const app = yield* App.open(options, { ...App.parts, ...replaced })
    // In the runtime of whoever asks, so that what is logged on the way reaches the asker's logger.
    const handlerOf = (group: GroupName) =>
      Effect.gen(function* () {
        const handler = yield* Effect.orDie(app.handler(group))
        return HttpApp.toWebHandlerRuntime(yield* Effect.runtime<never>())(
          Effect.provideService(handler, Caller, caller)
        )
      })
    return {
      /** The derived client of one group. */
      client: <Groups extends HttpApiGroup.HttpApiGroup.Any, E>(
        api: HttpApi.HttpApi<"ai-desk", Groups, E, never>,
        group: GroupName
      ) =>
        Effect.flatMap(handlerOf(group), (handler) =>
          HttpApiClient.makeWith(api, {
            baseUrl: origin,
            httpClient: HttpClient.make((request, url, signal) =>
              Effect.gen(function* () {
                const init: RequestInit = { method: request.method, headers: request.headers, signal }
                if (request.body._tag === "Uint8Array") init.body = new Uint8Array(request.body.body)
                const response = yield* Effect.promise(() => handler(new Request(url, init)))
                return HttpClientResponse.fromWeb(request, response)
              })
            )
          })
        ),
      /** What a client without our types would get. */
      raw: (
        group: GroupName,
        method: string,
        path: string,
        body?: string,
        headers: Readonly<Record<string, string>> = {}
      ) =>
        Effect.gen(function* () {
          const handler = yield* handlerOf(group)
          const kind = body === undefined ? {} : { "content-type": "application/json" }
          const init: RequestInit = { method, headers: { ...kind, ...headers } }
          if (body !== undefined) init.body = body
          const response = yield* Effect.promise(() => handler(new Request(`${origin}${path}`, init)))
          return {
            status: response.status,
            headers: response.headers,
            text: yield* Effect.promise(() => response.text())
          }
        })
    }
  })
