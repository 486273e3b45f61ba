/**
 * Shelf: the cache's statements on cache.db. Guarantees: reads touch one row by its key; every row
 * that leaves here has the shape that was written, or counts as absent.
 */
import { Option, Schema } from "effect"
import type { Statements } from "../../kernel/Database.ts"

const Sealed = Schema.decodeUnknownOption(Schema.Struct({ sealed: Schema.Uint8ArrayFromSelf }))
const Totals = Schema.decodeUnknownOption(
  Schema.Struct({ entries: Schema.Int, expired: Schema.Int, bytes: Schema.Int })
)
const Counters = Schema.decodeUnknownOption(Schema.Struct({ hits: Schema.Int, misses: Schema.Int }))

/** Entries kept at most; the oldest go first. */
const maxRows = 50_000

export const find = (db: Statements, id: string): Option.Option<Uint8Array> =>
  Option.map(Sealed(db.get("SELECT sealed FROM cache_answers WHERE id = ?", id)), (row) => row.sealed)

export const put = (db: Statements, id: string, sealed: Uint8Array, createdAt: number, expiresAt: number): void => {
  db.run(
    `INSERT INTO cache_answers (id, sealed, created_at, expires_at) VALUES (?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE
     SET sealed = excluded.sealed, created_at = excluded.created_at, expires_at = excluded.expires_at`,
    id,
    sealed,
    createdAt,
    expiresAt
  )
}

export const remove = (db: Statements, id: string): number => db.run("DELETE FROM cache_answers WHERE id = ?", id)

export const removeExpired = (db: Statements, now: number): number =>
  db.run("DELETE FROM cache_answers WHERE expires_at <= ?", now)

/** Down to `maxRows`. */
export const trim = (db: Statements): number =>
  db.run(
    `DELETE FROM cache_answers WHERE id IN
       (SELECT id FROM cache_answers ORDER BY expires_at DESC LIMIT 1000000 OFFSET ${maxRows})`
  )

export const clear = (db: Statements): number => {
  db.run("UPDATE cache_counters SET hits = 0, misses = 0 WHERE id = 1")
  return db.run("DELETE FROM cache_answers")
}

export const count = (db: Statements, hits: number, misses: number): void => {
  db.run("UPDATE cache_counters SET hits = hits + ?, misses = misses + ? WHERE id = 1", hits, misses)
}

export const stats = (db: Statements, now: number) => {
  const totals = Totals(
    db.get(
      `SELECT COUNT(*) AS entries, COALESCE(SUM(CASE WHEN expires_at <= ? THEN 1 ELSE 0 END), 0) AS expired,
         COALESCE(SUM(LENGTH(sealed)), 0) AS bytes FROM cache_answers`,
      now
    )
  )
  const counters = Counters(db.get("SELECT hits, misses FROM cache_counters WHERE id = 1"))
  return {
    ...Option.getOrElse(totals, () => ({ entries: 0, expired: 0, bytes: 0 })),
    ...Option.getOrElse(counters, () => ({ hits: 0, misses: 0 }))
  }
}
