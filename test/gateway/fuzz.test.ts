/**
 * Every route of the contract against requests that nobody meant: valid ones made from the schemas,
 * and the same spoilt in every way that a client or an attacker spoils them. Whatever comes, the
 * answer has a documented status and a body of the documented form, nothing breaks, and nobody
 * without a credential learns anything.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as HttpApp from "@effect/platform/HttpApp"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, Logger, Option, ParseResult, Schema } from "effect"
import * as App from "../../src/App.ts"
import type { GroupName } from "../../src/contract/Api.ts"
import { Caller, type CallerInfo, localOwner, nobody } from "../../src/domain/Caller.ts"
import { PrincipalId } from "../../src/domain/Ids.ts"
import { type Asked, type Route, requestTo, routes } from "../support/fuzz.ts"
import * as Path from "../support/path.ts"

/** What each costs allows only so many: they test a sandbox, derive a key, sign, seal everything anew. */
const slow: Readonly<Record<string, number>> = {
  "security.sandboxCheck": 1,
  "security.audit": 2,
  "keys.rotatePassphrase": 4,
  "keys.rotateData": 3,
  "login.password": 6
}
const total = 2200
const usual = Math.ceil(total / routes.length) + 2

/** Of a stream only what comes at once; the rest is cut off, as by a client that goes away. */
const bodyOf = async (response: Response): Promise<string> => {
  if (response.headers.get("content-type")?.startsWith("text/event-stream") !== true) return response.text()
  const reader = response.body?.getReader()
  const soon = new Promise<void>((done) => setTimeout(done, 40))
  await Promise.race([reader?.read(), soon])
  await reader?.cancel()
  return ""
}

const really = new Set(["SandboxUnavailable", "NotReady"])

/** What is wrong with an answer, in words; undefined when nothing is. */
const wrongWith = ({ answers }: Route, response: Response, body: string): string | undefined => {
  const { status } = response
  const documented = answers.get(status)
  if (documented === undefined) return `status ${status} is not documented`
  if (status >= 500 && status !== 503) return `status ${status}`
  const kind = response.headers.get("content-type") ?? ""
  if (Option.isNone(documented) || kind.startsWith("text/") || kind.startsWith("application/x-ndjson")) return undefined
  if (HttpApiSchema.isVoid(documented.value)) return body === "" ? undefined : "a body where none is documented"
  if (!kind.startsWith("application/json")) return `a body of type ${kind}`
  const decoded = Schema.decodeUnknownEither(Schema.parseJson(Schema.make<unknown>(documented.value)))(body)
  if (Either.isLeft(decoded)) {
    return `a body of another form: ${ParseResult.TreeFormatter.formatErrorSync(decoded.left).slice(0, 600)}`
  }
  // The ground of this test is sound, so nothing may blame it. No server runs here, and the sandbox is the machine's.
  const { _tag } = JSON.parse(body)
  return status === 503 && !really.has(_tag) ? "the ground is blamed" : undefined
}

const opened = Effect.gen(function* () {
  const place = yield* Path.place({ files: { "notes.md": "Milk." } })
  yield* Path.run("What can you do?").pipe(Effect.provide(Path.agentLayer(place)))
  const app = yield* App.open(place.options, App.parts, "gateway")
  const runtime = yield* Effect.runtime<never>()
  const started = new Map<GroupName, App.Handler>()
  for (const { group } of routes) if (!started.has(group)) started.set(group, yield* Effect.orDie(app.handler(group)))
  return (route: Route, { body, headers, method, url }: Asked, caller: CallerInfo) => {
    const handler = started.get(route.group)
    if (handler === undefined) throw new Error(`no handler for ${route.name}`)
    const web = HttpApp.toWebHandlerRuntime(runtime)(Effect.provideService(handler, Caller, caller))
    return web(new Request(url, { method, headers, body }))
  }
})

const quiet = Logger.remove(Logger.defaultLogger)

describe("every route", () => {
  it.live(
    "answers in a documented way, whatever is sent",
    () =>
      Effect.gen(function* () {
        const ask = yield* opened
        let asked = 0
        const seen = new Map<number, number>()
        const found: Array<string> = []
        for (const route of routes) {
          const property = fc.asyncProperty(requestTo(route), async (request) => {
            asked += 1
            const response = await ask(route, request, localOwner)
            const body = await bodyOf(response)
            seen.set(response.status, (seen.get(response.status) ?? 0) + 1)
            const wrong = wrongWith(route, response, body)
            assert.isUndefined(
              wrong,
              `${route.name}: ${wrong}\n${JSON.stringify(request).slice(0, 800)}\n${body.slice(0, 400)}`
            )
            assert.isUndefined(Reflect.get({}, "polluted"), route.name)
          })
          const result = yield* Effect.promise(() =>
            fc.check(property, { numRuns: slow[route.name] ?? usual, endOnFailure: true })
          )
          if (result.failed)
            found.push(
              String(result.errorInstance instanceof Error ? result.errorInstance.message : result.error).slice(0, 1500)
            )
        }
        assert.deepStrictEqual(found, [])
        assert.isAtLeast(asked, 2000)
        // Valid requests were among them, and refused ones.
        for (const status of [200, 400, 404]) assert.isAbove(seen.get(status) ?? 0, 50, `${status}`)
      }).pipe(Effect.provide(quiet), Effect.scoped),
    90_000
  )

  it.live("tells nobody anything without a credential, and lets each scope do no more than its own", () =>
    Effect.gen(function* () {
      const ask = yield* opened
      const by = (scope: "read" | "chat" | "client"): CallerInfo => ({
        ...localOwner,
        principal: PrincipalId.make(`token-${scope}`),
        scopes: [scope],
        by: "token"
      })
      const allowed: Readonly<Record<string, ReadonlyArray<string>>> = {
        Owns: [],
        Reads: ["read"],
        Chats: ["chat"],
        Sees: ["read", "chat"],
        Calls: ["client"]
      }
      for (const route of routes.filter(({ access }) => access !== "Open")) {
        for (const request of fc.sample(requestTo(route), 3)) {
          const refused = yield* Effect.promise(() => ask(route, request, nobody))
          assert.strictEqual(refused.status, 401, `${route.name} ${JSON.stringify(request).slice(0, 300)}`)
          for (const scope of ["read", "chat", "client"] as const) {
            if (allowed[route.access]?.includes(scope) === true) continue
            const response = yield* Effect.promise(() => ask(route, request, by(scope)))
            assert.strictEqual(response.status, 403, `${route.name} with the scope ${scope}`)
          }
        }
      }
    }).pipe(Effect.provide(quiet), Effect.scoped)
  )
})
