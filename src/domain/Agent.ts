/** An agent as the path sees it: the owner's settings with defaults merged and paths made absolute. */
import { Schema } from "effect"
import { BudgetAction } from "./Budget.ts"
import { AgentId } from "./Ids.ts"
import { ModelRef } from "./Model.ts"
import { NanoUsd } from "./Money.ts"

export const ToolProfile = Schema.Literal("deny-all", "readonly", "messaging", "full")
export type ToolProfile = typeof ToolProfile.Type

export class SandboxLimits extends Schema.Class<SandboxLimits>("SandboxLimits")({
  /** Wall clock per call, milliseconds. */
  timeoutMs: Schema.Int.pipe(Schema.between(100, 3_600_000)),
  maxMemoryMb: Schema.Int.pipe(Schema.between(64, 65_536)),
  maxProcesses: Schema.Int.pipe(Schema.between(4, 4096)),
  /** Growth of the workspace one call may cause, MiB. */
  maxDiskMb: Schema.Int.pipe(Schema.between(1, 1_048_576)),
  /** stdout and stderr together, bytes. */
  maxOutputBytes: Schema.Int.pipe(Schema.between(1024, 16_777_216)),
  /** Environment variables by value that commands get besides the fixed minimum; never taken from the gateway's own environment. */
  env: Schema.Record({ key: Schema.String, value: Schema.String })
}) {}

export class Caps extends Schema.Class<Caps>("Caps")({
  tokens: Schema.optional(Schema.Int.pipe(Schema.nonNegative())),
  cost: Schema.optional(NanoUsd),
  action: BudgetAction
}) {}

export class Agent extends Schema.Class<Agent>("Agent")({
  id: AgentId,
  isDefault: Schema.Boolean,
  systemPrompt: Schema.String,
  /** Absolute path. */
  workspace: Schema.String,
  model: Schema.Struct({ primary: ModelRef, failover: Schema.Array(ModelRef) }),
  maxOutputTokens: Schema.Int.pipe(Schema.positive()),
  sandbox: SandboxLimits,
  tools: Schema.Struct({
    profile: ToolProfile,
    allow: Schema.Array(Schema.String),
    deny: Schema.Array(Schema.String),
    /** Tools that always wait for a human; the high-risk built-ins by default. */
    requireApproval: Schema.Array(Schema.String),
    /** `host` or `host:port` that http_fetch may reach; `*.example.org` covers subdomains. Empty means none. */
    egress: Schema.Array(Schema.String),
    /** Tool rounds per run before the loop breaker ends it. */
    maxRounds: Schema.Int.pipe(Schema.positive())
  }),
  budget: Schema.Struct({
    daily: Schema.optional(Caps),
    monthly: Schema.optional(Caps),
    perRun: Schema.optional(Caps)
  }),
  compaction: Schema.Struct({
    model: Schema.optional(ModelRef),
    /** Share of the context window at which the history is compacted, 0 to 1. */
    threshold: Schema.Number.pipe(Schema.between(0.1, 0.95))
  }),
  skills: Schema.Array(Schema.String)
}) {}

export class AgentNotFound extends Schema.TaggedError<AgentNotFound>()("AgentNotFound", {
  agent: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `no agent named ${this.agent}`
  }
  get fix(): string {
    return this.known.length === 0 ? "add one with: ai-desk onboard" : `choose one of: ${this.known.join(", ")}`
  }
}
