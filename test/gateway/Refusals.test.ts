/** What a client is told when it asks wrongly, and when the gateway itself is wrong. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema } from "effect"
import type { GroupName } from "../../src/contract/Api.ts"
import { SessionStore, layer as sessionLayer } from "../../src/agent/SessionStore.ts"
import * as Gateway from "../support/gateway.ts"
import * as Path from "../support/path.ts"

const Told = Schema.parseJson(Schema.Struct({ _tag: Schema.String, message: Schema.String }))
const told = Schema.decodeUnknownSync(Told)

/** Stands for a secret that was put where it does not belong. */
const secret = "sk-planted-0123456789abcdef"
const session = "sess-00000000000000000000000001"

type Case = readonly [
  what: string,
  group: GroupName,
  method: string,
  path: string,
  body: string | undefined,
  says: string
]
const bad: ReadonlyArray<Case> = [
  ["no JSON", "runs", "POST", "/dashboard/api/runs", `{"message": ${secret}`, "the body: expected JSON"],
  ["an empty body", "runs", "POST", "/dashboard/api/runs", "", "the body: expected JSON"],
  ["a body that is a text", "runs", "POST", "/dashboard/api/runs", JSON.stringify(secret), "the request: expected"],
  ["a body that is null", "runs", "POST", "/dashboard/api/runs", "null", "the request: expected"],
  ["no message", "runs", "POST", "/dashboard/api/runs", "{}", "message: is missing"],
  [
    "an empty message",
    "runs",
    "POST",
    "/dashboard/api/runs",
    '{"message":"  "}',
    "message: expected a message, found an empty one"
  ],
  ["a message of numbers", "runs", "POST", "/dashboard/api/runs", '{"message":17}', "message: expected"],
  [
    "a message too long",
    "runs",
    "POST",
    "/dashboard/api/runs",
    JSON.stringify({ message: "x".repeat(200_001) }),
    "message: expected a message of at most 200000 characters"
  ],
  [
    "a session id of another kind",
    "runs",
    "POST",
    "/dashboard/api/runs",
    JSON.stringify({ message: "hi", session: secret }),
    "session: an id like sess-"
  ],
  [
    "an id with a path in it",
    "runs",
    "POST",
    "/dashboard/api/runs/resume",
    JSON.stringify({ session: "../../etc/passwd" }),
    "session: an id like sess-"
  ],
  [
    "an approver of another type",
    "runs",
    "POST",
    "/dashboard/api/runs",
    '{"message":"hi","approver":"yes"}',
    "approver: expected boolean"
  ],
  ["a run id of another kind", "runs", "POST", "/dashboard/api/runs/run-1/stop", undefined, "run: an id like run-"],
  [
    "a limit of 0",
    "sessions",
    "GET",
    "/dashboard/api/sessions?limit=0",
    undefined,
    "limit: expected a number between 1 and 1000"
  ],
  ["a limit that is none", "sessions", "GET", "/dashboard/api/sessions?limit=many", undefined, "limit:"],
  [
    "an agent's name that is none",
    "sessions",
    "GET",
    "/dashboard/api/sessions?agent=%2e%2e%2f",
    undefined,
    "agent: an agent id"
  ],
  ["a session id cut short", "sessions", "GET", "/dashboard/api/sessions/sess-1", undefined, "id: an id like sess-"],
  ["an unknown type of event", "audit", "GET", "/dashboard/api/audit?type=nothing", undefined, "type: expected"],
  [
    "a secret of another type",
    "credentials",
    "PUT",
    "/dashboard/api/credentials/anthropic",
    `{"secret":{"key":"${secret}"}}`,
    "secret: expected"
  ],
  [
    "a secret under another name",
    "credentials",
    "PUT",
    "/dashboard/api/credentials/anthropic",
    `{"key":"${secret}"}`,
    "secret: is missing"
  ],
  [
    "a provider's name that is none",
    "credentials",
    "DELETE",
    "/dashboard/api/credentials/..%2f..",
    undefined,
    "provider:"
  ]
]

describe("a request that does not decode", () => {
  it.live("gets status 400 and one line that says where and what, and repeats nothing", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const gateway = yield* Gateway.open(place)
      for (const [what, group, method, path, body, says] of bad) {
        const { status, text } = yield* gateway.raw(group, method, path, body)
        assert.strictEqual(status, 400, `${what}: ${text}`)
        const { _tag, message } = told(text)
        assert.strictEqual(_tag, "HttpApiDecodeError", what)
        assert.include(message, says, what)
        assert.notInclude(message, "\n", what)
        assert.isBelow(text.length, 4000, what)
        assert.notInclude(text, secret, what)
      }
    }).pipe(Effect.scoped)
  )

  it.live("names every field that is wrong, at most five", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const gateway = yield* Gateway.open(place)
      const decision = yield* gateway.raw(
        "approvals",
        "POST",
        "/dashboard/api/approvals",
        '{"id":"x","approve":"yes","scope":"always"}'
      )
      assert.strictEqual(decision.status, 400)
      assert.match(told(decision.text).message, /^id: /)
    }).pipe(Effect.scoped)
  )
})

describe("a path that leads nowhere", () => {
  it.live("gets status 404 and a word about it, without the query", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const gateway = yield* Gateway.open(place)
      for (const [method, path] of [
        ["GET", "/"],
        ["GET", "/dashboard/api/nothing"],
        ["DELETE", "/dashboard/api/agents"],
        ["GET", `/dashboard/api/agentz?key=${secret}`],
        ["GET", "/dashboard/api/agents/../../etc/passwd"]
      ] as const) {
        const { status, text } = yield* gateway.raw("agents", method, path)
        assert.strictEqual(status, 404, path)
        assert.strictEqual(told(text)._tag, "RouteNotFound")
        assert.notInclude(text, secret)
      }
    }).pipe(Effect.scoped)
  )
})

describe("a handler that breaks", () => {
  it.live("is an internal error to the client, with no inside; the log has the cause", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const logged: Array<string> = []
      const breaking = Layer.effect(
        SessionStore,
        Effect.map(SessionStore, (store) => ({ ...store, list: () => Effect.die(new TypeError("the inside of it")) }))
      ).pipe(Layer.provide(sessionLayer))
      const gateway = yield* Gateway.open(place, { sessions: breaking })
      const listening = Logger.make(({ cause, message }) => void logged.push(`${String(message)} ${String(cause)}`))
      const { status, text } = yield* gateway
        .raw("sessions", "GET", "/dashboard/api/sessions")
        .pipe(Effect.provide(Logger.add(listening)))
      assert.strictEqual(status, 500)
      assert.strictEqual(told(text)._tag, "InternalFailure")
      assert.notMatch(text, /inside of it|TypeError|\.ts:|    at /)
      assert.isTrue(
        logged.some((line) => line.includes("the inside of it")),
        logged.join("\n")
      )
    }).pipe(Effect.scoped)
  )

  it.live("keeps serving: another question is answered after it", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const breaking = Layer.effect(
        SessionStore,
        Effect.map(SessionStore, (store) => ({ ...store, list: () => Effect.die("broken") }))
      ).pipe(Layer.provide(sessionLayer))
      const gateway = yield* Gateway.open(place, { sessions: breaking })
      assert.strictEqual((yield* gateway.raw("sessions", "GET", "/dashboard/api/sessions")).status, 500)
      assert.strictEqual((yield* gateway.raw("sessions", "GET", `/dashboard/api/sessions/${session}`)).status, 404)
    }).pipe(Effect.scoped)
  )
})
