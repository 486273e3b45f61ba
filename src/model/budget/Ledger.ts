/**
 * Ledger: the budget's statements. Each function here runs inside one transaction of desk.db.
 *
 * Guarantees: a reservation passes a hard cap only if `spent + reserved + asked <= cap` holds in
 * the very statement that adds it; it takes every cap or none; a settlement moves exactly what was
 * reserved, once, in the period that the reservation recorded.
 *
 * A caller's own spending is an account of its own in the same tables, named `@principal`, which no
 * agent can be called. Its caps are taken in the same transaction as the agent's, before them, so
 * that what a caller may not spend cannot pause an agent.
 */
import { Option, Schema } from "effect"
import { type BudgetAction, BudgetExceeded, AgentPaused } from "../../domain/Budget.ts"
import type { AgentId, LeaseId, RunId } from "../../domain/Ids.ts"
import type { ModelRef } from "../../domain/Model.ts"
import { formatUsd } from "../../domain/Money.ts"
import { DatabaseError, type Statements } from "../../kernel/Database.ts"
import { type Holder, HolderRow } from "./Holder.ts"

export type Scope = BudgetExceeded["scope"]

export interface CapOf {
  readonly scope: Scope
  readonly tokens: number | undefined
  readonly cost: number | undefined
  readonly action: BudgetAction
}

/** What a caller spends, over all agents. */
export interface Account {
  /** As `accountOf` names it. */
  readonly id: string
  readonly caps: ReadonlyArray<CapOf>
}

/** No agent's id begins so. */
const accountMark = "@"
export const accountOf = (principal: string): string => `${accountMark}${principal}`

export interface Ask {
  readonly lease: LeaseId
  readonly agent: AgentId
  readonly run: RunId
  readonly model: ModelRef
  readonly tokens: number
  readonly cost: number
  readonly caps: ReadonlyArray<CapOf>
  /** Who else is charged. Null: nobody. */
  readonly account: Account | null
  /** UTC day by the clock, `2026-11-22`. */
  readonly today: string
  readonly now: number
  readonly holder: Holder
  /** Whether the holder's own row may still be missing. */
  readonly register: boolean
}

export interface Granted {
  /** A pause that ended because its period did. */
  readonly lifted: boolean
  /** Soft caps passed for the first time in their period. */
  readonly warnings: ReadonlyArray<string>
}

export interface Pause {
  readonly agent: AgentId
  readonly scope: Scope
  readonly key: string
  readonly day: string
  readonly reason: string
}

/** Why a reservation was refused, and the pause that follows from it. */
export interface Refused {
  readonly error: BudgetExceeded | AgentPaused
  readonly pause: Option.Option<Pause>
}

const Amounts = Schema.Struct({
  spent_tokens: Schema.Number,
  reserved_tokens: Schema.Number,
  spent: Schema.Number,
  reserved: Schema.Number
})
export type Amounts = typeof Amounts.Type
const PeriodRow = Schema.Struct({ ...Amounts.fields, warned: Schema.Number })
const AgentRow = Schema.Struct({
  agent: Schema.String,
  day_key: Schema.String,
  /** A `token-…` scope never pauses anybody. */
  paused_scope: Schema.NullOr(Schema.Literal("daily", "monthly", "run", "token-daily", "token-monthly")),
  paused_key: Schema.NullOr(Schema.String),
  paused_reason: Schema.NullOr(Schema.String)
})
export type AgentRow = typeof AgentRow.Type
const SettledRow = Schema.Struct({
  agent: Schema.String,
  run: Schema.String,
  tokens: Schema.Number,
  cost: Schema.Number,
  day_key: Schema.String,
  month_key: Schema.String,
  account: Schema.NullOr(Schema.String),
  account_day: Schema.NullOr(Schema.String)
})
export type SettledRow = typeof SettledRow.Type

/** One row or none. A row of another shape is damage, and fails as such. */
const one = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknownOption(schema)
  return (row: unknown): Option.Option<A> => {
    if (row === undefined) return Option.none()
    const decoded = decode(row)
    if (Option.isNone(decoded)) throw damaged("a row of the budget's tables has another shape than was written")
    return decoded
  }
}
const damaged = (detail: string) => new DatabaseError({ file: "desk.db", reason: "corrupt", detail })

const amountsOf = one(Amounts)
const periodOf = one(PeriodRow)
const agentOf = one(AgentRow)
const settledOf = one(SettledRow)
const holderOf = one(HolderRow)
const textOf = (row: unknown, column: string): string => {
  const value: unknown = typeof row === "object" && row !== null ? Reflect.get(row, column) : undefined
  if (typeof value !== "string") throw damaged(`${column} is not text`)
  return value
}

export const monthOf = (day: string): string => day.slice(0, 7)
const later = (a: string, b: string): string => (a > b ? a : b)

/** The day that counts for an agent: never earlier than one it has seen, whatever the clock says. */
export const dayFor = (row: Option.Option<AgentRow>, today: string): string =>
  Option.match(row, { onNone: () => today, onSome: ({ day_key }) => later(day_key, today) })

/** A pause lasts as long as the period that caused it; one caused by a run lasts for the day. */
export const isPaused = (row: AgentRow, day: string): boolean =>
  row.paused_scope !== null && row.paused_key === (row.paused_scope === "monthly" ? monthOf(day) : day)

const selectAgent = "SELECT agent, day_key, paused_scope, paused_key, paused_reason FROM budget_agents WHERE agent = ?"
const take = `UPDATE budget_periods
  SET reserved_tokens = reserved_tokens + ?, reserved = reserved + ?, touched_at = ?
  WHERE agent = ? AND period = ? AND period_key = ?
    AND spent_tokens + reserved_tokens + ? <= ? AND spent + reserved + ? <= ?
  RETURNING spent_tokens, reserved_tokens, spent, reserved, warned`
const selectPeriod =
  "SELECT spent_tokens, reserved_tokens, spent, reserved FROM budget_periods WHERE agent = ? AND period = ? AND period_key = ?"
const openPeriod = `INSERT INTO budget_periods
  (agent, period, period_key, spent_tokens, reserved_tokens, spent, reserved, warned, touched_at)
  VALUES (?, ?, ?, 0, 0, 0, 0, 0, ?)`

/** Sums stay exact below this, so nothing is reserved beyond it even where no cap is set. */
const most = Number.MAX_SAFE_INTEGER
/** Runs and settled leases are history after this; the periods' sums stay. */
const keepRunsMs = 7 * 86_400_000
const keepLeasesMs = 62 * 86_400_000

export const agentRow = (db: Statements, agent: string): Option.Option<AgentRow> => agentOf(db.get(selectAgent, agent))

export const agentRows = (db: Statements): ReadonlyArray<AgentRow> =>
  db
    .all("SELECT agent, day_key, paused_scope, paused_key, paused_reason FROM budget_agents ORDER BY agent")
    .flatMap((row) => Option.toArray(agentOf(row)))
    .filter(({ agent }) => !agent.startsWith(accountMark))

export const amounts = (db: Statements, agent: string, scope: Scope, key: string): Amounts =>
  Option.getOrElse(amountsOf(db.get(selectPeriod, agent, scope, key)), () => ({
    spent_tokens: 0,
    reserved_tokens: 0,
    spent: 0,
    reserved: 0
  }))

const openDay = (db: Statements, ask: Ask, of: string, row: Option.Option<AgentRow>, day: string): void => {
  if (Option.isNone(row)) {
    db.run("INSERT INTO budget_agents (agent, day_key) VALUES (?, ?)", of, day)
  } else if (row.value.day_key !== day) {
    db.run("UPDATE budget_agents SET day_key = ? WHERE agent = ?", day, of)
    db.run(
      "DELETE FROM budget_periods WHERE agent = ? AND period = 'run' AND reserved = 0 AND reserved_tokens = 0 AND touched_at < ?",
      of,
      ask.now - keepRunsMs
    )
    db.run("DELETE FROM budget_leases WHERE settled_at IS NOT NULL AND settled_at < ?", ask.now - keepLeasesMs)
  }
}

const unpause = "UPDATE budget_agents SET paused_scope = NULL, paused_key = NULL, paused_reason = NULL WHERE agent = ?"

const refusal = (ask: Ask, cap: CapOf, key: string, day: string, found: Amounts): Refused => {
  const overTokens = cap.tokens !== undefined && found.spent_tokens + found.reserved_tokens + ask.tokens > cap.tokens
  const limit = (overTokens ? cap.tokens : cap.cost) ?? most
  const [spent, reserved, requested] = overTokens
    ? [found.spent_tokens, found.reserved_tokens, ask.tokens]
    : [found.spent, found.reserved, ask.cost]
  const error = new BudgetExceeded({
    agent: ask.agent,
    scope: cap.scope,
    unit: overTokens ? "tokens" : "usd",
    cap: limit,
    used: spent + reserved,
    requested
  })
  // What others hold reserved comes back in most part: only what is spent for good pauses an agent.
  const forGood = spent + requested > limit
  return {
    error,
    pause:
      cap.action === "pause" && forGood
        ? Option.some({
            agent: ask.agent,
            scope: cap.scope,
            key: cap.scope === "run" ? day : key,
            day,
            reason: error.message
          })
        : Option.none()
  }
}

const warning = (cap: CapOf, key: string, found: Amounts): Option.Option<string> => {
  const tokens = found.spent_tokens + found.reserved_tokens
  const cost = found.spent + found.reserved
  if (cap.tokens !== undefined && tokens > cap.tokens) {
    return Option.some(`the ${cap.scope} cap of ${cap.tokens} tokens is passed (${tokens} in ${key})`)
  }
  if (cap.cost !== undefined && cost > cap.cost) {
    return Option.some(`the ${cap.scope} cap of ${formatUsd(cap.cost)} is passed (${formatUsd(cost)} in ${key})`)
  }
  return Option.none()
}

/** `run`, day or month: what a scope's sums are kept under. */
const keyFor = (scope: Scope, run: string, day: string): string =>
  scope === "run" ? run : scope.endsWith("daily") ? day : monthOf(day)

/** Takes one cap of an agent or account, or leaves through `fail`. Returns what to announce. */
const takeCap = (
  db: Statements,
  ask: Ask,
  of: string,
  cap: CapOf,
  day: string,
  fail: (refused: Refused) => never
): Option.Option<string> => {
  const key = keyFor(cap.scope, ask.run, day)
  const hard = cap.action !== "warn"
  const attempt = () =>
    periodOf(
      db.get(
        take,
        ask.tokens,
        ask.cost,
        ask.now,
        of,
        cap.scope,
        key,
        ask.tokens,
        hard ? (cap.tokens ?? most) : most,
        ask.cost,
        hard ? (cap.cost ?? most) : most
      )
    )
  let taken = attempt()
  if (Option.isNone(taken) && db.get(selectPeriod, of, cap.scope, key) === undefined) {
    db.run(openPeriod, of, cap.scope, key, ask.now)
    taken = attempt()
  }
  if (Option.isNone(taken)) return fail(refusal(ask, cap, key, day, amounts(db, of, cap.scope, key)))
  if (hard || taken.value.warned !== 0) return Option.none()
  const words = warning(cap, key, taken.value)
  if (Option.isSome(words)) {
    db.run("UPDATE budget_periods SET warned = 1 WHERE agent = ? AND period = ? AND period_key = ?", of, cap.scope, key)
  }
  return words
}

/** Opens the account's day and takes its caps. Returns the day that counts for it. */
const takeAccount = (db: Statements, ask: Ask, account: Account, fail: (refused: Refused) => never): string => {
  const row = agentRow(db, account.id)
  const day = dayFor(row, ask.today)
  openDay(db, ask, account.id, row, day)
  for (const cap of account.caps) takeCap(db, ask, account.id, cap, day, fail)
  return day
}

/** Reserves under every cap, or leaves through `fail` with nothing changed. */
export const reserve = (db: Statements, ask: Ask, fail: (refused: Refused) => never): Granted => {
  const row = agentRow(db, ask.agent)
  const day = dayFor(row, ask.today)
  const wasPaused = Option.isSome(row) && row.value.paused_scope !== null
  if (Option.isSome(row) && isPaused(row.value, day)) {
    fail({
      error: new AgentPaused({ agent: ask.agent, reason: row.value.paused_reason ?? "a cap was reached" }),
      pause: Option.none()
    })
  }
  const accountDay = ask.account === null ? null : takeAccount(db, ask, ask.account, fail)
  openDay(db, ask, ask.agent, row, day)
  if (wasPaused) db.run(unpause, ask.agent)
  if (ask.register) heartbeat(db, ask.holder, ask.now)
  const warnings: Array<string> = []
  for (const cap of ask.caps) warnings.push(...Option.toArray(takeCap(db, ask, ask.agent, cap, day, fail)))
  db.run(
    `INSERT INTO budget_leases (id, agent, run, model, tokens, cost, day_key, month_key, holder, at, account, account_day)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ask.lease,
    ask.agent,
    ask.run,
    ask.model,
    ask.tokens,
    ask.cost,
    day,
    monthOf(day),
    ask.holder.id,
    ask.now,
    ask.account?.id ?? null,
    accountDay
  )
  return { lifted: wasPaused, warnings }
}

/** True when the agent was not paused already. The refusal undid what it had opened, so the agent may be new here. */
export const pause = (db: Statements, { agent, scope, key, day, reason }: Pause): boolean =>
  db.run(
    `INSERT INTO budget_agents (agent, day_key, paused_scope, paused_key, paused_reason) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (agent) DO UPDATE
     SET paused_scope = excluded.paused_scope, paused_key = excluded.paused_key, paused_reason = excluded.paused_reason
     WHERE budget_agents.paused_key IS NULL OR budget_agents.paused_key <> excluded.paused_key`,
    agent,
    day,
    scope,
    key,
    reason
  ) > 0

/** Also takes the clock's word for the day: the way out when a clock that ran ahead opened a future period. */
export const resume = (db: Statements, agent: AgentId, today: string): boolean => {
  const row = agentRow(db, agent)
  if (Option.isNone(row)) return false
  const paused = isPaused(row.value, dayFor(row, today))
  if (row.value.paused_scope !== null) db.run(unpause, agent)
  if (row.value.day_key > today) db.run("UPDATE budget_agents SET day_key = ? WHERE agent = ?", today, agent)
  // The same clock opened the same future for accounts, and nobody resumes those.
  db.run("UPDATE budget_agents SET day_key = ? WHERE agent LIKE '@%' AND day_key > ?", today, today)
  return paused
}

/** None when the lease was settled before, or never existed. */
export const settle = (
  db: Statements,
  lease: string,
  settlement: { readonly tokens: number; readonly cost: number } | "in full",
  by: "holder" | "recovery",
  now: number
): Option.Option<SettledRow> => {
  const [tokens, cost] = settlement === "in full" ? [null, null] : [settlement.tokens, settlement.cost]
  const row = settledOf(
    db.get(
      `UPDATE budget_leases
       SET settled_tokens = COALESCE(?, tokens), settled_cost = COALESCE(?, cost), settled_at = ?, settled_by = ?
       WHERE id = ? AND settled_at IS NULL
       RETURNING agent, run, tokens, cost, day_key, month_key, account, account_day`,
      tokens,
      cost,
      now,
      by,
      lease
    )
  )
  if (Option.isNone(row)) return row
  const { account, account_day, agent, run, day_key, month_key } = row.value
  const keys: Array<readonly [of: string, Scope, string]> = [
    [agent, "run", run],
    [agent, "daily", day_key],
    [agent, "monthly", month_key]
  ]
  if (account !== null && account_day !== null) {
    keys.push([account, "token-daily", account_day], [account, "token-monthly", monthOf(account_day)])
  }
  for (const [of, scope, key] of keys) {
    const changed = db.run(
      `UPDATE budget_periods
       SET spent_tokens = spent_tokens + ?, spent = spent + ?,
           reserved_tokens = reserved_tokens - ?, reserved = reserved - ?, touched_at = ?
       WHERE agent = ? AND period = ? AND period_key = ?`,
      tokens ?? row.value.tokens,
      cost ?? row.value.cost,
      row.value.tokens,
      row.value.cost,
      now,
      of,
      scope,
      key
    )
    if (changed !== 1) throw damaged(`the ${scope} row ${key} of ${of} is gone although it holds a reservation`)
  }
  return row
}

/** Holders of open leases, with what is known of them. */
export const openHolders = (
  db: Statements
): ReadonlyArray<{ readonly id: string; readonly row: Option.Option<HolderRow> }> =>
  db.all("SELECT DISTINCT holder FROM budget_leases WHERE settled_at IS NULL").map((found) => {
    const id = textOf(found, "holder")
    return { id, row: holderOf(db.get("SELECT id, host, pid, started, seen_at FROM budget_holders WHERE id = ?", id)) }
  })

/** Settles all open leases of a holder that is gone, at what they reserved. */
export const settleAllOf = (db: Statements, holder: string, now: number): ReadonlyArray<SettledRow> => {
  const settled = db
    .all("SELECT id FROM budget_leases WHERE holder = ? AND settled_at IS NULL", holder)
    .flatMap((row) => Option.toArray(settle(db, textOf(row, "id"), "in full", "recovery", now)))
  db.run("DELETE FROM budget_holders WHERE id = ?", holder)
  return settled
}

/** A sign of life. Also registers: another process may have taken this one for gone and removed it. */
export const heartbeat = (db: Statements, { id, host, pid, started }: Holder, now: number): void => {
  db.run(
    `INSERT INTO budget_holders (id, host, pid, started, seen_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`,
    id,
    host,
    pid,
    started,
    now
  )
}

/** Runs statements in a write so that damaged rows fail this write alone, instead of ending the batch it shares. */
export const writing =
  <A, E = never>(f: (db: Statements, fail: (error: E | DatabaseError) => never) => A) =>
  (db: Statements, fail: (error: E | DatabaseError) => never): A => {
    try {
      return f(db, fail)
    } catch (cause) {
      if (cause instanceof DatabaseError && cause.reason === "corrupt") return fail(cause)
      throw cause
    }
  }
