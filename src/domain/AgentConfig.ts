/**
 * AgentConfig: what `ai-desk.json` may say of agents. `agents.defaults` is complete by itself; an
 * entry of `agents.list` states only what differs, field by field, so that naming one cap or one
 * limit never drops the others.
 */
import { Schema } from "effect"
import { SandboxLimits, ToolProfile } from "./Agent.ts"
import { BudgetAction } from "./Budget.ts"
import { Count, field, may, Name, record, section, Text, Usd } from "./ConfigFields.ts"
import { AgentId } from "./Ids.ts"
import { ModelRef } from "./Model.ts"
import { fromUsd } from "./Money.ts"

const Failover = Schema.Array(ModelRef).pipe(Schema.maxItems(10))
const sandboxLimits = SandboxLimits.fields
const SandboxMode = Schema.Literal("all", "untrusted")
const Tools = Schema.Array(Schema.String.pipe(Schema.minLength(1), Schema.maxLength(128)))
const Hosts = Schema.Array(
  Schema.String.pipe(
    Schema.pattern(/^(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?$/, {
      message: () => "a host such as api.example.org, *.example.org or api.example.org:8443, in lower case"
    })
  )
)

const text = {
  primary: "The model that is asked first, as provider/model.",
  failover: "Models to ask in turn when the one before fails in a way that another can mend.",
  mode: "Kept for compatibility: every tool call runs in the sandbox, whichever is chosen.",
  timeoutMs: "Wall-clock limit of one tool call, in ms.",
  maxMemoryMb: "Memory limit of one tool call, in MiB.",
  maxProcesses: "Processes and threads one tool call may have.",
  maxDiskMb: "How much one tool call may add to the workspace, in MiB.",
  maxOutputBytes: "Output kept of one tool call, stdout and stderr together, in bytes.",
  env: "Environment variables that commands get, by value. Nothing is passed on from the gateway's own.",
  profile: "Tools that are allowed to begin with; allow and deny refine it.",
  allow: "Tools allowed on top of the profile; * is a wildcard.",
  deny: "Tools never allowed; wins over profile and allow. An agent's list adds to the default one.",
  requireApproval: "Tools of which every call waits for a human.",
  egress: "Hosts that http_fetch may reach (host, host:port or *.domain). Empty means none.",
  maxRounds: "Rounds of tool calls in one run before it is ended.",
  tokens: "Most tokens in the period.",
  cost: "Most money in the period, in USD.",
  action: "When a cap is reached: warn goes on, pause waits for budget resume, block refuses.",
  daily: "Caps per UTC day.",
  monthly: "Caps per UTC month.",
  perRun: "Caps of one run.",
  subModel: "Model of sub-agents; left out, the agent's own.",
  maxDepth: "How deep sub-agents may start sub-agents.",
  maxConcurrent: "Sub-agents at work at the same time.",
  systemPrompt: "Instructions that open every conversation.",
  maxOutputTokens: "Most tokens of one answer; also bounds what is reserved from the budget.",
  compactModel: "Model that summarises old history; left out, the agent's own.",
  threshold: "Share of the context window at which old history is summarised."
}

const Caps = (action: typeof BudgetAction.Type) =>
  Schema.Struct({
    tokens: may(Count(0, 1_000_000_000_000), text.tokens),
    cost: may(Usd, text.cost),
    action: field(BudgetAction, text.action, () => action)
  })

export const AgentDefaults = Schema.Struct({
  model: section(
    Schema.Struct({
      primary: field(ModelRef, text.primary, () => ModelRef.make("anthropic/claude-sonnet-4-6")),
      failover: field(Failover, text.failover, () => [])
    }),
    "Models."
  ),
  sandbox: section(
    Schema.Struct({
      mode: field(SandboxMode, text.mode, () => "all" as const),
      timeoutMs: field(sandboxLimits.timeoutMs, text.timeoutMs, () => 30_000),
      maxMemoryMb: field(sandboxLimits.maxMemoryMb, text.maxMemoryMb, () => 512),
      maxProcesses: field(sandboxLimits.maxProcesses, text.maxProcesses, () => 64),
      maxDiskMb: field(sandboxLimits.maxDiskMb, text.maxDiskMb, () => 256),
      maxOutputBytes: field(sandboxLimits.maxOutputBytes, text.maxOutputBytes, () => 1_048_576),
      env: field(record(Name, Text), text.env, () => ({}))
    }),
    "Limits under which every tool call runs."
  ),
  tools: section(
    Schema.Struct({
      profile: field(ToolProfile, text.profile, () => "deny-all" as const),
      allow: field(Tools, text.allow, () => []),
      deny: field(Tools, text.deny, () => []),
      requireApproval: field(Tools, text.requireApproval, () => [
        "write_file",
        "edit_file",
        "execute_command",
        "http_fetch"
      ]),
      egress: field(Hosts, text.egress, () => []),
      maxRounds: field(Count(1, 1000), text.maxRounds, () => 25)
    }),
    "Which tools may be used."
  ),
  budget: section(
    Schema.Struct({
      daily: field(Caps("pause"), text.daily, () => ({ tokens: 500_000, cost: fromUsd(5), action: "pause" as const })),
      monthly: field(Caps("pause"), text.monthly, () => ({
        tokens: 5_000_000,
        cost: fromUsd(50),
        action: "pause" as const
      })),
      perRun: may(Caps("block"), text.perRun)
    }),
    "Hard limits on tokens and money."
  ),
  subagents: section(
    Schema.Struct({
      model: may(ModelRef, text.subModel),
      maxDepth: field(Count(0, 10), text.maxDepth, () => 3),
      maxConcurrent: field(Count(1, 100), text.maxConcurrent, () => 5)
    }),
    "Sub-agents."
  ),
  systemPrompt: field(Text, text.systemPrompt, () => "You are a careful, concise personal assistant."),
  maxOutputTokens: field(Count(1, 1_000_000), text.maxOutputTokens, () => 8192),
  compaction: section(
    Schema.Struct({
      model: may(ModelRef, text.compactModel),
      threshold: field(Schema.Number.pipe(Schema.between(0.1, 0.95)), text.threshold, () => 0.75)
    }),
    "Summarising of long conversations."
  )
})

const inherited = " Left out, agents.defaults applies."
const partialCaps = Schema.Struct({
  tokens: may(Count(0, 1_000_000_000_000), text.tokens + inherited),
  cost: may(Usd, text.cost + inherited),
  action: may(BudgetAction, text.action + inherited)
})

export const AgentEntry = Schema.Struct({
  id: AgentId.annotations({ description: "Name of the agent: a-z, 0-9, _ and -." }),
  default: field(Schema.Boolean, "Whether this agent answers when none is named.", () => false),
  workspace: field(
    Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4096)),
    "Folder the agent's tools may see, relative to the config file. It must not contain the config or the data folder.",
    () => "./workspace"
  ),
  skills: field(Schema.Array(Name), "Skills that are active for the agent.", () => []),
  model: may(
    Schema.Struct({
      primary: may(ModelRef, text.primary + inherited),
      failover: may(Failover, text.failover + inherited)
    }),
    "Models of this agent."
  ),
  sandbox: may(
    Schema.Struct({
      mode: may(SandboxMode, text.mode + inherited),
      timeoutMs: may(sandboxLimits.timeoutMs, text.timeoutMs + inherited),
      maxMemoryMb: may(sandboxLimits.maxMemoryMb, text.maxMemoryMb + inherited),
      maxProcesses: may(sandboxLimits.maxProcesses, text.maxProcesses + inherited),
      maxDiskMb: may(sandboxLimits.maxDiskMb, text.maxDiskMb + inherited),
      maxOutputBytes: may(sandboxLimits.maxOutputBytes, text.maxOutputBytes + inherited),
      env: may(record(Name, Text), text.env + inherited)
    }),
    "Sandbox limits of this agent."
  ),
  tools: may(
    Schema.Struct({
      profile: may(ToolProfile, text.profile + inherited),
      allow: may(Tools, text.allow + inherited),
      deny: may(Tools, text.deny),
      requireApproval: may(Tools, text.requireApproval + inherited),
      egress: may(Hosts, text.egress + inherited),
      maxRounds: may(Count(1, 1000), text.maxRounds + inherited)
    }),
    "Tools of this agent."
  ),
  budget: may(
    Schema.Struct({
      daily: may(partialCaps, text.daily),
      monthly: may(partialCaps, text.monthly),
      perRun: may(partialCaps, text.perRun)
    }),
    "Budget of this agent."
  ),
  subagents: may(
    Schema.Struct({
      model: may(ModelRef, text.subModel + inherited),
      maxDepth: may(Count(0, 10), text.maxDepth + inherited),
      maxConcurrent: may(Count(1, 100), text.maxConcurrent + inherited)
    }),
    "Sub-agents of this agent."
  ),
  systemPrompt: may(Text, text.systemPrompt + inherited),
  maxOutputTokens: may(Count(1, 1_000_000), text.maxOutputTokens + inherited),
  compaction: may(
    Schema.Struct({
      model: may(ModelRef, text.compactModel + inherited),
      threshold: may(Schema.Number.pipe(Schema.between(0.1, 0.95)), text.threshold + inherited)
    }),
    "Summarising of this agent's long conversations."
  )
})
export type AgentEntry = typeof AgentEntry.Type
export type AgentDefaults = typeof AgentDefaults.Type
