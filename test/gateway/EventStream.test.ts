/** The gateway's events over HTTP: in order, after the last that was seen, to many, and to the end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream, TestClock } from "effect"
import { AgentId } from "../../src/domain/Ids.ts"
import { BudgetWarned } from "../../src/domain/GatewayEvent.ts"
import * as Drain from "../../src/gateway/Drain.ts"
import * as EventStream from "../../src/gateway/EventStream.ts"
import * as Events from "../../src/kernel/Events.ts"

const layer = Layer.provideMerge(EventStream.layer, Layer.merge(Events.layer, Drain.layer))
const warned = (n: number, size = 0) =>
  new BudgetWarned({ agent: AgentId.make("main"), detail: `${n}${" ".repeat(size)}` })
const settled = Effect.repeatN(Effect.yieldNow(), 200)
const decoder = new TextDecoder()

const publish = (from: number, to: number, size = 0) =>
  Effect.gen(function* () {
    const events = yield* Events.Events
    for (let n = from; n <= to; n++) {
      yield* events.publish(warned(n, size))
      if (n % 50 === 0) yield* settled
    }
    yield* settled
  })

/** A reader that keeps what it has read. */
const read = (after?: string) =>
  Effect.gen(function* () {
    const stream = yield* EventStream.EventStream
    const got = { text: "" }
    const fiber = yield* Effect.fork(
      Stream.runForEach(stream.frames({ after, cut: () => {} }), (bytes) =>
        Effect.sync(() => {
          got.text += decoder.decode(bytes)
        })
      )
    )
    yield* settled
    return { got, fiber }
  })

const idsOf = (text: string) => [...text.matchAll(/^id: (\S+)$/gm)].map(([, id = ""]) => id)
const details = (text: string) => [...text.matchAll(/"detail":"(\d+)/g)].map(([, n]) => Number(n))
const upTo = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe("the event stream", () => {
  it.effect("tells every listener each event once, in order; who comes back gets what it missed", () =>
    Effect.gen(function* () {
      const [a, b] = yield* Effect.all([read(), read()])
      yield* publish(1, 20)
      assert.deepStrictEqual(details(a.got.text), upTo(1, 20))
      assert.strictEqual(a.got.text, b.got.text)
      assert.match(a.got.text, /^retry: \d+\n\n/)
      for (const [index, id] of idsOf(a.got.text).entries()) {
        const { fiber, got } = yield* read(id)
        assert.deepStrictEqual(details(got.text), upTo(index + 2, 20).slice(0, 19 - index), `after ${id}`)
        yield* Fiber.interrupt(fiber)
      }
      const stream = yield* EventStream.EventStream
      assert.strictEqual(yield* stream.listeners, 2)
    }).pipe(Effect.provide(layer))
  )

  it.effect("tells one whose last event is not known any more to look anew", () =>
    Effect.gen(function* () {
      const first = yield* read()
      yield* publish(1, 1)
      const [old = ""] = idsOf(first.got.text)
      yield* publish(2, 1200)
      for (const id of [old, "other.1", "garbage", `${old.split(".")[0]}.99999`, `${old.split(".")[0]}.1e1`]) {
        const { got } = yield* read(id)
        assert.include(got.text, "event: reset", id)
        assert.deepStrictEqual(details(got.text), [], id)
      }
      yield* publish(1201, 1201)
      assert.strictEqual(details(first.got.text).length, 1201)
    }).pipe(Effect.provide(layer))
  )

  it.effect("drops one that does not read, tells it, and holds up nobody; memory is bounded by bytes too", () =>
    Effect.gen(function* () {
      const stream = yield* EventStream.EventStream
      let cuts = 0
      const quick = yield* read()
      let reading = true
      const seen: Array<string> = []
      const slow = yield* Effect.fork(
        Stream.runForEach(
          stream.frames({
            cut: () => {
              cuts += 1
            }
          }),
          (bytes) =>
            Effect.suspend(() => {
              seen.push(decoder.decode(bytes))
              return reading && seen.length > 1 ? Effect.sleep("100 seconds") : Effect.void
            })
        )
      )
      yield* settled
      yield* publish(1, 300, 10_000)
      assert.deepStrictEqual(details(quick.got.text), upTo(1, 300))
      yield* TestClock.adjust("40 seconds")
      assert.isAbove(cuts, 0, "one that reads nothing at all is cut off")
      reading = false
      yield* TestClock.adjust("100 seconds")
      yield* Fiber.join(slow)
      assert.include(seen.at(-1), "event: dropped")
    }).pipe(Effect.provide(layer))
  )

  it.effect("sends comments while nothing happens, and ends when the gateway stops, saying so", () =>
    Effect.gen(function* () {
      const drain = yield* Drain.Drain
      const { fiber, got } = yield* read()
      yield* TestClock.adjust("15 seconds")
      yield* settled
      assert.lengthOf([...got.text.matchAll(/^: /gm)], 1)
      yield* drain.begin
      yield* Fiber.join(fiber)
      assert.include(got.text, "event: GatewayDraining")
    }).pipe(Effect.provide(layer))
  )
})
