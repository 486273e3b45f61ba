/**
 * Database: the three SQLite files of the data folder. `audit.db` and `desk.db` commit with
 * synchronous=FULL (an acknowledged write survives power loss), `cache.db` with NORMAL.
 *
 * Guarantees: `write` returns after the commit; writes of fibers that arrive together share one
 * commit (group commit), each in its own savepoint, so one refusal undoes only itself; a failed
 * commit fails every write in it; no statement outside this folder opens a transaction; a database
 * of a newer release is refused untouched; a new file appears under its name only when complete, so
 * an empty or half file is damage and is never silently replaced.
 */
import { chmodSync, closeSync, existsSync, fsyncSync, linkSync, openSync, readdirSync, rmSync, statSync } from "node:fs"
import { basename, dirname } from "node:path"
import Sqlite from "better-sqlite3"
import { Context, Effect, Layer, type Scope } from "effect"
import { DataDir } from "./DataDir.ts"
import { isStorageFailure, type Migrations, openExisting, type Sync, toDatabaseError } from "./database/Connection.ts"
import * as GroupCommit from "./database/GroupCommit.ts"
import { DatabaseError, type Store } from "./database/Store.ts"
import { isAlive } from "./DurableFile.ts"
import { Keyring } from "./Keyring.ts"
import { auditMigrations } from "./migrations/audit.ts"
import { cacheMigrations } from "./migrations/cache.ts"
import { deskMigrations } from "./migrations/desk.ts"

export { DatabaseError, databaseFiles, type SqlValue, type Statements, type Store } from "./database/Store.ts"

export class Database extends Context.Tag("ai-desk/kernel/Database")<
  Database,
  {
    readonly desk: Store
    readonly audit: Store
    /** When the file cannot be opened, every use fails with the reason; desk and audit go on. */
    readonly cache: Store
  }
>() {}

const attempt = <A>(file: string, f: () => A): Effect.Effect<A, DatabaseError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(f())
    } catch (cause) {
      return isStorageFailure(cause) ? Effect.fail(toDatabaseError(file, cause)) : Effect.die(cause)
    }
  })

const importMigrate = Effect.promise(() => import("./database/Migrate.ts"))

const syncPath = (path: string): void => {
  const fd = openSync(path, "r")
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Removes what a creation that was killed left behind. A living process' file is left alone. */
const sweep = (path: string): void => {
  const prefix = `${basename(path)}.new-`
  for (const name of readdirSync(dirname(path))) {
    if (!name.startsWith(prefix)) continue
    const pid = Number.parseInt(name.slice(prefix.length), 10)
    if (!isAlive(pid)) rmSync(`${dirname(path)}/${name}`, { force: true })
  }
}

let creations = 0

/** Builds the file aside and links it into place; of two processes doing so, the first wins and both go on with its file. */
const create = (path: string, migrations: Migrations) =>
  Effect.gen(function* () {
    const file = basename(path)
    const fresh = `${path}.new-${process.pid}-${creations++}`
    yield* attempt(file, () => {
      sweep(path)
      // Left by an earlier process that had our id.
      rmSync(fresh, { force: true })
      closeSync(openSync(fresh, "wx", 0o600))
      chmodSync(fresh, 0o600)
    })
    const { migrate } = yield* importMigrate
    yield* migrate(file, fresh, migrations, { wal: false })
    yield* attempt(file, () => {
      const db = new Sqlite(fresh, { fileMustExist: true })
      db.pragma("journal_mode = WAL")
      db.close()
      syncPath(fresh)
      try {
        linkSync(fresh, path)
      } catch (cause) {
        if (!(cause instanceof Error && "code" in cause && cause.code === "EEXIST")) throw cause
      }
      syncPath(dirname(path))
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          for (const end of ["", "-wal", "-shm", "-journal"]) rmSync(`${fresh}${end}`, { force: true })
        })
      )
    )
  })

const open = (path: string, sync: Sync, migrations: Migrations): Effect.Effect<Sqlite.Database, DatabaseError> =>
  Effect.gen(function* () {
    const file = basename(path)
    if (!existsSync(path)) yield* create(path, migrations)
    // Twice behind means that another process held the lock while we tried; its steps are ours.
    for (let tries = 0; tries < 3; tries++) {
      const { db, behind } = yield* attempt(file, () => openExisting(path, sync, migrations))
      if (!behind) return db
      db.close()
      const { migrate } = yield* importMigrate
      yield* migrate(file, path, migrations, { wal: true })
    }
    return yield* new DatabaseError({ file, reason: "busy", detail: "another process keeps it from being migrated" })
  })

/** Opens one file of the folder as a store, for as long as the scope lives. */
export const openStore = (
  path: string,
  sync: Sync,
  migrations: Migrations
): Effect.Effect<Store, DatabaseError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(open(path, sync, migrations), (db) => GroupCommit.make(basename(path), db)),
    (store) => store.close
  )

const unavailable = (name: string, error: DatabaseError): Store => ({
  name,
  read: () => Effect.fail(error),
  write: () => Effect.fail(error)
})

const gone = (file: string, other: string) =>
  new DatabaseError({ file, reason: "missing", detail: `the file is gone although ${other} is there` })

/** The audit log is created first and stays empty until desk.db is there: only a first start that was killed leaves it so. */
const auditIsEmpty = (path: string) =>
  Effect.acquireUseRelease(
    attempt("audit.db", () => openExisting(path, "FULL", auditMigrations).db),
    (db) => attempt("audit.db", () => db.prepare("SELECT 1 FROM audit_rows LIMIT 1").get() === undefined),
    (db) => Effect.sync(() => db.close())
  )

const make = Effect.gen(function* () {
  // Asked for only to come after it: with a wrong or missing master key no database is opened or made.
  yield* Keyring
  const dir = yield* DataDir
  const auditPath = dir.file("audit.db")
  const deskPath = dir.file("desk.db")
  yield* attempt(basename(dir.path), () => statSync(dir.path))
  if (existsSync(deskPath) && !existsSync(auditPath)) return yield* gone("audit.db", "desk.db")
  if (existsSync(auditPath) && !existsSync(deskPath) && !(yield* auditIsEmpty(auditPath))) {
    return yield* gone("desk.db", "audit.db")
  }
  const audit = yield* openStore(auditPath, "FULL", auditMigrations)
  const desk = yield* openStore(deskPath, "FULL", deskMigrations)
  const cache = yield* openStore(dir.file("cache.db"), "NORMAL", cacheMigrations).pipe(
    Effect.catchTag("DatabaseError", (error) =>
      Effect.as(
        Effect.logWarning(`answers are not cached: ${error.message}; ${error.fix}`),
        unavailable("cache.db", error)
      )
    )
  )
  return { audit, desk, cache }
})

export const layer: Layer.Layer<Database, DatabaseError, DataDir | Keyring> = Layer.scoped(Database, make)
