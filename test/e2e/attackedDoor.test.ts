/**
 * The running gateway against many at once: guesses at every door side by side, connections that say
 * nothing or say it slowly, and bodies made to keep it busy. The owner gets through all the while.
 */
import { connect, type Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import * as Attack from "../support/attack.ts"
import * as Path from "../support/path.ts"
import { type Answer, ask } from "../support/served.ts"

const place = (gateway: object = {}) =>
  Path.place({ sections: { gateway: { rateLimit: { maxPerSecond: 10_000, maxConnections: 500 }, ...gateway } } })
const api = "/dashboard/api/agents"

const count = (answers: ReadonlyArray<number>, wanted: number) => answers.filter((status) => status === wanted).length
const status = (answer: Effect.Effect<Answer>) => Effect.map(answer, (a) => a.status)

/** Each is another guess, and says that it comes from somewhere else. */
const disguise = (n: number) => ({
  "x-forwarded-for": `198.51.100.${n % 250}`,
  "x-real-ip": `198.51.100.${n % 250}`,
  forwarded: `for=198.51.100.${n % 250}`,
  "cf-connecting-ip": `198.51.100.${n % 250}`,
  "true-client-ip": `198.51.100.${n % 250}`
})
const guess = (n: number) => `aidt_${String(n).padStart(49, "g")}`

describe("guesses", () => {
  it.live("at all doors at once are counted together, and a right token passes at any time", () =>
    Effect.gen(function* () {
      const { local, port, token, url } = yield* Attack.target(yield* place())
      const owner = yield* token("owner", ["owner"])
      const doors: ReadonlyArray<(n: number) => Effect.Effect<number>> = [
        (n) => status(ask(url, api, { headers: { ...Attack.bearer(guess(n)), ...disguise(n) } })),
        (n) => status(ask(url, "/v1/models", { headers: { "x-api-key": guess(n), ...disguise(n) } })),
        (n) => status(ask(url, "/dashboard/api/events", { headers: { ...Attack.bearer(guess(n)), ...disguise(n) } })),
        (n) => status(ask(url, "/metrics", { headers: { ...Attack.bearer(guess(n)), ...disguise(n) } })),
        (n) => status(ask(url, "/nowhere", { headers: { ...Attack.bearer(guess(n)), ...disguise(n) } })),
        (n) =>
          status(
            ask(url, "/dashboard/api/login", {
              method: "POST",
              headers: disguise(n),
              body: JSON.stringify({ token: guess(n) })
            })
          ),
        (n) =>
          status(
            ask(url, "/dashboard/api/login", {
              method: "POST",
              headers: disguise(n),
              body: JSON.stringify({ link: `aidl_${guess(n).slice(5)}` })
            })
          ),
        (n) =>
          status(
            ask(url, api, {
              headers: {
                cookie: `ai-desk=aids_${guess(n).slice(5)}`,
                "x-ai-desk-proof": `aidp_${guess(n).slice(5)}`,
                ...disguise(n)
              }
            })
          ),
        (n) =>
          Effect.map(
            Attack.raw(
              port,
              `GET /dashboard/api/chat HTTP/1.1\r\nH\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ai-desk.chat.v1, ai-desk.token.${guess(n)}\r\n\r\n`
            ),
            (answer) => Attack.statuses(answer)[0] ?? 0
          )
      ]
      const answers = yield* Effect.forEach(
        Array.from({ length: 108 }, (_, n) => n),
        (n) => (doors[n % doors.length] ?? (() => Effect.succeed(0)))(n),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(count(answers, 401) + count(answers, 429), 108, answers.join(" "))
      assert.isAtMost(count(answers, 401), 5, "no more than maxFailedAttempts are ever judged")
      assert.isAbove(count(answers, 401), 0)
      // Locked out, at every door.
      for (const door of doors) assert.strictEqual(yield* door(999), 429)
      // The attacker shares the owner's address; the owner's token was never in doubt.
      assert.strictEqual(yield* status(ask(url, api, { headers: Attack.bearer(owner) })), 200)
      const back = yield* ask(url, api, { headers: Attack.bearer(guess(1)) })
      assert.strictEqual(JSON.parse(back.text).reason, "lockout", back.text)
      const audit = yield* local("/dashboard/api/audit?type=auth.locked_out")
      assert.strictEqual(audit.status, 200, audit.text)
      assert.notInclude(audit.text, guess(1))
    }).pipe(Effect.scoped)
  )

  it.live("of a password are judged one after the other, and not the right one either while locked out", () =>
    Effect.gen(function* () {
      const { local, token, url } = yield* Attack.target(
        yield* place({ auth: { mode: "password", maxFailedAttempts: 3 } })
      )
      const password = "violet kettle under marble skies"
      const set = yield* local("/dashboard/api/login/password", "PUT", { password })
      assert.strictEqual(set.status, 200, set.text)
      const read = yield* token("read", ["read"])
      const owner = yield* token("owner", ["owner"])
      const enter = (body: object, n: number) =>
        status(ask(url, "/dashboard/api/login", { method: "POST", headers: disguise(n), body: JSON.stringify(body) }))
      const right = yield* ask(url, "/dashboard/api/login", { method: "POST", body: JSON.stringify({ password }) })
      assert.strictEqual(right.status, 200, right.text)
      // In this mode the owner's token opens nothing over the network; it is no guess either.
      assert.strictEqual(yield* status(ask(url, api, { headers: Attack.bearer(owner) })), 401)
      const [answers, health] = yield* Effect.all(
        [
          Effect.forEach(
            Array.from({ length: 60 }, (_, n) => n),
            (n) => enter({ password: `${password}${n}` }, n),
            {
              concurrency: "unbounded"
            }
          ),
          Effect.forEach(Array.from({ length: 10 }), () => status(ask(url, "/healthz")))
        ],
        { concurrency: "unbounded" }
      )
      assert.strictEqual(count(answers, 401) + count(answers, 429), 60, answers.join(" "))
      assert.isAtMost(count(answers, 401), 3)
      assert.strictEqual(count(health, 200), 10)
      assert.strictEqual(yield* enter({ password }, 1), 429, "a password can be guessed, so its lock-out is hard")
      assert.strictEqual(yield* status(ask(url, api, { headers: Attack.bearer(read) })), 200)
      const { proof } = JSON.parse(right.text)
      assert.isString(proof)
    }).pipe(Effect.scoped)
  )
})

/** Connections that stay as they are until the scope closes. */
const crowd = (port: number, size: number, greet: (socket: Socket, n: number) => void) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const closed = new Set<number>()
      const sockets = Array.from({ length: size }, (_, n) => {
        const socket = connect(port, "127.0.0.1", () => greet(socket, n))
        socket.on("error", () => {}).on("close", () => closed.add(n))
        socket.resume()
        return socket
      })
      return { sockets, closed: () => closed.size }
    }),
    ({ sockets }) => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
  )

describe("many who say nothing", () => {
  it.live("or drip, or do not read, keep no place that the owner needs, and are gone soon", () =>
    Effect.gen(function* () {
      const { port, token, url } = yield* Attack.target(
        yield* place({ rateLimit: { maxPerSecond: 10_000, maxConnections: 50 } })
      )
      const owner = yield* token("owner", ["owner"])
      const auth = `Authorization: Bearer ${owner}\r\n`
      const host = `Host: 127.0.0.1:${port}\r\n`
      const slow = yield* crowd(port, 240, (socket, n) => {
        const greetings = [
          "",
          "G",
          `GET ${api} HTTP/1.1\r\n${host}X-A: `,
          `POST /dashboard/api/login HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{`,
          `POST /dashboard/api/login HTTP/1.1\r\n${host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`,
          `GET /healthz HTTP/1.1\r\n${host}\r\n`
        ]
        socket.write(greetings[n % greetings.length] ?? "")
        const drip = setInterval(() => socket.write("a"), 2000)
        socket.on("close", () => clearInterval(drip))
      })
      const asked = yield* Effect.forEach(Array.from({ length: 30 }), () =>
        Effect.delay(status(ask(url, api, { headers: Attack.bearer(owner) })), 100)
      )
      assert.strictEqual(count(asked, 200), 30, asked.join(" "))
      const chat = yield* Attack.raw(
        port,
        `GET /dashboard/api/chat HTTP/1.1\r\nH\r\n${auth}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ai-desk.chat.v1\r\n\r\n`,
        1000
      )
      assert.strictEqual(Attack.statuses(chat)[0], 101)
      assert.isAtLeast(slow.closed(), 190, "no more than there are places")
      // The rest has said nothing whole within fifteen seconds; a machine under load gets as much again.
      yield* Effect.suspend(() => (slow.closed() === 240 ? Effect.void : Effect.fail(`${slow.closed()} of 240`))).pipe(
        Effect.retry(Schedule.intersect(Schedule.spaced(250), Schedule.recurs(120)))
      )
    }).pipe(Effect.scoped)
  )
})

describe("bodies made to keep it busy", () => {
  it.live("are refused at once, and others are answered meanwhile", () =>
    Effect.gen(function* () {
      const { token, url } = yield* Attack.target(yield* place())
      const owner = yield* token("owner", ["owner"])
      const client = yield* token("client", ["client"])
      const bombs: ReadonlyArray<readonly [name: string, body: string]> = [
        ["deep lists", "[".repeat(100_000)],
        ["deep objects", `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`],
        ["many keys", `{${Array.from({ length: 60_000 }, (_, n) => `"k${n}":1`).join(",")}}`],
        ["many values", `[${"1,".repeat(200_000)}1]`],
        ["a long number", "9".repeat(900_000)],
        ["a long exponent", `{"max_tokens":1e${"9".repeat(900_000)}}`],
        ["a long text", `{"model":"${"x".repeat(900_000)}"}`],
        ["escapes", `{"model":"${"\\u0000".repeat(150_000)}"}`],
        ["an open text", `"${"a".repeat(900_000)}`],
        ["the same key again and again", `{${Array.from({ length: 5000 }, () => '"label":"x"').join(",")}}`],
        ["blanks", `${" ".repeat(900_000)}{}`],
        ["a prototype", '{"__proto__":{"polluted":true},"label":"x","scopes":["owner"]}'],
        ["a constructor", '{"constructor":{"prototype":{"polluted":true}},"label":"x","scopes":["owner"]}'],
        ["hidden prototype", '{"\\u005f_proto__":{"polluted":true},"label":"x","scopes":["owner"]}'],
        ["too much", `{"label":"${"x".repeat(17 * 1024 * 1024)}"}`]
      ]
      for (const [path, secret] of [
        ["/dashboard/api/tokens", owner],
        ["/v1/chat/completions", client],
        ["/v1/messages", client],
        ["/v1/responses", client],
        ["/dashboard/api/login", ""]
      ] as const) {
        const headers: Readonly<Record<string, string>> = secret === "" ? {} : Attack.bearer(secret)
        for (const [name, body] of bombs) {
          const [bomb, other] = yield* Effect.all(
            [
              status(ask(url, path, { method: "POST", headers, body })),
              status(ask(url, api, { headers: Attack.bearer(owner) }))
            ],
            { concurrency: 2 }
          )
          assert.include([400, 401, 403, 404, 413, 429], bomb, `${path} ${name}`)
          assert.strictEqual(other, 200, `${path} ${name}`)
        }
      }
      const metrics = yield* ask(url, "/metrics", { headers: Attack.bearer(owner) })
      const worst = /ai_desk_event_loop_lag_seconds\{quantile="1"\} ([\d.e-]+)/.exec(metrics.text)?.[1]
      assert.isBelow(Number(worst), 2, "the longest that anybody waited, on a machine under load")
      const tokens = yield* ask(url, "/dashboard/api/tokens", { headers: Attack.bearer(owner) })
      assert.strictEqual(JSON.parse(tokens.text).length, 2, "none of them made a token")
    }).pipe(Effect.scoped)
  )
})
