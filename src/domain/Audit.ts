/** Rows of the tamper-evident log, and what a check of it can find. */
import { Schema } from "effect"

/** One word per kind of event; a new kind is added here and nowhere else. */
export const AuditType = Schema.Literal(
  "gateway.started",
  "gateway.stopped",
  "config.loaded",
  "config.changed",
  "key.created",
  "key.rotated",
  "credential.set",
  "credential.removed",
  "credential.used_oauth",
  "auth.succeeded",
  "auth.failed",
  "auth.locked_out",
  "auth.logged_out",
  "token.created",
  "token.revoked",
  "password.set",
  "certificate.issued",
  "certificate.revoked",
  "setup.completed",
  "message.accepted",
  "threat.blocked",
  "threat.flagged",
  "cache.hit",
  "cache.cleared",
  "budget.refused",
  "budget.warned",
  "budget.paused",
  "budget.resumed",
  "budget.overrun",
  "budget.recovered",
  "model.asked",
  "model.answered",
  "model.failed",
  "tool.denied",
  "tool.intended",
  "tool.finished",
  "tool.unknown",
  "approval.asked",
  "approval.given",
  "approval.declined",
  "approval.expired",
  "sandbox.failed",
  "session.exported",
  "audit.exported",
  "run.ended"
)
export type AuditType = typeof AuditType.Type

/** Small facts only: ids, counts, codes, fingerprints. Never message text, arguments or secrets. */
export const AuditData = Schema.Record({
  key: Schema.String,
  value: Schema.Union(Schema.String, Schema.Finite, Schema.Boolean)
})
export type AuditData = typeof AuditData.Type

export class AuditEvent extends Schema.Class<AuditEvent>("AuditEvent")({
  type: AuditType,
  agent: Schema.optional(Schema.String),
  principal: Schema.optional(Schema.String),
  session: Schema.optional(Schema.String),
  run: Schema.optional(Schema.String),
  data: AuditData
}) {}

export class AuditEntry extends Schema.Class<AuditEntry>("AuditEntry")({
  seq: Schema.Int,
  /** Epoch milliseconds by the wall clock; order is by seq, not by time. */
  at: Schema.Finite,
  event: AuditEvent,
  /** Hex SHA-256. */
  prev: Schema.String,
  hash: Schema.String
}) {}

export class AuditFinding extends Schema.Class<AuditFinding>("AuditFinding")({
  /** The row at which the damage shows; absent when it concerns the whole log. */
  seq: Schema.optional(Schema.Int),
  kind: Schema.Literal(
    "row_changed",
    "chain_broken",
    "gap",
    "mac_wrong",
    "checkpoint_missing",
    "checkpoint_wrong",
    "truncated",
    "rolled_back",
    "missing"
  ),
  detail: Schema.String
}) {}

export class AuditReport extends Schema.Class<AuditReport>("AuditReport")({
  ok: Schema.Boolean,
  entries: Schema.Int,
  checkpoints: Schema.Int,
  head: Schema.String,
  findings: Schema.Array(AuditFinding),
  durationMs: Schema.Finite
}) {}

/** The event could not be made durable, so what it announces must not happen. */
export class AuditUnavailable extends Schema.TaggedError<AuditUnavailable>()("AuditUnavailable", {
  reason: Schema.String
}) {
  override get message(): string {
    return `the audit log cannot be written, so nothing that must be recorded is done: ${this.reason}`
  }
  get fix(): string {
    return "free disk space and check the data folder's permissions, then run: ai-desk audit verify"
  }
}
