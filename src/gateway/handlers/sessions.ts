/**
 * Answers the sessions group. A conversation leaves as it was, but for the gateway's own secrets: a
 * key of a provider that a model repeated, in words or in the arguments of a call, is in the sealed
 * log, and in nothing that is made of it.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect, Schema } from "effect"
import { SessionStore } from "../../agent/SessionStore.ts"
import { SessionsApi } from "../../contract/sessions.ts"
import { AuditEvent } from "../../domain/Audit.ts"
import { type SessionId, owner } from "../../domain/Ids.ts"
import { SessionLog, SessionSummary } from "../../domain/Session.ts"
import { Audit } from "../../kernel/Audit.ts"
import { redactRegistered } from "../../kernel/Redaction.ts"
import { ground } from "./ground.ts"

/** Through the encoded form, in which every text is plain data. */
const clean = <A, I>(schema: Schema.Schema<A, I>) => {
  const encode = Schema.encodeSync(schema)
  const decode = Schema.decodeUnknownSync(schema)
  return (value: A): A => decode(redactRegistered(encode(value)))
}
const cleanLog = clean(SessionLog)
const cleanSummaries = clean(Schema.Array(SessionSummary))

export const layer = HttpApiBuilder.group(SessionsApi, "sessions", (handlers) =>
  Effect.gen(function* () {
    const store = yield* SessionStore
    const audit = yield* Audit
    const read = (id: SessionId) =>
      Effect.map(Effect.all([store.summary(id), store.log(id)]), ([summary, log]) =>
        cleanLog(SessionLog.make({ summary, log }))
      )
    return handlers
      .handle("list", ({ urlParams: { agent, limit } }) =>
        ground(Effect.map(store.list(agent === undefined ? { limit } : { agent, limit }), cleanSummaries))
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
