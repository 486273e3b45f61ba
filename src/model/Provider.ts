/**
 * Provider: one vendor's API behind one shape, through the vendor's own SDK with its retries off.
 *
 * Guarantees: exactly one `Completed` ends a stream that does not fail; a call without a genuine
 * lease or scan is refused before anything is sent; errors arrive in the router's taxonomy with no
 * raw provider body, prompt or key in them; interruption closes the connection.
 */
import { Context, type Effect, type Stream } from "effect"
import type { ModelError, ModelEvent, ModelRef, ModelRequest, ProviderName } from "../domain/Model.ts"
import type { BudgetLease, Scanned } from "../domain/Proof.ts"

export interface Provider {
  readonly name: ProviderName
  /** Asks `lease.model`. Deadlines and retries are the router's. */
  readonly stream: (request: Scanned<ModelRequest>, lease: BudgetLease) => Stream.Stream<ModelEvent, ModelError>
}

export class Providers extends Context.Tag("ai-desk/model/Providers")<
  Providers,
  {
    /** The adapter for a model. Fails with `auth` when no key is known, `bad_request` when no such provider is configured. SDKs load on first use. */
    readonly get: (model: ModelRef) => Effect.Effect<Provider, ModelError>
    /** Names that could be used now: those with a key, configured servers, and `rehearsal`. */
    readonly available: Effect.Effect<ReadonlyArray<ProviderName>>
  }
>() {}
