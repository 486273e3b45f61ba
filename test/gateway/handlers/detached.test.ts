/** Detached runs over plain HTTP: they go on without their client, and are watched again from where it was. */
import * as Sse from "@effect/experimental/Sse"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { RunEventJson } from "../../../src/contract/runs.ts"
import * as Chat from "../../support/chat.ts"
import * as Gateway from "../../support/gateway.ts"
import * as Path from "../../support/path.ts"

const decode = Schema.decodeUnknownSync(RunEventJson)

const framesOf = (text: string) => {
  const frames: Array<Sse.Event> = []
  Sse.makeParser((event) => {
    if (event._tag === "Event") frames.push(event)
  }).feed(text)
  return frames
}
type Open = Effect.Effect.Success<ReturnType<typeof Gateway.open>>

const start = (gateway: Open, body: object) =>
  Effect.map(gateway.raw("runs", "POST", "/dashboard/api/runs", JSON.stringify(body)), ({ text }) => framesOf(text))
const events = (gateway: Open, run: string, after?: string) =>
  Effect.map(
    gateway.raw(
      "runs",
      "GET",
      `/dashboard/api/runs/${run}/events`,
      undefined,
      after === undefined ? {} : { "last-event-id": after }
    ),
    ({ status, text }) => ({ status, text, frames: framesOf(text) })
  )

const key = "message-0001"
const body = { detached: true, key, message: "Read notes.md" }

describe("a detached run", () => {
  it.live("is watched again from after any of its events, or from its beginning, to its end", () =>
    Effect.gen(function* () {
      const place = yield* Path.place({ files: { "notes.md": "hello" } })
      const gateway = yield* Gateway.open(place)
      const told = yield* start(gateway, body)
      const first = decode(told[0]!.data)
      assert.strictEqual(first._tag, "RunStarted")
      const run = first._tag === "RunStarted" ? first.run : ""
      assert.strictEqual(decode(told.at(-1)!.data)._tag, "RunEnded")
      assert.deepStrictEqual((yield* events(gateway, run)).frames, told)
      for (let cut = 0; cut < told.length; cut++) {
        const { frames } = yield* events(gateway, run, told[cut]!.id)
        assert.deepStrictEqual(frames, told.slice(cut + 1), `after ${cut}`)
      }
      const lost = yield* events(gateway, run, "gone.1")
      assert.deepStrictEqual(
        lost.frames.map(({ event }) => event),
        ["snapshot"]
      )
      assert.strictEqual((yield* events(gateway, "run-00000000000000000000000001")).status, 404)

      const again = yield* start(gateway, body)
      assert.deepStrictEqual(
        again.map(({ data }) => decode(data)._tag),
        ["MessageStored", "RunEnded"]
      )
      const other = yield* start(gateway, { ...body, message: "Another" })
      assert.deepStrictEqual(
        other.map(({ event }) => event),
        ["failed"]
      )
      assert.include(other[0]!.data, "MessageKeyTaken")
    }).pipe(Effect.scoped)
  )

  it.live("of a token is its own: nobody else watches or stops it, and it approves nothing", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const { url } = yield* Chat.serve(place, ["runs"])
      const ask = (as: string, method: string, path: string, sent?: object) =>
        Effect.promise(async () => {
          const response = await fetch(`${url}/dashboard/api/runs${path}`, {
            method,
            headers: { authorization: `Bearer ${as}`, "content-type": "application/json" },
            ...(sent === undefined ? {} : { body: JSON.stringify(sent) })
          })
          return { status: response.status, text: await response.text() }
        })
      const told = framesOf((yield* ask("chat-1", "POST", "", { ...body, message: "Hello" })).text)
      const first = decode(told[0]!.data)
      const run = first._tag === "RunStarted" ? first.run : ""
      assert.strictEqual((yield* ask("chat-2", "GET", `/${run}/events`)).status, 404)
      assert.strictEqual((yield* ask("chat-1", "GET", `/${run}/events`)).status, 200)
      assert.strictEqual((yield* ask("owner", "GET", `/${run}/events`)).status, 200)
      assert.strictEqual((yield* ask("chat-1", "POST", "", { message: "Hello", approver: true })).status, 403)
      assert.strictEqual((yield* ask("read-1", "POST", "", { message: "Hello" })).status, 403)
    }).pipe(Effect.scoped)
  )
})
