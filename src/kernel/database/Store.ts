/**
 * The words of the three databases: what a store offers and how it fails. Kept apart from
 * `Database.ts` so that the parts under `database/` can speak them without an import cycle.
 */
import { type Effect, Schema } from "effect"

export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  file: Schema.String,
  reason: Schema.Literal("full", "busy", "corrupt", "readonly", "newer", "missing", "io", "statement"),
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.detail}`
  }
  get fix(): string {
    switch (this.reason) {
      case "full":
        return "free some disk space; nothing was half-written"
      case "busy":
        return "another process holds the database; stop it or try again"
      case "corrupt":
      case "missing":
        return "restore the file from a backup; nothing was overwritten"
      case "readonly":
        return "make the data folder writable for this user"
      case "newer":
        return "install the newer ai-desk that wrote it; older releases do not open it"
      case "io":
        return "check the disk and the data folder's permissions, then start again"
      case "statement":
        return "this is a defect in ai-desk; please report it with the message above"
    }
  }
}

export type SqlValue = string | number | bigint | Uint8Array | null

/** Statements are prepared once and kept. Rows come back undecoded: the store decodes them by its Schema. */
export interface Statements {
  readonly get: (sql: string, ...params: ReadonlyArray<SqlValue>) => unknown
  readonly all: (sql: string, ...params: ReadonlyArray<SqlValue>) => ReadonlyArray<unknown>
  /** Returns the number of changed rows. */
  readonly run: (sql: string, ...params: ReadonlyArray<SqlValue>) => number
}

export interface Store {
  /** File name within the data folder. */
  readonly name: string
  /** Runs synchronously against the last committed state. `f` may only read. */
  readonly read: <A>(f: (db: Statements) => A) => Effect.Effect<A, DatabaseError>
  /** `fail` undoes what `f` did so far and fails the effect with a typed error. `f` must be synchronous and without other side effects: it may run again when the database was busy. */
  readonly write: <A, E = never>(
    f: (db: Statements, fail: (error: E) => never) => A,
    /** `later`: nobody waits for it, so it is committed with the next write that somebody waits for, at most 25 ms later. */
    when?: "now" | "later"
  ) => Effect.Effect<A, E | DatabaseError>
}

/** Their presence means that the folder is in use: no keyring is ever created beside them. */
export const databaseFiles = ["audit.db", "desk.db", "cache.db"] as const
