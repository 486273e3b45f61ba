/**
 * What the groups that show conversations share: a caller sees their own sessions, and all of them
 * only with the scope to look at the whole gateway; whatever leaves is free of the gateway's own
 * secrets. A session of somebody else is not told from one that is not there.
 */
import { Effect, Schema } from "effect"
import { type CallerInfo, may } from "../../domain/Caller.ts"
import { SessionLog, SessionNotFound, SessionSummary } from "../../domain/Session.ts"
import { redactRegistered } from "../../kernel/Redaction.ts"

/** Through the encoded form, in which every text is plain data. */
const clean = <A, I>(schema: Schema.Schema<A, I>) => {
  const encode = Schema.encodeSync(schema)
  const decode = Schema.decodeUnknownSync(schema)
  return (value: A): A => decode(redactRegistered(encode(value)))
}
export const cleanLog = clean(SessionLog)
export const cleanSummaries = clean(Schema.Array(SessionSummary))

/** The filter that a caller cannot take off. */
export const ownOf = (caller: CallerInfo): { readonly principal?: string } =>
  may(caller, "read") ? {} : { principal: caller.principal }

export const readable = <E>(
  caller: CallerInfo,
  summary: Effect.Effect<SessionSummary, E>
): Effect.Effect<SessionSummary, E | SessionNotFound> =>
  Effect.filterOrFail(
    summary,
    ({ principal }) => may(caller, "read") || principal === caller.principal,
    ({ id }) => new SessionNotFound({ id })
  )
