/**
 * Answers the history group. Sessions are sealed on disk and stay so: a search opens the newest ones
 * in memory, so many at a time, and says where it stopped. It looks at what is shown, so that nobody
 * can find out a hidden secret by guessing.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { DateTime, Effect, Either, Schema } from "effect"
import { SessionStore, type SessionPlace } from "../../agent/SessionStore.ts"
import { HistoryApi, HistoryCursor, HistoryPage, Replay } from "../../contract/history.ts"
import { AuditEvent } from "../../domain/Audit.ts"
import { Caller } from "../../domain/Caller.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { textOf } from "../../domain/Message.ts"
import { SessionLog, type SessionSummary } from "../../domain/Session.ts"
import type { Logged } from "../../domain/SessionEvent.ts"
import { Audit } from "../../kernel/Audit.ts"
import { redactText } from "../../kernel/Redaction.ts"
import { csv } from "../Csv.ts"
import { cleanLog, cleanSummaries, ownOf, readable } from "./conversations.ts"
import { ground } from "./ground.ts"

/** Logs that one question may open: about a second of work. */
const mostOpened = 200
const chunk = 50

const encodeCursor = Schema.encodeSync(HistoryCursor)

/** Who said what, for a reader; events without words of anybody are left out. */
const saidIn = ({ event }: Logged): { readonly by: string; readonly text: string } | undefined => {
  switch (event._tag) {
    case "MessageAccepted":
      return { by: "person", text: textOf(event.message) }
    case "AnsweredFromCache":
    case "ModelAnswered":
      return { by: "agent", text: textOf(event.message) }
    case "ToolFinished":
      return { by: event.tool, text: event.outcome.content }
    case "TurnEnded":
      return event.report === "" ? undefined : { by: "gateway", text: event.report }
    default:
      return undefined
  }
}

const fold = (text: string): string => text.normalize("NFKC").toLowerCase()

const placeOf = ({ id, updatedAt }: SessionSummary): SessionPlace => ({ id, updatedAt })

export const layer = HttpApiBuilder.group(HistoryApi, "history", (handlers) =>
  Effect.gen(function* () {
    const store = yield* SessionStore
    const audit = yield* Audit

    const read = (id: SessionId) =>
      Effect.gen(function* () {
        const summary = yield* readable(yield* Caller, store.summary(id))
        return cleanLog(SessionLog.make({ summary, log: yield* store.log(id) }))
      })

    /** Null when the log cannot be read. */
    const matches = (summary: SessionSummary, words: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const left = words.filter((word) => !fold(redactText(summary.title)).includes(word))
        if (left.length === 0) return true
        const log = yield* Effect.either(store.log(summary.id))
        if (Either.isLeft(log)) {
          if (log.left._tag === "DatabaseError") return yield* log.left
          return null
        }
        const said = fold(redactText(log.right.map((logged) => saidIn(logged)?.text ?? "").join("\n")))
        return left.every((word) => said.includes(word))
      })

    return handlers
      .handle("list", ({ urlParams: { agent, cursor, limit, principal, q, since, until } }) =>
        Effect.gen(function* () {
          const caller = yield* Caller
          const words = (q ?? "").split(/\s+/).flatMap((word) => (word === "" ? [] : [fold(word)]))
          const filter = {
            ...(agent === undefined ? {} : { agent }),
            ...(principal === undefined ? {} : { principal }),
            ...(since === undefined ? {} : { since }),
            ...(until === undefined ? {} : { until }),
            ...ownOf(caller)
          }
          const found: Array<SessionSummary> = []
          const damaged: Array<SessionId> = []
          let after = cursor
          let looked = 0
          let more = true
          while (more && found.length < limit && looked < mostOpened) {
            const size = words.length === 0 ? limit + 1 : chunk
            const page = yield* store.list({
              ...filter,
              limit: size,
              ...(after === undefined ? {} : { after })
            })
            more = page.length === size
            for (const [i, summary] of page.entries()) {
              if (found.length === limit || looked === mostOpened) {
                more = i < page.length
                break
              }
              const is = words.length === 0 ? true : yield* matches(summary, words)
              if (is === null) damaged.push(summary.id)
              if (is === true) found.push(summary)
              looked += 1
              after = placeOf(summary)
            }
            yield* Effect.yieldNow()
          }
          return HistoryPage.make({
            sessions: cleanSummaries(found),
            next: more && after !== undefined ? encodeCursor(after) : null,
            looked,
            damaged
          })
        }).pipe(ground)
      )
      .handle("replay", ({ path, urlParams: { from, limit } }) =>
        Effect.gen(function* () {
          const { log, summary } = yield* read(path.id)
          const began = log[0]?.at ?? summary.createdAt
          const steps = log
            .slice(from, from + limit)
            // Wall clocks can be set back; a replay never runs backwards.
            .map((logged) => ({ afterMs: Math.max(0, logged.at - began), logged }))
          return Replay.make({ summary, steps, next: from + limit < log.length ? from + limit : null })
        }).pipe(ground)
      )
      .handleRaw("export", ({ path }) =>
        Effect.gen(function* () {
          const { principal } = yield* Caller
          const { log, summary } = yield* read(path.id)
          const { agent } = summary
          const rows = log.flatMap((logged) => {
            const said = saidIn(logged)
            const at = DateTime.formatIso(DateTime.unsafeMake(logged.at))
            return said === undefined ? [] : [[logged.seq, at, said.by, said.text]]
          })
          const data = { events: log.length, format: "csv" }
          yield* audit.append(AuditEvent.make({ type: "session.exported", agent, principal, session: path.id, data }))
          return HttpServerResponse.text(csv(["event", "at", "by", "text"], rows), {
            contentType: "text/csv; charset=utf-8",
            headers: {
              "content-disposition": `attachment; filename="${path.id}.csv"`,
              "x-content-type-options": "nosniff"
            }
          })
        }).pipe(ground)
      )
  })
)
