/**
 * Meters: the figures of the process, counted where the facts are: at the audit log, which sees every
 * kind of event, and at the router. Whoever shows them reads Effect's registry of metrics.
 *
 * Guarantees: counting never fails, waits or changes what is counted; the values of a label are few,
 * whatever a client or a model sends, so that nobody can make the registry grow without end.
 */
import { Metric, MetricBoundaries, MetricLabel } from "effect"
import type { AuditEvent } from "../domain/Audit.ts"
import type { Answer } from "../domain/Model.ts"
import { toUsd } from "../domain/Money.ts"

type Labels = Readonly<Record<string, string>>

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })
const level = (name: string, description: string) => Metric.counter(name, { description })

interface Updated {
  readonly unsafeUpdate: (input: number, labels: ReadonlyArray<MetricLabel.MetricLabel>) => void
}

export const add = (metric: Updated, amount: number, labels: Labels = {}): void => {
  metric.unsafeUpdate(
    amount,
    Object.entries(labels).map(([name, value]) => MetricLabel.make(name, value))
  )
}

/** From 5 ms, a cached answer, to five minutes, a long answer of a model; seconds. */
const seconds = MetricBoundaries.fromIterable([
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300
])

export const httpRequests = counter("ai_desk_http_requests_total", "HTTP requests answered, by route and status.")
export const httpSeconds = Metric.histogram(
  "ai_desk_http_request_duration_seconds",
  seconds,
  "Time until the head of the answer, by route."
)
export const httpOpen = level("ai_desk_http_open_streams", "Open event streams (sse) and WebSockets (ws).")

const runsStarted = counter("ai_desk_runs_started_total", "Messages accepted from people and programs.")
const runsEnded = counter("ai_desk_runs_ended_total", "Runs that ended, by how.")
const modelCalls = counter("ai_desk_model_calls_total", "Calls to a model, by model.")
const modelFailures = counter("ai_desk_model_failures_total", "Calls to a model that failed, by failure.")
const modelTokens = counter("ai_desk_model_tokens_total", "Tokens used, by model and kind.")
const modelCost = counter("ai_desk_model_cost_usd_total", "Cost of answers in US dollars, by model.")
const modelSeconds = Metric.histogram(
  "ai_desk_model_call_duration_seconds",
  seconds,
  "Time from the question to the end of the answer, by model."
)
const cacheHits = counter("ai_desk_cache_hits_total", "Answers given from the cache.")
const toolCalls = counter("ai_desk_tool_calls_total", "Tool calls, by outcome.")
const approvals = counter("ai_desk_approvals_total", "Approvals asked for and how they were answered.")
const budgetRefusals = counter("ai_desk_budget_refusals_total", "Calls refused because a cap was reached.")
const threats = counter("ai_desk_threats_total", "Messages blocked, and content flagged, by the scanner.")
const authFailures = counter("ai_desk_auth_failures_total", "Wrong credentials.")
const lockouts = counter("ai_desk_auth_lockouts_total", "Addresses locked out.")

/** Providers offer hundreds of models, and some take any name; a person uses a dozen. */
const mostModels = 100
const models = new Set<string>()

const named = (model: string): string => {
  if (!models.has(model) && models.size >= mostModels) return "other"
  models.add(model)
  return model
}

const text = (value: string | number | boolean | undefined): string => String(value ?? "unknown")

/** One event that was recorded. */
export const count = ({ data, type }: AuditEvent): void => {
  switch (type) {
    case "message.accepted":
      return add(runsStarted, 1)
    case "run.ended":
      return add(runsEnded, 1, { end: text(data["end"]) })
    case "model.asked":
      return add(modelCalls, 1, { model: named(text(data["model"])) })
    case "model.failed":
      // Not by model: a client may ask for one by any name.
      return add(modelFailures, 1, { failure: text(data["failure"]) })
    case "cache.hit":
      return add(cacheHits, 1)
    case "tool.finished":
      return add(toolCalls, 1, { outcome: text(data["code"]) })
    case "tool.denied":
      return add(toolCalls, 1, { outcome: "denied" })
    case "tool.unknown":
      return add(toolCalls, 1, { outcome: "unknown" })
    case "approval.asked":
    case "approval.given":
    case "approval.declined":
    case "approval.expired":
      return add(approvals, 1, { step: type.slice("approval.".length) })
    case "budget.refused":
      return add(budgetRefusals, 1)
    case "threat.blocked":
    case "threat.flagged":
      return add(threats, 1, { verdict: type.slice("threat.".length) })
    case "auth.failed": {
      // One entry may stand for many.
      const many = data["count"]
      return add(authFailures, typeof many === "number" ? many : 1)
    }
    case "auth.locked_out":
      return add(lockouts, 1)
    default:
  }
}

/** One answer of a model that is paid for. */
export const answered = ({ cost, model: asked, usage }: Answer, durationMs: number): void => {
  const model = named(asked)
  add(modelSeconds, durationMs / 1000, { model })
  add(modelCost, toUsd(cost), { model })
  add(modelTokens, usage.inputTokens, { model, kind: "input" })
  add(modelTokens, usage.outputTokens, { model, kind: "output" })
  add(modelTokens, usage.cacheReadTokens, { model, kind: "cache_read" })
  add(modelTokens, usage.cacheWriteTokens, { model, kind: "cache_write" })
}
