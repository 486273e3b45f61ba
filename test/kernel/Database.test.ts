import { chmodSync, existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Exit, Fiber, Layer, Option } from "effect"
import { Database, layer as databaseLayer, openStore } from "../../src/kernel/Database.ts"
import type { Migrations } from "../../src/kernel/database/Connection.ts"
import { dataDirAt, layerTemporary, temporaryFolder } from "../support/database.ts"
import { layerMemory } from "../support/keyring.ts"

const things: Migrations = {
  "0001_things": { tables: ["things"], statements: ["CREATE TABLE things (id BIGINT PRIMARY KEY, name TEXT UNIQUE)"] }
}
const more: Migrations = {
  ...things,
  "0002_more": {
    tables: ["more"],
    statements: ["CREATE TABLE more (id BIGINT PRIMARY KEY)", "INSERT INTO more VALUES (7)"]
  }
}

const insert = "INSERT INTO things VALUES (?, ?)"
const count = "SELECT COUNT(*) AS n FROM things"

const mode = (path: string) => statSync(path).mode & 0o777

/** Counts commits of `path` by SQLite's own change counter for other connections. */
const dataVersion = (watcher: Sqlite.Database) => Number(watcher.pragma("data_version", { simple: true }))

describe("Database", () => {
  it.scoped("creates the three files with mode 0600 under any umask, also the -wal and -shm", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const before = process.umask(0)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(before)))
      yield* Effect.gen(function* () {
        const db = yield* Database
        yield* db.desk.write((s) => s.run("INSERT INTO credentials VALUES ('x', x'00', 1)"))
        for (const name of readdirSync(folder)) expect([name, mode(join(folder, name))]).toEqual([name, 0o600])
        assert.deepStrictEqual(
          readdirSync(folder).filter((name) => !/^(audit|desk|cache)\.db(-wal|-shm)?$/.test(name)),
          []
        )
        expect(existsSync(join(folder, "desk.db-wal"))).toBe(true)
      }).pipe(Effect.provide(databaseLayer.pipe(Layer.provide(Layer.merge(dataDirAt(folder), layerMemory)))))
    })
  )

  it.scoped("tightens the mode of a file that others could read", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.db")
      yield* Effect.scoped(openStore(path, "FULL", things))
      chmodSync(path, 0o644)
      yield* openStore(path, "FULL", things)
      expect(mode(path)).toBe(0o600)
    })
  )

  it.scoped("syncs desk and audit fully, the cache normally", () =>
    Effect.gen(function* () {
      const db = yield* Database
      const level = (store: typeof db.desk) => store.read((s) => s.get("SELECT * FROM pragma_synchronous"))
      expect(yield* level(db.desk)).toEqual({ synchronous: 2 })
      expect(yield* level(db.audit)).toEqual({ synchronous: 2 })
      expect(yield* level(db.cache)).toEqual({ synchronous: 1 })
      expect(yield* db.desk.read((s) => s.get("SELECT * FROM pragma_secure_delete"))).toEqual({ secure_delete: 1 })
      expect(yield* db.desk.read((s) => s.get("SELECT * FROM pragma_trusted_schema"))).toEqual({ trusted_schema: 0 })
    }).pipe(Effect.provide(layerTemporary))
  )

  it.scoped("commits what arrives together once; one refusal undoes only itself", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.db")
      const store = yield* openStore(path, "FULL", things)
      const watcher = new Sqlite(path)
      yield* Effect.addFinalizer(() => Effect.sync(() => watcher.close()))
      const before = dataVersion(watcher)
      const exits = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, id) => id),
        (id) =>
          Effect.exit(
            store.write<number, "odd">((s, fail) => {
              s.run(insert, id, `n${id}`)
              return id % 10 === 3 ? fail("odd") : id
            })
          ),
        { concurrency: "unbounded" }
      )
      expect(dataVersion(watcher)).toBe(before + 1)
      exits.forEach((exit, id) => expect(exit).toEqual(id % 10 === 3 ? Exit.fail("odd") : Exit.succeed(id)))
      expect(yield* store.read((s) => s.get(count))).toEqual({ n: 90 })
    })
  )

  it.scoped("a constraint that fails is an error of that write alone, a defect dies alone", () =>
    Effect.gen(function* () {
      const store = yield* openStore(join(yield* temporaryFolder, "a.db"), "FULL", things)
      const [ok, clash, defect] = yield* Effect.all(
        [
          Effect.exit(store.write((s) => s.run(insert, 1, "a"))),
          Effect.exit(store.write((s) => s.run(insert, 2, "a"))),
          Effect.exit(
            store.write((s) => {
              s.run(insert, 3, "c")
              throw new TypeError("defect")
            })
          )
        ],
        { concurrency: "unbounded" }
      )
      expect(ok).toEqual(Exit.succeed(1))
      expect(clash).toMatchObject({ cause: { error: { _tag: "DatabaseError", reason: "statement" } } })
      expect(defect).toMatchObject({ cause: { _tag: "Die" } })
      expect(yield* store.read((s) => s.all("SELECT id FROM things"))).toEqual([{ id: 1 }])
    })
  )

  it.scoped("a write is carried out although its fiber is interrupted", () =>
    Effect.gen(function* () {
      const store = yield* openStore(join(yield* temporaryFolder, "a.db"), "FULL", things)
      const fiber = yield* Effect.fork(store.write((s) => s.run(insert, 1, "a")))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      expect(yield* store.read((s) => s.get(count))).toEqual({ n: 1 })
    })
  )

  it.scoped("waits for another process without blocking the event loop, then runs the write again", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.db")
      const store = yield* openStore(path, "FULL", things)
      const other = new Sqlite(path)
      yield* Effect.addFinalizer(() => Effect.sync(() => other.close()))
      other.exec("BEGIN IMMEDIATE")
      const fiber = yield* Effect.fork(store.write((s) => s.run(insert, 1, "a")))
      let turns = 0
      while (turns < 50) {
        yield* Effect.async<void>((resume) => void setTimeout(() => resume(Effect.void), 1))
        turns += 1
      }
      expect(Option.isNone(yield* Fiber.poll(fiber))).toBe(true)
      other.exec("COMMIT")
      expect(yield* Fiber.join(fiber)).toBe(1)
    })
  )

  it.scoped("refuses SQL that would leave the transaction, and writes in a read", () =>
    Effect.gen(function* () {
      const store = yield* openStore(join(yield* temporaryFolder, "a.db"), "FULL", things)
      for (const sql of [
        "COMMIT",
        " begin",
        "PRAGMA synchronous = OFF",
        "DROP TABLE things",
        "ATTACH 'x' AS y",
        "VACUUM"
      ]) {
        const error = yield* Effect.flip(store.write((s) => s.run(sql)))
        expect([sql, error.reason]).toEqual([sql, "statement"])
      }
      const error = yield* Effect.flip(store.read((s) => s.run(insert, 1, "a")))
      expect(error.reason).toBe("statement")
      expect(yield* store.read((s) => s.get(count))).toEqual({ n: 0 })
    })
  )

  it.scoped("is readable and refuses every further write once a sync failed", () =>
    Effect.gen(function* () {
      const store = yield* openStore(join(yield* temporaryFolder, "a.db"), "FULL", things)
      yield* store.write((s) => s.run(insert, 1, "a"))
      const disk = Object.assign(new Sqlite.SqliteError("disk I/O error", "SQLITE_IOERR_FSYNC"))
      const first = yield* Effect.flip(
        store.write(() => {
          throw disk
        })
      )
      expect(first.reason).toBe("io")
      const second = yield* Effect.flip(store.write((s) => s.run(insert, 2, "b")))
      expect(second.message).toContain("read-only since a write failed")
      expect(yield* store.read((s) => s.get(count))).toEqual({ n: 1 })
    })
  )

  it.scoped("a full disk fails the write, keeps what was acknowledged, and works again when there is room", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.db")
      const store = yield* openStore(path, "FULL", things)
      yield* store.write((s) => s.run(insert, 1, "a"))
      const full = Object.assign(new Sqlite.SqliteError("database or disk is full", "SQLITE_FULL"))
      const batch = yield* Effect.all(
        [
          Effect.flip(store.write((s) => s.run(insert, 2, "b"))),
          Effect.flip(
            store.write(() => {
              throw full
            })
          )
        ],
        { concurrency: "unbounded" }
      )
      expect(batch.map((error) => error.reason)).toEqual(["full", "full"])
      expect(yield* store.read((s) => s.get(count))).toEqual({ n: 1 })
      yield* store.write((s) => s.run(insert, 2, "b"))
      expect(yield* store.read((s) => s.get(count))).toEqual({ n: 2 })
    })
  )

  it.scoped("brings an older schema forward and keeps its rows", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.db")
      yield* Effect.scoped(
        Effect.flatMap(openStore(path, "FULL", things), (store) => store.write((s) => s.run(insert, 1, "a")))
      )
      const store = yield* openStore(path, "FULL", more)
      expect(yield* store.read((s) => s.get(count))).toEqual({ n: 1 })
      expect(yield* store.read((s) => s.all("SELECT id FROM more"))).toEqual([{ id: 7 }])
    })
  )

  it.scoped("a migration that fails leaves the old schema whole and says which file", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.db")
      yield* Effect.scoped(openStore(path, "FULL", things))
      const bad: Migrations = {
        ...things,
        "0002_bad": { tables: ["half"], statements: ["CREATE TABLE half (id BIGINT)", "CREATE TABLE nonsense ("] }
      }
      const error = yield* Effect.flip(openStore(path, "FULL", bad))
      expect(error.message).toContain("a.db: migration failed")
      const store = yield* openStore(path, "FULL", things)
      expect(yield* store.read((s) => s.all("SELECT name FROM sqlite_master WHERE name = 'half'"))).toEqual([])
    })
  )

  it.scoped("two that open a new or an old folder at once both get it", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "a.db")
      for (const migrations of [things, more]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const stores = yield* Effect.all(
              Array.from({ length: 4 }, () => openStore(path, "FULL", migrations)),
              { concurrency: "unbounded" }
            )
            for (const store of stores) yield* store.write((s) => s.run("DELETE FROM things"))
          })
        )
      }
      expect(readdirSync(join(path, "..")).filter((name) => name.includes("new"))).toEqual([])
    })
  )

  describe("refuses, and changes no byte of,", () => {
    const cases: ReadonlyArray<readonly [string, (path: string) => void, string, Migrations]> = [
      ["an empty file", (path) => truncateSync(path, 0), "corrupt", things],
      ["a cut file", (path) => truncateSync(path, 100), "corrupt", things],
      ["a file that is no database", (path) => writeFileSync(path, "hello ".repeat(2000)), "corrupt", things],
      [
        "a database with a damaged first page",
        (path) => {
          const bytes = readFileSync(path)
          bytes.fill(0xaa, 100, 4096)
          writeFileSync(path, bytes)
        },
        "corrupt",
        things
      ],
      [
        "a database without its table",
        (path) => {
          const db = new Sqlite(path)
          db.exec("DROP TABLE things")
          db.close()
        },
        "corrupt",
        things
      ],
      [
        "somebody else's database",
        (path) => {
          const db = new Sqlite(path)
          db.exec("DROP TABLE migrations")
          db.close()
        },
        "corrupt",
        things
      ]
    ]
    for (const [what, damage, reason, migrations] of cases) {
      it.scoped(what, () =>
        Effect.gen(function* () {
          const path = join(yield* temporaryFolder, "a.db")
          yield* Effect.scoped(openStore(path, "FULL", migrations))
          damage(path)
          const bytes = readFileSync(path)
          const error = yield* Effect.flip(openStore(path, "FULL", migrations))
          expect(error.reason).toBe(reason)
          expect(error.message).toContain("a.db: ")
          expect(error.fix).not.toBe("")
          expect(readFileSync(path).equals(bytes)).toBe(true)
        })
      )
    }

    it.scoped("a database of a newer release", () =>
      Effect.gen(function* () {
        const path = join(yield* temporaryFolder, "a.db")
        yield* Effect.scoped(openStore(path, "FULL", more))
        const bytes = readFileSync(path)
        const error = yield* Effect.flip(openStore(path, "FULL", things))
        expect(error.reason).toBe("newer")
        expect(error.message).toContain("version 2, this release knows 1")
        expect(readFileSync(path).equals(bytes)).toBe(true)
      })
    )
  })

  it.scoped("goes on without a cache that cannot be opened, and says why on use", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "cache.db"), "no database".repeat(100))
      const database = databaseLayer.pipe(Layer.provide(Layer.merge(dataDirAt(folder), layerMemory)))
      const error = yield* Effect.flatMap(Database, (db) => Effect.flip(db.cache.read((s) => s.get("SELECT 1")))).pipe(
        Effect.provide(database)
      )
      expect(error).toMatchObject({ file: "cache.db", reason: "corrupt" })
    })
  )
})
