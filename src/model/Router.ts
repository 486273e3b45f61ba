/**
 * Router: the one choke point through which every call to a model goes. Walks the chain primary →
 * failover; each attempt is priced, reserved, journalled, audited and settled on its own.
 *
 * Guarantees: nothing is sent that was not scanned and reserved; the failure taxonomy alone decides
 * between retry, failover and stop; an answer is one model's from beginning to end; an attempt that
 * was interrupted or whose usage is unknown is charged its whole reservation, unless it provably
 * never reached the provider.
 */
import { Context, type Effect, type Stream } from "effect"
import type { Agent } from "../domain/Agent.ts"
import type { AuditUnavailable } from "../domain/Audit.ts"
import type { AgentPaused, BudgetExceeded } from "../domain/Budget.ts"
import type { PrincipalId, RunId, SessionId } from "../domain/Ids.ts"
import type {
  Answer,
  ModelError,
  ModelRef,
  ModelRequest,
  ModelUnavailable,
  TextDelta,
  ToolCallStarted,
  UnknownPrice
} from "../domain/Model.ts"
import type { NanoUsd } from "../domain/Money.ts"
import type { BudgetLease, Scanned } from "../domain/Proof.ts"
import type { DatabaseError } from "../kernel/Database.ts"

/** The caller's write-ahead log. Each is durable before the router goes on; each runs beside the ledger's own write, so that both share a commit. */
export interface ModelJournal<E> {
  readonly asked: (lease: BudgetLease, attempt: number) => Effect.Effect<void, E>
  readonly answered: (lease: BudgetLease, answer: Answer) => Effect.Effect<void, E>
  readonly failed: (lease: BudgetLease, error: ModelError, charged: NanoUsd) => Effect.Effect<void, E>
}

export interface ModelCall<E> {
  readonly agent: Agent
  readonly principal: PrincipalId
  readonly session?: SessionId
  readonly run: RunId
  readonly chain: readonly [ModelRef, ...ReadonlyArray<ModelRef>]
  readonly request: Scanned<ModelRequest>
  readonly journal: ModelJournal<E>
}

export type RouterEvent =
  | { readonly _tag: "Reserved"; readonly lease: BudgetLease }
  | { readonly _tag: "AttemptStarted"; readonly model: ModelRef; readonly attempt: number }
  | TextDelta
  | ToolCallStarted
  | {
      readonly _tag: "AttemptFailed"
      readonly error: ModelError
      readonly next: "retry" | "failover" | "stop"
      /** Milliseconds until the next attempt. */
      readonly afterMs: number
    }
  | { readonly _tag: "Answered"; readonly answer: Answer; readonly durationMs: number }

export type RouterError =
  | ModelUnavailable
  | UnknownPrice
  | BudgetExceeded
  | AgentPaused
  | DatabaseError
  | AuditUnavailable

export class Router extends Context.Tag("ai-desk/model/Router")<
  Router,
  {
    /** Ends with exactly one `Answered`, or fails. Interrupting it settles the open attempt before it returns. */
    readonly stream: <E>(call: ModelCall<E>) => Stream.Stream<RouterEvent, RouterError | E>
  }
>() {}
