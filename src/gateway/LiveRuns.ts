/**
 * LiveRuns: runs that go on whoever watches, and what those who watch are told.
 *
 * Guarantees: a run that was started here ends by itself, by a stop or with the gateway, and not with
 * a connection; a watcher that comes back with the id of the last event it saw is told every event
 * after it once, or a snapshot and every event after that; a slow watcher slows nobody down and costs
 * no memory; one principal sees and stops its own sessions only, the owner all.
 */
import { Clock, Context, Deferred, Effect, Layer, type Scope, Stream } from "effect"
import { AgentRuntime, type RunError, type RunRequest } from "../agent/AgentRuntime.ts"
import { SessionStore } from "../agent/SessionStore.ts"
import { InternalFailure } from "../contract/failures.ts"
import { type RunFailure, RunNotFound, type SessionSnapshot, TooManyRuns } from "../contract/runs.ts"
import { type CallerInfo, may } from "../domain/Caller.ts"
import type { PrincipalId, RunId, SessionId } from "../domain/Ids.ts"
import type { MessageState, RunEvent } from "../domain/RunEvent.ts"
import { type NothingToResume, type SessionCorrupt, SessionNotFound } from "../domain/Session.ts"
import type { DatabaseError } from "../kernel/Database.ts"
import { randomBytes } from "../kernel/Crypto.ts"
import * as Hub from "./live/Hub.ts"
import * as Snapshots from "./live/Snapshots.ts"
import { encodeFailure, failureOf } from "./RunFailures.ts"

export interface Started {
  readonly run: RunId
  readonly session: SessionId
  /** The message was taken before; nothing was started now. */
  readonly again: boolean
  readonly state: MessageState
  /** How it ended, if the message was taken before and its run has ended. */
  readonly ended: RunEvent | null
  /** Id before the run's first event. */
  readonly before: string
}

export interface Watching {
  /** To be shown first; null when the events alone tell all. */
  readonly snapshot: SessionSnapshot | null
  /** The next events, at most so many; null when the watcher is so far behind that some are gone. */
  readonly take: (most: number) => ReadonlyArray<Hub.Entry> | null
}

export interface Found {
  readonly session: SessionId
  /** Id before its first event; undefined for a run that nobody but its reader sees. */
  readonly before: string | undefined
  readonly isLive: () => boolean
}

export interface WatchRequest {
  readonly session: SessionId
  readonly caller: CallerInfo
  /** Id of the last event that was seen. */
  readonly after?: string | undefined
  /** Called when there is something to take. Must not throw, and returns at once. */
  readonly wake: () => void
}

export class LiveRuns extends Context.Tag("ai-desk/gateway/LiveRuns")<
  LiveRuns,
  {
    /** This process, in event ids. */
    readonly epoch: string
    readonly idOf: (entry: Hub.Entry) => string
    /** Returns when the message is accepted: with a key, when it is durable. */
    readonly start: (request: RunRequest) => Effect.Effect<Started, RunFailure>
    readonly resume: (session: SessionId, caller: CallerInfo) => Effect.Effect<Started, RunFailure>
    /** A run that ends with its reader: only known by its id here, so that its principal can stop it. */
    readonly attached: <E>(principal: PrincipalId, events: Stream.Stream<RunEvent, E>) => Stream.Stream<RunEvent, E>
    /** Returns when the run has ended. False when no such run of the caller's goes on. */
    readonly stop: (run: RunId, caller: CallerInfo) => Effect.Effect<boolean>
    /** For as long as the scope lives. A session of somebody else is not found. */
    readonly watch: (
      request: WatchRequest
    ) => Effect.Effect<Watching, SessionNotFound | SessionCorrupt | DatabaseError, Scope.Scope>
    /** A run that goes on here, or ended of late. */
    readonly find: (run: RunId, caller: CallerInfo) => Effect.Effect<Found, RunNotFound>
  }
>() {}

/** Of one principal, at the same time. 200 at once are tried out. */
const maxRuns = 256
/** Sessions that nobody uses: replayed from memory for as long as they are among the latest. */
const maxIdle = 128
/** Characters of all of those together. */
const maxIdleSize = 16 * 1024 * 1024
/** Runs whose session is remembered. */
const maxKnown = 4096
/** Events that are passed on before others have a turn. */
const batch = 256

interface Known {
  readonly principal: PrincipalId
  readonly session: SessionId
  live: boolean
  before: number | null
}

const make = Effect.gen(function* () {
  const runtime = yield* AgentRuntime
  const store = yield* SessionStore
  const epoch = `${(yield* Clock.currentTimeMillis).toString(36)}${Buffer.from(randomBytes(4)).toString("hex")}`
  let last = 0
  const numbers = { last: () => last, next: () => ++last }
  const idAt = (n: number) => `${epoch}.${n}`
  /** The latest used one last. */
  const hubs = new Map<SessionId, Hub.Hub>()
  const runs = new Map<RunId, Known>()
  const running = new Map<PrincipalId, number>()

  const forgetIdle = () => {
    let [count, size] = [0, 0]
    for (const hub of [...hubs.values()].reverse()) {
      if (!hub.isIdle()) continue
      count += 1
      size += hub.size()
      if (count > maxIdle || size > maxIdleSize) hubs.delete(hub.session)
    }
  }

  const hubOf = (session: SessionId, principal: PrincipalId): Hub.Hub => {
    const hub = hubs.get(session) ?? Hub.make(session, principal, numbers)
    hubs.delete(session)
    hubs.set(session, hub)
    return hub
  }

  const know = (run: RunId, principal: PrincipalId, session: SessionId) => {
    const known: Known = { principal, session, live: true, before: null }
    runs.set(run, known)
    if (runs.size <= maxKnown) return known
    for (const [id, { live }] of runs) {
      if (live) continue
      runs.delete(id)
      if (runs.size <= maxKnown) break
    }
    return known
  }

  const ended = (run: RunId) => {
    const known = runs.get(run)
    if (known !== undefined) known.live = false
  }

  const enter = (principal: PrincipalId) =>
    Effect.suspend(() => {
      const now = running.get(principal) ?? 0
      if (now >= maxRuns) return Effect.fail(new TooManyRuns({ limit: maxRuns }))
      running.set(principal, now + 1)
      return Effect.void
    })
  const leave = (principal: PrincipalId) =>
    Effect.sync(() => {
      const now = (running.get(principal) ?? 1) - 1
      if (now === 0) running.delete(principal)
      else running.set(principal, now)
    })

  /** Follows one run to its end. The fiber is nobody's: it ends with its run, and that, at the latest, with the runtime.  `keyed`: it counts as started once it is stored. */
  const detach = (
    events: Stream.Stream<RunEvent, RunError | NothingToResume>,
    principal: PrincipalId,
    how: { readonly keyed: boolean; readonly from: number }
  ): Effect.Effect<Started, RunFailure> =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<Started, RunFailure>()
      let source: Hub.Source | null = null
      let hub: Hub.Hub | null = null
      let before = last
      let registered: Known | null = null
      let known: Omit<Started, "ended" | "before"> | null = null

      const tell = (run: RunId, session: SessionId) =>
        Deferred.unsafeDone(
          started,
          Effect.succeed({ run, session, again: false, state: "running", ended: null, before: idAt(before) })
        )
      const pass = (event: RunEvent) => {
        if (event._tag === "RunStarted") {
          hub = hubOf(event.session, principal)
          source = Hub.source(event.run, how.from)
          registered = know(event.run, principal, event.session)
        }
        if (event._tag === "MessageStored" && event.again) {
          known = { run: event.run, session: event.session, again: true, state: event.state }
          return
        }
        if (known !== null) {
          Deferred.unsafeDone(started, Effect.succeed({ ...known, ended: event, before: idAt(last) }))
          return
        }
        if (source === null || hub === null) return
        if (!source.begun) before = last
        if (registered !== null) registered.before = before
        hub.offer(source, event)
        if (how.keyed ? event._tag === "MessageStored" : event._tag === "RunStarted") tell(source.run, hub.session)
        // A run that ended before it was accepted has told why.
        if (event._tag === "RunEnded") tell(source.run, hub.session)
      }

      const following = Stream.runForEachChunk(events, (chunk) =>
        Effect.gen(function* () {
          let passed = 0
          for (const event of chunk) {
            pass(event)
            passed += 1
            if (passed % batch === 0) yield* Effect.yieldNow()
          }
        })
      ).pipe(
        Effect.catchAllCause((cause) =>
          Effect.map(failureOf(cause), (failure) => {
            if (source !== null && hub !== null) {
              hub.offer(source, { _tag: "Failure", json: encodeFailure(failure) })
            }
            Deferred.unsafeDone(started, Effect.fail(failure))
          })
        ),
        Effect.ensuring(
          Effect.suspend(() => {
            if (source !== null && hub !== null) {
              hub.finish(source)
              ended(source.run)
            }
            forgetIdle()
            Deferred.unsafeDone(
              started,
              known === null
                ? Effect.fail(new InternalFailure())
                : Effect.succeed({ ...known, ended: null, before: idAt(last) })
            )
            return leave(principal)
          })
        )
      )
      yield* Effect.uninterruptible(
        Effect.zipRight(enter(principal), Effect.forkDaemon(Effect.interruptible(following)))
      )
      return yield* Deferred.await(started)
    })

  const mine = (caller: CallerInfo, principal: PrincipalId) => may(caller) || caller.principal === principal

  const watch = ({ after, caller, session, wake }: WatchRequest) =>
    Effect.gen(function* () {
      const found = hubs.get(session)
      const principal = found?.principal ?? (yield* store.summary(session)).principal
      if (!mine(caller, principal)) return yield* new SessionNotFound({ id: session })
      const hub = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const used = hubOf(session, principal)
          used.watchers.add(wake)
          return used
        }),
        (used) =>
          Effect.sync(() => {
            used.watchers.delete(wake)
            forgetIdle()
          })
      )
      const [of = "", n = ""] = (after ?? "").split(".")
      const known = of === epoch && /^\d{1,15}$/.test(n) ? hub.indexAfter(Number(n)) : null
      let index = known ?? hub.end()
      const take = (most: number) => {
        const entries = hub.slice(index, most)
        if (entries !== null) index += entries.length
        return entries
      }
      if (known !== null) return { snapshot: null, take }
      const told = hub.told()
      const place = last
      // A run that was told to begin may not have written anything yet.
      const stored = yield* Effect.all([store.log(session), store.summary(session)]).pipe(
        Effect.catchTag("SessionNotFound", () => Effect.succeed(null))
      )
      const [log, summary] = stored ?? [[], null]
      const later = hub.after(place)
      return { snapshot: Snapshots.make(idAt(place), session, summary, log, told, later), take }
    })

  return LiveRuns.of({
    epoch,
    idOf: ({ n }) => idAt(n),
    start: (request) => detach(runtime.run(request), request.principal, { keyed: request.key !== undefined, from: 0 }),
    resume: (session, caller) =>
      Effect.gen(function* () {
        const { events } = yield* store.summary(session)
        return events
      }).pipe(
        Effect.catchAllCause((cause) => Effect.flatMap(failureOf(cause), Effect.fail)),
        Effect.flatMap((from) =>
          detach(runtime.resume(session, caller.principal, caller.allowance ?? undefined), caller.principal, {
            keyed: false,
            from
          })
        )
      ),
    attached: (principal, events) =>
      Stream.suspend(() => {
        let run: RunId | null = null
        return events.pipe(
          Stream.map((event) => {
            if (event._tag === "RunStarted") {
              run = event.run
              know(event.run, principal, event.session)
            }
            return event
          }),
          Stream.ensuring(
            Effect.sync(() => {
              if (run !== null) ended(run)
            })
          )
        )
      }),
    stop: (run, caller) =>
      Effect.suspend(() => {
        const known = runs.get(run)
        const allowed = known === undefined ? may(caller) : mine(caller, known.principal)
        return allowed ? runtime.stop(run) : Effect.succeed(false)
      }),
    watch,
    find: (run, caller) =>
      Effect.suspend(() => {
        const known = runs.get(run)
        if (known === undefined || !mine(caller, known.principal)) return new RunNotFound({ run })
        const { before, session } = known
        return Effect.succeed({
          session,
          before: before === null ? undefined : idAt(before),
          isLive: () => known.live
        })
      })
  })
})

export const layer = Layer.effect(LiveRuns, make)
