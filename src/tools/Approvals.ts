/**
 * Approvals: a human's leave for one exact call. Asked once, bound to the hash of tool, arguments,
 * agent and session, expiring, used once; `session` scope repeats the very same call in the same
 * session only. Nobody listening, no answer in time, shutdown: all mean no.
 */
import { Context, type Effect, type Stream } from "effect"
import type { AuditUnavailable } from "../domain/Audit.ts"
import type { SessionId } from "../domain/Ids.ts"
import type { Permitted } from "../domain/Proof.ts"
import type { ApprovalDecision, ApprovalInvalid, ApprovalRequest, ToolDenied } from "../domain/Tool.ts"
import type { NeedsApproval } from "./ToolPolicy.ts"

export class Approvals extends Context.Tag("ai-desk/tools/Approvals")<
  Approvals,
  {
    /** Waits for the human. `onAsked` runs once the request is pending and durable in the audit log, unless a session grant answers at once. */
    readonly request: (
      needs: NeedsApproval,
      onAsked: (request: ApprovalRequest) => Effect.Effect<void>
    ) => Effect.Effect<Permitted, ToolDenied | AuditUnavailable>
    readonly answer: (decision: ApprovalDecision) => Effect.Effect<void, ApprovalInvalid | AuditUnavailable>
    readonly pending: Effect.Effect<ReadonlyArray<ApprovalRequest>>
    /** The pending ones, then each new one. */
    readonly stream: Stream.Stream<ApprovalRequest>
    /** Drops the grants of a session that has ended. */
    readonly forget: (session: SessionId) => Effect.Effect<void>
  }
>() {}
