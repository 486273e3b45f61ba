/**
 * The audit rows and the state of the MAC key's ratchet. `canon` is the row as it was hashed; the
 * columns beside it only serve queries and are checked against it. `audit_state` has one row: the
 * current epoch and the sealed key of that epoch. Earlier keys are nowhere on disk.
 */
import type { Migration } from "../database/Connection.ts"

export const auditLog: Migration = {
  tables: ["audit_rows", "audit_state"],
  statements: [
    `CREATE TABLE audit_rows (
      seq BIGINT PRIMARY KEY NOT NULL,
      at BIGINT NOT NULL,
      type TEXT NOT NULL,
      agent TEXT,
      epoch BIGINT NOT NULL,
      canon BLOB NOT NULL,
      hash BLOB NOT NULL,
      mac BLOB NOT NULL
    )`,
    `CREATE TABLE audit_state (
      id BIGINT PRIMARY KEY NOT NULL,
      epoch BIGINT NOT NULL,
      first_seq BIGINT NOT NULL,
      sealed_key BLOB NOT NULL,
      range BLOB NOT NULL
    )`
  ]
}
