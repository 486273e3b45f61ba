/**
 * Caps, periods and what a person sees of them. The invariant, per agent and period:
 * spent + reserved <= cap, at every instant, for tokens and for money.
 */
import { Schema } from "effect"
import { AgentId } from "./Ids.ts"
import { NanoUsd, formatUsd } from "./Money.ts"

export const Period = Schema.Literal("daily", "monthly")
export type Period = typeof Period.Type

/** `warn`: log and notify, go on. `pause`: refuse new calls until resumed by hand or the period ends. `block`: refuse at once. */
export const BudgetAction = Schema.Literal("warn", "pause", "block")
export type BudgetAction = typeof BudgetAction.Type

/** One period's line of `budget show`. Amounts in tokens and nano-USD; a cap that is absent does not limit. */
export class PeriodStatus extends Schema.Class<PeriodStatus>("PeriodStatus")({
  period: Period,
  /** `2026-11-22` or `2026-11`, UTC. */
  key: Schema.String,
  action: BudgetAction,
  spentTokens: Schema.Int,
  reservedTokens: Schema.Int,
  capTokens: Schema.optional(Schema.Int),
  spent: NanoUsd,
  reserved: NanoUsd,
  cap: Schema.optional(NanoUsd)
}) {}

export class AgentBudget extends Schema.Class<AgentBudget>("AgentBudget")({
  agent: AgentId,
  paused: Schema.Boolean,
  pausedReason: Schema.optional(Schema.String),
  periods: Schema.Array(PeriodStatus)
}) {}

export class BudgetExceeded extends Schema.TaggedError<BudgetExceeded>()("BudgetExceeded", {
  agent: AgentId,
  /** `token-…`: what the caller's own credential may spend, whatever the agent has left. */
  scope: Schema.Literal("daily", "monthly", "run", "token-daily", "token-monthly"),
  unit: Schema.Literal("tokens", "usd"),
  /** Tokens, or nano-USD. */
  cap: Schema.Finite,
  used: Schema.Finite,
  requested: Schema.Finite
}) {
  override get message(): string {
    const show = (n: number) => (this.unit === "usd" ? formatUsd(n) : `${n} tokens`)
    const scope = this.scope === "run" ? "per-run" : this.scope.replace("token-", "")
    const whose = this.scope.startsWith("token-") ? "this token" : `agent ${this.agent}`
    return `${whose}: the ${scope} cap of ${show(this.cap)} would be passed (${show(this.used)} spent or reserved, at most ${show(this.requested)} more asked)`
  }
  get fix(): string {
    if (this.scope.startsWith("token-")) return "wait for the next period, or use a token that may spend more"
    return this.scope === "run"
      ? `raise agents.…budget.perRun in ai-desk.json, or ask for less`
      : `wait for the next period, or raise agents.…budget.${this.scope} in ai-desk.json`
  }
}

export class AgentPaused extends Schema.TaggedError<AgentPaused>()("AgentPaused", {
  agent: AgentId,
  reason: Schema.String
}) {
  override get message(): string {
    return `agent ${this.agent} is paused: ${this.reason}`
  }
  get fix(): string {
    return `ai-desk budget resume ${this.agent}`
  }
}
