/** Audit: check the tamper-evident log and read it. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"
import { AuditEntry, AuditReport, AuditType } from "../domain/Audit.ts"
import { Owns, Reads } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"
import { CursorOf, Limit, Moment, Word } from "./pages.ts"

const AuditCursor = CursorOf(
  Schema.Struct({ side: Schema.Literal("older", "newer"), seq: Schema.Int.pipe(Schema.nonNegative()) })
)
export const encodeAuditCursor = Schema.encodeSync(AuditCursor)

export class AuditEntries extends Schema.Class<AuditEntries>("AuditEntries")({
  /** Oldest first. */
  entries: Schema.Array(AuditEntry),
  /** Cursor of the page before; null at the beginning of the log. A page may be short, or empty, and not be the last. */
  older: Schema.NullOr(Schema.String),
  /** Cursor of the page after. At the end of the log: of what is recorded from now on. */
  newer: Schema.String
}) {}

export const AuditGroup = HttpApiGroup.make("audit")
  .annotateContext(about("The tamper-evident log."))
  .add(
    HttpApiEndpoint.post("verify", "/dashboard/api/audit/verify")
      .middleware(Owns)
      .annotateContext(
        about("Verify the audit log", "Checks every entry, checkpoint and witness, and lists each sign of damage.")
      )
      .addSuccess(AuditReport)
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.get("tail", "/dashboard/api/audit")
      .middleware(Reads)
      .annotateContext(about("Read the latest entries", "Newest last; by type, agent or time."))
      .setUrlParams(
        Schema.Struct({
          type: Schema.optional(AuditType),
          agent: Schema.optional(Schema.String),
          /** Epoch milliseconds. */
          since: Schema.optional(Schema.NumberFromString),
          limit: Schema.optionalWith(Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, 1000)), {
            default: () => 20
          })
        })
      )
      .addSuccess(Schema.Array(AuditEntry))
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.get("entries", "/dashboard/api/audit/entries")
      .middleware(Reads)
      .annotateContext(
        about("Page through the entries", "Without a cursor the newest ones; from there to older and newer ones.")
      )
      .setUrlParams(
        Schema.Struct({
          type: Schema.optional(AuditType),
          agent: Schema.optional(Word),
          principal: Schema.optional(Word),
          since: Schema.optional(Moment),
          until: Schema.optional(Moment),
          cursor: Schema.optional(AuditCursor),
          limit: Limit(50, 500)
        })
      )
      .addSuccess(AuditEntries)
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("checkpoint", "/dashboard/api/audit/checkpoint")
      .middleware(Owns)
      .annotateContext(
        about(
          "Sign the log as it is",
          "Also done by itself; a copy of the line elsewhere is a witness against rollback."
        )
      )
      .addSuccess(Schema.Struct({ seq: Schema.Int, hash: Schema.String }))
      .addError(worded(GroundFailed))
  )
  // One AuditEntry per line. The export itself is recorded first.
  .add(
    HttpApiEndpoint.post("export", "/dashboard/api/audit/export")
      .middleware(Owns)
      .annotateContext(
        about(
          "Export the audit log",
          "One entry per line, oldest first. The export is itself recorded before it begins."
        )
      )
      .addSuccess(HttpApiSchema.Text({ contentType: "application/x-ndjson" }))
      .addError(worded(GroundFailed))
  )

export const AuditApi = base.add(AuditGroup)
