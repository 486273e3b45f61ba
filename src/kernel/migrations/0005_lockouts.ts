/**
 * Wrong credentials per client address: how many, when the newest was counted (epoch milliseconds by
 * the steady clock), and whether the audit log has been told of the lock-out.
 */
import type { Migration } from "../database/Connection.ts"

export const lockouts: Migration = {
  tables: ["lockouts"],
  statements: [
    `CREATE TABLE lockouts (
      address TEXT PRIMARY KEY NOT NULL,
      failures BIGINT NOT NULL CHECK (failures >= 0),
      at BIGINT NOT NULL,
      told BIGINT NOT NULL
    )`,
    "CREATE INDEX lockouts_at ON lockouts (at)"
  ]
}
