/**
 * Kept answers, sealed. `id` is a keyed fingerprint of everything that shaped the answer. The one
 * row of `cache_counters` counts hits and misses since the cache was created or cleared.
 */
import type { Migration } from "../database/Connection.ts"

export const responseCache: Migration = {
  tables: ["cache_answers", "cache_counters"],
  sealed: [{ table: "cache_answers", keys: ["id"], column: "sealed", purpose: "cache" }],
  statements: [
    `CREATE TABLE cache_answers (
      id TEXT PRIMARY KEY NOT NULL,
      sealed BLOB NOT NULL,
      created_at BIGINT NOT NULL,
      expires_at BIGINT NOT NULL
    )`,
    "CREATE INDEX cache_answers_expiry ON cache_answers (expires_at)",
    "CREATE TABLE cache_counters (id BIGINT PRIMARY KEY NOT NULL, hits BIGINT NOT NULL, misses BIGINT NOT NULL)",
    "INSERT INTO cache_counters (id, hits, misses) VALUES (1, 0, 0)"
  ]
}
