/**
 * Failures that any question can end in, with their HTTP status. A failure of the gateway's own
 * ground (disk, keys, audit log) reaches clients as `GroundFailed`: what and what to do, no inside.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"

/** Storage, keys or the audit log cannot do what was asked. Nothing was half-done. */
export class GroundFailed extends Schema.TaggedError<GroundFailed>()(
  "GroundFailed",
  { kind: Schema.String, detail: Schema.String, fix: Schema.optional(Schema.String) },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message(): string {
    return this.detail
  }
}

