/**
 * MessageKeys: a message with a key is taken once. Guarantees: of several that arrive with the same
 * key, also at once, one is judged at a time, until one is durable; what comes after it is told from
 * the log what became of the first, and nothing is run again. The same key with another message is refused.
 */
import { Deferred, Effect } from "effect"
import type { MessageKey, PrincipalId, RunId, SessionId } from "../domain/Ids.ts"
import { textOf } from "../domain/Message.ts"
import { MessageStored, RunEnded, type RunEvent } from "../domain/RunEvent.ts"
import { MessageKeyTaken } from "../domain/Session.ts"
import type { Logged } from "../domain/SessionEvent.ts"
import type { SessionStore } from "./SessionStore.ts"
import * as Turn from "./Turn.ts"

export interface Keyed {
  readonly key: MessageKey
  readonly principal: PrincipalId
  readonly session?: SessionId
  readonly message: string
}

/** How the run ended, as it was told when it did; undefined while it has not. */
const endOf = (log: ReadonlyArray<Logged>, run: RunId, acceptedAt: number): RunEnded | undefined => {
  const last = log.findIndex(({ event }) => event._tag === "TurnEnded" && event.run === run)
  const ended = log[last]
  if (ended === undefined || ended.event._tag !== "TurnEnded") return undefined
  const view = Turn.fold(log.slice(0, last).map(({ event }) => event))
  const step = Turn.next(view, { maxRounds: Number.POSITIVE_INFINITY })
  const state = view.run
  if (state === null) return undefined
  return new RunEnded({
    end: ended.event.end,
    text: ended.event.end === "answered" && step._tag === "End" ? step.text : ended.event.report,
    usage: state.usage,
    cost: state.cost,
    durationMs: Math.max(0, ended.at - acceptedAt),
    toolCalls: state.toolCalls
  })
}

export const make = (store: typeof SessionStore.Service) => {
  const claims = new Map<string, Deferred.Deferred<void>>()
  const nameOf = ({ key, principal }: Keyed) => JSON.stringify([principal, key])

  const told = (keyed: Keyed, stored: { readonly session: SessionId; readonly run: RunId }, isLive: boolean) =>
    Effect.gen(function* () {
      const { run, session } = stored
      const log = yield* store.log(session)
      const accepted = log.find(({ event }) => event._tag === "MessageAccepted" && event.run === run)
      const same =
        accepted?.event._tag === "MessageAccepted" &&
        textOf(accepted.event.message) === keyed.message &&
        (keyed.session === undefined || keyed.session === session)
      if (!same) return yield* new MessageKeyTaken({ key: keyed.key })
      const ended = endOf(log, run, accepted.at)
      const state = ended !== undefined ? "ended" : isLive ? "running" : "interrupted"
      const first = new MessageStored({ run, session, key: keyed.key, again: true, state })
      const events: ReadonlyArray<RunEvent> = ended === undefined ? [first] : [first, ended]
      return events
    })

  return {
    /**
     * Runs `fresh` when no message was taken under the key, else returns what is known of that one.
     * `fresh` calls `release` once its message is durable; until then, others with the key wait.
     */
    once: <E, R>(
      keyed: Keyed,
      isLive: (run: RunId) => boolean,
      fresh: (release: Effect.Effect<void>) => Effect.Effect<void, E, R>
    ) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const name = nameOf(keyed)
          const mine = yield* Deferred.make<void>()
          // Nothing is held while it waits, and what it holds is let go of below.
          for (let other = claims.get(name); other !== undefined; other = claims.get(name)) {
            yield* restore(Deferred.await(other))
          }
          claims.set(name, mine)
          const release = Effect.suspend(() => {
            if (claims.get(name) !== mine) return Effect.void
            claims.delete(name)
            return Effect.asVoid(Deferred.succeed(mine, undefined))
          })
          const judged = Effect.gen(function* () {
            const stored = yield* store.messageOf(keyed.principal, keyed.key)
            if (stored !== null) return yield* told(keyed, stored, isLive(stored.run))
            yield* fresh(release)
            const nothing: ReadonlyArray<RunEvent> = []
            return nothing
          })
          return yield* Effect.ensuring(restore(judged), release)
        })
      )
  }
}
