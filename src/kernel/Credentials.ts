/**
 * Credentials: provider keys, sealed at rest. A stored key wins over one from the environment.
 * A value leaves only as `Redacted`, and only towards the provider adapter that needs it.
 */
import { Context, type Effect, type Option, type Redacted, Schema } from "effect"
import type { AuditUnavailable } from "../domain/Audit.ts"
import type { ProviderName } from "../domain/Model.ts"
import type { DecryptFailed } from "./Crypto.ts"
import type { DatabaseError } from "./Database.ts"

/** What may be shown of a credential. */
export class CredentialInfo extends Schema.Class<CredentialInfo>("CredentialInfo")({
  provider: Schema.String,
  source: Schema.Literal("stored", "environment", "claude-oauth"),
  /** First 8 hex digits of a keyed fingerprint: tells keys apart, tells nothing of them. */
  fingerprint: Schema.String,
  /** Epoch milliseconds; absent for the environment. */
  updatedAt: Schema.optional(Schema.Number)
}) {}

export class InvalidCredential extends Schema.TaggedError<InvalidCredential>()("InvalidCredential", {
  provider: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `that is not usable as a key for ${this.provider}: ${this.reason}`
  }
}

export class Credentials extends Context.Tag("ai-desk/kernel/Credentials")<
  Credentials,
  {
    readonly set: (
      provider: ProviderName,
      secret: Redacted.Redacted<string>
    ) => Effect.Effect<CredentialInfo, InvalidCredential | DatabaseError | AuditUnavailable>
    /** False when there was none. */
    readonly remove: (provider: ProviderName) => Effect.Effect<boolean, DatabaseError | AuditUnavailable>
    readonly list: Effect.Effect<ReadonlyArray<CredentialInfo>, DatabaseError | DecryptFailed>
    readonly get: (
      provider: ProviderName
    ) => Effect.Effect<Option.Option<Redacted.Redacted<string>>, DatabaseError | DecryptFailed>
  }
>() {}
