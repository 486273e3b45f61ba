import { describe, expect, it } from "@effect/vitest"
import { type Clock, Effect, Either, Layer, TestClock } from "effect"
import * as RateLimiter from "../../src/gateway/RateLimiter.ts"
import { settingsLayer } from "../support/settings.ts"

const limited = (maxPerSecond: number) =>
  RateLimiter.layer.pipe(Layer.provide(settingsLayer({ config: { gateway: { rateLimit: { maxPerSecond } } } })))

/** How many of so many requests at once are let through. */
const through = (key: string, count: number) =>
  Effect.flatMap(RateLimiter.RateLimiter, (limiter) =>
    Effect.map(
      Effect.forEach(Array.from({ length: count }), () => Effect.either(limiter.take(key)), {
        concurrency: "unbounded"
      }),
      (results) => results.filter(Either.isRight).length
    )
  )

describe("RateLimiter", () => {
  it.effect("lets so many through at once, and then as many a second", () =>
    Effect.gen(function* () {
      expect(yield* through("a", 50)).toBe(10)
      expect(yield* through("a", 50)).toBe(0)
      yield* TestClock.adjust("500 millis")
      expect(yield* through("a", 50)).toBe(5)
      yield* TestClock.adjust("99 millis")
      expect(yield* through("a", 1)).toBe(0)
      yield* TestClock.adjust("1 millis")
      expect(yield* through("a", 2)).toBe(1)
      yield* TestClock.adjust("1 hour")
      expect(yield* through("a", 50)).toBe(10)
    }).pipe(Effect.provide(limited(10)))
  )

  it.effect("says how long to wait, and that is enough", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      yield* through("a", 3)
      const refused = yield* Effect.flip(limiter.take("a"))
      expect(refused).toMatchObject({ _tag: "TooManyRequests", reason: "rate", retryAfterMs: 334 })
      yield* TestClock.adjust(refused.retryAfterMs)
      yield* limiter.take("a")
    }).pipe(Effect.provide(limited(3)))
  )

  it.effect("counts keys apart, and goes on however many there are", () =>
    Effect.gen(function* () {
      expect(yield* through("a", 5)).toBe(2)
      expect(yield* through("b", 5)).toBe(2)
      const limiter = yield* RateLimiter.RateLimiter
      for (let index = 0; index < 30_000; index++) yield* limiter.take(`other ${index}`)
      expect(yield* through("last", 5)).toBe(2)
      yield* TestClock.adjust("10 seconds")
      expect(yield* through("a", 5)).toBe(2)
    }).pipe(Effect.provide(limited(2)))
  )

  it.effect("forgets whom it has not heard of for longest, and nobody who goes on", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      expect(yield* through("goes on", 5)).toBe(2)
      expect(yield* through("long quiet", 5)).toBe(2)
      for (let index = 0; index < 20_000; index++) {
        if (index % 5000 === 0) expect(yield* through("goes on", 1)).toBe(0)
        yield* limiter.take(`other ${index}`)
      }
      expect(yield* through("goes on", 1)).toBe(0)
      // Of so many at the same moment one had to go, or memory would have no bound.
      expect(yield* through("long quiet", 5)).toBe(2)
    }).pipe(Effect.provide(limited(2)))
  )

  it.effect("is not moved by a clock that is", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_800_000_000_000)
      expect(yield* through("a", 5)).toBe(2)
      // Back by a day: the bucket neither fills nor is it empty until tomorrow.
      yield* TestClock.setTime(1_800_000_000_000 - 86_400_000)
      expect(yield* through("a", 5)).toBe(0)
      yield* TestClock.adjust("1 seconds")
      expect(yield* through("a", 5)).toBe(2)
      // Nor does a day that the machine's clock leaps ahead fill it.
      const steady = yield* Effect.clock
      const moved: Clock.Clock = Object.assign(Object.create(steady), {
        currentTimeMillis: Effect.succeed(4_000_000_000_000),
        unsafeCurrentTimeMillis: () => 4_000_000_000_000,
        unsafeCurrentTimeNanos: () => steady.unsafeCurrentTimeNanos()
      })
      expect(yield* Effect.withClock(through("a", 5), moved)).toBe(0)
    }).pipe(Effect.provide(limited(2)))
  )
})
