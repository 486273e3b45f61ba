/** Entries that announce nothing: cheap, yet in their place, visible to every reader, and lost only at the very end. */
import { describe, expect, it, vi } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Chunk, Effect, Layer, Stream } from "effect"
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
const noted = (n: number) => new AuditEvent({ type: "message.accepted", data: { n } })
const rowsIn = (folder: string) => {
  const db = new Sqlite(`${folder}/audit.db`, { readonly: true })
  const count = db.prepare("SELECT COUNT(*) FROM audit_rows").pluck().get()
  db.close()
  return count
}
/** Makes every insert fail until the returned function is called. */
const refuseRows = (folder: string) => {
  const db = new Sqlite(`${folder}/audit.db`)
  db.exec("CREATE TRIGGER refuse BEFORE INSERT ON audit_rows BEGIN SELECT RAISE(ABORT, 'no room'); END")
  return () => {
    db.exec("DROP TRIGGER refuse")
    db.close()
  }
}

describe("a note", () => {
  it.scoped("is seen by every reader that comes after it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* audit.note(noted(1))
        expect((yield* audit.tail({ limit: 9 })).map((entry) => entry.event.data["n"])).toEqual([1])
        yield* audit.note(noted(2))
        expect(Chunk.size(yield* Stream.runCollect(audit.entries))).toBe(2)
        yield* audit.note(noted(3))
        expect(yield* audit.verify).toMatchObject({ ok: true, entries: 3 })
        yield* audit.note(noted(4))
        yield* audit.checkpoint
        expect(rowsIn(folder)).toBe(4)
        expect(yield* audit.verify).toMatchObject({ ok: true, entries: 4, checkpoints: 1 })
      }).pipe(Effect.provide(at(folder)))
    })
  )

  it.scoped("waits for company and is committed with the entry that follows", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* audit.append(noted(0))
        yield* Effect.acquireRelease(
          Effect.sync(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })),
          () => Effect.sync(() => vi.useRealTimers())
        )
        yield* audit.note(noted(1))
        yield* audit.note(noted(2))
        yield* Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))
        expect(rowsIn(folder)).toBe(1)
        yield* audit.append(noted(3))
        expect(rowsIn(folder)).toBe(4)
        expect((yield* audit.tail({ limit: 9 })).map((entry) => entry.event.data["n"])).toEqual([0, 1, 2, 3])
      }).pipe(Effect.scoped, Effect.provide(at(folder)))
    })
  )

  it.scoped("made just before the end is kept and signed", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.flatMap(Audit, (audit) => audit.note(noted(1))).pipe(Effect.provide(at(folder)), Effect.scoped)
      const report = yield* Effect.flatMap(Audit, (audit) => audit.verify).pipe(
        Effect.provide(at(folder)),
        Effect.scoped
      )
      expect(report).toMatchObject({ ok: true, entries: 1, checkpoints: 1 })
    })
  )

  it.scoped(
    "that could not be written comes first, in order, once it can: before an entry, a note, or at the end",
    () =>
      Effect.gen(function* () {
        for (const last of ["entry", "note", "end"]) {
          const folder = yield* temporaryFolder
          yield* Effect.gen(function* () {
            const audit = yield* Audit
            const allow = refuseRows(folder)
            yield* audit.note(noted(1))
            yield* audit.note(noted(2))
            expect(yield* audit.tail({ limit: 9 })).toEqual([])
            yield* audit.note(noted(3))
            expect((yield* Effect.flip(audit.append(noted(4)))).message).toContain("no room")
            allow()
            if (last === "entry") yield* audit.append(noted(5))
            if (last === "note") yield* audit.note(noted(5))
          }).pipe(Effect.provide(at(folder)), Effect.scoped)
          const kept = yield* Effect.flatMap(Audit, (audit) => audit.tail({ limit: 9 })).pipe(
            Effect.provide(at(folder)),
            Effect.scoped
          )
          expect([last, kept.map((entry) => entry.event.data["n"])]).toEqual([
            last,
            last === "end" ? [1, 2, 3] : [1, 2, 3, 5]
          ])
        }
      })
  )
})
