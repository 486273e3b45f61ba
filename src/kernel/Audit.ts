/**
 * Audit: the tamper-evident record. Each row carries the hash of the one before and a MAC under a
 * key that ratchets forward at every checkpoint; checkpoints are signed with Ed25519 and kept
 * beside the database; the head is pinned outside audit.db, so that a cut tail, a rolled-back
 * file or a deleted database shows.
 *
 * Guarantees: `append` returns only when the row is durable; what cannot be recorded fails with
 * `AuditUnavailable`, and the caller must then not do what it announced.
 */
import { Context, type Effect, type Stream } from "effect"
import type { AuditEntry, AuditEvent, AuditReport, AuditUnavailable } from "../domain/Audit.ts"

export interface AuditFilter {
  readonly type?: string
  readonly agent?: string
  /** Epoch milliseconds. */
  readonly since?: number
  readonly limit: number
}

export class Audit extends Context.Tag("ai-desk/kernel/Audit")<
  Audit,
  {
    /** Durable on return. Concurrent appends share one commit. */
    readonly append: (event: AuditEvent) => Effect.Effect<AuditEntry, AuditUnavailable>
    /** For facts that announce nothing: queued into the next commit and not waited for; a failure makes later appends fail. */
    readonly note: (event: AuditEvent) => Effect.Effect<void>
    /** Checks every row, checkpoint and pin. Damage is in the report, not in the error channel. */
    readonly verify: Effect.Effect<AuditReport, AuditUnavailable>
    /** The newest entries that match, newest last. */
    readonly tail: (filter: AuditFilter) => Effect.Effect<ReadonlyArray<AuditEntry>, AuditUnavailable>
    /** All entries in order. */
    readonly entries: Stream.Stream<AuditEntry, AuditUnavailable>
    /** Signs the head now (also done by row count, by time, and when the scope closes). */
    readonly checkpoint: Effect.Effect<void, AuditUnavailable>
  }
>() {}
