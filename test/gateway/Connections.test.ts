import { createServer } from "node:http"
import { connect, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { configure, serverOptions } from "../../src/gateway/Connections.ts"
import { ask, goodToken, ground, open, type Place } from "../support/door.ts"

/** An open connection that has sent this much; gone with the scope. */
const hold = ({ port }: Place, text = "") =>
  Effect.acquireRelease(
    Effect.async<Socket>((resume) => {
      const socket = connect(port, "127.0.0.1", () => {
        if (text !== "") socket.write(text.replace("H\r\n", `Host: 127.0.0.1:${port}\r\n`))
        resume(Effect.succeed(socket))
      })
      socket.on("error", () => {}).resume()
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const closed = (socket: Socket) =>
  Effect.async<void>((resume) => {
    if (socket.destroyed) return resume(Effect.void)
    socket.once("close", () => resume(Effect.void))
  })

const connections = ({ server }: Place) =>
  Effect.async<number>((resume) => {
    server.getConnections((_error, count) => resume(Effect.succeed(count)))
  })

const head = "GET /dashboard/api/events HTTP/1.1\r\nH\r\n"
const owner = `Authorization: Bearer ${goodToken}\r\n`

describe("Connections", () => {
  it("gives nobody more than fifteen seconds for a head", () => {
    expect(serverOptions.headersTimeout + serverOptions.connectionsCheckingInterval).toBeLessThanOrEqual(15_000)
    expect(serverOptions.keepAliveTimeout + serverOptions.connectionsCheckingInterval).toBeLessThanOrEqual(15_000)
    expect(serverOptions.requestTimeout).toBeGreaterThan(serverOptions.headersTimeout)
  })

  it.live("closes whoever is slow to say what they want, and answers others meanwhile", () =>
    Effect.gen(function* () {
      const place = yield* open({
        maxConnections: 500,
        limits: { headersTimeout: 400, connectionsCheckingInterval: 50, keepAliveTimeout: 200 }
      })
      const starts = ["", "G", head, `${head}${owner}X: `, `POST /setup HTTP/1.1\r\nH\r\nX: 1\r\n`]
      const slow = yield* Effect.forEach(
        Array.from({ length: 200 }, (_, index) => starts[index % starts.length]),
        (text) => hold(place, text),
        { concurrency: "unbounded" }
      )
      const drip = setInterval(() => {
        for (const socket of slow) if (!socket.destroyed) socket.write("a")
      }, 100)
      expect((yield* ask(place)).status).toBe(200)
      yield* Effect.forEach(slow, closed, { concurrency: "unbounded", discard: true })
      clearInterval(drip)
      expect((yield* ask(place)).status).toBe(200)
      expect(place.seen.requests).toBe(2)
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )

  it.live("lets the owner in however many strangers hold places", () =>
    Effect.gen(function* () {
      const place = yield* open({ maxConnections: 10 })
      const strangers = yield* Effect.forEach(Array.from({ length: 30 }), (_, index) =>
        hold(place, index % 2 === 0 ? "" : "GET / HTTP/1.1\r\n")
      )
      // One address that has proved nothing has half of the places.
      expect(yield* connections(place)).toBeLessThanOrEqual(5)
      for (let index = 0; index < 20; index++) expect((yield* ask(place)).status).toBe(200)
      yield* closed(strangers[0] ?? (yield* Effect.dieMessage("none")))
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )

  it.live("takes no place from one that has proved itself, and none beyond the limit", () =>
    Effect.gen(function* () {
      const place = yield* open({ maxConnections: 6 })
      const streams = yield* Effect.forEach(Array.from({ length: 5 }), () => hold(place, `${head}${owner}\r\n`))
      while (place.seen.requests < 5) yield* Effect.sleep("5 millis")
      const strangers = yield* Effect.forEach(Array.from({ length: 20 }), () => hold(place))
      yield* Effect.forEach(strangers.slice(0, -1), closed, { concurrency: "unbounded", discard: true })
      expect(yield* connections(place)).toBe(6)
      expect(streams.filter((socket) => socket.destroyed)).toEqual([])
      // The owner again, in the place of the last stranger.
      const last = yield* hold(place, `${head}${owner}\r\n`)
      while (place.seen.requests < 6) yield* Effect.sleep("5 millis")
      // All places are the owner's now; one more is not to be had, and nobody hears what it asks.
      yield* closed(yield* hold(place, `${head}${owner}Connection: close\r\n\r\n`))
      expect([last.destroyed, yield* connections(place), place.seen.requests]).toEqual([false, 6, 6])
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )

  it.live("takes the place of one that says nothing before that of one that is being heard", () =>
    Effect.gen(function* () {
      const place = yield* open({ maxConnections: 2, trusted: ["127.0.0.1"] })
      const heard = Effect.async<void>((resume) => {
        place.server.once("request", () => resume(Effect.void))
      })
      const form = "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
      const [asking] = yield* Effect.all([hold(place, `POST /dashboard/api/login HTTP/1.1\r\nH\r\n${form}`), heard], {
        concurrency: 2
      })
      const silent = yield* hold(place)
      yield* hold(place)
      yield* closed(silent)
      expect([asking.destroyed, yield* connections(place)]).toEqual([false, 2])
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )

  it.live("keeps to new limits from the next connection on", () =>
    Effect.gen(function* () {
      const server = yield* Effect.acquireRelease(
        Effect.sync(() => createServer(serverOptions)),
        (running) => Effect.sync(() => running.close())
      )
      const limit = configure(server, { maxConnections: 10, trusts: () => true })
      const port = yield* Effect.async<number>((resume) => {
        server.listen(0, "127.0.0.1", () => {
          const at = server.address()
          resume(Effect.succeed(typeof at === "object" && at !== null ? at.port : 0))
        })
      })
      const place = { port, server, seen: { requests: 0 } }
      const strangers = yield* Effect.forEach(Array.from({ length: 4 }), () => hold(place))
      while ((yield* connections(place)) < 4) yield* Effect.sleep("5 millis")
      yield* Effect.sync(() => limit({ maxConnections: 2, trusts: () => true }))
      yield* hold(place)
      yield* Effect.forEach(strangers.slice(0, 3), closed, { concurrency: "unbounded", discard: true })
      expect(yield* connections(place)).toBe(2)
    }).pipe(Effect.scoped)
  )

  it.live("counts people behind a declared proxy as many", () =>
    Effect.gen(function* () {
      const place = yield* open({ maxConnections: 10, trusted: ["127.0.0.1"] })
      yield* Effect.forEach(Array.from({ length: 9 }), () => hold(place))
      expect(yield* connections(place)).toBe(9)
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )

  it.live("counts connections over TLS from before their handshake, and knows them after it", () =>
    Effect.gen(function* () {
      const place = yield* open({ maxConnections: 4, tls: true })
      const answers = yield* Effect.forEach(Array.from({ length: 12 }), () =>
        Effect.zipRight(
          hold(place),
          Effect.map(ask(place, { tls: true }), ({ status }) => status)
        )
      )
      expect(answers).toEqual(Array.from({ length: 12 }, () => 200))
      expect(yield* connections(place)).toBeLessThanOrEqual(4)
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )

  it.live("takes no place from one that has proved itself over TLS", () =>
    Effect.gen(function* () {
      const place = yield* open({ maxConnections: 4, tls: true })
      const stream = yield* Effect.acquireRelease(
        Effect.sync(() => connectTls({ host: "127.0.0.1", port: place.port, rejectUnauthorized: false })),
        (socket) => Effect.sync(() => socket.destroy())
      )
      const begun = Effect.async<void>((resume) => {
        stream.on("error", () => {}).once("data", () => resume(Effect.void))
        stream.write(`${head.replace("H\r\n", `Host: 127.0.0.1:${place.port}\r\n`)}${owner}\r\n`)
      })
      yield* begun
      const strangers = yield* Effect.forEach(Array.from({ length: 12 }), () => hold(place))
      yield* Effect.forEach(strangers.slice(0, 8), closed, { concurrency: "unbounded", discard: true })
      expect([stream.destroyed, yield* connections(place)]).toEqual([false, 3])
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )

  it.live("is rid of a connection that it ended, whether the other side ends it or not", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const upgrade =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => connect({ port: place.port, host: "127.0.0.1", allowHalfOpen: true })),
        (each) => Effect.sync(() => each.destroy())
      )
      socket.on("error", () => {})
      socket.write(`${head.replace("H\r\n", `Host: 127.0.0.1:${place.port}\r\n`)}${upgrade}`)
      yield* Effect.async<void>((resume) => {
        socket.once("data", (data) => {
          expect(String(data)).toMatch(/^HTTP\/1\.1 401 /)
          resume(Effect.void)
        })
      })
      while ((yield* connections(place)) > 0) yield* Effect.sleep("20 millis")
    }).pipe(Effect.timeout("10 seconds"), Effect.provide(ground()), Effect.scoped)
  )
})
