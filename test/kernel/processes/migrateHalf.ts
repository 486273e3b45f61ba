/**
 * Run as a process of its own: `node migrateHalf.ts PATH BULK`. Opens the database, which brings it to the
 * newer schema, and kills itself with SIGKILL before the last step, when a part too large for memory is
 * in the file already.
 */
import Sqlite from "better-sqlite3"
import { Effect } from "effect"
import { openStore } from "../../../src/kernel/Database.ts"
import type { Migrations } from "../../../src/kernel/database/Connection.ts"

export const older: Migrations = {
  "0001_things": { tables: ["things"], statements: ["CREATE TABLE things (id BIGINT PRIMARY KEY, name TEXT)"] }
}

/** Fills a table with so many rows of 1 KB. Of 20,000 SQLite, which keeps 16 MB in memory, writes a part before the commit. */
export const newer = (bulk: number): Migrations => ({
  ...older,
  "0002_more": {
    tables: ["more"],
    statements: [
      "CREATE TABLE more (id BIGINT PRIMARY KEY, bulk BLOB)",
      `INSERT INTO more WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ${bulk}) SELECT id, zeroblob(1000) FROM n`,
      "UPDATE things SET name = name || '!'"
    ]
  },
  "0003_last": { tables: ["last"], statements: ["CREATE TABLE last (id BIGINT PRIMARY KEY)"] }
})

/** Calls `f` before each statement that anything in this process prepares from now on; returns what ends that. */
export const beforeStatements = (f: (sql: string) => void): (() => void) => {
  const { prepare } = Sqlite.prototype
  Sqlite.prototype.prepare = new Proxy(prepare, {
    apply: (target, self, args) => {
      f(String(args[0]))
      return Reflect.apply(target, self, args)
    }
  })
  return () => {
    Sqlite.prototype.prepare = prepare
  }
}

if (import.meta.main) {
  beforeStatements((sql) => {
    if (sql.startsWith("CREATE TABLE last")) process.kill(process.pid, "SIGKILL")
  })
  await Effect.runPromise(Effect.scoped(openStore(process.argv[2] ?? "", "FULL", newer(Number(process.argv[3])))))
}
