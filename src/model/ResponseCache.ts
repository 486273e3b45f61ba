/**
 * ResponseCache: answers given before, sealed at rest, for as long as the settings say.
 *
 * Guarantees: a hit needs equal everything that shapes an answer (agent, principal, model chain,
 * system prompt, skills, tools, conversation, parameters), so no answer crosses agents or
 * principals; a turn in which a tool was called is never stored; a damaged entry is a miss; of
 * many equal requests at once one asks the model and the others wait for its answer.
 */
import { Context, type Effect, type Option, Schema } from "effect"
import type { AgentId, PrincipalId } from "../domain/Ids.ts"
import type { AssistantMessage } from "../domain/Message.ts"
import type { ModelRef, ModelRequest } from "../domain/Model.ts"
import type { DatabaseError } from "../kernel/Database.ts"

export interface CacheQuestion {
  readonly agent: AgentId
  readonly principal: PrincipalId
  readonly chain: ReadonlyArray<ModelRef>
  readonly request: ModelRequest
}

export interface CachedAnswer {
  readonly model: ModelRef
  readonly message: AssistantMessage
}

export class CacheStats extends Schema.Class<CacheStats>("CacheStats")({
  enabled: Schema.Boolean,
  entries: Schema.Int,
  expired: Schema.Int,
  /** Of sealed answers on disk. */
  bytes: Schema.Int,
  /** Since the cache was created or cleared. */
  hits: Schema.Int,
  misses: Schema.Int
}) {}

/** `hit`: the answer. `ask`: nobody has it; the caller must end with `store` or `abandon`, others with the same question wait until then. `off`: the cache is disabled. */
export type Lookup =
  | { readonly _tag: "hit"; readonly answer: CachedAnswer }
  | {
      readonly _tag: "ask"
      readonly store: (answer: CachedAnswer) => Effect.Effect<void>
      readonly abandon: Effect.Effect<void>
    }
  | { readonly _tag: "off" }

export class ResponseCache extends Context.Tag("ai-desk/model/ResponseCache")<
  ResponseCache,
  {
    /** Never fails: a cache that cannot be read is a miss, with a warning in the log. */
    readonly lookup: (question: CacheQuestion) => Effect.Effect<Lookup>
    /** Without waiting for anyone and without promising to answer. */
    readonly peek: (question: CacheQuestion) => Effect.Effect<Option.Option<CachedAnswer>>
    readonly stats: Effect.Effect<CacheStats, DatabaseError>
    /** Returns how many entries went. */
    readonly clear: Effect.Effect<number, DatabaseError>
    /** Removes expired entries only. */
    readonly purge: Effect.Effect<number, DatabaseError>
  }
>() {}
