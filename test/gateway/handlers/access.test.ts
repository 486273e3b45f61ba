/** Logging in, tokens and passwords over HTTP, by the real handlers; and every endpoint against every scope. */
import * as HttpApi from "@effect/platform/HttpApi"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Redacted, Schema } from "effect"
import { Api } from "../../../src/contract/Api.ts"
import { Calls, Chats, Open, Owns, Reads, Sees } from "../../../src/contract/access.ts"
import { LoginApi } from "../../../src/contract/login.ts"
import { TokensApi } from "../../../src/contract/tokens.ts"
import { LoggedIn, NewToken } from "../../../src/domain/Access.ts"
import { AccessScope, Caller, type CallerInfo, localOwner, nobody } from "../../../src/domain/Caller.ts"
import { layer as accessLayer } from "../../../src/gateway/Access.ts"
import * as Gateway from "../../support/gateway.ts"
import * as Path from "../../support/path.ts"

const password = "violet kettle under marble skies"
const web = (rest: Partial<CallerInfo> = {}): CallerInfo => ({
  ...localOwner,
  by: "session",
  credential: "web-none",
  ...rest
})
const inMode = (mode: string, rest: object = {}) => Path.place({ sections: { gateway: { auth: { mode }, ...rest } } })

/** A request as a browser sends it, with all of the answer. */
const asked = (
  gateway: Effect.Effect.Success<ReturnType<typeof Gateway.open>>,
  method: string,
  path: string,
  body?: object
) => gateway.raw("login", method, `/dashboard/api/login${path}`, body === undefined ? undefined : JSON.stringify(body))

describe("a log-in over HTTP", () => {
  it.live("by password: a cookie for this host alone, and a proof that is not in it", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway.open(yield* inMode("password"))
      assert.deepInclude(yield* asked(gateway, "POST", "", { password }), { status: 409 })
      assert.deepInclude(yield* asked(gateway, "PUT", "/password", { password: "short" }), { status: 400 })
      const huge = yield* asked(gateway, "PUT", "/password", { password: "x".repeat(1_000_000) })
      assert.strictEqual(huge.status, 400)
      assert.include(huge.text, "more than 1024")
      assert.isBelow(huge.text.length, 1000)
      assert.deepInclude(yield* asked(gateway, "PUT", "/password", { password }), { status: 200 })

      const answer = yield* asked(gateway, "POST", "", { password })
      assert.strictEqual(answer.status, 200, answer.text)
      const loggedIn = Schema.decodeUnknownSync(Schema.parseJson(LoggedIn))(answer.text)
      assert.strictEqual(loggedIn.mode, "password")
      const cookie = answer.headers.get("set-cookie") ?? ""
      assert.match(cookie, /^ai[-_]desk[a-z_-]*=aids_[0-9A-Za-z]{49};/)
      for (const attribute of [/; HttpOnly/i, /; SameSite=Strict/i, /; Path=\//i]) assert.match(cookie, attribute)
      assert.notMatch(cookie, /domain=/i)
      assert.notInclude(cookie, Redacted.value(loggedIn.proof))
      assert.notInclude(answer.text, "aids_")
      assert.strictEqual(answer.headers.get("cache-control"), "no-store")

      const wrong = yield* asked(gateway, "POST", "", { password: "violet kettle under marble sky" })
      assert.strictEqual(wrong.status, 401)
      assert.isNull(wrong.headers.get("set-cookie"))
      assert.notInclude(wrong.text, "violet")
      assert.deepInclude(yield* asked(gateway, "POST", "", { token: "aidt_x" }), { status: 409 })
      for (const body of [{}, { password: 1 }, { secret: password }, []]) {
        assert.deepInclude(yield* asked(gateway, "POST", "", body), { status: 400 })
      }
    }).pipe(Effect.scoped)
  )

  it.live("where the way is encrypted, the cookie is bound to that", () =>
    Effect.gen(function* () {
      const proxy = { reverseProxy: { trusted: ["127.0.0.1/32"], publicUrl: "https://desk.example.org/" } }
      const gateway = yield* Gateway.open(yield* inMode("token", proxy))
      const { tokens } = yield* gateway.client(TokensApi, "tokens")
      const made = yield* tokens.create({ payload: new NewToken({ label: "x", scopes: ["owner"] }) })
      const answer = yield* asked(gateway, "POST", "", { token: Redacted.value(made.token) })
      const cookie = answer.headers.get("set-cookie") ?? ""
      assert.match(cookie, /^__Host-ai[-_]desk[a-z_-]*=/)
      assert.match(cookie, /; Secure/i)
      assert.match(cookie, /; Path=\/(;|$)/i)
    }).pipe(Effect.scoped)
  )

  it.live("is asked who it is, and ends; a token of less than the owner's scope begins none", () =>
    Effect.gen(function* () {
      const place = yield* inMode("token")
      const gateway = yield* Gateway.open(place)
      const { login } = yield* gateway.client(LoginApi, "login")
      assert.deepInclude(yield* login.me(), { by: "local", principal: "owner", mode: "token" })
      assert.deepStrictEqual(yield* login.mode(), { mode: "token" })
      assert.deepStrictEqual(yield* login.end(), { ended: false })
      const { tokens } = yield* gateway.client(TokensApi, "tokens")
      const reader = yield* tokens.create({ payload: new NewToken({ label: "x", scopes: ["read"] }) })
      const refused = yield* asked(gateway, "POST", "", { token: Redacted.value(reader.token) })
      assert.strictEqual(refused.status, 403)
      assert.notInclude(refused.text, Redacted.value(reader.token))
      // No gateway serves here, so no link leads to it.
      assert.strictEqual((yield* Effect.flip(login.link()))._tag, "NoGateway")
      const ended = yield* asked(gateway, "POST", "/end")
      assert.match(ended.headers.get("set-cookie") ?? "", /Max-Age=0/i)
    }).pipe(Effect.scoped)
  )

  it.live("a browser can neither make a link nor set a password without the current one", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway.open(yield* inMode("password"), {}, web())
      assert.deepInclude(yield* asked(gateway, "POST", "/link"), { status: 403 })
      assert.deepInclude(yield* asked(gateway, "PUT", "/password", { password }), { status: 200 })
      const refused = yield* asked(gateway, "PUT", "/password", { password: "seventh otter lagoon drum" })
      assert.strictEqual(refused.status, 403)
    }).pipe(Effect.scoped)
  )

  it.live(
    "200 at once: two are judged at a time, the rest waits or is told to come back, and others are served meanwhile",
    () =>
      Effect.gen(function* () {
        const gateway = yield* Gateway.open(
          yield* Path.place({ sections: { gateway: { auth: { mode: "password", maxFailedAttempts: 1000 } } } })
        )
        yield* asked(gateway, "PUT", "/password", { password })
        const answers = yield* Effect.fork(
          Effect.forEach(
            Array.from({ length: 200 }, (_, i) => i),
            (i) => asked(gateway, "POST", "", { password: i === 0 ? password : `guess number ${i}` }),
            { concurrency: "unbounded" }
          )
        )
        const { login } = yield* gateway.client(LoginApi, "login")
        assert.deepStrictEqual(yield* login.mode(), { mode: "password" })
        const statuses = Map.groupBy(yield* Fiber.join(answers), ({ status }) => status)
        assert.deepStrictEqual([...statuses.keys()].sort(), [200, 401, 429])
        assert.lengthOf(statuses.get(429) ?? [], 188)
        assert.isTrue(statuses.get(429)?.every(({ text }) => text.includes("busy")))
      }).pipe(Effect.scoped)
  )
})

describe("tokens over HTTP", () => {
  it.live("are made once, listed without their secret, and revoked", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway.open(yield* inMode("token"))
      const { tokens } = yield* gateway.client(TokensApi, "tokens")
      const made = yield* tokens.create({
        payload: new NewToken({ label: "editor", scopes: ["client"], expiresInMs: 86_400_000 })
      })
      const list = yield* gateway.raw("tokens", "GET", "/dashboard/api/tokens")
      assert.include(list.text, made.info.id)
      assert.notInclude(list.text, "aidt_")
      assert.deepStrictEqual(yield* tokens.revoke({ path: { id: made.info.id } }), { revoked: true })
      assert.deepStrictEqual(yield* tokens.revoke({ path: { id: made.info.id } }), { revoked: false })
      assert.deepStrictEqual(
        (yield* tokens.list()).map(({ state }) => state),
        ["revoked"]
      )
      const raw = (method: string, path: string, body?: string) =>
        gateway.raw("tokens", method, `/dashboard/api/tokens${path}`, body)
      assert.strictEqual((yield* raw("DELETE", `/tok-${"0".repeat(26)}`)).status, 404)
      assert.strictEqual((yield* raw("DELETE", "/x")).status, 400)
      for (const body of [
        '{"label":"x","scopes":[]}',
        '{"label":"x","scopes":["root"]}',
        '{"scopes":["read"]}',
        '{"label":"x","scopes":["read"],"expiresInMs":1}'
      ]) {
        assert.strictEqual((yield* raw("POST", "", body)).status, 400, body)
      }
    }).pipe(Effect.scoped)
  )
})

describe("every endpoint", () => {
  const rules = { Owns, Reads, Chats, Sees, Calls, Open } as const
  type Rule = keyof typeof rules
  const endpoints: Array<{ readonly at: string; readonly method: string; readonly rule: string }> = []
  HttpApi.reflect(Api, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint, middleware }) => {
      const named = [...middleware].map(({ key }) => key.replace("ai-desk/contract/", ""))
      endpoints.push({ at: `${endpoint.method} ${endpoint.path}`, method: endpoint.method, rule: named.join("+") })
    }
  })
  const isRule = (name: string): name is Rule => Object.hasOwn(rules, name)

  /** Whether the rule lets the caller in. */
  const lets = (rule: Rule, caller: CallerInfo) =>
    Effect.gen(function* () {
      // Typed as if it looked at the request; whether it does shows at once, for there is none here.
      const nothing = Context.unsafeMake<HttpRouter.HttpRouter.Provided>(new Map())
      const check = Effect.provide(yield* rules[rule], nothing)
      return yield* Effect.match(Effect.provideService(check, Caller, caller), {
        onFailure: (error) => error._tag,
        onSuccess: () => "passes"
      })
    }).pipe(Effect.provide(accessLayer))

  const callerOf = (...scopes: ReadonlyArray<AccessScope>): CallerInfo => ({
    ...nobody,
    scopes,
    by: "token",
    credential: "tok-x"
  })

  it("has exactly one rule", () => {
    assert.isAbove(endpoints.length, 30)
    for (const { at, rule } of endpoints) assert.isTrue(isRule(rule), `${at}: ${rule}`)
  })

  it.effect("is closed to nobody but log-in and health", () =>
    Effect.gen(function* () {
      const open = endpoints.filter(({ rule }) => rule === "Open").map(({ at }) => at)
      for (const at of open) {
        assert.match(at, /^(GET|POST) \/dashboard\/api\/login$|^GET \/(healthz|readyz|openapi\.json)$/, at)
      }
      for (const rule of Object.keys(rules).filter(isRule)) {
        assert.strictEqual(yield* lets(rule, nobody), rule === "Open" ? "passes" : "Unauthenticated", rule)
        assert.strictEqual(yield* lets(rule, callerOf()), rule === "Open" ? "passes" : "Forbidden", rule)
      }
    })
  )

  it.effect("a read token changes nothing: 403 on all that is not GET", () =>
    Effect.gen(function* () {
      for (const { at, method, rule } of endpoints) {
        if (!isRule(rule) || rule === "Open") continue
        const answer = yield* lets(rule, callerOf("read"))
        if (method !== "GET") assert.strictEqual(answer, "Forbidden", at)
      }
    })
  )

  it.effect("lets in the scopes of its rule and the owner, whatever else a token has", () =>
    Effect.gen(function* () {
      const allowed: Readonly<Record<Rule, ReadonlyArray<AccessScope>>> = {
        Owns: ["owner"],
        Reads: ["owner", "read"],
        Chats: ["owner", "chat"],
        Sees: ["owner", "read", "chat"],
        Calls: ["owner", "client"],
        Open: AccessScope.literals
      }
      for (let set = 1; set < 16; set++) {
        const scopes = AccessScope.literals.filter((_, i) => (set >> i) & 1)
        for (const { at, rule } of endpoints) {
          if (!isRule(rule)) continue
          const expected = scopes.some((scope) => allowed[rule].includes(scope)) ? "passes" : "Forbidden"
          assert.strictEqual(yield* lets(rule, callerOf(...scopes)), expected, `${at} by ${scopes.join()}`)
        }
      }
    })
  )
})
