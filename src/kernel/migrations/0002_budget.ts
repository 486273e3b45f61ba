/**
 * The ledger. `budget_periods` has one row per agent and day, month or run, with what was spent and
 * what is reserved; `budget_leases` one row per attempt at a model; `budget_holders` the processes
 * that hold leases; `budget_agents` the newest day an agent has seen, and whether it is paused.
 * Amounts are tokens and nano-USD, times epoch milliseconds.
 */
import type { Migration } from "../database/Connection.ts"

export const budget: Migration = {
  tables: ["budget_periods", "budget_leases", "budget_holders", "budget_agents"],
  statements: [
    `CREATE TABLE budget_periods (
      agent TEXT NOT NULL,
      period TEXT NOT NULL,
      period_key TEXT NOT NULL,
      spent_tokens BIGINT NOT NULL CHECK (spent_tokens >= 0),
      reserved_tokens BIGINT NOT NULL CHECK (reserved_tokens >= 0),
      spent BIGINT NOT NULL CHECK (spent >= 0),
      reserved BIGINT NOT NULL CHECK (reserved >= 0),
      warned BIGINT NOT NULL,
      touched_at BIGINT NOT NULL,
      PRIMARY KEY (agent, period, period_key)
    )`,
    `CREATE TABLE budget_leases (
      id TEXT PRIMARY KEY NOT NULL,
      agent TEXT NOT NULL,
      run TEXT NOT NULL,
      model TEXT NOT NULL,
      tokens BIGINT NOT NULL,
      cost BIGINT NOT NULL,
      day_key TEXT NOT NULL,
      month_key TEXT NOT NULL,
      holder TEXT NOT NULL,
      at BIGINT NOT NULL,
      settled_tokens BIGINT,
      settled_cost BIGINT,
      settled_at BIGINT,
      settled_by TEXT
    )`,
    "CREATE INDEX budget_leases_open ON budget_leases (holder) WHERE settled_at IS NULL",
    "CREATE INDEX budget_leases_settled ON budget_leases (settled_at) WHERE settled_at IS NOT NULL",
    `CREATE TABLE budget_holders (
      id TEXT PRIMARY KEY NOT NULL,
      host TEXT NOT NULL,
      pid BIGINT NOT NULL,
      started TEXT NOT NULL,
      seen_at BIGINT NOT NULL
    )`,
    `CREATE TABLE budget_agents (
      agent TEXT PRIMARY KEY NOT NULL,
      day_key TEXT NOT NULL,
      paused_scope TEXT,
      paused_key TEXT,
      paused_reason TEXT
    )`
  ]
}
