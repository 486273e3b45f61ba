/** `audit`: check and read the tamper-evident log. */
import { Effect, Schema } from "effect"
import { AuditApi } from "../contract/audit.ts"
import { AuditEntry, AuditReport, AuditType } from "../domain/Audit.ts"
import * as ControlClient from "./ControlClient.ts"
import { Exited } from "./failure.ts"
import { type Group, oneOf, option, optionOr, verb, wholeNumber } from "./Grammar.ts"
import { Output, table, visible } from "./Output.ts"
import { agentName, ask, config, json, shown, when } from "./shared.ts"

const client = ControlClient.use(AuditApi, "audit")

const human = (report: AuditReport): string =>
  report.ok
    ? `the audit log is whole: ${report.entries} entries, ${report.checkpoints} checkpoints, head ${report.head.slice(0, 16)} (${Math.round(report.durationMs)} ms)`
    : [
        `the audit log is damaged (${report.entries} entries checked):`,
        ...report.findings.map((f) => `  ${f.kind}${f.seq === undefined ? "" : ` at ${f.seq}`}: ${visible(f.detail)}`)
      ].join("\n")

const verify = verb({
  summary: "Check every row, checkpoint and pin.",
  about: "Exit code 1 when something was tampered with.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      shown(
        Effect.flatMap(client, (c) => c.audit.verify()),
        Schema.encodeSync(AuditReport),
        human
      ).pipe(
        Effect.filterOrFail(
          ({ ok }) => ok,
          () => new Exited({ code: 1 })
        )
      )
    )
})

const type = option(oneOf(AuditType.literals), "TYPE", "Only events of this type, such as tool.denied.")
const agent = option(agentName, "NAME", "Only this agent's events.")
const limit = optionOr(wholeNumber(1, 1000), "N", "How many of the newest (1 to 1000); 20 otherwise.", 20, {
  short: "n"
})

const facts = (entry: AuditEntry): string =>
  Object.entries(entry.event.data)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(" ")

const tail = verb({
  summary: "Show the newest events, newest last.",
  params: { type, agent, limit, config, json },
  run: (input) =>
    ask(
      input,
      shown(
        Effect.flatMap(client, (c) =>
          c.audit.tail({
            urlParams: {
              limit: input.limit,
              ...(input.type === undefined ? {} : { type: input.type }),
              ...(input.agent === undefined ? {} : { agent: input.agent })
            }
          })
        ),
        Schema.encodeSync(Schema.Array(AuditEntry)),
        (entries) =>
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
    )
})

const exportAll = verb({
  summary: "Print the whole log, one JSON object per line.",
  about: "The export is recorded.",
  examples: ["ai-desk audit export > audit.jsonl"],
  params: { config },
  run: (input) =>
    ask(
      { config: input.config, json: false },
      Effect.gen(function* () {
        const output = yield* Output
        const text = yield* Effect.flatMap(client, (c) => c.audit.export())
        yield* output.out(text)
      })
    )
})

export const group: Group = { summary: "The tamper-evident log.", verbs: { verify, tail, export: exportAll } }
