/**
 * Snapshots: a session for somebody who begins to watch it. Guarantees: the log is cut to what the
 * entries up to the given place have told, so that with the entries after it nothing is missing and
 * nothing is told twice, however far the log has got meanwhile.
 */
import { Schema } from "effect"
import { SessionSnapshot } from "../../contract/runs.ts"
import type { RunId, SessionId } from "../../domain/Ids.ts"
import type { SessionSummary } from "../../domain/Session.ts"
import type { Logged } from "../../domain/SessionEvent.ts"
import { redactRegistered } from "../../kernel/Redaction.ts"
import type { Told } from "./Hub.ts"

/** A page full, and no more than what a slow line carries; the rest is in the session's log. */
const mostEvents = 500

/**
 * `told` is older than `log`, and an event is told only after it was stored: so the log has it all,
 * and maybe more. `later`: runs that are told after the place, by the first event that each wrote.
 */
export const cut = (
  log: ReadonlyArray<Logged>,
  told: Told | null,
  later: ReadonlyMap<RunId, number>
): ReadonlyArray<Logged> => {
  const kept: Array<Logged> = []
  let answers = 0
  for (const logged of log) {
    const { event, seq } = logged
    const laterFrom = later.get(event.run)
    if (laterFrom !== undefined && seq >= laterFrom) continue
    if (told !== null && !told.ended && event.run === told.run && seq >= told.from) {
      if (event._tag === "AnsweredFromCache" || event._tag === "TurnEnded") break
      if (event._tag === "ModelAnswered" && ++answers > told.answers) break
      if (event._tag === "ToolFinished" && !told.tools.has(event.call)) continue
    }
    kept.push(logged)
  }
  return kept
}

const encode = Schema.encodeSync(SessionSnapshot)
const decode = Schema.decodeUnknownSync(SessionSnapshot)

export const make = (
  id: string,
  session: SessionId,
  summary: SessionSummary | null,
  log: ReadonlyArray<Logged>,
  told: Told | null,
  later: ReadonlyMap<RunId, number>
): SessionSnapshot => {
  const shown = cut(log, told, later)
  const skipped = Math.max(0, shown.length - mostEvents)
  const snapshot = new SessionSnapshot(
    {
      id,
      session,
      summary,
      log: shown.slice(skipped),
      skipped,
      live: told === null || told.ended ? null : { run: told.run, text: told.text }
    },
    true
  )
  return decode(redactRegistered(encode(snapshot)))
}
