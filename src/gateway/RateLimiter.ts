/**
 * RateLimiter: at most so many requests per second and address, with as many at once; and as many
 * messages per second on one WebSocket. The rest is refused with the time to wait, never queued.
 *
 * Guarantees: moving the clock neither fills nor empties a bucket; memory is bounded however many
 * addresses come; a limit that is changed in the settings holds from the next request on.
 */
import { Context, Effect, Layer } from "effect"
import { TooManyRequests } from "../contract/access.ts"
import { Settings } from "../kernel/Settings.ts"

export class RateLimiter extends Context.Tag("ai-desk/gateway/RateLimiter")<
  RateLimiter,
  {
    /** Takes one of the key's requests of this second. Keys: an address, or one connection's id. */
    readonly take: (key: string) => Effect.Effect<void, TooManyRequests>
  }
>() {}

/** Buckets held at once, a few megabytes. A bucket untouched for a second is full, which is as good as none. */
const mostKeys = 20_000
const fullAfterMs = 1000

interface Bucket {
  left: number
  at: number
}

const make = Effect.gen(function* () {
  const settings = yield* Settings
  /** In the order of last use. */
  const buckets = new Map<string, Bucket>()

  const forget = (now: number): void => {
    for (const [key, { at }] of buckets) {
      if (now - at < fullAfterMs && buckets.size <= mostKeys) return
      buckets.delete(key)
    }
  }

  const take = (key: string): Effect.Effect<void, TooManyRequests> =>
    Effect.flatMap(settings.current, ({ config }) =>
      Effect.clockWith((clock) => {
        const rate = config.gateway.rateLimit.maxPerSecond
        const now = Number(clock.unsafeCurrentTimeNanos() / 1000n) / 1000
        const found = buckets.get(key)
        const bucket = found ?? { left: rate, at: now }
        bucket.left = Math.min(rate, bucket.left + (Math.max(0, now - bucket.at) / 1000) * rate)
        bucket.at = now
        buckets.delete(key)
        buckets.set(key, bucket)
        if (found === undefined) forget(now)
        // Fractions of a millisecond are lost on the way; they must not cost a whole request.
        if (bucket.left < 1 - 1e-6) {
          const retryAfterMs = Math.max(1, Math.ceil(((1 - bucket.left) / rate) * 1000))
          return Effect.fail(new TooManyRequests({ reason: "rate", retryAfterMs }))
        }
        bucket.left -= 1
        return Effect.void
      })
    )

  return RateLimiter.of({ take })
})

export const layer: Layer.Layer<RateLimiter, never, Settings> = Layer.effect(RateLimiter, make)
