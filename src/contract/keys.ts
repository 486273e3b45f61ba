/** Keys: rotation of the passphrase's wrapping or of the data keys. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { GroundFailed } from "./failures.ts"

export class KeyRotated extends Schema.Class<KeyRotated>("KeyRotated")({
  what: Schema.Literal("passphrase", "data"),
  /** Values sealed anew; 0 for a passphrase, which only re-wraps the keys. */
  resealed: Schema.Int,
  /** Values that could not be opened; while there are any, the old key is kept for them. */
  damaged: Schema.Array(Schema.String)
}) {}

export const KeysGroup = HttpApiGroup.make("keys")
  .add(
    HttpApiEndpoint.post("rotatePassphrase", "/api/keys/rotate-passphrase")
      .setPayload(Schema.Struct({ newPassphrase: Schema.Redacted(Schema.String) }))
      .addSuccess(KeyRotated)
      .addError(GroundFailed)
  )
  .add(HttpApiEndpoint.post("rotateData", "/api/keys/rotate-data").addSuccess(KeyRotated).addError(GroundFailed))

export const KeysApi = HttpApi.make("ai-desk").add(KeysGroup)
