/**
 * Budget: the ledger. Money and tokens are reserved before they can be spent, in one statement
 * per cap, and settled afterwards.
 *
 * Guarantees, per agent and period, at every instant, with many fibers, many processes and after
 * kill -9: spent + reserved <= cap. What a crash left reserved counts as spent. The period of a
 * spend is the one recorded with its reservation; a clock that jumps back opens no new period.
 * Only this module mints `BudgetLease`.
 */
import { Context, type Effect } from "effect"
import type { Agent } from "../domain/Agent.ts"
import type { AgentBudget, AgentPaused, BudgetExceeded } from "../domain/Budget.ts"
import type { AgentId, RunId } from "../domain/Ids.ts"
import type { ModelRef } from "../domain/Model.ts"
import type { NanoUsd } from "../domain/Money.ts"
import type { BudgetLease } from "../domain/Proof.ts"
import type { DatabaseError } from "../kernel/Database.ts"

export interface Reservation {
  readonly agent: Agent
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
    /** Lifts a pause until the next breach. False when the agent was not paused. */
    readonly resume: (agent: AgentId) => Effect.Effect<boolean, DatabaseError>
  }
>() {}
