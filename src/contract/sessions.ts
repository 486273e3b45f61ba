/** Sessions: list and read. The log of a session is the whole truth of it. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { AgentId, SessionId } from "../domain/Ids.ts"
import { SessionCorrupt, SessionLog, SessionNotFound, SessionSummary } from "../domain/Session.ts"
import { Owns, Sees } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

export const SessionsGroup = HttpApiGroup.make("sessions")
  .annotateContext(about("Conversations."))
  .add(
    HttpApiEndpoint.get("list", "/dashboard/api/sessions")
      .middleware(Sees)
      .annotateContext(about("List sessions", "The latest first."))
      .setUrlParams(
        Schema.Struct({
          agent: Schema.optional(AgentId),
          limit: Schema.optionalWith(Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, 1000)), {
            default: () => 50
          })
        })
      )
      .addSuccess(Schema.Array(SessionSummary))
      .addError(worded(SessionCorrupt), { status: 500 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.get("show", "/dashboard/api/sessions/:id")
      .middleware(Sees)
      .annotateContext(about("Read a session", "Its summary and its whole log."))
      .setPath(Schema.Struct({ id: SessionId }))
      .addSuccess(SessionLog)
      .addError(worded(SessionNotFound), { status: 404 })
      .addError(worded(SessionCorrupt), { status: 500 })
      .addError(worded(GroundFailed))
  )
  // Reading a session out of the gateway is recorded; `show` on the owner's own screen is not.
  .add(
    HttpApiEndpoint.post("export", "/dashboard/api/sessions/:id/export")
      .middleware(Owns)
      .annotateContext(about("Export a session", "As reading it, and recorded in the audit log."))
      .setPath(Schema.Struct({ id: SessionId }))
      .addSuccess(SessionLog)
      .addError(worded(SessionNotFound), { status: 404 })
      .addError(worded(SessionCorrupt), { status: 500 })
      .addError(worded(GroundFailed))
  )

export const SessionsApi = base.add(SessionsGroup)
