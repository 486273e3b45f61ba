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

const shortest = 8
const longest = 4096

/** Why this cannot be a provider's key, in words that do not repeat it; or undefined. `value` is trimmed. */
export const unusableKey = (value: string): string | undefined => {
  if (value === "") return "it is empty"
  if (value.length < shortest) return `it has fewer than ${shortest} characters`
  if (value.length > longest) return `it has more than ${longest} characters`
  if (/\s/u.test(value)) return "it has a space or a line break in it"
  if (/[\p{Cc}\p{Cf}\p{Cs}]/u.test(value)) return "it has an invisible character in it"
  // Sent in an HTTP header, which takes nothing else.
  if (!/^[\x21-\x7e]+$/.test(value)) return "it has a character that no provider's key has"
  return undefined
}
