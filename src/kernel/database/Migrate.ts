/**
 * Brings a database file to this release's schema, by @effect/sql's Migrator. Imported only when a
 * schema is behind, so that an ordinary start does not pay for it.
 *
 * Guarantees: all outstanding steps are applied in one transaction, so a kill at any point leaves
 * the old schema or the new one; two processes that migrate at once do not harm each other.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import { fromRecord, make as makeMigrator } from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import { make as makeClient } from "@effect/sql-sqlite-node/SqliteClient"
import { Cause, Effect, Exit } from "effect"
import { type Migrations, migrationsTable, toDatabaseError } from "./Connection.ts"
import { DatabaseError } from "./Store.ts"

const run = makeMigrator({})

const rootCause = (cause: unknown): unknown =>
  typeof cause === "object" && cause !== null && "cause" in cause && cause.cause !== undefined
    ? rootCause(cause.cause)
    : cause

/** `file` names it in messages; `path` is where it stands. */
export const migrate = (
  file: string,
  path: string,
  migrations: Migrations,
  options: { readonly wal: boolean }
): Effect.Effect<void, DatabaseError> => {
  const record = Object.fromEntries(
    Object.entries(migrations).map(([key, migration]) => [
      key,
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* Effect.forEach(migration.statements, (statement) => sql.unsafe(statement), { discard: true })
      })
    ])
  )
  return Effect.gen(function* () {
    const client = yield* makeClient({ filename: path, disableWAL: !options.wal })
    yield* run({ loader: fromRecord(record), table: migrationsTable }).pipe(
      Effect.provideService(SqlClient.SqlClient, client)
    )
  }).pipe(
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.exit,
    Effect.flatMap((exit) => {
      if (Exit.isSuccess(exit)) return Effect.void
      // The migrator turns a failed step into a defect; to the person it is a failure of this file.
      const error = toDatabaseError(file, rootCause(Cause.squash(exit.cause)))
      return error.reason === "busy"
        ? Effect.void
        : Effect.fail(new DatabaseError({ file, reason: error.reason, detail: `migration failed: ${error.detail}` }))
    })
  )
}
