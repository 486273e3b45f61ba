/**
 * Schema of desk.db, step by step. To add one: write `migrations/NNNN_name.ts` exporting a
 * `Migration` (plain SQL that PostgreSQL would also take; `tables` names what it creates, `sealed`
 * its encrypted columns, `plainBlobs` its other binary ones), and enter it here under the next free
 * number. A step that was released is never edited or renumbered.
 * Taken: 0001 credentials and audit pins, 0002 budget, 0003 sessions, 0004 access.
 */
import type { Migrations } from "../database/Connection.ts"
import { credentials } from "./0001_credentials.ts"
import { budget } from "./0002_budget.ts"
import { sessions } from "./0003_sessions.ts"
import { access } from "./0004_access.ts"
import { lockouts } from "./0005_lockouts.ts"
import { messageKeys } from "./0006_message_keys.ts"
import { allowances } from "./0007_allowances.ts"
import { certificates } from "./0008_certificates.ts"

export const deskMigrations: Migrations = {
  "0001_credentials": credentials,
  "0002_budget": budget,
  "0003_sessions": sessions,
  "0004_access": access,
  "0005_lockouts": lockouts,
  "0006_message_keys": messageKeys,
  "0007_allowances": allowances,
  "0008_certificates": certificates
}
