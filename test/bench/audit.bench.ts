/** Durable audit appends, and checking the log, against the same work without its guarantees. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import Sqlite from "better-sqlite3"
import { Effect, Layer, ManagedRuntime } from "effect"
import type { Bench } from "../../.ci/bench.ts"
import { AuditEvent } from "../../src/domain/Audit.ts"
import { Audit, layer as auditLayer } from "../../src/kernel/Audit.ts"
import { sha256 } from "../../src/kernel/Crypto.ts"
import { layer as databaseLayer } from "../../src/kernel/Database.ts"
import { layer as keyringLayer } from "../../src/kernel/Keyring.ts"
import { dataDirAt } from "../support/database.ts"
import { masterKey, settingsWith } from "../support/keyring.ts"

const concurrent = 500
const rows = 20_000

const open = () => {
  const folder = mkdtempSync(join(tmpdir(), "ai-desk-bench-"))
  const runtime = ManagedRuntime.make(
    auditLayer.pipe(
      Layer.provideMerge(databaseLayer),
      Layer.provideMerge(keyringLayer),
      Layer.provideMerge(Layer.merge(dataDirAt(folder), settingsWith(masterKey)))
    )
  )
  const raw = new Sqlite(join(folder, "floor.db"))
  raw.pragma("journal_mode = WAL")
  raw.pragma("synchronous = FULL")
  raw.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
  const insert = raw.prepare("INSERT INTO t (body) VALUES (?)")
  const close = async () => {
    await runtime.dispose()
    raw.close()
    rmSync(folder, { recursive: true, force: true })
  }
  return { runtime, raw, insert, close }
}

const body = Buffer.alloc(300, 7)
const event = new AuditEvent({
  type: "tool.intended",
  agent: "researcher",
  session: "sess-01JD0000000000000000000000",
  run: "run-01JD0000000000000000000000",
  data: { tool: "read_file", call: "call_abcdef", callHash: "0123456789abcdef".repeat(4) }
})
const append = Effect.flatMap(Audit, (audit) => audit.append(event))
const appendMany = (count: number) =>
  Effect.flatMap(Audit, (audit) =>
    Effect.forEach(Array.from({ length: count }), () => audit.append(event), {
      concurrency: "unbounded",
      discard: true
    })
  )

const single = open()
const grouped = open()
const checked = open()
await single.runtime.runPromise(append)
await grouped.runtime.runPromise(append)

export const benches: ReadonlyArray<Bench> = [
  {
    name: "audit: one durable append",
    floor: { name: "one row in one synced transaction", run: () => single.insert.run(body) },
    run: () => single.runtime.runPromise(append),
    rounds: 200,
    setup: () => single.close
  },
  {
    name: `audit: durable appends, ${concurrent} at once`,
    floor: {
      name: "as many rows in one synced transaction",
      run: () => grouped.raw.transaction(() => Array.from({ length: concurrent }, () => grouped.insert.run(body)))()
    },
    run: () => grouped.runtime.runPromise(appendMany(concurrent)),
    perRun: concurrent,
    rounds: 30,
    goals: { perSecond: 5000 },
    setup: () => grouped.close
  },
  {
    name: "audit: rows verified",
    floor: {
      name: "SHA-256 of as many rows",
      run: () => {
        for (let n = 0; n < rows; n++) sha256(body)
      }
    },
    run: () => checked.runtime.runPromise(Effect.flatMap(Audit, (audit) => audit.verify)),
    perRun: rows,
    rounds: 5,
    warmup: 1,
    goals: { perSecond: 15_000 },
    setup: async () => {
      for (let n = 0; n < rows; n += 1000) await checked.runtime.runPromise(appendMany(1000))
      await checked.runtime.runPromise(Effect.flatMap(Audit, (audit) => audit.checkpoint))
      return checked.close
    }
  }
]
