/** `session`: what was said and done, and going on after a crash. */
import { closeSync, openSync, rmSync, writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { Effect, Schema } from "effect"
import { SessionsApi } from "../contract/sessions.ts"
import { SessionId } from "../domain/Ids.ts"
import { textOf } from "../domain/Message.ts"
import { formatUsd } from "../domain/Money.ts"
import { SessionLog, SessionSummary } from "../domain/Session.ts"
import type { SessionEvent } from "../domain/SessionEvent.ts"
import * as ControlClient from "./ControlClient.ts"
import { argument, file, type Group, matching, option, optionOr, verb, wholeNumber } from "./Grammar.ts"
import { Output, table, visible } from "./Output.ts"
import { Surroundings } from "./Surroundings.ts"
import { agentName, ask, config, json, when } from "./shared.ts"

const id = argument(
  matching(Schema.is(SessionId), "a session's id, as `ai-desk session list` shows it"),
  "SESSION",
  "The session's id, as `session list` shows it."
)
const agent = option(agentName, "NAME", "Only this agent's sessions.")
const limit = optionOr(wholeNumber(1, 1000), "N", "How many, newest first (1 to 1000); 50 otherwise.", 50, {
  short: "n"
})

const list = verb({
  summary: "List sessions, newest first.",
  params: { agent, limit, config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const client = yield* ControlClient.use(SessionsApi, "sessions")
        const named = input.agent === undefined ? {} : { agent: input.agent }
        const sessions = yield* client.sessions.list({ urlParams: { limit: input.limit, ...named } })
        yield* output.result(Schema.encodeSync(Schema.Array(SessionSummary))(sessions), () =>
          sessions.length === 0
            ? "no sessions yet"
            : table([
                ["SESSION", "AGENT", "UPDATED (UTC)", "EVENTS", "TITLE"],
                ...sessions.map((s) => [s.id, s.agent, when(s.updatedAt), String(s.events), visible(s.title)])
              ])
        )
      })
    )
})

/** A session's event as one paragraph of a transcript; null for bookkeeping. */
const paragraph = (event: SessionEvent): string | null => {
  switch (event._tag) {
    case "HistoryGiven":
      return `the client brought ${event.messages.length} earlier messages`
    case "MessageAccepted":
      return `you: ${textOf(event.message)}`
    case "AnsweredFromCache":
      return `${event.model} (from the cache): ${textOf(event.message)}`
    case "ModelAnswered": {
      const calls = event.message.content.flatMap((part) =>
        part._tag === "ToolCall" ? [`  calls ${part.name} ${JSON.stringify(part.arguments)}`] : []
      )
      return [`${event.model} (${formatUsd(event.cost)}): ${textOf(event.message)}`, ...calls].join("\n")
    }
    case "ModelFailed":
      return `${event.model} failed: ${event.failure}: ${event.detail}`
    case "ToolFinished":
      return `${event.tool} ${event.how}: ${event.outcome.content}`
    case "ApprovalGiven":
      return `approval ${event.approved ? "given" : "refused"}`
    case "TurnEnded":
      return event.end === "answered" ? null : `turn ended: ${event.end}: ${event.report}`
    case "ModelAsked":
    case "ApprovalAsked":
    case "ToolIntended":
    case "Compacted":
      return null
  }
}

const transcript = ({ summary, log }: SessionLog): string =>
  [
    `${summary.id} · agent ${summary.agent} · ${log.length} events`,
    ...log.flatMap(({ at, event }) => {
      const text = paragraph(event)
      return text === null ? [] : [`${when(at)}  ${visible(text)}`]
    })
  ].join("\n\n")

const show = verb({
  summary: "Show a session as a transcript.",
  about: "With --json: its whole log.",
  params: { id, config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const client = yield* ControlClient.use(SessionsApi, "sessions")
        const session = yield* client.sessions.show({ path: { id: input.id } })
        yield* output.result(Schema.encodeSync(SessionLog)(session), () => transcript(session))
      })
    )
})

const out = option(file, "FILE", "Write to this new file (mode 0600) instead of printing.", { short: "o" })

/** The file cannot be written. */
class ExportFailed extends Schema.TaggedError<ExportFailed>()("ExportFailed", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return this.code === "EEXIST"
      ? `${this.path} is already there; it was not changed`
      : `${this.path} cannot be written (${this.code})`
  }
  get fix(): string {
    return "choose another path with --out"
  }
}

/** A new file or none: what was cut off by a full disk is removed again. */
const writeNew = (path: string, text: string) =>
  Effect.try({
    try: () => {
      const fd = openSync(path, "wx", 0o600)
      try {
        writeFileSync(fd, text)
      } catch (cause) {
        rmSync(path, { force: true })
        throw cause
      } finally {
        closeSync(fd)
      }
    },
    catch: (cause) =>
      new ExportFailed({ path, code: cause instanceof Error && "code" in cause ? String(cause.code) : "unknown" })
  })

const exportLog = verb({
  summary: "Export a session's whole log as JSON, in the clear.",
  about: "The export is recorded.",
  examples: ["ai-desk session export sess-… --out session.json"],
  params: { id, out, config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const { cwd } = yield* Surroundings
        const client = yield* ControlClient.use(SessionsApi, "sessions")
        const session = yield* client.sessions.export({ path: { id: input.id } })
        const text = `${JSON.stringify(Schema.encodeSync(SessionLog)(session), null, 2)}\n`
        if (input.out === undefined) return yield* output.out(text)
        const path = resolve(cwd ?? "", input.out)
        yield* writeNew(path, text)
        yield* output.result(
          { file: path, events: session.log.length },
          () => `wrote ${session.log.length} events to ${path}; it is not encrypted`
        )
      })
    )
})

const resume = verb({
  summary: "Go on with a turn that a crash cut off.",
  about: "What was running then is not repeated.",
  params: { id, config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const [{ follow }, RunClient] = yield* Effect.all([
          Effect.promise(() => import("./follow.ts")),
          Effect.promise(() => import("./RunClient.ts"))
        ])
        yield* follow(RunClient.resume(input.id, output.interactive))
      })
    )
})

export const group: Group = {
  summary: "Read, export and resume sessions.",
  verbs: { list, show, export: exportLog, resume }
}
