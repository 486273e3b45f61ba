/**
 * The compatible endpoints on a real port of 127.0.0.1, in front of the fake vendors: what an
 * official client meets that was given our address. Tokens stand for callers; who has none is nobody.
 */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import Anthropic from "@anthropic-ai/sdk"
import { Effect, type Scope } from "effect"
import OpenAI from "openai"
import * as App from "../../src/App.ts"
import { Caller, type CallerInfo, nobody } from "../../src/domain/Caller.ts"
import { PrincipalId } from "../../src/domain/Ids.ts"
import type * as Vendors from "./e2e-vendors.ts"
import type { Place } from "./path.ts"

export const token = (name: string, more: Partial<CallerInfo> = {}): CallerInfo => ({
  ...nobody,
  by: "token",
  scopes: ["client"],
  principal: PrincipalId.make(`token:${name}`),
  credential: name,
  ...more
})

export interface Callers {
  readonly [token: string]: CallerInfo
}

/** Serves until the scope closes; returns the address. */
export const serve = (
  { options }: Place,
  callers: Callers,
  replaced: Partial<App.Parts> = {}
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const app = yield* App.open(options, { ...App.parts, ...replaced })
    const openai = yield* Effect.orDie(app.handler("openai"))
    const anthropic = yield* Effect.orDie(app.handler("anthropic"))
    const guarded = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers, url }) => {
      const bearer = headers["authorization"]?.replace(/^Bearer /, "") ?? headers["x-api-key"] ?? ""
      const handler = url.startsWith("/v1/messages") ? anthropic : openai
      return Effect.provideService(handler, Caller, callers[bearer] ?? nobody)
    })
    const server = yield* Effect.orDie(NodeHttpServer.make(() => createServer(), { host: "127.0.0.1", port: 0 }))
    yield* server.serve(guarded)
    return HttpServer.formatAddress(server.address)
  })

/** What is said in a client's own settings, and nothing of this machine's environment. */
export const openAiAt = (url: string, key: string, maxRetries = 0): OpenAI =>
  new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries, organization: null, project: null })

export const anthropicAt = (url: string, key: string, maxRetries = 0): Anthropic =>
  new Anthropic({ apiKey: key, authToken: null, baseURL: url, maxRetries })

export const promise = <A>(ask: () => PromiseLike<A>) => Effect.promise(() => Promise.resolve(ask()))

/** The error that the client raises, which must be of this class. */
export const refusedWith = <E extends Error>(kind: new (...args: never) => E, ask: () => PromiseLike<unknown>) =>
  Effect.map(
    Effect.promise(() =>
      Promise.resolve(ask()).then(
        () => null,
        (error: unknown) => error
      )
    ),
    (error): E => {
      if (error instanceof kind) return error
      throw new Error(`expected ${kind.name}, found ${String(error)}`)
    }
  )

export const all = async <A>(items: AsyncIterable<A>): Promise<ReadonlyArray<A>> => {
  const found: Array<A> = []
  for await (const item of items) found.push(item)
  return found
}

export interface Served extends Vendors.Stage {
  readonly url: string
}

/** Vendors, settings and the served endpoints; all gone with the scope. */
export const stage = (
  callers: Callers,
  options: Vendors.StageOptions = {}
): Effect.Effect<Served, never, Scope.Scope> =>
  Effect.gen(function* () {
    // It brings the test framework with it, which a measurement does without.
    const vendors = yield* Effect.promise(() => import("./e2e-vendors.ts"))
    const made = yield* vendors.stage(options)
    return { ...made, url: yield* serve(made.place, callers) }
  })
