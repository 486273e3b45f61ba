/** What kill -9 and several processes at once leave of the audit log and of new databases. */
import { spawn } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Layer, Stream } from "effect"
import { AuditEvent } from "../../src/domain/Audit.ts"
import { Audit, layer as auditLayer } from "../../src/kernel/Audit.ts"
import { layer as databaseLayer } from "../../src/kernel/Database.ts"
import { layer as keyringLayer } from "../../src/kernel/Keyring.ts"
import { dataDirAt, temporaryFolder } from "../support/database.ts"
import { masterKey, settingsWith } from "../support/keyring.ts"

const at = (folder: string) =>
  auditLayer.pipe(
    Layer.provideMerge(databaseLayer),
    Layer.provideMerge(keyringLayer),
    Layer.provideMerge(Layer.merge(dataDirAt(folder), settingsWith(masterKey)))
  )
const verifyIn = (folder: string) =>
  Effect.flatMap(Audit, (audit) => audit.verify).pipe(Effect.provide(at(folder)), Effect.scoped)
const appendIn = (folder: string) =>
  Effect.flatMap(Audit, (audit) => audit.append(new AuditEvent({ type: "gateway.started", data: {} }))).pipe(
    Effect.provide(at(folder)),
    Effect.scoped
  )

interface Ended {
  readonly code: number | null
  readonly acknowledged: ReadonlyArray<number>
  readonly errors: string
}

const script = join(import.meta.dirname, "processes/appendAudit.ts")
// Starting is most of what this file does.
const env = { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, "../../node_modules/.cache/compiled") }

/** Runs the script; `killAt` kills it with SIGKILL once it has printed that many lines. */
const append = (
  folder: string,
  count: number,
  fibers: number,
  name: string,
  { killAt = Number.POSITIVE_INFINITY, notes = 0 } = {}
) =>
  Effect.async<Ended>((resume) => {
    const child = spawn(process.execPath, [script, folder, String(count), String(fibers), name, String(notes)], {
      env,
      stdio: ["ignore", "pipe", "pipe"]
    })
    let out = ""
    let errors = ""
    child.stdout.on("data", (bytes: Buffer) => {
      out += bytes.toString()
      if (out.split("\n").length > killAt) child.kill("SIGKILL")
    })
    child.stderr.on("data", (bytes: Buffer) => {
      errors += bytes.toString()
    })
    child.on("close", (code) => {
      // A line that the kill cut short was not acknowledged.
      const acknowledged = out
        .split("\n")
        .slice(0, -1)
        .filter((line) => line !== "ready")
        .map(Number)
      resume(Effect.succeed({ code, acknowledged, errors }))
    })
  })

const rowsIn = (folder: string) => {
  const db = new Sqlite(join(folder, "audit.db"), { readonly: true })
  const seqs = db.prepare("SELECT seq FROM audit_rows ORDER BY seq").pluck().all().map(Number)
  db.close()
  return seqs
}

describe("kill -9", () => {
  it.scoped("loses no acknowledged row, and the log verifies and goes on", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (const killAt of [3, 120]) {
        const ended = yield* append(folder, 5000, 20, "victim", { killAt })
        expect(ended.code).toBeNull()
        const rows = new Set(rowsIn(folder))
        expect(ended.acknowledged.length).toBeGreaterThan(0)
        expect(ended.acknowledged.filter((seq) => !rows.has(seq))).toEqual([])
        expect(yield* verifyIn(folder)).toMatchObject({ ok: true, findings: [] })
      }
      const before = rowsIn(folder).length
      expect((yield* appendIn(folder)).seq).toBe(before + 1)
    })
  )

  it.scoped("loses no note before an acknowledged entry, and none in the middle", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { acknowledged, code } = yield* append(folder, 5000, 1, "victim", { killAt: 40, notes: 3 })
      expect(code).toBeNull()
      const kept = yield* Effect.flatMap(Audit, (audit) => Stream.runCollect(audit.entries)).pipe(
        Effect.provide(at(folder)),
        Effect.scoped
      )
      const places = Array.from(kept, ({ event: { data } }) => [data["n"], data["k"]])
      expect(places).toEqual(places.map((_, index) => [Math.floor(index / 4), index % 4 === 3 ? undefined : index % 4]))
      // Only entries are printed: each the fourth of its group.
      expect(acknowledged).toEqual(acknowledged.map((_, index) => index * 4 + 4))
      expect(places.length).toBeGreaterThanOrEqual(acknowledged.at(-1) ?? Number.NaN)
    })
  )

  it.scoped("four processes on one folder, one of them killed, keep one whole chain", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* appendIn(folder)
      const ended = yield* Effect.all(
        ["a", "b", "c", "d"].map((name) => append(folder, 120, 30, name, name === "d" ? { killAt: 40 } : {})),
        { concurrency: "unbounded" }
      )
      expect(ended.slice(0, 3).map(({ code, errors }) => [code, errors])).toEqual([
        [0, ""],
        [0, ""],
        [0, ""]
      ])
      const acknowledged = ended.flatMap((each) => each.acknowledged)
      expect(new Set(acknowledged).size).toBe(acknowledged.length)
      const rows = rowsIn(folder)
      expect(rows).toEqual(rows.map((_, index) => index + 1))
      const present = new Set(rows)
      expect(acknowledged.filter((seq) => !present.has(seq))).toEqual([])
      expect(yield* verifyIn(folder)).toMatchObject({ ok: true, findings: [], entries: rows.length })
    })
  )

  it.scoped("while a folder is first made: the next start finds it whole or makes it, and leaves no scraps", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const steps = ["audit.db", "desk.db", "audit.head"]
      for (const step of steps) {
        const child = spawn(process.execPath, [script, folder, "0", "1", "x"], { env, stdio: "ignore" })
        yield* Effect.async<void>((resume) => {
          child.on("close", () => resume(Effect.void))
          const watch = () => {
            const appeared = readdirSync(folder).some((name) => name.startsWith(step))
            if (appeared) child.kill("SIGKILL")
            else if (child.exitCode === null && child.signalCode === null) setTimeout(watch, 1)
          }
          watch()
        })
      }
      expect(yield* verifyIn(folder)).toMatchObject({ ok: true, entries: 0 })
      expect(yield* appendIn(folder)).toMatchObject({ seq: 1 })
      expect(existsSync(join(folder, "desk.db"))).toBe(true)
      expect(readdirSync(folder).filter((name) => name.includes(".new-"))).toEqual([])
    })
  )
})
