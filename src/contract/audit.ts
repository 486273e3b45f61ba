/** Audit: check the tamper-evident log and read it. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"
import { AuditEntry, AuditReport, AuditType } from "../domain/Audit.ts"
import { GroundFailed } from "./failures.ts"

export const AuditGroup = HttpApiGroup.make("audit")
  .add(HttpApiEndpoint.post("verify", "/api/audit/verify").addSuccess(AuditReport).addError(GroundFailed))
  .add(
    HttpApiEndpoint.get("tail", "/api/audit")
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
      .addError(GroundFailed)
  )
  // One AuditEntry per line. The export itself is recorded first.
  .add(
    HttpApiEndpoint.post("export", "/api/audit/export")
      .addSuccess(HttpApiSchema.Text({ contentType: "application/x-ndjson" }))
      .addError(GroundFailed)
  )

export const AuditApi = HttpApi.make("ai-desk").add(AuditGroup)
