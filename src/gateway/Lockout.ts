/**
 * Lockout: counts wrong credentials per client address, over HTTP, WebSocket and SSE alike.
 *
 * Guarantees: after `maxFailedAttempts` failures an address is locked out for `lockoutDurationMs`;
 * of many attempts at once no more than that many are ever judged; counts survive a restart and a
 * kill; addresses are told apart as people are: an IPv4-mapped IPv6 address is that IPv4 address, an
 * IPv6 address stands for its /64.
 */
import { Context, type Effect } from "effect"
import type { TooManyRequests } from "../contract/access.ts"
import type { DatabaseError } from "../kernel/Database.ts"

export class Lockout extends Context.Tag("ai-desk/gateway/Lockout")<
  Lockout,
  {
    /**
     * Judges one attempt. `verify` answers whether the credential is right; it is not run for an
     * address that is locked out. A failure is counted before it is known to be one, so that
     * attempts side by side cannot outrun the count; success takes the count back.
     */
    readonly attempt: <A, E>(
      address: string,
      verify: Effect.Effect<A | null, E>
    ) => Effect.Effect<A | null, E | TooManyRequests | DatabaseError>
    /** Counts a failure that was found without this service. */
    readonly failed: (address: string) => Effect.Effect<void, TooManyRequests | DatabaseError>
  }
>() {}
