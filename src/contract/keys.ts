/** Keys: rotation of the passphrase's wrapping or of the data keys. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { Owns } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

export class KeyRotated extends Schema.Class<KeyRotated>("KeyRotated")({
  what: Schema.Literal("passphrase", "data"),
  /** Values sealed anew; 0 for a passphrase, which only re-wraps the keys. */
  resealed: Schema.Int,
  /** Values that could not be opened; while there are any, the old key is kept for them. */
  damaged: Schema.Array(Schema.String)
}) {}

/** The passphrase that was sent is no good; the old one goes on. */
export class WeakPassphrase extends Schema.TaggedError<WeakPassphrase>()("WeakPassphrase", {
  detail: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

export const KeysGroup = HttpApiGroup.make("keys")
  .annotateContext(about("The keys under which everything is sealed."))
  .add(
    HttpApiEndpoint.post("rotatePassphrase", "/dashboard/api/keys/rotate-passphrase")
      .middleware(Owns)
      .annotateContext(about("Change the master key", "Wraps the data keys anew; no sealed value changes."))
      .setPayload(Schema.Struct({ newPassphrase: Schema.Redacted(Schema.String) }))
      .addSuccess(KeyRotated)
      .addError(worded(WeakPassphrase), { status: 422 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("rotateData", "/dashboard/api/keys/rotate-data")
      .middleware(Owns)
      .annotateContext(about("Change the data keys", "Seals every value anew; can be cut off and run again."))
      .addSuccess(KeyRotated)
      .addError(worded(GroundFailed))
  )

export const KeysApi = base.add(KeysGroup)
