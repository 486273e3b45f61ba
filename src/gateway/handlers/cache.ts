/** Answers the cache group. Emptying the cache is recorded; looking is not. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { CacheApi } from "../../contract/cache.ts"
import { AuditEvent } from "../../domain/Audit.ts"
import { owner } from "../../domain/Ids.ts"
import { Audit } from "../../kernel/Audit.ts"
import { ResponseCache } from "../../model/ResponseCache.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(CacheApi, "cache", (handlers) =>
  Effect.gen(function* () {
    const cache = yield* ResponseCache
    const audit = yield* Audit
    const cleared = AuditEvent.make({ type: "cache.cleared", principal: owner, data: {} })
    return handlers
      .handle("stats", () => ground(cache.stats))
      .handle("clear", () =>
        ground(
          Effect.map(Effect.zipRight(audit.append(cleared), cache.clear), (removed) => ({ removed }))
        )
      )
      .handle("purge", () => ground(Effect.map(cache.purge, (removed) => ({ removed }))))
  })
)
