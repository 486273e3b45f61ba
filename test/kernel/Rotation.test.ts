import { existsSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, TestClock } from "effect"
import { AuditEvent } from "../../src/domain/Audit.ts"
import { Audit, layer as auditLayer } from "../../src/kernel/Audit.ts"
import { Credentials, layer as credentialsLayer } from "../../src/kernel/Credentials.ts"
import { Crypto, kidOf } from "../../src/kernel/Crypto.ts"
import { Database, layer as databaseLayer } from "../../src/kernel/Database.ts"
import type { Migrations } from "../../src/kernel/database/Connection.ts"
import { generateMasterKey, Keyring, layer as keyringLayer, layerCrypto } from "../../src/kernel/Keyring.ts"
import { auditMigrations } from "../../src/kernel/migrations/audit.ts"
import { cacheMigrations } from "../../src/kernel/migrations/cache.ts"
import { deskMigrations } from "../../src/kernel/migrations/desk.ts"
import { layer as rotationLayer, Rotation } from "../../src/kernel/Rotation.ts"
import { dataDirAt, layerTemporary, temporaryFolder } from "../support/database.ts"
import { masterKey, settingsWith } from "../support/keyring.ts"

const services = Layer.merge(rotationLayer, credentialsLayer).pipe(Layer.provideMerge(auditLayer))
const inMemory = services.pipe(Layer.provideMerge(Layer.merge(layerTemporary, settingsWith(null))))
const at = (folder: string, key = masterKey) =>
  services.pipe(
    Layer.provideMerge(databaseLayer),
    Layer.provideMerge(layerCrypto),
    Layer.provideMerge(keyringLayer),
    Layer.provideMerge(Layer.merge(dataDirAt(folder), settingsWith(key)))
  )

const fill = (count: number) =>
  Effect.gen(function* () {
    const crypto = yield* Crypto
    const { cache, desk } = yield* Database
    for (let n = 0; n < count; n++) {
      const provider = `p-${String(n).padStart(4, "0")}`
      const sealed = yield* crypto.seal(
        "credentials",
        { table: "credentials", row: provider, column: "sealed" },
        Buffer.from(`secret ${n}`)
      )
      yield* Effect.fork(desk.write((db) => db.run("INSERT INTO credentials VALUES (?, ?, 0)", provider, sealed)))
    }
    yield* desk.write((db) => db.get("SELECT 1"))
    const kept = yield* crypto.seal(
      "cache",
      { table: "cache_answers", row: "a", column: "sealed" },
      Buffer.from("answer")
    )
    yield* cache.write((db) =>
      db.run("INSERT INTO cache_answers (id, sealed, created_at, expires_at) VALUES ('a', ?, 0, 0)", kept)
    )
  })

/** Data key number of every stored credential. */
const kids = Effect.gen(function* () {
  const { desk } = yield* Database
  const rows = yield* desk.read((db) => db.all("SELECT sealed FROM credentials"))
  return rows.map((row) => kidOf((row as { sealed: Uint8Array }).sealed))
})
const readAll = Effect.gen(function* () {
  const credentials = yield* Credentials
  const listed = yield* credentials.list
  return yield* Effect.forEach(listed, (info) =>
    Effect.map(credentials.get(info.provider), (key) => Redacted.value(Option.getOrThrow(key)))
  )
})

describe("Rotation", () => {
  it.scoped("seals everything anew in every store, then erases the old key", () =>
    Effect.gen(function* () {
      yield* fill(450)
      const keyring = yield* Keyring
      const rotation = yield* Rotation
      const report = yield* rotation.rotateData
      expect(report).toEqual({ resealed: 451, damaged: [], retired: [1] })
      expect(new Set(yield* kids)).toEqual(new Set([2]))
      expect([...(yield* keyring.keys).data.keys()]).toEqual([2])
      expect(yield* readAll).toEqual(Array.from({ length: 450 }, (_, n) => `secret ${n}`))
      const { cache } = yield* Database
      const crypto = yield* Crypto
      const row = (yield* cache.read((db) => db.get("SELECT sealed FROM cache_answers"))) as { sealed: Uint8Array }
      expect(
        Buffer.from(
          yield* crypto.open("cache", { table: "cache_answers", row: "a", column: "sealed" }, row.sealed)
        ).toString()
      ).toBe("answer")
      const events = (yield* (yield* Audit).tail({ limit: 5 })).map((entry) => entry.event.data["step"])
      expect(events).toEqual(["begun", "finished"])
    }).pipe(Effect.provide(inMemory))
  )

  it.scoped("goes on where it was cut short, and does not begin another", () =>
    Effect.gen(function* () {
      yield* fill(30)
      const keyring = yield* Keyring
      const rotation = yield* Rotation
      expect(yield* rotation.resume).toEqual({ resealed: 0, damaged: [], retired: [] })
      // As a kill leaves it: the new key is there, some values are sealed anew, most are not.
      yield* keyring.addDataKey
      const { desk } = yield* Database
      const crypto = yield* Crypto
      const place = { table: "credentials", row: "p-0003", column: "sealed" }
      const fresh = yield* crypto.seal("credentials", place, Buffer.from("secret 3"))
      yield* desk.write((db) => db.run("UPDATE credentials SET sealed = ? WHERE provider = 'p-0003'", fresh))
      expect(yield* readAll).toHaveLength(30)
      expect(yield* rotation.rotateData).toEqual({ resealed: 30, damaged: [], retired: [1] })
      expect((yield* keyring.keys).active).toBe(2)
      expect(yield* readAll).toEqual(Array.from({ length: 30 }, (_, n) => `secret ${n}`))
    }).pipe(Effect.provide(inMemory))
  )

  it.scoped("keeps the old key while a value under it cannot be opened, and leaves that value alone", () =>
    Effect.gen(function* () {
      yield* fill(3)
      const { desk } = yield* Database
      const keyring = yield* Keyring
      const rotation = yield* Rotation
      yield* desk.write((db) => db.run("UPDATE credentials SET provider = 'moved' WHERE provider = 'p-0001'"))
      const report = yield* rotation.rotateData
      expect(report).toEqual({ resealed: 3, damaged: ["credentials.sealed of moved"], retired: [] })
      expect([...(yield* keyring.keys).data.keys()]).toEqual([1, 2])
      yield* desk.write((db) => db.run("UPDATE credentials SET provider = 'p-0001' WHERE provider = 'moved'"))
      expect(yield* rotation.resume).toEqual({ resealed: 1, damaged: [], retired: [1] })
      expect(yield* readAll).toEqual(["secret 0", "secret 1", "secret 2"])
    }).pipe(Effect.provide(inMemory))
  )

  it.scoped("never loses a value that is written while it goes on", () =>
    Effect.gen(function* () {
      yield* fill(400)
      const credentials = yield* Credentials
      const rotation = yield* Rotation
      const [report] = yield* Effect.all(
        [
          rotation.rotateData,
          Effect.forEach(
            Array.from({ length: 40 }, (_, n) => n * 10),
            (n) => credentials.set(`p-${String(n).padStart(4, "0")}`, Redacted.make(`fresh-key-${n}`))
          )
        ],
        { concurrency: "unbounded" }
      )
      expect(report.damaged).toEqual([])
      expect(new Set(yield* kids)).toEqual(new Set([2]))
      const values = yield* readAll
      values.forEach((value, n) => expect(value).toBe(n % 10 === 0 ? `fresh-key-${n}` : `secret ${n}`))
    }).pipe(Effect.provide(inMemory))
  )

  it.scoped("with a real keyring: data, fingerprints and the audit log survive both rotations and a restart", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const next = yield* generateMasterKey
      const before = yield* Effect.gen(function* () {
        yield* fill(5)
        const rotation = yield* Rotation
        const listed = yield* (yield* Credentials).list
        yield* rotation.rotateData
        yield* rotation.changeMasterKey(next)
        yield* rotation.rotateData
        expect((yield* (yield* Audit).verify).ok).toBe(true)
        return listed
      }).pipe(Effect.provide(at(folder)), Effect.scoped)
      expect(existsSync(`${folder}/keyring.json`)).toBe(true)
      const after = yield* Effect.gen(function* () {
        expect((yield* (yield* Audit).verify).ok).toBe(true)
        return yield* (yield* Credentials).list
      }).pipe(Effect.provide(at(folder, next)), Effect.scoped)
      expect(after).toEqual(before)
    })
  )

  it.scoped("says how much the active key has sealed, rather too much, and begins anew with a new key", () =>
    Effect.gen(function* () {
      yield* fill(30)
      const rotation = yield* Rotation
      const audit = yield* Audit
      const limit = 2 ** 31
      expect(yield* rotation.sealedEstimate).toEqual({ kid: 3, sealed: 31, limit })
      for (let n = 0; n < 5; n++) yield* audit.append(new AuditEvent({ type: "gateway.started", data: {} }))
      expect(yield* rotation.sealedEstimate).toEqual({ kid: 3, sealed: 31 + 5 * 4, limit })
      yield* TestClock.adjust("1 second")
      yield* rotation.rotateData
      // Everything anew, and the two entries of the rotation.
      expect(yield* rotation.sealedEstimate).toEqual({ kid: 4, sealed: 31 + 2 * 4, limit })
    }).pipe(Effect.provide(Layer.unwrapScoped(Effect.map(temporaryFolder, (folder) => at(folder)))))
  )

  it.scoped("knows every binary column of every database: sealed, or declared plain", () =>
    Effect.gen(function* () {
      const database = yield* Database
      const all: ReadonlyArray<readonly [typeof database.desk, Migrations]> = [
        [database.desk, deskMigrations],
        [database.audit, auditMigrations],
        [database.cache, cacheMigrations]
      ]
      for (const [store, migrations] of all) {
        const declared = Object.values(migrations).flatMap((migration) => [
          ...(migration.sealed ?? []).map(({ column, table }) => `${table}.${column}`),
          ...(migration.plainBlobs ?? [])
        ])
        const found = yield* store.read((db) =>
          db.all(
            "SELECT m.name || '.' || c.name AS place FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.type = 'BLOB'"
          )
        )
        expect([store.name, ...found.map((row) => (row as { place: string }).place).sort()]).toEqual([
          store.name,
          ...[...declared].sort()
        ])
      }
    }).pipe(Effect.provide(layerTemporary))
  )
})
