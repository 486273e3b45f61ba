/**
 * Failures that any question can end in, with their HTTP status. A failure of the gateway's own
 * ground (disk, keys, audit log) reaches clients as `GroundFailed`: what and what to do, no inside. A
 * question that does not decode is answered by the platform's HttpApiDecodeError (400), in our words.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
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

/** The gateway broke while it answered. Its log holds the cause; the client is told no more than that. */
export class InternalFailure extends Schema.TaggedError<InternalFailure>()(
  "InternalFailure",
  {},
  HttpApiSchema.annotations({ status: 500 })
) {
  override get message(): string {
    return "an internal error; nothing more is known to be wrong with what was asked"
  }
  get fix(): string {
    return "look into the gateway's log; with AI_DESK_LOG_LEVEL=debug it says more"
  }
}

/** What every group of the contract is added to: any question can break the one who answers it. */
export const base = HttpApi.make("ai-desk")
  .addError(InternalFailure)
  .annotateContext(
    OpenApi.annotations({ title: "Ai_DESK", description: "Everything that a client may ask of the gateway." })
  )

/** How an endpoint or group is shown in the documentation. */
export const about = (summary: string, description?: string) =>
  OpenApi.annotations({ summary, description: description ?? summary })
