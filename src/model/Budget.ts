/**
 * Budget: the ledger. Money and tokens are reserved before they can be spent, in one statement
 * per cap, and settled afterwards.
 *
 * Guarantees, per agent and period, at every instant, with many fibers, many processes and after
 * kill -9: spent + reserved <= cap, for caps that `pause` or `block`; a cap that only `warn`s is
 * passed, audited and announced once per period. What a crash left reserved counts as spent. The
 * period of a spend is the one recorded with its reservation; a clock that jumps back opens no new
 * period. A cap lowered in the settings holds from the next reservation on.
 * Only this module mints `BudgetLease`.
 *
 * The same holds for what one caller may spend by its own allowance, over all agents: both are taken
 * in one transaction. Such a cap refuses; it pauses nobody.
 *
 * A breach pauses an agent when what is spent for good leaves no room for the request. A request
 * that fits once others' reservations are settled is refused without a pause.
 */
import { Clock, Context, DateTime, Effect, Layer, Option, Ref, Schedule } from "effect"
import type { Agent, Caps } from "../domain/Agent.ts"
import { AuditEvent } from "../domain/Audit.ts"
import { AgentBudget, type AgentPaused, type BudgetExceeded, PeriodStatus } from "../domain/Budget.ts"
import { type Allowance, asker } from "../domain/Caller.ts"
import { AgentId, owner, type PrincipalId, type RunId } from "../domain/Ids.ts"
import type { ModelRef } from "../domain/Model.ts"
import { NanoUsd } from "../domain/Money.ts"
import { type BudgetLease, mintLease } from "../domain/Proof.ts"
import { Audit } from "../kernel/Audit.ts"
import { Database, type DatabaseError } from "../kernel/Database.ts"
import { BudgetPaused, BudgetWarned } from "../domain/GatewayEvent.ts"
import { Events } from "../kernel/Events.ts"
import { newId } from "../kernel/Ids.ts"
import { Settings } from "../kernel/Settings.ts"
import * as Holder from "./budget/Holder.ts"
import * as Ledger from "./budget/Ledger.ts"

export interface Reservation {
  readonly agent: Agent
  /** Who spends, and what they may spend beside the agent's own caps. */
  readonly principal: PrincipalId
  readonly allowance: Allowance | null
  readonly run: RunId
  readonly model: ModelRef
  /** Worst case. */
  readonly tokens: number
  readonly cost: NanoUsd
}

/** What an attempt came to. More than the lease is recorded in full, audited as an overrun, and stops what comes next. */
export interface Settlement {
  readonly tokens: number
  readonly cost: NanoUsd
}

export class Budget extends Context.Tag("ai-desk/model/Budget")<
  Budget,
  {
    /** Durable on return. */
    readonly reserve: (
      reservation: Reservation
    ) => Effect.Effect<BudgetLease, BudgetExceeded | AgentPaused | DatabaseError>
    /** Once per lease; a second settlement of the same lease changes nothing. */
    readonly settle: (lease: BudgetLease, settlement: Settlement) => Effect.Effect<void, DatabaseError>
    /** Settles as spent, at their full reservation, the leases of processes that are gone. Returns how many. */
    readonly recover: Effect.Effect<number, DatabaseError>
    readonly show: Effect.Effect<ReadonlyArray<AgentBudget>, DatabaseError>
    /** What a principal other than the owner has spent and reserved in this day and month, over all agents. */
    readonly spending: (
      principal: PrincipalId,
      allowance: Allowance | null
    ) => Effect.Effect<ReadonlyArray<PeriodStatus>, DatabaseError>
    /** Lifts a pause until the next breach. False when the agent was not paused. */
    readonly resume: (agent: AgentId) => Effect.Effect<boolean, DatabaseError>
  }
>() {}

const capOf = (scope: Ledger.Scope, caps: Caps | undefined, action: Caps["action"]): Ledger.CapOf => ({
  scope,
  tokens: caps?.tokens,
  cost: caps?.cost,
  action: caps?.action ?? action
})

/** Every scope is counted, also without a cap, so that a cap that is set later knows what was spent before. */
const capsOf = ({ budget }: Agent): ReadonlyArray<Ledger.CapOf> => [
  capOf("run", budget.perRun, "block"),
  capOf("daily", budget.daily, "block"),
  capOf("monthly", budget.monthly, "block")
]

/** The owner has the agents' caps and no others. Everybody else is counted, also without a cap of their own. */
const accountFor = (principal: PrincipalId, allowance: Allowance | null): Ledger.Account | null =>
  principal === owner && allowance === null
    ? null
    : {
        id: Ledger.accountOf(principal),
        // Whatever their action says: a credential is refused, nothing is paused or let through for it.
        caps: [
          { ...capOf("token-daily", allowance?.daily, "block"), action: "block" },
          { ...capOf("token-monthly", allowance?.monthly, "block"), action: "block" }
        ]
      }

const isAmount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0

const nowAndToday = Effect.map(Clock.currentTimeMillis, (now) => ({
  now,
  today: DateTime.formatIsoDateUtc(DateTime.unsafeMake(now))
}))

const statusOf = (
  period: "daily" | "monthly",
  key: string,
  caps: Caps | undefined,
  found: Ledger.Amounts
): PeriodStatus =>
  new PeriodStatus({
    period,
    key,
    action: caps?.action ?? "block",
    spentTokens: found.spent_tokens,
    reservedTokens: found.reserved_tokens,
    spent: NanoUsd.make(found.spent),
    reserved: NanoUsd.make(found.reserved),
    ...(caps?.tokens === undefined ? {} : { capTokens: caps.tokens }),
    ...(caps?.cost === undefined ? {} : { cap: caps.cost })
  })

/** `holder` is who this instance is to the ledger; tests play several. */
export const make = (holder: Holder.Holder) =>
  Effect.gen(function* () {
    const { desk } = yield* Database
    const audit = yield* Audit
    const events = yield* Events
    const settings = yield* Settings
    const registered = yield* Ref.make(false)
    const open = yield* Ref.make(0)

    const note = (
      type: AuditEvent["type"],
      agent: string,
      data: AuditEvent["data"],
      run?: string
    ): Effect.Effect<void> => audit.note(new AuditEvent({ type, agent, data, ...(run === undefined ? {} : { run }) }))

    const warn = (agent: AgentId, detail: string) => events.publish(new BudgetWarned({ agent, detail }))

    const refuse = Effect.fn("Budget.refuse")(function* (
      { error, pause }: Ledger.Refused,
      run: RunId,
      model: ModelRef
    ) {
      const why =
        error._tag === "AgentPaused"
          ? { reason: "paused" }
          : { reason: error.scope, unit: error.unit, cap: error.cap, used: error.used, requested: error.requested }
      yield* note("budget.refused", error.agent, { model, ...why }, run)
      if (Option.isSome(pause)) {
        const { scope, key, reason } = pause.value
        const isNew = yield* desk.write(Ledger.writing((db) => Ledger.pause(db, pause.value)))
        if (isNew) {
          yield* note("budget.paused", error.agent, { scope, period: key }, run)
          yield* events.publish(new BudgetPaused({ agent: error.agent, detail: reason }))
        }
      }
      return yield* error
    })

    const reserve = Effect.fn("Budget.reserve")(function* (reservation: Reservation) {
      const { agent, allowance, cost, model, principal, run, tokens } = reservation
      // A bound that is no number would pass every comparison.
      if (!isAmount(tokens) || !isAmount(cost)) return yield* Effect.die(`not an amount to reserve: ${tokens}, ${cost}`)
      const { now, today } = yield* nowAndToday
      const lease = yield* newId("lease")
      const register = !(yield* Ref.get(registered))
      const caps = capsOf(agent)
      const account = accountFor(principal, allowance)
      const ask: Ledger.Ask = {
        lease,
        agent: agent.id,
        run,
        model,
        tokens,
        cost,
        caps,
        account,
        today,
        now,
        holder,
        register
      }
      const granted = yield* desk
        .write(
          Ledger.writing((db, fail: (error: Ledger.Refused | DatabaseError) => never) => Ledger.reserve(db, ask, fail))
        )
        .pipe(Effect.catchAll((refused) => ("error" in refused ? refuse(refused, run, model) : Effect.fail(refused))))
      yield* Ref.set(registered, true)
      yield* Ref.update(open, (n) => n + 1)
      if (granted.lifted) yield* note("budget.resumed", agent.id, { by: "period" }, run)
      for (const detail of granted.warnings) {
        yield* note("budget.warned", agent.id, { detail }, run)
        yield* warn(agent.id, detail)
      }
      return mintLease({ id: lease, agent: agent.id, run, model, tokens, cost })
    })

    const settle = Effect.fn("Budget.settle")(function* (lease: BudgetLease, { tokens, cost }: Settlement) {
      const { now } = yield* nowAndToday
      // What cannot be an amount says nothing of what was used: then it was all of it.
      const settlement = isAmount(tokens) && isAmount(cost) ? { tokens, cost } : "in full"
      const settled = yield* desk.write(Ledger.writing((db) => Ledger.settle(db, lease.id, settlement, "holder", now)))
      if (Option.isNone(settled)) return
      yield* Ref.update(open, (n) => n - 1)
      if (settlement !== "in full" && (tokens > lease.tokens || cost > lease.cost)) {
        yield* note(
          "budget.overrun",
          lease.agent,
          {
            lease: lease.id,
            model: lease.model,
            reservedTokens: lease.tokens,
            tokens,
            reservedCost: lease.cost,
            cost
          },
          lease.run
        )
        yield* warn(lease.agent, `${lease.model} used more than was reserved for it`)
      }
    })

    const recover = Effect.gen(function* () {
      const { now } = yield* nowAndToday
      const holders = yield* desk.read(Ledger.openHolders)
      let count = 0
      for (const { id } of holders.filter(({ id, row }) => Holder.isGone(holder, id, row, now))) {
        const settled = yield* desk.write(Ledger.writing((db) => Ledger.settleAllOf(db, id, now)))
        count += settled.length
        for (const [agent, leases] of Map.groupBy(settled, (lease) => lease.agent)) {
          const sum = (f: (lease: Ledger.SettledRow) => number) => leases.reduce((total, lease) => total + f(lease), 0)
          yield* note("budget.recovered", agent, {
            leases: leases.length,
            tokens: sum((lease) => lease.tokens),
            cost: sum((lease) => lease.cost)
          })
        }
      }
      return count
    }).pipe(Effect.withSpan("Budget.recover"))

    const show = Effect.gen(function* () {
      const { agents } = yield* settings.current
      const { today } = yield* nowAndToday
      return yield* desk.read((db) => {
        const rows = new Map(Ledger.agentRows(db).map((row) => [row.agent, row]))
        const configured = new Map(agents.map((agent) => [String(agent.id), agent]))
        return [...new Set([...configured.keys(), ...rows.keys()])].map((id) => {
          const row = Option.fromNullable(rows.get(id))
          const day = Ledger.dayFor(row, today)
          const month = Ledger.monthOf(day)
          const caps = configured.get(id)?.budget
          const paused = Option.filter(row, (found) => Ledger.isPaused(found, day))
          return new AgentBudget({
            agent: AgentId.make(id),
            paused: Option.isSome(paused),
            ...(Option.isSome(paused) ? { pausedReason: paused.value.paused_reason ?? "a cap was reached" } : {}),
            periods: [
              statusOf("daily", day, caps?.daily, Ledger.amounts(db, id, "daily", day)),
              statusOf("monthly", month, caps?.monthly, Ledger.amounts(db, id, "monthly", month))
            ]
          })
        })
      })
    }).pipe(Effect.withSpan("Budget.show"))

    const spending = Effect.fn("Budget.spending")(function* (principal: PrincipalId, allowance: Allowance | null) {
      const { today } = yield* nowAndToday
      return yield* desk.read((db) => {
        const account = Ledger.accountOf(principal)
        const day = Ledger.dayFor(Ledger.agentRow(db, account), today)
        const month = Ledger.monthOf(day)
        return [
          statusOf("daily", day, allowance?.daily, Ledger.amounts(db, account, "token-daily", day)),
          statusOf("monthly", month, allowance?.monthly, Ledger.amounts(db, account, "token-monthly", month))
        ]
      })
    })

    const resume = Effect.fn("Budget.resume")(function* (agent: AgentId) {
      const { today } = yield* nowAndToday
      const lifted = yield* desk.write(Ledger.writing((db) => Ledger.resume(db, agent, today)))
      const by: AuditEvent["data"] = { by: "owner" }
      if (lifted) yield* audit.note(new AuditEvent({ type: "budget.resumed", agent, ...(yield* asker), data: by }))
      return lifted
    })

    /** While leases are open others must see that their holder lives; and others' leases are looked after. */
    const watch = Effect.gen(function* () {
      if ((yield* Ref.get(open)) > 0) {
        const { now } = yield* nowAndToday
        yield* desk.write(Ledger.writing((db) => Ledger.heartbeat(db, holder, now)))
      }
      yield* recover
    }).pipe(
      Effect.catchAll((error) => Effect.logWarning(`the budget's leases could not be looked after: ${error.message}`)),
      Effect.schedule(Schedule.spaced(Holder.heartbeatMs)),
      Effect.asVoid
    )

    return {
      watch,
      service: Budget.of({
        // An interruption in between would leave a reservation that nobody knows of.
        reserve: (reservation) => Effect.uninterruptible(reserve(reservation)),
        settle: (lease, settlement) => Effect.uninterruptible(settle(lease, settlement)),
        recover: Effect.uninterruptible(recover),
        show,
        spending,
        resume: (agent) => Effect.uninterruptible(resume(agent))
      })
    }
  })

/** As `layer`, for a holder of the caller's choosing. */
export const layerFor = (
  holder: Effect.Effect<Holder.Holder>
): Layer.Layer<Budget, never, Database | Audit | Events | Settings> =>
  Layer.scoped(
    Budget,
    Effect.gen(function* () {
      const { watch, service } = yield* Effect.flatMap(holder, make)
      yield* Effect.forkScoped(watch)
      return service
    })
  )

export const layer = layerFor(Holder.current)
