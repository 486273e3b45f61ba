import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as KeyedLock from "../../src/kernel/KeyedLock.ts"

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

const key = (n: number) => ({ n })

describe("KeyedLock", () => {
  it.effect("lets one at a time in per key, first come first served", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make<string>()
      const order: Array<number> = []
      let inside = 0
      const enter = (i: number) =>
        lock.withLock("a")(
          Effect.gen(function* () {
            inside += 1
            assert.strictEqual(inside, 1)
            yield* Effect.yieldNow()
            order.push(i)
            inside -= 1
          })
        )
      yield* Effect.forEach(
        Array.from({ length: 50 }, (_, i) => i),
        enter,
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        order,
        Array.from({ length: 50 }, (_, i) => i)
      )
    })
  )

  it.effect("never makes one key wait for another", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make<string>()
      const held = yield* Effect.fork(lock.withLock("a")(Effect.never))
      yield* Effect.yieldNow()
      assert.strictEqual(yield* lock.withLock("b")(Effect.succeed(1)), 1)
      yield* Fiber.interrupt(held)
    })
  )

  it.effect("is released by success, failure, defect and interruption, of who holds it and of who waits", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make<string>()
      const within = lock.withLock("a")
      yield* within(Effect.void)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(within(Effect.fail("no")))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(within(Effect.die("broken")))))
      const holder = yield* Effect.fork(within(Effect.never))
      yield* Effect.yieldNow()
      const waiting = yield* Effect.fork(within(Effect.void))
      const last = yield* Effect.fork(within(Effect.succeed("in")))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      yield* Fiber.interrupt(holder)
      assert.strictEqual(yield* Fiber.join(last), "in")
      assert.strictEqual(yield* within(Effect.succeed("again")), "again")
    })
  )

  it.live("forgets a key that nobody holds or waits for, and no other", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make<object>()
      const collected: Array<number> = []
      const registry = new FinalizationRegistry<number>((n) => collected.push(n))
      const once = Effect.suspend(() => {
        const made = key(1)
        registry.register(made, 1)
        return lock.withLock(made)(Effect.void)
      })
      yield* once
      const kept = key(2)
      registry.register(kept, 2)
      const go = yield* Deferred.make<void>()
      const holder = yield* Effect.fork(lock.withLock(kept)(Deferred.await(go)))
      for (let i = 0; i < 100 && collected.length === 0; i++) {
        collectGarbage()
        yield* Effect.sleep("5 millis")
      }
      assert.deepStrictEqual(collected, [1])
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(holder)
    })
  )
})
