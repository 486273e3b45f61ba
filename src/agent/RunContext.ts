/**
 * RunContext: what the steps of one run share. `record` is the only way to the log: an event is
 * durable before the in-memory view moves, so the view never knows more than a restart would, and
 * both have them in the same order, whoever records at the same time. The exception is `defer`, for
 * events that nothing acts upon before the next `record` makes them durable; one that fails keeps them.
 *
 * Along the path, events are built of typed parts that were decoded at a door; their constructors are
 * told so (`true`), because validating a nested one again takes up to 0.2 ms.
 */
import { Effect, Ref } from "effect"
import type { Agent } from "../domain/Agent.ts"
import type { Allowance } from "../domain/Caller.ts"
import type { PrincipalId, RunId, SessionId } from "../domain/Ids.ts"
import type { RunEvent } from "../domain/RunEvent.ts"
import type { SessionEvent } from "../domain/SessionEvent.ts"
import type { DatabaseError } from "../kernel/Database.ts"
import type { SessionStore } from "./SessionStore.ts"
import * as Turn from "./Turn.ts"

export interface RunContext {
  /** As it was when the run began; a reload does not change a running turn. */
  readonly agent: Agent
  readonly session: SessionId
  readonly run: RunId
  readonly principal: PrincipalId
  readonly allowance: Allowance | null
  readonly view: Effect.Effect<Turn.SessionView>
  /** In the view at once, in the log with the next `record`, in one commit with it. */
  readonly defer: (...events: ReadonlyArray<SessionEvent>) => Effect.Effect<void>
  /** Makes deferred events durable now, if there are any. */
  readonly flush: Effect.Effect<void, DatabaseError>
  /** Durable on return. */
  readonly record: (
    ...events: readonly [SessionEvent, ...ReadonlyArray<SessionEvent>]
  ) => Effect.Effect<void, DatabaseError>
  /** To whoever watches; never waits. */
  readonly emit: (event: RunEvent) => Effect.Effect<void>
}

export const make = (fixed: {
  readonly agent: Agent
  readonly session: SessionId
  readonly run: RunId
  readonly principal: PrincipalId
  readonly allowance: Allowance | null
  readonly view: Ref.Ref<Turn.SessionView>
  readonly store: typeof SessionStore.Service
  readonly emit: (event: RunEvent) => Effect.Effect<void>
}): RunContext => {
  const { agent, session, run, principal, allowance, view, store, emit } = fixed
  const deferred = Ref.unsafeMake<ReadonlyArray<SessionEvent>>([])
  const show = (events: ReadonlyArray<SessionEvent>) => Ref.update(view, (before) => events.reduce(Turn.step, before))
  const oneAtATime = Effect.unsafeMakeSemaphore(1)
  // Uninterruptible: a stop must not separate the durable event from the view that knows of it.
  const save = (events: ReadonlyArray<SessionEvent>) =>
    Effect.gen(function* () {
      const waiting = yield* Ref.getAndSet(deferred, [])
      const [first, ...rest] = [...waiting, ...events]
      if (first === undefined) return
      yield* store
        .append(session, [first, ...rest])
        .pipe(Effect.tapErrorCause(() => Ref.update(deferred, (since) => [...waiting, ...since])))
      yield* show(events)
    }).pipe(oneAtATime.withPermits(1), Effect.uninterruptible)
  return {
    agent,
    session,
    run,
    principal,
    allowance,
    view: Ref.get(view),
    defer: (...events) =>
      Effect.zipRight(
        Ref.update(deferred, (before) => [...before, ...events]),
        show(events)
      ),
    flush: save([]),
    record: (...events) => save(events),
    emit
  }
}
