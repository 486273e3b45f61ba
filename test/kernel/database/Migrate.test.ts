/** What kill -9 leaves of a migration of an existing database, at each of its statements. */
import { spawn } from "node:child_process"
import { copyFileSync, existsSync, statSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { openStore } from "../../../src/kernel/Database.ts"
import { temporaryFolder } from "../../support/database.ts"
import { beforeStatements, newer, older } from "../processes/migrateHalf.ts"

const rows = 20
const few = 100
const many = 20_000

const oldDatabase = Effect.gen(function* () {
  const path = join(yield* temporaryFolder, "a.db")
  yield* Effect.scoped(
    Effect.flatMap(openStore(path, "FULL", older), (store) =>
      store.write((db) => {
        for (let id = 0; id < rows; id++) db.run("INSERT INTO things VALUES (?, 'n')", id)
      })
    )
  )
  return path
})

/** Opens it with the newer schema: each step was applied exactly once, and nothing is damaged. */
const isWhole = (path: string, at: string, bulk: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* openStore(path, "FULL", newer(bulk))
      const found = yield* store.read((db) => [
        db.get("SELECT COUNT(*) AS n, MIN(name) AS low, MAX(name) AS high FROM things"),
        db.get("SELECT COUNT(*) AS n FROM more"),
        db.get("SELECT COUNT(*) AS n FROM last"),
        db.all("SELECT migration_id AS id FROM migrations ORDER BY id"),
        db.all("SELECT * FROM pragma_integrity_check")
      ])
      expect([at, ...found]).toEqual([
        at,
        { n: rows, low: "n!", high: "n!" },
        { n: bulk },
        { n: 0 },
        [{ id: 1 }, { id: 2 }, { id: 3 }],
        [{ integrity_check: "ok" }]
      ])
    })
  )

const copy = (from: string, to: string): void => {
  for (const end of ["", "-wal"]) if (existsSync(`${from}${end}`)) copyFileSync(`${from}${end}`, `${to}${end}`)
}

describe("a migration", () => {
  it.scoped("killed at any statement leaves the old schema or the new one, and the next start ends it", () =>
    Effect.gen(function* () {
      const path = yield* oldDatabase
      const shelf = yield* temporaryFolder
      const copies: Array<readonly [sql: string, path: string]> = []
      const end = beforeStatements((sql) => {
        const to = join(shelf, `${copies.length}.db`)
        copies.push([sql, to])
        copy(path, to)
      })
      yield* Effect.scoped(openStore(path, "FULL", newer(few))).pipe(Effect.ensuring(Effect.sync(end)))
      const steps = Object.values(newer(few)).flatMap((migration) => migration.statements)
      const seen = copies.map(([sql]) => sql)
      expect(steps.slice(1).filter((sql) => !seen.includes(sql))).toEqual([])
      for (const [sql, to] of copies) {
        // Before the commit it is still what the release before knows.
        if (sql.startsWith("CREATE TABLE last")) {
          const old = join(shelf, "old.db")
          copy(to, old)
          yield* Effect.scoped(
            Effect.flatMap(openStore(old, "FULL", older), (store) =>
              Effect.map(
                store.read((db) => db.get("SELECT MAX(name) AS name FROM things")),
                (row) => expect(row).toEqual({ name: "n" })
              )
            )
          )
        }
        yield* isWhole(to, sql, few)
      }
      yield* isWhole(path, "the end", few)
    })
  )

  it.scoped("killed for real, with a part of it in the file already, is done whole by the next start", () =>
    Effect.gen(function* () {
      const path = yield* oldDatabase
      const signal = yield* Effect.async<NodeJS.Signals | null>((resume) => {
        const script = join(import.meta.dirname, "../processes/migrateHalf.ts")
        const child = spawn(process.execPath, [script, path, String(many)], { stdio: ["ignore", "ignore", "inherit"] })
        child.on("close", (_, by) => resume(Effect.succeed(by)))
      })
      expect(signal).toBe("SIGKILL")
      expect(statSync(`${path}-wal`).size).toBeGreaterThan(500_000)
      yield* isWhole(path, "kill -9", many)
    })
  )
})
