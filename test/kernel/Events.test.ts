import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Fiber, Stream } from "effect"
import { AgentId } from "../../src/domain/Ids.ts"
import { BudgetWarned, ConfigReloaded, type GatewayEvent } from "../../src/domain/GatewayEvent.ts"
import { Events, layer } from "../../src/kernel/Events.ts"

const warned = (detail: string | number) => new BudgetWarned({ agent: AgentId.make("main"), detail: String(detail) })

const details = (events: Iterable<GatewayEvent>) =>
  [...events].map((event) => (event._tag === "BudgetWarned" ? event.detail : event._tag))

/** A listener that was forked listens once it has had its turns; nothing here waits for a clock. */
const settled = Effect.repeatN(Effect.yieldNow(), 100)

describe("Events", () => {
  it.effect("reach every listener, in order, from the moment it listens", () =>
    Effect.gen(function* () {
      const events = yield* Events
      yield* events.publish(warned("before anyone listens"))
      const listeners = yield* Effect.forEach([1, 2, 3], () =>
        Effect.fork(events.stream.pipe(Stream.take(3), Stream.runCollect))
      )
      yield* settled
      yield* Effect.forEach([warned(1), new ConfigReloaded(), warned(2)], events.publish)
      for (const listener of listeners) {
        assert.deepStrictEqual(details(yield* Fiber.join(listener)), ["1", "ConfigReloaded", "2"])
      }
    }).pipe(Effect.provide(layer))
  )

  it.effect("never make a publisher wait: who is slow loses the oldest", () =>
    Effect.gen(function* () {
      const events = yield* Events
      const first = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const slow = yield* Effect.fork(
        events.stream.pipe(
          Stream.rechunk(1),
          Stream.tap(() => Effect.zipRight(Deferred.succeed(first, undefined), Deferred.await(goOn))),
          Stream.takeUntil((event) => event._tag === "ConfigReloaded"),
          Stream.runCollect
        )
      )
      yield* settled
      yield* events.publish(warned("first"))
      yield* Deferred.await(first)
      yield* Effect.forEach(
        Array.from({ length: 5000 }, (_, i) => i),
        (i) => events.publish(warned(i))
      )
      yield* events.publish(new ConfigReloaded())
      yield* Deferred.succeed(goOn, undefined)
      const seen = details(Chunk.toReadonlyArray(yield* Fiber.join(slow)))
      assert.isBelow(seen.length, 2000)
      assert.strictEqual(seen[0], "first")
      assert.deepStrictEqual(seen.slice(-2), ["4999", "ConfigReloaded"])
      const numbers = seen.slice(1, -1).map(Number)
      assert.deepStrictEqual(
        numbers,
        [...numbers].sort((a, b) => a - b)
      )
    }).pipe(Effect.provide(layer))
  )
})
