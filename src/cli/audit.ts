/** `audit`: check and read the tamper-evident log. */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { Effect, Option, Schema } from "effect"
import { AuditApi } from "../contract/audit.ts"
import { AuditEntry, AuditReport, AuditType } from "../domain/Audit.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output, table, visible } from "./Output.ts"
import { ask, config, Exited, json, when } from "./shared.ts"

const client = ControlClient.use(AuditApi, "audit")

const human = (report: AuditReport): string =>
  report.ok
    ? `the audit log is whole: ${report.entries} entries, ${report.checkpoints} checkpoints, head ${report.head.slice(0, 16)} (${Math.round(report.durationMs)} ms)`
    : [
        `the audit log is damaged (${report.entries} entries checked):`,
        ...report.findings.map((f) => `  ${f.kind}${f.seq === undefined ? "" : ` at ${f.seq}`}: ${visible(f.detail)}`)
      ].join("\n")

const verify = Command.make("verify", { config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const report = yield* Effect.flatMap(client, (c) => c.audit.verify())
      yield* output.result(Schema.encodeSync(AuditReport)(report), () => human(report))
      if (!report.ok) return yield* new Exited({ code: 1 })
    })
  )
).pipe(Command.withDescription("Check every row, checkpoint and pin. Exit code 1 when something was tampered with."))

const type = Options.choice("type", AuditType.literals).pipe(
  Options.withDescription("Only events of this type."),
  Options.optional
)
const agent = Options.text("agent").pipe(Options.withDescription("Only this agent's events."), Options.optional)
const limit = Options.integer("limit").pipe(
  Options.withAlias("n"),
  Options.withSchema(Schema.Int.pipe(Schema.between(1, 1000))),
  Options.withDefault(20),
  Options.withDescription("How many of the newest (1 to 1000).")
)

const facts = (entry: AuditEntry): string =>
  Object.entries(entry.event.data)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(" ")

const tail = Command.make("tail", { type, agent, limit, config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const entries = yield* Effect.flatMap(client, (c) =>
        c.audit.tail({
          urlParams: {
            limit: input.limit,
            ...Option.match(input.type, { onNone: () => ({}), onSome: (value) => ({ type: value }) }),
            ...Option.match(input.agent, { onNone: () => ({}), onSome: (value) => ({ agent: value }) })
          }
        })
      )
      yield* output.result(Schema.encodeSync(Schema.Array(AuditEntry))(entries), () =>
        entries.length === 0
          ? "no such events"
          : table(
              entries.map((entry) => [
                String(entry.seq),
                when(entry.at),
                entry.event.type,
                entry.event.agent ?? "",
                visible(facts(entry))
              ])
            )
      )
    })
  )
).pipe(Command.withDescription("Show the newest events, newest last."))

const exportAll = Command.make("export", { config }, (input) =>
  ask(
    { ...input, json: false },
    Effect.gen(function* () {
      const output = yield* Output
      const text = yield* Effect.flatMap(client, (c) => c.audit.export())
      yield* output.out(text)
    })
  )
).pipe(Command.withDescription("Print the whole log, one JSON object per line. The export is recorded."))

export const command = Command.make("audit").pipe(
  Command.withDescription("The tamper-evident log."),
  Command.withSubcommands([verify, tail, exportAll])
)
