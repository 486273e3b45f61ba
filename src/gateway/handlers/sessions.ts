/** Answers the sessions group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { SessionStore } from "../../agent/SessionStore.ts"
import { SessionsApi } from "../../contract/sessions.ts"
import { AuditEvent } from "../../domain/Audit.ts"
import { type SessionId, owner } from "../../domain/Ids.ts"
import { SessionLog } from "../../domain/Session.ts"
import { Audit } from "../../kernel/Audit.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(SessionsApi, "sessions", (handlers) =>
  Effect.gen(function* () {
    const store = yield* SessionStore
    const audit = yield* Audit
    const read = (id: SessionId) =>
      Effect.map(Effect.all([store.summary(id), store.log(id)]), ([summary, log]) => SessionLog.make({ summary, log }))
    return handlers
      .handle("list", ({ urlParams: { agent, limit } }) =>
        ground(store.list(agent === undefined ? { limit } : { agent, limit }))
      )
      .handle("show", ({ path }) => ground(read(path.id)))
      .handle("export", ({ path }) =>
        ground(
          Effect.tap(read(path.id), ({ summary, log }) =>
            audit.append(
              AuditEvent.make({
                type: "session.exported",
                agent: summary.agent,
                principal: owner,
                session: path.id,
                data: { events: log.length }
              })
            )
          )
        )
      )
  })
)
