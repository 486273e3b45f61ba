/** The response cache as a person sees it. */
import { Schema } from "effect"

export class CacheStats extends Schema.Class<CacheStats>("CacheStats")({
  enabled: Schema.Boolean,
  entries: Schema.Int,
  expired: Schema.Int,
  /** Of sealed answers on disk. */
  bytes: Schema.Int,
  /** Since the cache was created or cleared. */
  hits: Schema.Int,
  misses: Schema.Int
}) {}
