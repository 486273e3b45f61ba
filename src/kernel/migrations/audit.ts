/** Schema of audit.db, step by step; see `desk.ts` for how to add one. */
import type { Migrations } from "../database/Connection.ts"
import { auditLog } from "./0001_audit_log.ts"

export const auditMigrations: Migrations = {
  "0001_audit_log": auditLog
}
