/** What may be shown and said of a stored credential. Never the credential. */
import { Schema } from "effect"

export class CredentialInfo extends Schema.Class<CredentialInfo>("CredentialInfo")({
  provider: Schema.String,
  source: Schema.Literal("stored", "environment", "claude-oauth"),
  /** First 8 hex digits of a keyed fingerprint: tells keys apart, tells nothing of them. */
  fingerprint: Schema.String,
  /** Epoch milliseconds; absent for the environment. */
  updatedAt: Schema.optional(Schema.Finite)
}) {}

export class InvalidCredential extends Schema.TaggedError<InvalidCredential>()("InvalidCredential", {
  provider: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `that is not usable as a key for ${this.provider}: ${this.reason}`
  }
}
