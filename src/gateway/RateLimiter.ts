/**
 * RateLimiter: at most so many requests per second and address, with as many at once; and as many
 * messages per second on one WebSocket. The rest is refused with the time to wait, never queued.
 */
import { Context, type Effect } from "effect"
import type { TooManyRequests } from "../contract/access.ts"

export class RateLimiter extends Context.Tag("ai-desk/gateway/RateLimiter")<
  RateLimiter,
  {
    /** Takes one of the key's requests of this second. Keys: an address, or one connection's id. */
    readonly take: (key: string) => Effect.Effect<void, TooManyRequests>
  }
>() {}
