/**
 * RunView: a run as a person follows it. The answer goes to stdout as it comes; every step of the
 * path (scan, cache, budget, model, approval, tool, sandbox, cost) is a line on stderr.
 */
import { Effect, Ref } from "effect"
import { formatUsd } from "../domain/Money.ts"
import type { RunEvent } from "../domain/RunEvent.ts"
import { Output, visible } from "./Output.ts"

const shown = 600

const cut = (text: string): string =>
  text.length <= shown ? text : `${text.slice(0, shown)}… (${text.length} characters)`

const indent = (text: string): string => text.replaceAll("\n", "\n             ")

const ms = (millis: number): string => (millis < 10 ? `${millis.toFixed(1)} ms` : `${Math.round(millis)} ms`)

/** One line per step: a fixed-width word, then what happened. Null for events that show otherwise. */
export const describe = (event: RunEvent): readonly [word: string, text: string] | null => {
  switch (event._tag) {
    case "RunStarted":
      return ["run", `agent ${event.agent}, session ${event.session}`]
    case "MessageScanned": {
      const { findings } = event.verdict
      const flags = findings.length === 0 ? "" : `, noted ${findings.map((f) => f.rule).join(" ")}`
      return ["scan", `${event.verdict.action} (${ms(event.durationMs)}${flags})`]
    }
    case "MessageStored":
      return ["stored", event.again ? `taken before, ${event.state}: run ${event.run}` : `run ${event.run}`]
    case "CacheChecked":
      return ["cache", event.result]
    case "BudgetReserved":
      return ["budget", `reserved at most ${event.tokens} tokens, ${formatUsd(event.cost)}`]
    case "HistoryCompacted":
      return ["compact", `history from about ${event.before} to ${event.after} tokens`]
    case "ModelStarted":
      return ["model", `${event.model}${event.attempt > 1 ? ` (attempt ${event.attempt})` : ""}`]
    case "ModelAttemptFailed": {
      const next = event.next === "stop" ? "giving up" : `${event.next} in ${ms(event.afterMs)}`
      const discard = event.discard ? "; the text above is void" : ""
      return ["model", `${event.model} failed: ${event.failure}: ${event.detail}; ${next}${discard}`]
    }
    case "ModelFinished": {
      const { usage } = event
      const cached = usage.cacheReadTokens + usage.cacheWriteTokens
      return [
        "cost",
        `${formatUsd(event.cost)} for ${usage.inputTokens} in${cached > 0 ? ` + ${cached} cached` : ""}, ${usage.outputTokens} out (${ms(event.durationMs)})`
      ]
    }
    case "ToolCalled":
      return ["tool", cut(event.display)]
    case "ApprovalNeeded":
      return ["approval", `needed for ${event.request.tool}: ${event.request.reason}`]
    case "ToolStarted":
      return event.confinement === "sandbox"
        ? ["sandbox", `running ${event.tool} confined (allowed by ${event.permittedBy})`]
        : ["gateway", `running ${event.tool} under its own guards (allowed by ${event.permittedBy})`]
    case "ToolEnded": {
      const { outcome } = event
      const how = event.how === "ran" ? (outcome.isError ? "failed" : "ok") : event.how
      const detail = outcome.isError ? `: ${cut(outcome.content)}` : `, ${outcome.content.length} characters`
      return ["tool", `${event.tool} ${how} (${ms(outcome.durationMs)})${detail}`]
    }
    case "RunEnded": {
      const { toolCalls, usage, cost, durationMs } = event
      return [
        "done",
        `${event.end}, ${toolCalls} tool call${toolCalls === 1 ? "" : "s"}, ${usage.totalTokens} tokens, ${formatUsd(cost)}, ${ms(durationMs)}`
      ]
    }
    case "AnswerDelta":
      return null
  }
}

/** A function that shows one event after the other. */
export const make = Effect.gen(function* () {
  const output = yield* Output
  /** True while the cursor stands behind streamed text. */
  const midLine = yield* Ref.make(false)
  const endLine = Effect.flatMap(Ref.getAndSet(midLine, false), (open) => (open ? output.line("") : Effect.void))
  return (event: RunEvent): Effect.Effect<void> =>
    Effect.gen(function* () {
      if (event._tag === "AnswerDelta") {
        yield* output.out(visible(event.text))
        yield* Ref.set(midLine, !event.text.endsWith("\n"))
        return
      }
      const described = describe(event)
      if (described === null) return
      yield* endLine
      if (event._tag === "RunEnded" && event.end !== "answered") yield* output.line(visible(event.text))
      const [word, text] = described
      const failed = event._tag === "ModelAttemptFailed" || (event._tag === "ToolEnded" && event.outcome.isError)
      yield* output.note(
        `${output.style(failed ? "yellow" : "cyan", word.padEnd(9))}  ${output.style("dim", indent(visible(text)))}`
      )
    })
})
