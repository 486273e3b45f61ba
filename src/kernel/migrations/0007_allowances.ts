/**
 * Allowances: whose account a lease is charged to, beside its agent, and on which day of that
 * account. The account's own periods and its newest day stand in `budget_periods` and
 * `budget_agents`, under a name that no agent can have.
 */
import type { Migration } from "../database/Connection.ts"

export const allowances: Migration = {
  tables: [],
  statements: [
    "ALTER TABLE budget_leases ADD COLUMN account TEXT",
    "ALTER TABLE budget_leases ADD COLUMN account_day TEXT"
  ]
}
