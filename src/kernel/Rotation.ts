/**
 * Rotation: changes what everything at rest is encrypted with, while it stays readable.
 *
 * Guarantees: a kill at any point leaves every value readable, and the next rotation (or `resume`)
 * goes on where it stopped; an old data key is erased only after no sealed column of any store holds
 * a value under it; a value that cannot be opened is left as it is and keeps its key alive. The
 * caller holds the data folder's writer lock, so that no other process still seals with the old key.
 */
import { Context, Effect, Layer, type Redacted, Schema } from "effect"
import { AuditEvent, type AuditUnavailable } from "../domain/Audit.ts"
import { Audit } from "./Audit.ts"
import { Crypto, type Kid } from "./Crypto.ts"
import { Database, type DatabaseError, type SqlValue, type Store } from "./Database.ts"
import type { Migrations, SealedColumn } from "./database/Connection.ts"
import { Keyring, type KeyringError } from "./Keyring.ts"
import { auditMigrations } from "./migrations/audit.ts"
import { cacheMigrations } from "./migrations/cache.ts"
import { deskMigrations } from "./migrations/desk.ts"

export class RotationReport extends Schema.Class<RotationReport>("RotationReport")({
  /** Values sealed anew under the active key. */
  resealed: Schema.Int,
  /** Values that could not be opened, as `table.column of row`. While there are any, their key is kept. */
  damaged: Schema.Array(Schema.String),
  /** Numbers of the data keys that were erased. */
  retired: Schema.Array(Schema.Int)
}) {}

/**
 * With random 96-bit nonces one key must not seal more than 2^32 values (NIST SP 800-38D); at half of
 * that it is time for `ai-desk key rotate --data`.
 */
export const sealLimit = 2 ** 31

export interface SealedEstimate {
  readonly kid: Kid
  /** How many values this key has sealed, rather too many than too few. */
  readonly sealed: number
  /** Rotate before `sealed` reaches it. */
  readonly limit: number
}

export type RotationError = DatabaseError | KeyringError | AuditUnavailable

export class Rotation extends Context.Tag("ai-desk/kernel/Rotation")<
  Rotation,
  {
    /** A new data key, everything sealed anew under it, the old key erased. Goes on with a rotation that was cut short instead of beginning another. */
    readonly rotateData: Effect.Effect<RotationReport, RotationError>
    /** Finishes a rotation that was cut short; does nothing when there is none. */
    readonly resume: Effect.Effect<RotationReport, RotationError>
    /** Of the active data key. Counts rows, so it takes as long as reading through all tables. */
    readonly sealedEstimate: Effect.Effect<SealedEstimate, DatabaseError>
    /** Wraps the data keys under another master key. Touches no data; the old master key opens nothing afterwards. */
    readonly changeMasterKey: (next: Redacted.Redacted<string>) => Effect.Effect<void, KeyringError | AuditUnavailable>
  }
>() {}

/** Values read, opened and sealed between two commits: a few milliseconds of work. */
const batch = 200

/**
 * Nothing counts seals one by one. But what is sealed is also recorded: a message, an answer, a tool
 * call or a credential has at most two values for each audit entry. Doubled, for values sealed in vain.
 */
const sealsPerEntry = 4

const columnsOf = (migrations: Migrations): ReadonlyArray<SealedColumn> =>
  Object.values(migrations).flatMap((migration) => migration.sealed ?? [])

const isValue = (value: unknown): value is SqlValue =>
  typeof value === "string" || typeof value === "number" || value instanceof Uint8Array

/** As it stands in a record: bytes 3 to 6. */
const kidBytes = (kid: Kid): Uint8Array => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(kid)
  return bytes
}

const nextTurn: Effect.Effect<void> = Effect.async((resume) => {
  setImmediate(() => resume(Effect.void))
})

const make = Effect.gen(function* () {
  const keyring = yield* Keyring
  const crypto = yield* Crypto
  const audit = yield* Audit
  const { audit: auditStore, cache, desk } = yield* Database

  const stores: ReadonlyArray<readonly [Store, ReadonlyArray<SealedColumn>]> = [
    [desk, columnsOf(deskMigrations)],
    [auditStore, columnsOf(auditMigrations)],
    [cache, columnsOf(cacheMigrations)]
  ]

  /** Seals every value of one column anew that is not under the active key. */
  const sweepColumn = (store: Store, { column, keys, purpose, table }: SealedColumn, active: Uint8Array) =>
    Effect.gen(function* () {
      const names = keys.join(", ")
      const marks = keys.map(() => "?").join(", ")
      const old = `${column} IS NOT NULL AND substr(${column}, 3, 4) <> ?`
      const first = `SELECT ${names}, ${column} AS sealed_value FROM ${table} WHERE ${old} ORDER BY ${names} LIMIT ${batch}`
      const next = `SELECT ${names}, ${column} AS sealed_value FROM ${table} WHERE ${old} AND (${names}) > (${marks}) ORDER BY ${names} LIMIT ${batch}`
      // Compared with what was read, so that a value written meanwhile is never overwritten.
      const update = `UPDATE ${table} SET ${column} = ? WHERE ${keys.map((key) => `${key} = ?`).join(" AND ")} AND ${column} = ?`
      const damaged: Array<string> = []
      let resealed = 0
      let after: ReadonlyArray<SqlValue> | undefined
      for (;;) {
        const from = after
        const rows = yield* store.read((db) =>
          from === undefined ? db.all(first, active) : db.all(next, active, ...from)
        )
        const changes: Array<readonly [fresh: Uint8Array, key: ReadonlyArray<SqlValue>, stale: Uint8Array]> = []
        for (const row of rows) {
          const fields = new Map(Object.entries(row ?? {}))
          const key = keys.map((name) => fields.get(name)).filter(isValue)
          const sealed = fields.get("sealed_value")
          const address = { table, row: key.map(String).join("/"), column }
          after = key
          if (!(sealed instanceof Uint8Array)) {
            damaged.push(`${table}.${column} of ${address.row}`)
            continue
          }
          const opened = yield* Effect.either(crypto.open(purpose, address, sealed))
          if (opened._tag === "Left") damaged.push(`${table}.${column} of ${address.row}`)
          else changes.push([yield* crypto.seal(purpose, address, opened.right), key, sealed])
        }
        if (changes.length > 0) {
          resealed += yield* store.write((db) =>
            changes.reduce((sum, [fresh, key, stale]) => sum + db.run(update, fresh, ...key, stale), 0)
          )
        }
        if (rows.length < batch) return { resealed, damaged }
        yield* nextTurn
      }
    })

  const sweep = Effect.gen(function* () {
    const { active } = yield* keyring.keys
    let resealed = 0
    const damaged: Array<string> = []
    // The second pass finds what was written under the old key while the first one went by.
    for (let pass = 0; pass < 2; pass++) {
      damaged.length = 0
      for (const [store, columns] of stores) {
        for (const column of columns) {
          const done = yield* sweepColumn(store, column, kidBytes(active))
          resealed += done.resealed
          damaged.push(...done.damaged)
        }
      }
    }
    const old = (yield* keyring.info).keys.filter((key) => key.state === "decrypt-only").map((key) => key.kid)
    const retired = damaged.length === 0 ? old : []
    yield* Effect.forEach(retired, (kid) => keyring.retire(kid), { discard: true })
    yield* audit.append(
      new AuditEvent({
        type: "key.rotated",
        data: { what: "data", step: "finished", active, resealed, damaged: damaged.length, retired: retired.join(",") }
      })
    )
    return new RotationReport({ resealed, damaged, retired })
  })

  const countOf = (store: Store, from: string, ...params: ReadonlyArray<SqlValue>) =>
    Effect.map(
      store.read((db) => db.get(`SELECT COUNT(*) AS n FROM ${from}`, ...params)),
      (row) => Number(Object.values(row ?? {})[0])
    )

  const sealedEstimate = Effect.gen(function* () {
    const { active: kid } = yield* keyring.keys
    const since = (yield* keyring.info).keys.find((key) => key.kid === kid)?.createdAt ?? 0
    let sealed = sealsPerEntry * (yield* countOf(auditStore, "audit_rows WHERE at >= ?", since))
    // A rotation seals everything anew without an entry for each.
    for (const [store, columns] of stores) {
      for (const { column, table } of columns) {
        sealed += yield* countOf(store, `${table} WHERE substr(${column}, 3, 4) = ?`, kidBytes(kid))
        yield* nextTurn
      }
    }
    return { kid, sealed, limit: sealLimit }
  })

  const unfinished = Effect.map(keyring.info, (info) => info.keys.some((key) => key.state === "decrypt-only"))
  const turn = yield* Effect.makeSemaphore(1)

  return Rotation.of({
    rotateData: Effect.gen(function* () {
      if (!(yield* unfinished)) {
        yield* audit.append(new AuditEvent({ type: "key.rotated", data: { what: "data", step: "begun" } }))
        yield* keyring.addDataKey
      }
      return yield* sweep
    }).pipe(turn.withPermits(1), Effect.withSpan("Rotation.rotateData")),
    resume: Effect.gen(function* () {
      return (yield* unfinished) ? yield* sweep : new RotationReport({ resealed: 0, damaged: [], retired: [] })
    }).pipe(turn.withPermits(1), Effect.withSpan("Rotation.resume")),
    sealedEstimate: Effect.withSpan(sealedEstimate, "Rotation.sealedEstimate"),
    changeMasterKey: (next) =>
      Effect.gen(function* () {
        yield* audit.append(new AuditEvent({ type: "key.rotated", data: { what: "master", step: "begun" } }))
        yield* keyring.changeMasterKey(next)
      }).pipe(turn.withPermits(1), Effect.withSpan("Rotation.changeMasterKey"))
  })
})

export const layer: Layer.Layer<Rotation, never, Keyring | Crypto | Audit | Database> = Layer.effect(Rotation, make)
