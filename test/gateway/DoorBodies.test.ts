import { connect } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { ask, goodToken, ground, open, type Place, post, raw } from "../support/door.ts"

const api = "/dashboard/api/agents"
const mebibyte = 1024 * 1024

/** Sends a head and then bytes until the other side has had enough. */
const pour = ({ port }: Place, head: string, chunk: Buffer, most: number) =>
  Effect.async<{ readonly sent: number; readonly answer: string }>((resume) => {
    let sent = 0
    let answer = ""
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(`${head.replace("H\r\n", `Host: 127.0.0.1:${port}\r\n`)}\r\n`)
      const more = () => {
        while (sent < most && !socket.destroyed) {
          sent += chunk.length
          if (!socket.write(chunk)) return void socket.once("drain", more)
        }
      }
      more()
    })
    socket.setEncoding("latin1").on("data", (text: string) => (answer += text))
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.succeed({ sent, answer })))
    return Effect.sync(() => socket.destroy())
  })

const owner = `Authorization: Bearer ${goodToken}\r\nContent-Type: application/json\r\n`

describe("Door: bodies", () => {
  it.scoped("takes JSON for what changes something, and nothing a foreign page could send unasked", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"]
        .concat(["text/plain;application/json", "application/json; charset=utf-16", "application/jsonp", "", "*/*"])
        .concat([
          "application/json, text/plain",
          "application/x-ndjson",
          "application/json;charset=utf-8;x=y",
          "image/png"
        ])
      for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
        for (const kind of kinds) {
          for (const body of ["", '{"a":1}', "a=1"]) {
            const { json, status } = yield* ask(place, { method, body, headers: { "content-type": kind } })
            expect([method, kind, status]).toEqual([method, kind, 415])
            expect(json).toMatchObject({ _tag: "UnsupportedBody" })
          }
        }
        for (const kind of [
          "application/json",
          "Application/JSON; charset=UTF-8",
          'application/json;charset="utf-8"'
        ]) {
          const { json, status } = yield* ask(place, { method, body: '{"a":[1]}', headers: { "content-type": kind } })
          expect([method, kind, status]).toEqual([method, kind, 200])
          expect(json).toMatchObject({ json: { a: [1] }, text: 9 })
        }
        expect((yield* ask(place, { method, path: `${api}/1` })).json).toMatchObject({ json: null, text: 0 })
      }
      const noKind = `POST ${api} HTTP/1.1\r\nH\r\nAuthorization: Bearer ${goodToken}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`
      expect(yield* raw(place, noKind)).toMatch(/^HTTP\/1\.1 415 /)
      for (const coding of ["gzip", "br", "deflate", "x-gzip", "gzip, identity"]) {
        expect((yield* post(place, "{}", { headers: { "content-encoding": coding } })).status).toBe(415)
      }
      expect((yield* ask(place, { body: "{}" })).status).toBe(400)
      // Only the set-up has forms, and takes nothing else.
      const form = { "content-type": "application/x-www-form-urlencoded" }
      expect((yield* post(place, "a=1", { path: "/setup", token: null, headers: form })).status).toBe(200)
      expect((yield* post(place, "{}", { path: "/setup", token: null })).status).toBe(415)
      expect(
        (yield* post(place, "a=1", {
          path: "/setup",
          token: null,
          headers: { "content-type": "multipart/form-data; boundary=x" }
        })).status
      ).toBe(415)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("refuses bombs and what reaches into JavaScript's own objects", () =>
    Effect.gen(function* () {
      const place = yield* open()
      for (const body of [
        "[".repeat(100_000),
        `{${Array.from({ length: 60_000 }, (_, i) => `"k${i}":1`).join(",")}}`,
        "1".repeat(900_000),
        '{"__proto__":{"polluted":true}}',
        '{"constructor":{"prototype":{"polluted":true}}}',
        '{"a":1,"a":2}',
        "{",
        "not json",
        Buffer.from([0x22, 0xff, 0x22])
      ]) {
        const { json, status } = yield* post(place, body)
        expect([String(body).slice(0, 20), status]).toEqual([String(body).slice(0, 20), 400])
        expect(json).toMatchObject({ _tag: "HttpApiDecodeError", message: expect.stringMatching(/^the body: /) })
      }
      expect(place.seen.requests).toBe(0)
      expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false)
      const vendor = yield* post(place, "{", { path: "/v1/chat/completions" })
      expect(vendor.json).toMatchObject({ error: { type: "invalid_request_error", message: expect.any(String) } })
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("lets others be answered while it looks through a large body", () =>
    Effect.gen(function* () {
      const place = yield* open()
      let turns = 0
      const tick = () => {
        turns += 1
        timer = setImmediate(tick)
      }
      let timer = setImmediate(tick)
      const large = `{"a":"${'\\"'.repeat(7 * mebibyte)}"}`
      expect((yield* post(place, large, { path: "/v1/messages" })).status).toBe(200)
      clearImmediate(timer)
      // One turn for each 128 KiB and more; a body looked through in one go leaves a tenth of that.
      const looked = (14 * mebibyte) / (128 * 1024)
      expect(turns).toBeGreaterThan(looked)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("keeps to its sizes, announced or not, and reads no further", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const text = (size: number) => `"${"x".repeat(size - 2)}"`
      expect((yield* post(place, text(mebibyte))).status).toBe(200)
      const over = yield* post(place, text(mebibyte + 1))
      expect([over.status, over.json]).toEqual([
        413,
        expect.objectContaining({ _tag: "BodyTooLarge", limit: mebibyte })
      ])
      expect((yield* post(place, text(4 * mebibyte), { path: "/v1/messages" })).status).toBe(200)
      expect(
        (yield* post(place, text(100_000), {
          path: "/setup",
          token: null,
          headers: { "content-type": "application/x-www-form-urlencoded" }
        })).status
      ).toBe(413)

      const head = (more: string) => `POST ${api} HTTP/1.1\r\nH\r\n${owner}${more}`
      const chunk = Buffer.from(`10000\r\n${"1".repeat(65_536)}\r\n`)
      const most = 400 * mebibyte
      for (const [extra, bytes] of [
        ["Transfer-Encoding: chunked\r\n", chunk],
        [`Content-Length: ${most}\r\n`, Buffer.alloc(65_536, "1")]
      ] as const) {
        const { answer, sent } = yield* pour(place, head(extra), bytes, most)
        expect(answer).toMatch(/^HTTP\/1\.1 413 [^]*BodyTooLarge/)
        // What was still on its way is thrown away for a while, so that the answer is read; then it ends.
        expect(sent).toBeLessThan(64 * mebibyte)
      }
      // Who has not shown who they are is told so before their body is looked at.
      const { answer } = yield* pour(
        place,
        `POST ${api} HTTP/1.1\r\nH\r\nContent-Type: application/json\r\nContent-Length: ${most}\r\n`,
        Buffer.alloc(65_536),
        most
      )
      expect(answer).toMatch(/^HTTP\/1\.1 401 /)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("takes no body that broke off", () =>
    Effect.gen(function* () {
      const place = yield* open()
      yield* Effect.async<void>((resume) => {
        const socket = connect(place.port, "127.0.0.1", () => {
          socket.write(
            `POST ${api} HTTP/1.1\r\nHost: 127.0.0.1:${place.port}\r\n${owner}Content-Length: 100\r\n\r\n{"a":1}`,
            () => setTimeout(() => socket.destroy(), 100)
          )
        })
        socket.on("close", () => resume(Effect.void))
      })
      expect((yield* ask(place)).status).toBe(200)
      expect(place.seen.requests).toBe(1)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("waits ten seconds for a body, however steadily it trickles", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const head = `POST ${api} HTTP/1.1\r\nH\r\n${owner}Content-Length: 1000\r\n\r\n`
      for (const start of [
        head,
        `POST /dashboard/api/login HTTP/1.1\r\nH\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n`
      ]) {
        const trickle = yield* Effect.fork(pour(place, start, Buffer.from("["), 20))
        // The answer, and then the end of what is thrown away.
        const passing = Effect.forever(
          Effect.zipRight(
            TestClock.adjust("500 millis"),
            Effect.promise(() => new Promise((done) => setImmediate(done)))
          )
        )
        const { answer } = yield* Effect.raceFirst(Fiber.join(trickle), passing)
        expect(answer).toMatch(/^HTTP\/1\.1 408 [^]*connection: close[^]*in time/i)
      }
      expect(place.seen.requests).toBe(0)
    }).pipe(Effect.provide(ground()))
  )

  it.live("refuses a body that is announced as too large without waiting for it", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const head = `POST ${api} HTTP/1.1\r\nH\r\n${owner}Content-Length: ${2 * mebibyte}\r\n`
      const { answer, sent } = yield* pour(place, head, Buffer.alloc(1), 0)
      expect([sent, answer.split(" ")[1]]).toEqual([0, "413"])
    }).pipe(Effect.provide(ground()), Effect.scoped)
  )
})
