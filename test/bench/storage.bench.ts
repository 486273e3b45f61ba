/** The ground under every step of the path: sealed records and the stores, against the bare library. */
import { createCipheriv, createSecretKey, randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import Sqlite from "better-sqlite3"
import { Effect, Layer, ManagedRuntime } from "effect"
import type { Bench } from "../../.ci/bench.ts"
import { Crypto } from "../../src/kernel/Crypto.ts"
import { Database, layer as databaseLayer } from "../../src/kernel/Database.ts"
import { dataDirAt } from "../support/database.ts"
import { layerCryptoMemory } from "../support/keyring.ts"

const folder = mkdtempSync(join(tmpdir(), "ai-desk-bench-"))
const runtime = ManagedRuntime.make(
  databaseLayer.pipe(Layer.provideMerge(Layer.merge(dataDirAt(folder), layerCryptoMemory)))
)
const context = await runtime.runtime()
const run = <A, E>(effect: Effect.Effect<A, E, Database | Crypto>) => Effect.runSync(Effect.provide(effect, context))
const { desk } = run(Database)
const crypto = run(Crypto)

const raw = new Sqlite(join(folder, "floor.db"))
raw.pragma("journal_mode = WAL")
raw.exec("CREATE TABLE credentials (provider TEXT PRIMARY KEY, sealed BLOB, updated_at INTEGER)")
const value = randomBytes(2048)
const insert = "INSERT INTO credentials (provider, sealed, updated_at) VALUES (?, ?, 0)"
const select = "SELECT sealed FROM credentials WHERE provider = ?"
for (let n = 0; n < 1000; n++) raw.prepare(insert).run(`p${n}`, value)
await runtime.runPromise(
  Effect.forEach(
    Array.from({ length: 1000 }, (_, n) => n),
    (n) => desk.write((db) => db.run(insert, `p${n}`, value)),
    {
      concurrency: "unbounded"
    }
  )
)
const prepared = raw.prepare(select)
const key = createSecretKey(randomBytes(32))
const place = { table: "t", row: "1", column: "c" }
const sealed = run(crypto.seal("sessions", place, value))
const times = 200
const repeat = (f: (n: number) => void) => () => {
  for (let n = 0; n < times; n++) f(n)
}

export const benches: ReadonlyArray<Bench> = [
  {
    name: "store: read a row of 2 KB by key",
    floor: { name: "the same prepared statement", run: repeat((n) => void prepared.get(`p${n}`)) },
    run: repeat((n) => Effect.runSync(desk.read((db) => db.get(select, `p${n}`)))),
    perRun: times,
    goals: { p50Ms: 0.05 }
  },
  {
    name: "crypto: seal and open 2 KB",
    floor: {
      name: "AES-256-GCM of 2 KB",
      run: repeat(() => {
        const cipher = createCipheriv("aes-256-gcm", key, randomBytes(12), { authTagLength: 16 })
        cipher.update(value)
        cipher.final()
      })
    },
    run: repeat(() => {
      Effect.runSync(crypto.seal("sessions", place, value))
      Effect.runSync(crypto.open("sessions", place, sealed))
    }),
    perRun: times,
    goals: { p50Ms: 0.1 },
    setup: () => async () => {
      await runtime.dispose()
      raw.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }
]
