import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Chunk, Effect, FastCheck as fc, Layer, Stream, TestClock } from "effect"
import { AuditEvent, type AuditReport } from "../../src/domain/Audit.ts"
import { Audit, layer as auditLayer } from "../../src/kernel/Audit.ts"
import { clean, encode, rowHash } from "../../src/kernel/audit/Canon.ts"
import { firstKey, forward, macOf } from "../../src/kernel/audit/Head.ts"
import { Database, layer as databaseLayer } from "../../src/kernel/Database.ts"
import { Keyring, layer as keyringLayer } from "../../src/kernel/Keyring.ts"
import { dataDirAt, temporaryFolder } from "../support/database.ts"
import { masterKey, settingsWith } from "../support/keyring.ts"

const at = (folder: string) =>
  auditLayer.pipe(
    Layer.provideMerge(databaseLayer),
    Layer.provideMerge(keyringLayer),
    Layer.provideMerge(Layer.merge(dataDirAt(folder), settingsWith(masterKey)))
  )

const event = (n: number, type: AuditEvent["type"] = "tool.intended") =>
  new AuditEvent({ type, agent: `agent-${n % 3}`, run: `run-${n}`, data: { n, tool: "read_file", ok: n % 2 === 0 } })

/** Finished logs by their shape: made once, copied for each test. */
const made = new Map<string, string>()
afterAll(() => {
  for (const folder of made.values()) rmSync(folder, { recursive: true, force: true })
})
const logOf = (rows: number, every: number, rest = 0) =>
  Effect.gen(function* () {
    const shape = `${rows}/${every}/${rest}`
    let source = made.get(shape)
    if (source === undefined) {
      source = mkdtempSync(join(tmpdir(), "ai-desk-"))
      made.set(shape, source)
      cpSync(yield* makeLog(rows, every, rest), source, { recursive: true })
    }
    const folder = yield* temporaryFolder
    cpSync(source, folder, { recursive: true })
    return folder
  })

/** Rows, a checkpoint each `every`, in a folder that is closed again. */
const makeLog = (rows: number, every: number, rest: number) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    yield* Effect.gen(function* () {
      const audit = yield* Audit
      for (let n = 0; n < rows; n += every) {
        yield* Effect.forEach(
          Array.from({ length: every }, (_, index) => n + index),
          (index) => audit.append(event(index)),
          { concurrency: "unbounded" }
        )
        yield* audit.checkpoint
      }
    }).pipe(Effect.provide(at(folder)), Effect.scoped)
    if (rest > 0) {
      // Rows after the newest checkpoint, as a kill -9 leaves them: the folder is copied while it is open.
      const killed = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        for (let n = 0; n < rest; n++) yield* audit.append(event(rows + n))
        cpSync(folder, killed, { recursive: true })
      }).pipe(Effect.provide(at(folder)), Effect.scoped)
      return killed
    }
    return folder
  })

const verifyIn = (folder: string): Effect.Effect<AuditReport, unknown> =>
  Effect.flatMap(Audit, (audit) => audit.verify).pipe(Effect.provide(at(folder)), Effect.scoped)

const edit = (folder: string, f: (db: Sqlite.Database) => void) => {
  const db = new Sqlite(join(folder, "audit.db"))
  f(db)
  db.close()
}
const kinds = (report: AuditReport) => [...new Set(report.findings.map((finding) => finding.kind))].sort()

describe("Audit", () => {
  it.scoped("chains what is appended, in order, and a check finds nothing", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* TestClock.adjust("5 seconds")
        const first = yield* audit.append(event(1))
        const many = yield* Effect.forEach(
          Array.from({ length: 99 }, (_, n) => n),
          (n) => audit.append(event(n)),
          {
            concurrency: "unbounded"
          }
        )
        expect(first).toMatchObject({ seq: 1, at: 5000, prev: "0".repeat(64) })
        expect(many.map((entry) => entry.seq).sort((a, b) => a - b)).toEqual(
          Array.from({ length: 99 }, (_, n) => n + 2)
        )
        const stored = Chunk.toReadonlyArray(yield* Stream.runCollect(audit.entries))
        expect(stored).toHaveLength(100)
        stored.slice(1).forEach((entry, index) => expect(entry.prev).toBe(stored[index]!.hash))
        expect(stored[0]).toEqual(first)
        const report = yield* audit.verify
        expect(report).toMatchObject({ ok: true, entries: 100, findings: [], head: stored[99]!.hash })
      }).pipe(Effect.provide(at(folder)))
    })
  )

  it.scoped("signs the head when the scope closes, so that a later cut shows", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.flatMap(Audit, (audit) => audit.append(event(1))).pipe(Effect.provide(at(folder)), Effect.scoped)
      expect(yield* verifyIn(folder)).toMatchObject({ ok: true, entries: 1, checkpoints: 1 })
    })
  )

  it.scoped("signs after a minute and after a key event", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const lines = () =>
        existsSync(join(folder, "checkpoints.jsonl"))
          ? readFileSync(join(folder, "checkpoints.jsonl"), "utf8").split("\n").length - 1
          : 0
      const until = (count: number) =>
        Effect.async<void>((resume) => {
          const look = () => (lines() >= count ? resume(Effect.void) : setImmediate(look))
          look()
        })
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* audit.append(event(1))
        expect(lines()).toBe(0)
        yield* TestClock.adjust("61 seconds")
        yield* until(1)
        yield* TestClock.adjust("1 seconds")
        yield* audit.append(event(2, "approval.given"))
        yield* until(2)
        yield* audit.checkpoint
        yield* audit.checkpoint
        expect(lines()).toBe(2)
      }).pipe(Effect.provide(at(folder)))
    })
  )

  it.scoped("tail finds the newest that match, across many rows", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* audit.append(event(0, "config.loaded"))
        yield* Effect.forEach(
          Array.from({ length: 600 }, (_, n) => n),
          (n) => audit.append(event(n)),
          { concurrency: "unbounded" }
        )
        expect((yield* audit.tail({ limit: 3 })).map((entry) => entry.seq)).toEqual([599, 600, 601])
        expect((yield* audit.tail({ limit: 5, type: "config.loaded" })).map((entry) => entry.seq)).toEqual([1])
        expect(
          (yield* audit.tail({ limit: 2, agent: "agent-1" })).every((entry) => entry.event.agent === "agent-1")
        ).toBe(true)
        expect(yield* audit.tail({ limit: 5, since: 1 })).toEqual([])
      }).pipe(Effect.provide(at(folder)))
    })
  )

  it.scoped("keeps a note's place before what is appended next", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        for (let n = 0; n < 20; n++) {
          yield* audit.note(event(n, "message.accepted"))
          yield* audit.append(event(n))
        }
        const types = (yield* audit.tail({ limit: 100 })).map((entry) => entry.event.type)
        expect(types).toEqual(Array.from({ length: 20 }, () => ["message.accepted", "tool.intended"]).flat())
      }).pipe(Effect.provide(at(folder)))
    })
  )

  it.scoped("holds no secret and no long text, whatever a caller passes", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* audit.append(
          new AuditEvent({
            type: "model.failed",
            data: { detail: "key sk-ant-abcdefghijklmnopqrstuvwxyz", long: "x".repeat(90_000), ["__proto__"]: "p" }
          })
        )
        const [entry] = yield* audit.tail({ limit: 1 })
        expect(String(entry!.event.data["long"]).length).toBeLessThan(2100)
        expect(JSON.stringify(entry!.event.data)).not.toContain("abcdefghijklm")
        expect((yield* audit.verify).ok).toBe(true)
      }).pipe(Effect.provide(at(folder)))
      for (const name of readdirSync(folder))
        expect(readFileSync(join(folder, name)).includes("abcdefghijklm")).toBe(false)
    })
  )

  it.scoped("fails instead of announcing what it could not record; a note that failed holds up all that follows", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const { audit: store } = yield* Database
        const audit = yield* Audit
        const blocked = new Sqlite(join(folder, "audit.db"))
        blocked.exec("CREATE TRIGGER refuse BEFORE INSERT ON audit_rows BEGIN SELECT RAISE(ABORT, 'no room'); END")
        const error = yield* Effect.flip(audit.append(event(1)))
        expect(error._tag).toBe("AuditUnavailable")
        expect(error.message).toContain("no room")
        yield* audit.note(event(2, "message.accepted"))
        yield* store.write((db) => db.get("SELECT 1"))
        expect((yield* Effect.flip(audit.append(event(3))))._tag).toBe("AuditUnavailable")
        blocked.exec("DROP TRIGGER refuse")
        blocked.close()
        yield* audit.append(event(4))
        expect((yield* audit.tail({ limit: 10 })).map((entry) => entry.event.type)).toEqual([
          "message.accepted",
          "tool.intended"
        ])
      }).pipe(Effect.provide(at(folder)))
    })
  )

  it.scoped("goes on after a crash between the commit of rows and a checkpoint, and between its steps", () =>
    Effect.gen(function* () {
      const killed = yield* logOf(40, 20, 7)
      expect(yield* verifyIn(killed)).toMatchObject({ ok: true, entries: 47, checkpoints: 2 })
      // The line of a checkpoint is durable, the rest of it never happened.
      const again = yield* temporaryFolder
      const folder = yield* logOf(40, 20)
      cpSync(folder, again, { recursive: true })
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* audit.append(event(41))
        yield* audit.checkpoint
      }).pipe(Effect.provide(at(again)), Effect.scoped)
      const withRow = yield* temporaryFolder
      cpSync(folder, withRow, { recursive: true })
      const row = new Sqlite(join(again, "audit.db"))
        .prepare("SELECT * FROM audit_rows WHERE seq = 41")
        .raw()
        .get() as Array<unknown>
      edit(withRow, (db) => void db.prepare("INSERT INTO audit_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)").run(...row))
      copyFileSync(join(again, "checkpoints.jsonl"), join(withRow, "checkpoints.jsonl"))
      expect(yield* verifyIn(withRow)).toMatchObject({ ok: true, entries: 41 })
      // And the head file of before is good enough to go on.
      yield* Effect.flatMap(Audit, (audit) => audit.append(event(42))).pipe(Effect.provide(at(withRow)), Effect.scoped)
      expect(yield* verifyIn(withRow)).toMatchObject({ ok: true, entries: 42 })
      // A line torn by the crash is no forgery.
      writeFileSync(
        join(withRow, "checkpoints.jsonl"),
        `${readFileSync(join(withRow, "checkpoints.jsonl"), "utf8")}{"note":"ai-de`
      )
      expect((yield* verifyIn(withRow)).ok).toBe(true)
    })
  )

  it.scoped("two that write to one folder keep one chain", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.flatMap(Audit, (audit) => audit.append(event(0))).pipe(Effect.provide(at(folder)), Effect.scoped)
      yield* Effect.gen(function* () {
        const one = yield* Effect.map(Layer.build(Layer.fresh(at(folder))), (context) => context)
        const two = yield* Layer.build(Layer.fresh(at(folder)))
        const work = (context: typeof one, from: number) =>
          Effect.gen(function* () {
            const audit = yield* Audit
            for (let n = 0; n < 60; n++) {
              yield* audit.append(event(from + n))
              if (n % 17 === 0) yield* audit.checkpoint
            }
          }).pipe(Effect.provide(context))
        yield* Effect.all([work(one, 100), work(two, 200)], { concurrency: "unbounded" })
        const report = yield* Effect.flatMap(Audit, (audit) => audit.verify).pipe(Effect.provide(two))
        expect(report).toMatchObject({ ok: true, entries: 121, findings: [] })
      }).pipe(Effect.scoped)
      expect(yield* verifyIn(folder)).toMatchObject({ ok: true, entries: 121 })
    })
  )

  describe("catches", () => {
    type Attack = (folder: string, older: string) => void
    const rehashAll = (db: Sqlite.Database, macWith?: (hash: Uint8Array) => Uint8Array) => {
      const rows = db.prepare("SELECT seq, at, hash, canon FROM audit_rows ORDER BY seq").all() as Array<{
        seq: number
        at: number
        canon: Uint8Array
      }>
      let prev: Uint8Array = new Uint8Array(32)
      for (const row of rows) {
        const canon = row.seq === 25 ? encode(25, row.at, clean(event(999))) : row.canon
        const hash = rowHash(prev, canon)
        db.prepare("UPDATE audit_rows SET canon = ?, prev = ?, hash = ?, agent = COALESCE(?, agent) WHERE seq = ?").run(
          canon,
          prev,
          hash,
          row.seq === 25 ? "agent-0" : null,
          row.seq
        )
        if (macWith !== undefined) db.prepare("UPDATE audit_rows SET mac = ? WHERE seq = ?").run(macWith(hash), row.seq)
        prev = hash
      }
    }
    const attacks: ReadonlyArray<readonly [string, Attack, ReadonlyArray<string>]> = [
      [
        "an edited row",
        (f) =>
          edit(
            f,
            (db) =>
              void db.exec("UPDATE audit_rows SET canon = replace(canon, 'read_file', 'read_fild') WHERE seq = 25")
          ),
        ["row_changed"]
      ],
      [
        "an edited column",
        (f) => edit(f, (db) => void db.exec("UPDATE audit_rows SET type = 'tool.finished' WHERE seq = 25")),
        ["row_changed"]
      ],
      [
        "an edited time",
        (f) => edit(f, (db) => void db.exec("UPDATE audit_rows SET at = at + 1 WHERE seq = 25")),
        ["row_changed"]
      ],
      [
        "an edited row with its own hash made anew",
        (f) =>
          edit(f, (db) => {
            const { prev } = db.prepare("SELECT prev FROM audit_rows WHERE seq = 25").get() as { prev: Uint8Array }
            const canon = encode(25, 0, clean(event(24, "tool.finished")))
            db.prepare("UPDATE audit_rows SET canon = ?, type = 'tool.finished', hash = ? WHERE seq = 25").run(
              canon,
              rowHash(prev, canon)
            )
          }),
        ["chain_broken", "mac_wrong"]
      ],
      [
        "a row deleted in the middle",
        (f) => edit(f, (db) => void db.exec("DELETE FROM audit_rows WHERE seq = 25")),
        ["chain_broken", "checkpoint_wrong", "gap"]
      ],
      [
        "the first row deleted",
        (f) => edit(f, (db) => void db.exec("DELETE FROM audit_rows WHERE seq = 1")),
        ["chain_broken", "gap"]
      ],
      [
        "rows moved up over a deleted one",
        (f) =>
          edit(
            f,
            (db) =>
              void db.exec(
                "DELETE FROM audit_rows WHERE seq = 25; UPDATE audit_rows SET seq = -seq WHERE seq > 25; UPDATE audit_rows SET seq = -seq - 1 WHERE seq < 0"
              )
          ),
        ["chain_broken", "row_changed"]
      ],
      [
        "an inserted row",
        (f) =>
          edit(
            f,
            (db) =>
              void db.exec(
                "INSERT INTO audit_rows SELECT seq + 1000, at, type, agent, epoch, canon, prev, hash, mac FROM audit_rows WHERE seq = 25"
              )
          ),
        ["gap", "row_changed"]
      ],
      [
        "two rows swapped",
        (f) =>
          edit(
            f,
            (db) =>
              void db.exec(
                "UPDATE audit_rows SET seq = -1 WHERE seq = 25; UPDATE audit_rows SET seq = 25 WHERE seq = 26; UPDATE audit_rows SET seq = 26 WHERE seq = -1"
              )
          ),
        ["chain_broken", "row_changed"]
      ],
      [
        "a column of another type",
        (f) => edit(f, (db) => void db.exec("UPDATE audit_rows SET hash = 'x' WHERE seq = 25")),
        ["row_changed"]
      ],
      [
        "tail rows dropped",
        (f) => edit(f, (db) => void db.exec("DELETE FROM audit_rows WHERE seq > 35")),
        ["truncated"]
      ],
      [
        "tail rows and their checkpoints dropped",
        (f) => {
          edit(
            f,
            (db) => void db.exec("DELETE FROM audit_rows WHERE seq > 20; UPDATE audit_state SET epoch = 1, size = 20")
          )
          const file = join(f, "checkpoints.jsonl")
          writeFileSync(file, readFileSync(file, "utf8").split("\n").slice(0, 2).join("\n"))
        },
        ["rolled_back"]
      ],
      [
        "everything rehashed without a key",
        (f) => edit(f, (db) => rehashAll(db)),
        ["checkpoint_wrong", "mac_wrong", "rolled_back"]
      ],
      ["the checkpoint file deleted", (f) => rmSync(join(f, "checkpoints.jsonl")), ["missing"]],
      [
        "one checkpoint deleted",
        (f) => {
          const file = join(f, "checkpoints.jsonl")
          writeFileSync(file, readFileSync(file, "utf8").split("\n").slice(1).join("\n"))
        },
        ["checkpoint_missing"]
      ],
      [
        "a checkpoint altered",
        (f) => {
          const file = join(f, "checkpoints.jsonl")
          writeFileSync(file, readFileSync(file, "utf8").replace("log\\n20\\n", "log\\n21\\n"))
        },
        ["checkpoint_missing", "checkpoint_wrong"]
      ],
      [
        "a checkpoint of another folder",
        (f, older) => copyFileSync(join(older, "checkpoints.jsonl"), join(f, "checkpoints.jsonl")),
        ["checkpoint_missing", "checkpoint_wrong"]
      ],
      ["the head file deleted", (f) => rmSync(join(f, "audit.head")), ["missing"]],
      ["the head file replaced by nonsense", (f) => writeFileSync(join(f, "audit.head"), "x".repeat(200)), ["missing"]],
      [
        "the pin in desk.db deleted",
        (f) => {
          const db = new Sqlite(join(f, "desk.db"))
          db.exec("DELETE FROM audit_pins")
          db.close()
        },
        ["missing"]
      ]
    ]
    for (const [what, attack, expected] of attacks) {
      it.scoped(what, () =>
        Effect.gen(function* () {
          const folder = yield* logOf(40, 20)
          const foreign = yield* logOf(60, 20)
          attack(folder, foreign)
          const report = yield* verifyIn(folder)
          expect(report.ok).toBe(false)
          for (const kind of expected) expect(kinds(report)).toContain(kind)
        })
      )
    }

    it.scoped("an older audit.db put in its place, and goes on behind the gap so that it shows for ever", () =>
      Effect.gen(function* () {
        const folder = yield* logOf(20, 20)
        const older = join(yield* temporaryFolder, "audit.db")
        copyFileSync(join(folder, "audit.db"), older)
        yield* Effect.gen(function* () {
          const audit = yield* Audit
          for (let n = 0; n < 15; n++) yield* audit.append(event(n))
        }).pipe(Effect.provide(at(folder)), Effect.scoped)
        for (const end of ["-wal", "-shm"]) rmSync(join(folder, `audit.db${end}`), { force: true })
        copyFileSync(older, join(folder, "audit.db"))
        expect(kinds(yield* verifyIn(folder))).toContain("rolled_back")
        const entry = yield* Effect.flatMap(Audit, (audit) => audit.append(event(99))).pipe(
          Effect.provide(at(folder)),
          Effect.scoped
        )
        expect(entry.seq).toBe(36)
        const report = yield* verifyIn(folder)
        expect(kinds(report)).toContain("gap")
        expect(report.findings.find((finding) => finding.kind === "gap")?.detail).toBe("rows 21 to 35 are not there")
      })
    )

    it.scoped("a cut tail by each of its three witnesses alone: checkpoints, head file, desk.db", () =>
      Effect.gen(function* () {
        const folder = yield* logOf(40, 20)
        edit(folder, (db) => void db.exec("DELETE FROM audit_rows WHERE seq > 35"))
        const details = (yield* verifyIn(folder)).findings
          .filter((finding) => finding.kind === "truncated")
          .map((finding) => finding.detail)
        for (const witness of ["a checkpoint covers 40 rows", "kept in audit.head", "kept in desk.db"]) {
          expect(details.filter((detail) => detail.includes(witness))).toHaveLength(1)
        }
      })
    )

    it.scoped("audit.db deleted alone, or desk.db deleted alone: nothing is opened and nothing is made", () =>
      Effect.gen(function* () {
        for (const gone of ["audit.db", "desk.db"]) {
          const folder = yield* logOf(20, 20)
          rmSync(join(folder, gone))
          const error = yield* Effect.flip(verifyIn(folder))
          expect(error).toMatchObject({ _tag: "DatabaseError", file: gone, reason: "missing" })
          expect(existsSync(join(folder, gone))).toBe(false)
        }
      })
    )

    it.scoped("the past rewritten with the key that a running process holds", () =>
      Effect.gen(function* () {
        const folder = yield* logOf(40, 20)
        // The thief has the key of epoch 2, which no earlier key can be had from.
        const stolen = yield* Effect.map(
          Effect.flatMap(Keyring, (keyring) => keyring.auditRoot),
          (root) => forward(firstKey(root), 2)
        ).pipe(Effect.provide(at(folder)), Effect.scoped)
        edit(folder, (db) => {
          rehashAll(db, (hash) => macOf(stolen, hash))
          db.exec("UPDATE audit_rows SET epoch = 2")
        })
        const report = yield* verifyIn(folder)
        expect(kinds(report)).toContain("checkpoint_wrong")
      })
    )

    it.scoped("any one change of any row at random", () =>
      Effect.gen(function* () {
        const folder = yield* logOf(40, 20)
        const columns = ["at", "type", "agent", "epoch", "canon", "prev", "hash", "mac"] as const
        const changes = fc.sample(
          fc.tuple(
            fc.integer({ min: 1, max: 40 }),
            fc.constantFrom(...columns),
            fc.nat(),
            fc.integer({ min: 0, max: 7 })
          ),
          200
        )
        yield* Effect.gen(function* () {
          const audit = yield* Audit
          for (const [seq, column, where, bit] of changes) {
            const set = (value: unknown) =>
              edit(folder, (db) => void db.prepare(`UPDATE audit_rows SET ${column} = ? WHERE seq = ?`).run(value, seq))
            let before: unknown
            edit(folder, (db) => {
              before = db.prepare(`SELECT ${column} FROM audit_rows WHERE seq = ?`).pluck().get(seq)
            })
            const bytes = Buffer.isBuffer(before) ? Buffer.from(before) : undefined
            if (bytes !== undefined) bytes[where % bytes.length]! ^= 1 << bit
            set(bytes ?? (typeof before === "number" ? before + 1 + where : `${String(before)}x`))
            expect([column, seq, (yield* audit.verify).ok]).toEqual([column, seq, false])
            set(before)
          }
          expect((yield* audit.verify).ok).toBe(true)
        }).pipe(Effect.provide(at(folder)))
      })
    )
  })

  it.scoped("misses rows cut after the newest checkpoint, and only those: the stated bound", () =>
    Effect.gen(function* () {
      const killed = yield* logOf(20, 20, 7)
      const cut = (after: number) =>
        Effect.gen(function* () {
          const copy = yield* temporaryFolder
          cpSync(killed, copy, { recursive: true })
          edit(copy, (db) => void db.prepare("DELETE FROM audit_rows WHERE seq > ?").run(after))
          return (yield* verifyIn(copy)).ok
        })
      expect(yield* cut(21)).toBe(true)
      expect(yield* cut(20)).toBe(true)
      expect(yield* cut(19)).toBe(false)
    })
  )

  it.scoped("keeps no MAC key of an earlier epoch in any file", () =>
    Effect.gen(function* () {
      const folder = yield* logOf(40, 20)
      const root = yield* Effect.flatMap(Keyring, (keyring) => keyring.auditRoot).pipe(
        Effect.provide(at(folder)),
        Effect.scoped
      )
      for (const name of readdirSync(folder)) {
        const bytes = readFileSync(join(folder, name))
        for (const epoch of [0, 1, 2]) {
          const key = forward(firstKey(root), epoch).key.export()
          expect(
            bytes.includes(key) || bytes.includes(key.toString("hex")) || bytes.includes(key.toString("base64"))
          ).toBe(false)
        }
      }
    })
  )
})
