/**
 * Crypto: the only file that touches node:crypto. Everything at rest is AES-256-GCM with 16-byte
 * tags under a key that has one purpose, bound to the table, row and column it stands in, so that
 * a value moved elsewhere does not decrypt.
 */
import { Context, type Effect, Schema } from "effect"

/** One key each, derived by HKDF from the active data key; no key has two uses. */
export const Purpose = Schema.Literal(
  "credentials",
  "sessions",
  "cache",
  "approvals",
  "audit-mac",
  "audit-signing",
  "fingerprint",
  "call-hash"
)
export type Purpose = typeof Purpose.Type

/** Where a sealed value stands; authenticated with it. */
export interface Address {
  readonly table: string
  readonly row: string
  readonly column: string
}

export class DecryptFailed extends Schema.TaggedError<DecryptFailed>()("DecryptFailed", {
  table: Schema.String,
  row: Schema.String,
  column: Schema.String,
  reason: Schema.Literal("truncated", "unknown_key", "wrong_place_or_damaged")
}) {
  override get message(): string {
    return `${this.table}.${this.column} of row ${this.row} cannot be decrypted (${this.reason})`
  }
  get fix(): string {
    return "restore the data folder from a backup; nothing was overwritten"
  }
}

export class Crypto extends Context.Tag("ai-desk/kernel/Crypto")<
  Crypto,
  {
    readonly seal: (purpose: Purpose, address: Address, plaintext: Uint8Array) => Effect.Effect<Uint8Array>
    readonly open: (purpose: Purpose, address: Address, sealed: Uint8Array) => Effect.Effect<Uint8Array, DecryptFailed>
    /** HMAC-SHA-256 over the parts, each length-prefixed; lowercase hex. Equal input gives equal output for as long as the keyring lives, across rotations. */
    readonly fingerprint: (purpose: "fingerprint" | "call-hash" | "cache", ...parts: ReadonlyArray<string>) => Effect.Effect<string>
  }
>() {}
