/**
 * One raw SQLite connection of a data folder file: how it is opened, prepared and how its failures
 * are named.
 *
 * Guarantees: a file that is empty, foreign, damaged or of a newer release is refused before
 * anything is written to it; statements are prepared once per SQL text; no caller's SQL can open,
 * end or bypass a transaction, or change a pragma.
 */
import { accessSync, chmodSync, closeSync, constants, lstatSync, openSync, readSync } from "node:fs"
import { basename } from "node:path"
import Sqlite from "better-sqlite3"
import type { Purpose } from "../Crypto.ts"
import { DatabaseError, type SqlValue, type Statements } from "./Store.ts"

export type Sync = "FULL" | "NORMAL"

/** A column whose values were made by `Crypto.seal` under the address {table, keys joined by "/", column}. A rotation of data keys seals it anew. */
export interface SealedColumn {
  readonly table: string
  readonly keys: readonly [string, ...ReadonlyArray<string>]
  readonly column: string
  readonly purpose: Purpose
}

/** A schema step: plain SQL, so that a start that has nothing to migrate imports no migration library. */
export interface Migration {
  /** Tables that exist once the step was applied. One of them missing later means damage. */
  readonly tables: ReadonlyArray<string>
  /** Every sealed column it creates. One that is left out would be lost at the next rotation, so a test asks for it. */
  readonly sealed?: ReadonlyArray<SealedColumn>
  /** Binary columns, as `table.column`, that hold nothing sealed by a data key. */
  readonly plainBlobs?: ReadonlyArray<string>
  readonly statements: ReadonlyArray<string>
}

/** Keyed `0001_name`; ids count up without reuse. */
export type Migrations = Readonly<Record<string, Migration>>

export const migrationsTable = "migrations"

/** How long SQLite itself may block the event loop for a lock before the wait turns asynchronous, milliseconds. */
const busyTimeoutMs = 2
/** While opening there is nothing else to keep responsive yet. */
const openTimeoutMs = 5000

const latestKnown = (migrations: Migrations): number =>
  Object.keys(migrations).reduce((latest, key) => Math.max(latest, Number.parseInt(key, 10)), 0)

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : ""

/** True for what SQLite or the file system reported, as opposed to a defect in our own code. */
export const isStorageFailure = (cause: unknown): boolean =>
  cause instanceof DatabaseError || cause instanceof Sqlite.SqliteError || /^E[A-Z]+$/.test(codeOf(cause))

/** What SQLite says when a full disk has no place for the index of the write-ahead log. */
const noRoomForIndex = "SQLITE_IOERR_SHMSIZE"

const reasonOf = (code: string): DatabaseError["reason"] => {
  if (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED")) return "busy"
  if (code === "SQLITE_FULL" || code === noRoomForIndex || code === "ENOSPC" || code === "EDQUOT") return "full"
  if (code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB") return "corrupt"
  if (code.startsWith("SQLITE_READONLY") || code === "EACCES" || code === "EPERM" || code === "EROFS") return "readonly"
  if (code.startsWith("SQLITE_IOERR") || code.startsWith("SQLITE_CANTOPEN") || /^E[A-Z]+$/.test(code)) return "io"
  return "statement"
}

/** SQLite's messages name tables and columns, never values. */
export const toDatabaseError = (file: string, cause: unknown): DatabaseError => {
  if (cause instanceof DatabaseError) return cause
  const code = codeOf(cause)
  const said = cause instanceof Error ? cause.message : "failed"
  const text = code === noRoomForIndex ? "disk is full" : said
  return new DatabaseError({ file, reason: reasonOf(code), detail: code === "" ? text : `${text} (${code})` })
}

const corrupt = (path: string, detail: string) => new DatabaseError({ file: basename(path), reason: "corrupt", detail })

const header = Buffer.from("SQLite format 3\0", "latin1")

/** Throws unless the path is a regular, writable file that begins like an SQLite database. */
const inspect = (path: string): void => {
  const stat = lstatSync(path)
  if (!stat.isFile()) throw corrupt(path, "it is not a regular file")
  if (stat.size === 0) throw corrupt(path, "the file is empty; a database was there")
  if (stat.size < 512) throw corrupt(path, `the file is cut to ${stat.size} bytes`)
  const fd = openSync(path, "r")
  try {
    const start = Buffer.alloc(header.length)
    readSync(fd, start, 0, header.length, 0)
    if (!start.equals(header)) throw corrupt(path, "it is not an SQLite database")
  } finally {
    closeSync(fd)
  }
  // SQLite would fall back to a read-only connection without a word and fail at the first write.
  accessSync(path, constants.R_OK | constants.W_OK)
  if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o600)
}

const tablesOf = (db: Sqlite.Database): ReadonlySet<string> =>
  new Set(db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all().map(String))

/**
 * Opens an existing file and says whether its schema is behind. Throws DatabaseError when it must
 * not be used; then nothing was written.
 */
export const openExisting = (
  path: string,
  sync: Sync,
  migrations: Migrations
): { readonly db: Sqlite.Database; readonly behind: boolean } => {
  const file = basename(path)
  let db: Sqlite.Database | undefined
  try {
    inspect(path)
    db = new Sqlite(path, { fileMustExist: true, timeout: openTimeoutMs })
    db.pragma("trusted_schema = OFF")
    db.pragma("cell_size_check = ON")
    const tables = tablesOf(db)
    if (!tables.has(migrationsTable)) throw corrupt(path, "its table of schema versions is missing")
    const applied = Number(db.prepare(`SELECT COALESCE(MAX(migration_id), 0) FROM ${migrationsTable}`).pluck().get())
    const known = latestKnown(migrations)
    if (applied > known) {
      throw new DatabaseError({
        file,
        reason: "newer",
        detail: `its schema is version ${applied}, this release knows ${known}`
      })
    }
    for (const [key, migration] of Object.entries(migrations)) {
      if (Number.parseInt(key, 10) > applied) continue
      const missing = migration.tables.find((table) => !tables.has(table))
      if (missing !== undefined) throw corrupt(path, `its table ${missing} is missing`)
    }
    if (db.pragma("journal_mode", { simple: true }) !== "wal") db.pragma("journal_mode = WAL")
    db.pragma(`synchronous = ${sync}`)
    db.pragma("foreign_keys = ON")
    db.pragma("secure_delete = ON")
    db.pragma("temp_store = MEMORY")
    db.pragma("journal_size_limit = 67108864")
    db.pragma(`busy_timeout = ${busyTimeoutMs}`)
    return { db, behind: applied < known }
  } catch (cause) {
    db?.close()
    throw isStorageFailure(cause) ? toDatabaseError(file, cause) : cause
  }
}

const forbidden =
  /^\s*(begin|commit|end|rollback|savepoint|release|attach|detach|vacuum|pragma|create|drop|alter|reindex)\b/i

/** `reader` refuses whatever would write; `writer` is for use inside the transaction of a batch. */
export const statementsOf = (
  file: string,
  db: Sqlite.Database
): { readonly reader: Statements; readonly writer: Statements } => {
  const prepared = new Map<string, Sqlite.Statement>()
  const prepare = (sql: string, readOnly: boolean): Sqlite.Statement => {
    let statement = prepared.get(sql)
    if (statement === undefined) {
      if (forbidden.test(sql)) {
        throw new DatabaseError({ file, reason: "statement", detail: `not allowed here: ${sql.trim().slice(0, 40)}` })
      }
      statement = db.prepare(sql)
      prepared.set(sql, statement)
    }
    if (readOnly && !statement.readonly) {
      throw new DatabaseError({ file, reason: "statement", detail: `a read may not write: ${sql.trim().slice(0, 40)}` })
    }
    return statement
  }
  const make = (readOnly: boolean): Statements => ({
    get: (sql: string, ...params: ReadonlyArray<SqlValue>) => prepare(sql, readOnly).get(...params),
    all: (sql: string, ...params: ReadonlyArray<SqlValue>) => prepare(sql, readOnly).all(...params),
    run: (sql: string, ...params: ReadonlyArray<SqlValue>) => prepare(sql, readOnly).run(...params).changes
  })
  return { reader: make(true), writer: make(false) }
}
