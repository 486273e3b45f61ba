/** Cache: how often it helped, and emptying it. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { CacheStats } from "../domain/Cache.ts"
import { GroundFailed } from "./failures.ts"

const Removed = Schema.Struct({ removed: Schema.Int })

export const CacheGroup = HttpApiGroup.make("cache")
  .add(HttpApiEndpoint.get("stats", "/api/cache").addSuccess(CacheStats).addError(GroundFailed))
  .add(HttpApiEndpoint.post("clear", "/api/cache/clear").addSuccess(Removed).addError(GroundFailed))
  .add(HttpApiEndpoint.post("purge", "/api/cache/purge").addSuccess(Removed).addError(GroundFailed))

export const CacheApi = HttpApi.make("ai-desk").add(CacheGroup)
