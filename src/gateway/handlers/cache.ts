/** Answers the cache group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { CacheApi } from "../../contract/cache.ts"
import { ResponseCache } from "../../model/ResponseCache.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(CacheApi, "cache", (handlers) =>
  Effect.map(ResponseCache, (cache) =>
    handlers
      .handle("stats", () => ground(cache.stats))
      .handle("clear", () => ground(Effect.map(cache.clear, (removed) => ({ removed }))))
      .handle("purge", () => ground(Effect.map(cache.purge, (removed) => ({ removed }))))
  )
)
