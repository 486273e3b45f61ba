/**
 * ResponseCache: answers given before, sealed at rest, for as long as the settings say.
 *
 * Guarantees: a hit needs equal everything that shapes an answer (agent, principal, model chain,
 * system prompt, skills, tools, conversation, parameters), so no answer crosses agents or
 * principals; an answer in which a tool was called is never stored; a damaged entry is a miss and
 * is removed; of many equal requests at once one asks the model and the others wait for its answer,
 * though never longer than a model may take: whoever waited so long asks too.
 */
import { Clock, Context, Deferred, Effect, Layer, Option, Schema } from "effect"
import { AuditEvent } from "../domain/Audit.ts"
import { CacheStats } from "../domain/Cache.ts"
import { asker } from "../domain/Caller.ts"
import type { AgentId, PrincipalId } from "../domain/Ids.ts"
import { AssistantMessage, toolCallsOf } from "../domain/Message.ts"
import { ModelRef, type ModelRequest } from "../domain/Model.ts"
import { Audit } from "../kernel/Audit.ts"
import { Crypto } from "../kernel/Crypto.ts"
import { Database, type DatabaseError } from "../kernel/Database.ts"
import { Settings } from "../kernel/Settings.ts"
import { canonical } from "./cache/Canonical.ts"
import * as Front from "./cache/Front.ts"
import * as Shelf from "./cache/Shelf.ts"

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
    readonly stats: Effect.Effect<CacheStats, DatabaseError>
    /** Returns how many entries went. */
    readonly clear: Effect.Effect<number, DatabaseError>
    /** Removes expired entries only. */
    readonly purge: Effect.Effect<number, DatabaseError>
  }
>() {}

/** Part of every key: what an entry means, and how a key is made, may change with a release. */
const version = 1

/** What is sealed. The times are inside, so that nobody who can write the file can prolong an entry. */
const Entry = Schema.Struct({
  createdAt: Schema.Number,
  expiresAt: Schema.Number,
  model: ModelRef,
  message: AssistantMessage
})
type Entry = typeof Entry.Type
const EntryJson = Schema.parseJson(Entry)
const decodeEntry = Schema.decodeOption(EntryJson)
const encodeEntry = Schema.encodeSync(EntryJson)

interface Found {
  readonly entry: Entry
  readonly bytes: number
}

const address = (id: string) => ({ table: "cache_answers", row: id, column: "sealed" })

/** Answers stored between two looks at how many there are. */
const trimEvery = 256

const make = Effect.gen(function* () {
  const { cache: store } = yield* Database
  const crypto = yield* Crypto
  const settings = yield* Settings
  const audit = yield* Audit
  const front = Front.make<Entry>()
  let stored = 0
  const counted = { hits: 0, misses: 0 }
  const asking = new Map<string, Deferred.Deferred<Option.Option<CachedAnswer>>>()

  const keyOf = ({ agent, principal, chain, request }: CacheQuestion): Effect.Effect<string> =>
    Effect.suspend(() => crypto.fingerprint("cache", canonical({ version, agent, principal, chain, request })))

  /** A shorter time to live holds for older entries too; one from the future comes from a clock that was wrong. */
  const isFresh = (entry: Entry, now: number, ttlMs: number): boolean =>
    entry.createdAt <= now && now < Math.min(entry.expiresAt, entry.createdAt + ttlMs)

  const discard = (id: string, why: string) =>
    Effect.logWarning(`a cached answer is unusable and was removed: ${why}`).pipe(
      Effect.zipRight(store.write((db) => Shelf.remove(db, id)))
    )

  const fromShelf = (id: string, now: number, ttlMs: number) =>
    Effect.gen(function* () {
      const sealed = yield* store.read((db) => Shelf.find(db, id))
      if (Option.isNone(sealed)) return Option.none<Found>()
      const opened = yield* Effect.either(crypto.open("cache", address(id), sealed.value))
      if (opened._tag === "Left") {
        yield* discard(id, opened.left.reason)
        return Option.none<Found>()
      }
      const entry = decodeEntry(Buffer.from(opened.right).toString("utf8"))
      if (Option.isNone(entry)) {
        yield* discard(id, "it has another form than was written")
        return Option.none<Found>()
      }
      return isFresh(entry.value, now, ttlMs)
        ? Option.some({ entry: entry.value, bytes: opened.right.length })
        : Option.none<Found>()
    }).pipe(
      Effect.catchTag("DatabaseError", (error) =>
        Effect.as(Effect.logWarning(`the cache cannot be read: ${error.message}`), Option.none<Found>())
      )
    )

  const fromFront = (id: string, now: number, ttlMs: number): Entry | undefined => {
    const found = front.get(id)
    if (found === undefined || isFresh(found, now, ttlMs)) return found
    front.remove(id)
    return undefined
  }

  const answerOf = ({ model, message }: Entry): CachedAnswer => ({ model, message })

  /** Counts reach the disk with the next write and when the gateway stops; a crash loses a few. */
  const takeCounts = () => {
    const taken = { ...counted }
    counted.hits = 0
    counted.misses = 0
    return taken
  }

  const hit = (answer: CachedAnswer): Lookup => {
    counted.hits += 1
    return { _tag: "hit", answer }
  }

  const release = (
    id: string,
    mine: Deferred.Deferred<Option.Option<CachedAnswer>>,
    answer: Option.Option<CachedAnswer>
  ) =>
    Effect.suspend(() => {
      if (asking.get(id) === mine) asking.delete(id)
      return Effect.asVoid(Deferred.succeed(mine, answer))
    })

  const storeAnswer = (id: string, { model, message }: CachedAnswer) =>
    Effect.gen(function* () {
      const { config } = yield* settings.current
      const createdAt = yield* Clock.currentTimeMillis
      const entry: Entry = { createdAt, expiresAt: createdAt + config.cache.ttlSeconds * 1000, model, message }
      const plain = Buffer.from(encodeEntry(entry), "utf8")
      const sealed = yield* crypto.seal("cache", address(id), plain)
      front.put(id, entry, plain.length)
      yield* store.write((db) => {
        Shelf.put(db, id, sealed, entry.createdAt, entry.expiresAt)
        Shelf.removeExpired(db, createdAt)
        if (stored++ % trimEvery === 0) Shelf.trim(db)
      })
      yield* flush
    }).pipe(Effect.catchAll((error) => Effect.logWarning(`an answer could not be kept: ${error.message}`)))

  const flush = Effect.suspend(() => {
    const { hits, misses } = takeCounts()
    return hits === 0 && misses === 0
      ? Effect.void
      : store
          .write((db) => Shelf.count(db, hits, misses))
          .pipe(
            Effect.tapError(() =>
              Effect.sync(() => {
                counted.hits += hits
                counted.misses += misses
              })
            )
          )
  })

  const lookup = (question: CacheQuestion): Effect.Effect<Lookup> =>
    Effect.gen(function* () {
      const { config } = yield* settings.current
      if (!config.cache.enabled) return { _tag: "off" } as const
      const ttlMs = config.cache.ttlSeconds * 1000
      const patienceMs = config.router.firstTokenTimeoutMs + config.router.idleTimeoutMs
      const id = yield* keyOf(question)
      for (;;) {
        const now = yield* Clock.currentTimeMillis
        const near = fromFront(id, now, ttlMs)
        if (near !== undefined) return hit(answerOf(near))
        const other = asking.get(id)
        if (other !== undefined) {
          const waited = yield* Effect.timeoutOption(Deferred.await(other), patienceMs)
          if (Option.isNone(waited)) yield* release(id, other, Option.none())
          else if (Option.isSome(waited.value)) return hit(waited.value.value)
          continue
        }
        const mine = Deferred.unsafeMake<Option.Option<CachedAnswer>>(yield* Effect.fiberId)
        asking.set(id, mine)
        const far = yield* fromShelf(id, now, ttlMs).pipe(Effect.onError(() => release(id, mine, Option.none())))
        if (Option.isSome(far)) {
          front.put(id, far.value.entry, far.value.bytes)
          const answer = answerOf(far.value.entry)
          yield* release(id, mine, Option.some(answer))
          return hit(answer)
        }
        counted.misses += 1
        return {
          _tag: "ask",
          store: (answer) =>
            toolCallsOf(answer.message).length > 0
              ? release(id, mine, Option.none())
              : Effect.uninterruptible(
                  Effect.zipRight(release(id, mine, Option.some(answer)), storeAnswer(id, answer))
                ),
          abandon: release(id, mine, Option.none())
        } as const
      }
    })

  const stats = Effect.gen(function* () {
    const { config } = yield* settings.current
    const now = yield* Clock.currentTimeMillis
    yield* flush
    const found = yield* store.read((db) => Shelf.stats(db, now))
    return new CacheStats({ enabled: config.cache.enabled, ...found })
  })

  const clear = Effect.gen(function* () {
    front.clear()
    takeCounts()
    const entries = yield* store.write(Shelf.clear)
    yield* audit.note(new AuditEvent({ type: "cache.cleared", ...(yield* asker), data: { entries } }))
    return entries
  })

  const purge = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    return yield* store.write((db) => Shelf.removeExpired(db, now))
  })

  yield* Effect.addFinalizer(() =>
    flush.pipe(Effect.catchAll((error) => Effect.logWarning(`the cache's counts could not be kept: ${error.message}`)))
  )

  return ResponseCache.of({ lookup, stats, clear: Effect.uninterruptible(clear), purge })
})

export const layer: Layer.Layer<ResponseCache, never, Database | Crypto | Settings | Audit> = Layer.scoped(
  ResponseCache,
  make
)
