/** `session`: what was said and done, and going on after a crash. */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Option, Schema } from "effect"
import { SessionsApi } from "../contract/sessions.ts"
import { AgentId, SessionId } from "../domain/Ids.ts"
import { textOf } from "../domain/Message.ts"
import { formatUsd } from "../domain/Money.ts"
import { SessionLog, SessionSummary } from "../domain/Session.ts"
import type { SessionEvent } from "../domain/SessionEvent.ts"
import { follow } from "./agent.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output, table, visible } from "./Output.ts"
import * as RunClient from "./RunClient.ts"
import { ask, config, json, when } from "./shared.ts"

const id = Args.text({ name: "session" }).pipe(
  Args.withSchema(SessionId),
  Args.withDescription("The session's id, as `session list` shows it.")
)
const agent = Options.text("agent").pipe(
  Options.withSchema(AgentId),
  Options.withDescription("Only this agent's sessions."),
  Options.optional
)
const limit = Options.integer("limit").pipe(
  Options.withSchema(Schema.Int.pipe(Schema.between(1, 1000))),
  Options.withDefault(50),
  Options.withDescription("How many, newest first (1 to 1000).")
)

const list = Command.make("list", { agent, limit, config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const client = yield* ControlClient.use(SessionsApi, "sessions")
      const named = Option.match(input.agent, { onNone: () => ({}), onSome: (name) => ({ agent: name }) })
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
).pipe(Command.withDescription("List sessions, newest first."))

/** A session's event as one paragraph of a transcript; null for bookkeeping. */
const paragraph = (event: SessionEvent): string | null => {
  switch (event._tag) {
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

const show = Command.make("show", { id, config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const client = yield* ControlClient.use(SessionsApi, "sessions")
      const session = yield* client.sessions.show({ path: { id: input.id } })
      yield* output.result(Schema.encodeSync(SessionLog)(session), () => transcript(session))
    })
  )
).pipe(Command.withDescription("Show a session as a transcript, or its whole log with --json."))

const out = Options.file("out").pipe(
  Options.withAlias("o"),
  Options.withDescription("Write to this new file (mode 0600) instead of printing."),
  Options.optional
)

const exportLog = Command.make("export", { id, out, config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const client = yield* ControlClient.use(SessionsApi, "sessions")
      const session = yield* client.sessions.export({ path: { id: input.id } })
      const text = `${JSON.stringify(Schema.encodeSync(SessionLog)(session), null, 2)}\n`
      if (Option.isNone(input.out)) return yield* output.out(text)
      const fs = yield* FileSystem.FileSystem
      yield* fs.writeFileString(input.out.value, text, { flag: "wx", mode: 0o600 })
      yield* output.result({ file: input.out.value, events: session.log.length }, () =>
        `wrote ${session.log.length} events to ${input.out.pipe(Option.getOrElse(() => ""))}; it is not encrypted`
      )
    })
  )
).pipe(Command.withDescription("Export a session's whole log as JSON, in the clear. The export is recorded."))

const resume = Command.make("resume", { id, config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      yield* follow(RunClient.resume(input.id, output.interactive))
    })
  )
).pipe(Command.withDescription("Go on with a turn that a crash cut off. What was running then is not repeated."))

export const command = Command.make("session").pipe(
  Command.withDescription("Read, export and resume sessions."),
  Command.withSubcommands([list, show, exportLog, resume])
)
