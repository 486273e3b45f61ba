/**
 * The audit rows, and where the log stood at the newest checkpoint. `canon` is the row as it was
 * hashed; `at`, `type` and `agent` only serve queries and are checked against it. `audit_state` has
 * one row: the epoch of the MAC key, and the Merkle range over the first `size` rows. No key is
 * here, so that none of an earlier epoch lingers in a free page.
 */
import type { Migration } from "../database/Connection.ts"

export const auditLog: Migration = {
  tables: ["audit_rows", "audit_state"],
  plainBlobs: ["audit_rows.canon", "audit_rows.prev", "audit_rows.hash", "audit_rows.mac", "audit_state.merkle"],
  statements: [
    `CREATE TABLE audit_rows (
      seq INTEGER PRIMARY KEY NOT NULL,
      at BIGINT NOT NULL,
      type TEXT NOT NULL,
      agent TEXT,
      epoch BIGINT NOT NULL,
      canon BLOB NOT NULL,
      prev BLOB NOT NULL,
      hash BLOB NOT NULL,
      mac BLOB NOT NULL
    )`,
    `CREATE TABLE audit_state (
      id BIGINT PRIMARY KEY NOT NULL,
      epoch BIGINT NOT NULL,
      size BIGINT NOT NULL,
      merkle BLOB NOT NULL
    )`,
    "INSERT INTO audit_state (id, epoch, size, merkle) VALUES (1, 0, 0, x'')"
  ]
}
