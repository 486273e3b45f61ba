/**
 * Pins: the client certificates that count, known by their public keys. That TLS trusts a
 * certificate is not enough: a key that was never pinned here, or whose pin was taken away, is
 * nobody's.
 */
import { Context, type Effect } from "effect"
import type { GroundFailed } from "../contract/failures.ts"
import type { AccessScope } from "../domain/Caller.ts"

export interface Pin {
  readonly id: string
  readonly scopes: ReadonlyArray<AccessScope>
  readonly label: string
}

export class Pins extends Context.Tag("ai-desk/gateway/Pins")<
  Pins,
  {
    /** By lowercase hex SHA-256 of the public key (SPKI). Null: not pinned, revoked, or expired. */
    readonly lookup: (spkiHex: string) => Effect.Effect<Pin | null, GroundFailed>
    /** Returns when the pin with this id ends: revoked or expired; at once when there is none. */
    readonly ended: (id: string) => Effect.Effect<void>
  }
>() {}
