/** History: finding conversations, and seeing again how one went. A session's log is never changed, so nothing here deletes. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"
import { AgentId, SessionId } from "../domain/Ids.ts"
import { SessionCorrupt, SessionNotFound, SessionSummary } from "../domain/Session.ts"
import { Logged } from "../domain/SessionEvent.ts"
import { Owns, Sees } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"
import { CursorOf, Limit, Moment, Word } from "./pages.ts"

export const HistoryPlace = Schema.Struct({ updatedAt: Schema.Finite, id: Schema.String.pipe(Schema.maxLength(100)) })
export const HistoryCursor = CursorOf(HistoryPlace)

export class HistoryPage extends Schema.Class<HistoryPage>("HistoryPage")({
  /** The latest first. */
  sessions: Schema.Array(SessionSummary),
  /** Where to go on; null at the end. A page may be short, or empty, and not be the last: a search looks at so many sessions at a time. */
  next: Schema.NullOr(Schema.String),
  /** Sessions that were looked at. */
  looked: Schema.Int,
  /** Of those, the ones whose log is damaged, so that a search cannot tell. */
  damaged: Schema.Array(SessionId)
}) {}

export class Replay extends Schema.Class<Replay>("Replay")({
  summary: SessionSummary,
  /** `afterMs` counts from the session's first event. */
  steps: Schema.Array(Schema.Struct({ afterMs: Schema.Finite, logged: Logged })),
  /** The number of the next event; null at the end. */
  next: Schema.NullOr(Schema.Int)
}) {}

const path = Schema.Struct({ id: SessionId })

export const HistoryGroup = HttpApiGroup.make("history")
  .annotateContext(about("Conversations of the past: found, and seen again."))
  .add(
    HttpApiEndpoint.get("list", "/dashboard/api/history")
      .middleware(Sees)
      .annotateContext(
        about(
          "Find sessions",
          "The latest first. Every word of `q` must stand in the title or in a message, in any case of letters. What was said is opened in memory only."
        )
      )
      .setUrlParams(
        Schema.Struct({
          q: Schema.optional(Word.annotations({ description: "Words to look for." })),
          agent: Schema.optional(AgentId),
          principal: Schema.optional(
            Word.annotations({ description: "Whose sessions. A chat token sees its own only." })
          ),
          since: Schema.optional(Moment),
          until: Schema.optional(Moment),
          cursor: Schema.optional(HistoryCursor),
          limit: Limit(50, 200)
        })
      )
      .addSuccess(HistoryPage)
      .addError(worded(SessionCorrupt), { status: 500 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.get("replay", "/dashboard/api/history/:id")
      .middleware(Sees)
      .annotateContext(about("See a session again", "Its events in order, each with the time since the first."))
      .setPath(path)
      .setUrlParams(
        Schema.Struct({
          from: Schema.optionalWith(
            Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative()).annotations({
              description: "Number of the first event.",
              jsonSchema: { type: "integer", minimum: 0 }
            }),
            { default: () => 0 }
          ),
          limit: Limit(200, 1000)
        })
      )
      .addSuccess(Replay)
      .addError(worded(SessionNotFound), { status: 404 })
      .addError(worded(SessionCorrupt), { status: 500 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("export", "/dashboard/api/history/:id/csv")
      .middleware(Owns)
      .annotateContext(
        about(
          "Export a session as a table",
          "What was said, as CSV in which no cell is a formula to any program. Recorded in the audit log first."
        )
      )
      .setPath(path)
      .addSuccess(HttpApiSchema.Text({ contentType: "text/csv" }))
      .addError(worded(SessionNotFound), { status: 404 })
      .addError(worded(SessionCorrupt), { status: 500 })
      .addError(worded(GroundFailed))
  )

export const HistoryApi = base.add(HistoryGroup)
