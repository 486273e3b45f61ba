/**
 * ToolExecutor: one tool call from the model to its outcome: policy → approval → intent recorded
 * → run → result recorded. Every way it can end is an outcome that the model can read; what cannot
 * be recorded does not run.
 */
import { Context, type Effect } from "effect"
import type { AuditUnavailable } from "../domain/Audit.ts"
import type { Taint } from "../domain/Labels.ts"
import type { Permitted } from "../domain/Proof.ts"
import type { ApprovalRequest, ToolOutcome } from "../domain/Tool.ts"
import type { CallContext } from "./ToolPolicy.ts"
import type { Tool } from "./ToolRegistry.ts"

/** The caller's write-ahead log and viewers. `intended` is durable before the tool runs. */
export interface ToolJournal<E> {
  readonly called: (display: string) => Effect.Effect<void, E>
  readonly approvalAsked: (request: ApprovalRequest) => Effect.Effect<void, E>
  readonly approvalAnswered: (request: ApprovalRequest, approved: boolean) => Effect.Effect<void, E>
  readonly intended: (permitted: Permitted, tool: Tool) => Effect.Effect<void, E>
}

export interface Executed {
  readonly how: "ran" | "denied"
  /** Scanned and defused when the tool's source is untrusted. */
  readonly outcome: ToolOutcome
  /** What the result adds to the session. */
  readonly taint: Taint
}

export class ToolExecutor extends Context.Tag("ai-desk/tools/ToolExecutor")<
  ToolExecutor,
  {
    /** Denials, bad arguments, tool failures and an unavailable sandbox are outcomes; only a log that cannot be written fails. */
    readonly execute: <E>(
      context: CallContext,
      journal: ToolJournal<E>
    ) => Effect.Effect<Executed, AuditUnavailable | E>
  }
>() {}
