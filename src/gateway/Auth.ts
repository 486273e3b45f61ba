/**
 * Auth: who asks. Exactly one mode is in force: token, password or certificate; there is none that
 * lets somebody in without proof.
 *
 * Guarantees: a credential is compared in time that does not depend on how much of it is right;
 * wrong ones are counted per address, over every way in; a valid token is never locked out; a
 * credential that was revoked counts no more from the next request on, and whatever it holds open
 * is closed within a second.
 */
import { Context, type Effect, type Redacted } from "effect"
import type { TooManyRequests, Unauthenticated } from "../contract/access.ts"
import type { GroundFailed } from "../contract/failures.ts"
import type { CallerInfo } from "../domain/Caller.ts"

/** What a request brought to prove who sent it. Absent parts are null; empty strings count as absent. */
export interface Presented {
  /** Canonical address of the client, after declared proxies: what failures are counted under. */
  readonly address: string
  /** From `Authorization: Bearer`, `x-api-key`, or a WebSocket's subprotocol. */
  readonly bearer: Redacted.Redacted<string> | null
  /** A browser's cookie, and the proof that only its own page knows. The cookie alone proves nothing: all ports of a host share cookies. */
  readonly session: { readonly cookie: Redacted.Redacted<string>; readonly proof: Redacted.Redacted<string> } | null
  /** Lowercase hex SHA-256 of the public key (SPKI) of a client certificate that TLS has verified. */
  readonly certificate: string | null
}

export class Auth extends Context.Tag("ai-desk/gateway/Auth")<
  Auth,
  {
    /** Fails with `missing` when nothing was presented, which counts as no attempt. */
    readonly authenticate: (
      presented: Presented
    ) => Effect.Effect<CallerInfo, Unauthenticated | TooManyRequests | GroundFailed>
    /** Returns when the caller's credential ends: revoked, expired, logged out. Never, for the local owner. */
    readonly ended: (caller: CallerInfo) => Effect.Effect<void>
  }
>() {}
