/**
 * RunContext: what the steps of one run share. `record` is the only way to the log: an event is
 * durable before the in-memory view moves, so the view never knows more than a restart would.
 */
import { Effect, Ref } from "effect"
import type { Agent } from "../domain/Agent.ts"
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
  readonly view: Effect.Effect<Turn.SessionView>
  /** Durable on return. */
  readonly record: (...events: readonly [SessionEvent, ...ReadonlyArray<SessionEvent>]) => Effect.Effect<void, DatabaseError>
  /** To whoever watches; never waits. */
  readonly emit: (event: RunEvent) => Effect.Effect<void>
}

export const make = (fixed: {
  readonly agent: Agent
  readonly session: SessionId
  readonly run: RunId
  readonly principal: PrincipalId
  readonly view: Ref.Ref<Turn.SessionView>
  readonly store: typeof SessionStore.Service
  readonly emit: (event: RunEvent) => Effect.Effect<void>
}): RunContext => ({
  agent: fixed.agent,
  session: fixed.session,
  run: fixed.run,
  principal: fixed.principal,
  view: Ref.get(fixed.view),
  // Uninterruptible: a stop must not separate the durable event from the view that knows of it.
  record: (...events) =>
    Effect.uninterruptible(
      Effect.zipRight(
        fixed.store.append(fixed.session, events),
        Ref.update(fixed.view, (view) => events.reduce(Turn.step, view))
      )
    ),
  emit: fixed.emit
})
