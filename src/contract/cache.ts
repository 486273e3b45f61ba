/** Cache: how often it helped, and emptying it. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { CacheStats } from "../domain/Cache.ts"
import { Owns, Reads } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

const Removed = Schema.Struct({ removed: Schema.Int })

export const CacheGroup = HttpApiGroup.make("cache")
  .annotateContext(about("Answers given before."))
  .add(
    HttpApiEndpoint.get("stats", "/dashboard/api/cache")
      .middleware(Reads)
      .annotateContext(about("Show how often the cache helped"))
      .addSuccess(CacheStats)
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("clear", "/dashboard/api/cache/clear")
      .middleware(Owns)
      .annotateContext(about("Remove every cached answer"))
      .addSuccess(Removed)
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("purge", "/dashboard/api/cache/purge")
      .middleware(Owns)
      .annotateContext(about("Remove expired answers only"))
      .addSuccess(Removed)
      .addError(worded(GroundFailed))
  )

export const CacheApi = base.add(CacheGroup)
