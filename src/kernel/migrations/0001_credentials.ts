/** Sealed provider keys, and the audit log's head pinned outside audit.db. */
import type { Migration } from "../database/Connection.ts"

export const credentials: Migration = {
  tables: ["credentials", "audit_pins"],
  sealed: [{ table: "credentials", keys: ["provider"], column: "sealed", purpose: "credentials" }],
  plainBlobs: ["audit_pins.pin"],
  statements: [
    `CREATE TABLE credentials (
      provider TEXT PRIMARY KEY NOT NULL,
      sealed BLOB NOT NULL,
      updated_at BIGINT NOT NULL
    )`,
    `CREATE TABLE audit_pins (
      name TEXT PRIMARY KEY NOT NULL,
      pin BLOB NOT NULL
    )`
  ]
}
