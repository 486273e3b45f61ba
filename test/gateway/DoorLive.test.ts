import { get } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { WebSocket } from "ws"
import { ask, goodSession, goodToken, ground, open, type Place, post, TestAuth } from "../support/door.ts"

const chat = "/dashboard/api/chat"

interface Opened {
  readonly socket: WebSocket
  readonly got: Array<string>
  readonly closed: Effect.Effect<number>
}

/** A WebSocket that is open, or the status that was answered instead. */
const dial = (
  { port }: Place,
  headers: Record<string, string>,
  protocols: ReadonlyArray<string> = [],
  path = chat
): Effect.Effect<Opened | number> =>
  Effect.async((resume) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, [...protocols], { headers })
    const got: Array<string> = []
    const closed = new Promise<number>((done) => {
      socket.on("close", (code) => done(code))
    })
    socket.on("message", (data) => got.push(String(data)))
    socket.on("open", () => resume(Effect.succeed({ socket, got, closed: Effect.promise(() => closed) })))
    socket.on("unexpected-response", (request, response) => {
      request.destroy()
      resume(Effect.succeed(response.statusCode ?? 0))
    })
    socket.on("error", () => {})
    return Effect.sync(() => socket.terminate())
  })

const owner = { authorization: `Bearer ${goodToken}` }

const opened = (place: Place, headers: Record<string, string> = owner, protocols: ReadonlyArray<string> = []) =>
  Effect.flatMap(dial(place, headers, protocols), (result) =>
    typeof result === "number" ? Effect.dieMessage(`answered ${result}`) : Effect.succeed(result)
  )

const said = ({ got, socket }: Opened, text: string) =>
  Effect.async<string>((resume) => {
    socket.once("message", () => resume(Effect.succeed(got.at(-1) ?? "")))
    socket.send(text)
  })

/** An event stream: what came, and when it ends. */
const listen = ({ port }: Place) =>
  Effect.async<{ readonly count: () => number; readonly ended: Effect.Effect<void> }>((resume) => {
    let count = 0
    get({ port, host: "127.0.0.1", path: "/dashboard/api/events", headers: owner, agent: false }, (response) => {
      const ended = new Promise<void>((done) => {
        response.on("close", () => done())
      })
      response.on("error", () => {})
      response.on("data", () => {
        count += 1
        resume(Effect.succeed({ count: () => count, ended: Effect.promise(() => ended) }))
      })
    }).on("error", () => {})
  })

const connections = ({ server }: Place) =>
  Effect.async<number>((resume) => {
    server.getConnections((_error, count) => resume(Effect.succeed(count)))
  })

describe("Door: WebSockets", () => {
  it.scoped("opens one for our own page and for what is no browser, before no one else's 101", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const own = `http://127.0.0.1:${place.port}`
      const cookie = { cookie: `ai-desk=${goodSession.cookie}` }
      for (const [origin, status] of [
        ["http://evil", 403],
        ["http://127.0.0.1:3000", 403],
        [`http://localhost:${place.port}`, 403],
        ["null", 403],
        [`ws://127.0.0.1:${place.port}`, 403]
      ] as const) {
        for (const headers of [owner, { ...cookie, "x-ai-desk-proof": goodSession.proof }]) {
          expect([origin, yield* dial(place, { ...headers, origin })]).toEqual([origin, status])
        }
      }
      expect(yield* dial(place, { ...owner, host: "evil.com" })).toBe(421)
      expect(yield* dial(place, { ...owner, "sec-fetch-site": "cross-site" })).toBe(403)
      // The cookie is sent to every port of the host, and by pages of every port.
      expect(yield* dial(place, { ...cookie, origin: own })).toBe(401)
      expect(yield* dial(place, {}, ["ai-desk.v1", "ai-desk.token."])).toBe(401)
      expect(yield* dial(place, {}, [], `${chat}?token=${goodToken}`)).toBe(401)
      expect(yield* dial(place, { "x-api-key": "wrong" })).toBe(401)
      expect(place.seen.requests).toBe(0)
      for (const [headers, protocols] of [
        [owner, []],
        [{ ...owner, origin: own }, []],
        [{}, ["ai-desk.v1", `ai-desk.token.${goodToken}`]],
        [{ ...cookie, origin: own }, ["ai-desk.v1", `ai-desk.proof.${goodSession.proof}`]]
      ] as const) {
        const one = yield* opened(place, headers, protocols)
        expect(yield* said(one, "hello")).toBe("echo hello")
        expect(one.socket.protocol).not.toContain("good-token")
        one.socket.terminate()
      }
    }).pipe(Effect.provide(ground()))
  )
})

describe("Door: what a credential holds open", () => {
  it.live("ends with it: streams, WebSockets and answers that take long, and no one else's", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const auth = yield* TestAuth
      const events = yield* listen(place)
      const socket = yield* opened(place)
      const slow = yield* Effect.fork(ask(place, { path: "/dashboard/api/slow" }))
      const session = { cookie: `ai-desk=${goodSession.cookie}`, "x-ai-desk-proof": goodSession.proof }
      const other = yield* opened(place, session)
      expect(yield* said(socket, "before")).toBe("echo before")

      yield* auth.revoke("token-1")
      const [, code, answer] = yield* Effect.all([events.ended, socket.closed, slow], { concurrency: "unbounded" })
      expect([code, answer.status]).toEqual([4401, 0])

      expect((yield* ask(place)).json).toMatchObject({ _tag: "Unauthenticated", reason: "revoked" })
      expect(yield* said(other, "still here")).toBe("echo still here")
      other.socket.terminate()
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )

  it.live("lets the answer go out that says so, and that only", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const left = yield* post(place, "{}", { path: "/dashboard/api/leave" })
      expect([left.status, left.json]).toEqual([200, { left: true }])
      expect((yield* ask(place)).status).toBe(401)
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )

  it.live("ends although the other side does not let go, and hears nothing more from it", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const socket = yield* opened(place)
      expect(yield* said(socket, "before")).toBe("echo before")
      // It reads no more, so it never answers the close.
      socket.socket.pause()
      yield* (yield* TestAuth).revoke("token-1")
      while ((yield* connections(place)) > 0) {
        if (socket.socket.readyState === WebSocket.OPEN) socket.socket.send("after")
        yield* Effect.sleep("20 millis")
      }
      socket.socket.resume()
      yield* socket.closed
      expect(socket.got).not.toContain("echo after")
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )
})

describe("Door: guesses and floods", () => {
  const guessing = { auth: { maxFailedAttempts: 5 } }

  it.scoped("counts guesses under the connection's own address, whatever is said of it", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const statuses: Array<number> = []
      for (let index = 0; index < 20; index++) {
        const invented = `10.0.0.${index}`
        const headers = {
          "x-forwarded-for": invented,
          "x-real-ip": invented,
          forwarded: `for=${invented}`,
          "cf-connecting-ip": invented,
          "true-client-ip": invented,
          "x-client-ip": invented,
          "x-cluster-client-ip": invented
        }
        statuses.push((yield* ask(place, { token: `wrong ${index}`, headers })).status)
      }
      expect(statuses).toEqual([...Array.from({ length: 5 }, () => 401), ...Array.from({ length: 15 }, () => 429)])
    }).pipe(Effect.provide(ground(guessing)))
  )

  it.scoped("counts them together over every way in, and never keeps out who has a good one", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const statuses = [
        (yield* ask(place, { token: "wrong 1" })).status,
        yield* dial(place, { authorization: "Bearer wrong 2" }),
        yield* dial(place, {}, ["ai-desk.v1", "ai-desk.token.wrong3"]),
        (yield* ask(place, { path: "/dashboard/api/events", token: "wrong 4" })).status,
        (yield* post(place, "{}", { path: "/v1/messages", token: null, headers: { "x-api-key": "wrong 5" } })).status,
        (yield* ask(place, { token: null, headers: { cookie: "ai-desk=a", "x-ai-desk-proof": "b" } })).status,
        yield* dial(place, { authorization: "Bearer wrong 7" }),
        (yield* ask(place, { token: "wrong 8" })).status
      ]
      expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429, 429])
      const locked = yield* ask(place, { token: "wrong 9" })
      expect(locked.headers["retry-after"]).toMatch(/^(299|300)$/)
      expect(locked.json).toMatchObject({ _tag: "TooManyRequests", reason: "lockout", message: expect.any(String) })
      expect((yield* ask(place)).status).toBe(200)
      const session = { cookie: `ai-desk=${goodSession.cookie}`, "x-ai-desk-proof": goodSession.proof }
      expect((yield* ask(place, { token: null, headers: session })).status).toBe(200)
      const socket = yield* opened(place)
      expect(yield* said(socket, "in")).toBe("echo in")
      socket.socket.terminate()
      // To have brought nothing is no guess.
      expect((yield* ask(place, { token: null })).status).toBe(401)
    }).pipe(Effect.provide(ground(guessing)))
  )

  it.scoped("tells people behind a declared proxy apart", () =>
    Effect.gen(function* () {
      const place = yield* open({ trusted: ["127.0.0.1"] })
      const from = (address: string, token: string) =>
        Effect.map(ask(place, { token, headers: { "x-forwarded-for": `6.6.6.6, ${address}` } }), ({ status }) => status)
      for (let index = 0; index < 5; index++) expect(yield* from("10.0.0.1", "wrong")).toBe(401)
      expect(yield* from("10.0.0.1", "wrong")).toBe(429)
      expect(yield* from("10.0.0.2", "wrong")).toBe(401)
      const seen = yield* ask(place, { headers: { "x-forwarded-for": "10.0.0.9" } })
      expect(seen.json).toMatchObject({ address: "10.0.0.9" })
    }).pipe(
      Effect.provide(
        ground({ ...guessing, reverseProxy: { trusted: ["127.0.0.1"], publicUrl: "https://desk.example.org" } })
      )
    )
  )

  it.scoped("answers so many requests a second to one address, open paths and WebSockets with them", () =>
    Effect.gen(function* () {
      const place = yield* open()
      // The clock stands still here.
      expect((yield* ask(place, { path: "/healthz", token: null })).status).toBe(200)
      expect((yield* ask(place, { token: null })).status).toBe(401)
      expect((yield* ask(place)).status).toBe(200)
      const over = yield* ask(place)
      expect([over.status, over.headers["retry-after"]]).toEqual([429, "1"])
      expect(over.json).toMatchObject({ _tag: "TooManyRequests", reason: "rate" })
      expect(yield* dial(place, owner)).toBe(429)
      expect((yield* ask(place, { path: "/healthz", token: null })).status).toBe(429)
      expect((yield* ask(place, { path: "/v1/models" })).json).toMatchObject({ error: { type: "rate_limit_error" } })
      expect(place.seen.requests).toBe(2)
    }).pipe(Effect.provide(ground({ rateLimit: { maxPerSecond: 3 } })))
  )
})
