/**
 * Answers the sessions group. A conversation leaves as it was, but for the gateway's own secrets: a
 * key of a provider that a model repeated, in words or in the arguments of a call, is in the sealed
 * log, and in nothing that is made of it.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { SessionStore } from "../../agent/SessionStore.ts"
import { SessionsApi } from "../../contract/sessions.ts"
import { AuditEvent } from "../../domain/Audit.ts"
import { Caller } from "../../domain/Caller.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { SessionLog } from "../../domain/Session.ts"
import { Audit } from "../../kernel/Audit.ts"
import { cleanLog, cleanSummaries, ownOf, readable } from "./conversations.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(SessionsApi, "sessions", (handlers) =>
  Effect.gen(function* () {
    const store = yield* SessionStore
    const audit = yield* Audit
    const read = (id: SessionId) =>
      Effect.gen(function* () {
        const summary = yield* readable(yield* Caller, store.summary(id))
        return cleanLog(SessionLog.make({ summary, log: yield* store.log(id) }))
      })
    return handlers
      .handle("list", ({ urlParams: { agent, limit } }) =>
        Effect.flatMap(Caller, (caller) =>
          ground(
            Effect.map(
              store.list({ limit, ...ownOf(caller), ...(agent === undefined ? {} : { agent }) }),
              cleanSummaries
            )
          )
        )
      )
      .handle("show", ({ path }) => ground(read(path.id)))
      .handle("export", ({ path }) =>
        ground(
          Effect.gen(function* () {
            const { principal } = yield* Caller
            const session = yield* read(path.id)
            const { agent } = session.summary
            const data = { events: session.log.length }
            yield* audit.append(AuditEvent.make({ type: "session.exported", agent, principal, session: path.id, data }))
            return session
          })
        )
      )
  })
)
