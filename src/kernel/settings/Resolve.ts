/**
 * Resolve: what a decoded Config means on this machine. Defaults are merged into each agent field
 * by field, so that naming one limit never drops another; every reference (agent, provider) must
 * lead somewhere; paths become absolute.
 */
import { Schema } from "effect"
import { Agent, Caps, SandboxLimits } from "../../domain/Agent.ts"
import { type AgentDefaults, AgentEntry } from "../../domain/AgentConfig.ts"
import type { Config } from "../../domain/Config.ts"
import { type ModelRef, splitModelRef } from "../../domain/Model.ts"
import { SettingsProblem, child, nearestOf } from "./Problems.ts"
import { absolute, refusal, type Surroundings } from "./Workspace.ts"

export interface Resolved {
  readonly agents: ReadonlyArray<Agent>
  readonly problems: ReadonlyArray<SettingsProblem>
  readonly warnings: ReadonlyArray<string>
}

const builtIn = ["anthropic", "google", "openrouter", "rehearsal"]

type PartialCaps = NonNullable<NonNullable<AgentEntry["budget"]>["daily"]>

/** `own` over `base`; none when neither says anything. */
const caps = (own: PartialCaps | undefined, base: PartialCaps | undefined): { readonly caps?: Caps } =>
  own === undefined && base === undefined ? {} : { caps: new Caps({ action: "block", ...base, ...own }) }

const agentOf = (entry: AgentEntry, base: AgentDefaults, isDefault: boolean, workspace: string): Agent => {
  const daily = caps(entry.budget?.daily, base.budget.daily)
  const monthly = caps(entry.budget?.monthly, base.budget.monthly)
  const perRun = caps(entry.budget?.perRun, base.budget.perRun)
  const { mode: _, ...limits } = { ...base.sandbox, ...entry.sandbox }
  return new Agent({
    id: entry.id,
    isDefault,
    systemPrompt: entry.systemPrompt ?? base.systemPrompt,
    workspace,
    model: { ...base.model, ...entry.model },
    maxOutputTokens: entry.maxOutputTokens ?? base.maxOutputTokens,
    sandbox: new SandboxLimits(limits),
    tools: {
      ...base.tools,
      ...entry.tools,
      // A denial of the defaults holds for everyone.
      deny: [...new Set([...base.tools.deny, ...(entry.tools?.deny ?? [])])]
    },
    budget: {
      ...(daily.caps === undefined ? {} : { daily: daily.caps }),
      ...(monthly.caps === undefined ? {} : { monthly: monthly.caps }),
      ...(perRun.caps === undefined ? {} : { perRun: perRun.caps })
    },
    compaction: { ...base.compaction, ...entry.compaction },
    skills: entry.skills
  })
}

const main = (): AgentEntry => Schema.decodeUnknownSync(AgentEntry)({ id: "main", default: true })

const loopback = /^(127\.\d+\.\d+\.\d+|localhost|::1|\[::1\])$/

const providerProblems = (config: Config): ReadonlyArray<SettingsProblem> =>
  Object.entries(config.providers).flatMap(([name, provider]) => {
    const at = child("providers", name)
    if (builtIn.includes(name)) {
      return provider.kind === undefined
        ? []
        : [new SettingsProblem({ at: `${at}.kind`, expected: "none, since this provider is built in", found: "one" })]
    }
    const missing = (["kind", "baseUrl"] as const).filter((key) => provider[key] === undefined)
    return missing.map(
      (key) =>
        new SettingsProblem({
          at: `${at}.${key}`,
          expected: key === "kind" ? '"openai-compatible", since this provider is not built in' : "the URL of its API",
          found: "nothing"
        })
    )
  })

/** Every model that some path may be sent to, with where it is named. */
const modelsOf = (config: Config): ReadonlyArray<readonly [string, ModelRef]> => {
  const of = (at: string, part: Omit<AgentEntry, "id" | "default" | "workspace" | "skills">) => [
    ...(part.model?.primary === undefined ? [] : [[`${at}.model.primary`, part.model.primary] as const]),
    ...(part.model?.failover ?? []).map((model, i) => [`${at}.model.failover[${i}]`, model] as const),
    ...(part.subagents?.model === undefined ? [] : [[`${at}.subagents.model`, part.subagents.model] as const]),
    ...(part.compaction?.model === undefined ? [] : [[`${at}.compaction.model`, part.compaction.model] as const])
  ]
  return [
    ...of("agents.defaults", config.agents.defaults),
    ...config.agents.list.flatMap((entry, i) => of(`agents.list[${i}]`, entry)),
    ...(["model", "improvementModel", "scrubModel"] as const).map(
      (key) => [`skillSynthesis.${key}`, config.skillSynthesis[key]] as const
    )
  ]
}

const modelProblems = (config: Config): ReadonlyArray<SettingsProblem> => {
  const known = [...new Set([...builtIn, ...Object.keys(config.providers)])]
  return modelsOf(config).flatMap(([at, model]) => {
    const { provider } = splitModelRef(model)
    if (known.includes(provider)) return []
    const nearest = nearestOf(provider, known)
    return [
      new SettingsProblem({
        at,
        expected: `a model of one of: ${known.join(", ")}`,
        found: "a provider that is not set up",
        ...(nearest === undefined ? {} : { nearest }),
        fix: "correct the provider, or describe it under providers"
      })
    ]
  })
}

/** Whoever may start a run names an agent; a run for an agent that does not exist would fail only when it is due. */
const agentReferences = (config: Config): ReadonlyArray<readonly [string, string]> => [
  ...(config.messaging.telegram.enabled
    ? [["messaging.telegram.agentId", config.messaging.telegram.agentId] as const]
    : []),
  ...(config.messaging.discord.enabled
    ? [["messaging.discord.agentId", config.messaging.discord.agentId] as const]
    : []),
  ...Object.entries(config.schedule).map(([name, job]) => [`${child("schedule", name)}.agent`, job.agent] as const),
  ...Object.entries(config.webhooks).map(([name, hook]) => [`${child("webhooks", name)}.agent`, hook.agent] as const),
  ...Object.entries(config.teams).flatMap(([name, team]) => [
    ...(team.lead === undefined ? [] : [[`${child("teams", name)}.lead`, team.lead] as const]),
    ...team.members.map((member, i) => [`${child("teams", name)}.members[${i}].agent`, member.agent] as const)
  ])
]

const referenceProblems = (config: Config, ids: ReadonlyArray<string>): ReadonlyArray<SettingsProblem> =>
  agentReferences(config).flatMap(([at, id]) => {
    if (ids.includes(id)) return []
    const nearest = nearestOf(id, ids)
    return [
      new SettingsProblem({
        at,
        expected: "the id of an agent in agents.list",
        found: "another id",
        ...(nearest === undefined ? {} : { nearest })
      })
    ]
  })

const mcpProblems = (config: Config): ReadonlyArray<SettingsProblem> =>
  Object.entries(config.mcp.servers).flatMap(([name, server]) =>
    (server.command === undefined) === (server.url === undefined)
      ? [
          new SettingsProblem({
            at: child("mcp.servers", name),
            expected: "either command or url",
            found: server.command === undefined ? "neither" : "both"
          })
        ]
      : []
  )

const listProblems = (list: ReadonlyArray<AgentEntry>): ReadonlyArray<SettingsProblem> => [
  ...list.flatMap((entry, i) =>
    list.findIndex((other) => other.id === entry.id) === i
      ? []
      : [new SettingsProblem({ at: `agents.list[${i}].id`, expected: "each id once", found: "the same id again" })]
  ),
  ...list.flatMap((entry, i) =>
    entry.default && list.findIndex((other) => other.default) !== i
      ? [new SettingsProblem({ at: `agents.list[${i}].default`, expected: "one default agent", found: "another one" })]
      : []
  )
]

const warningsOf = (config: Config): ReadonlyArray<string> => {
  const warnings: Array<string> = []
  if (!loopback.test(config.gateway.bind)) {
    warnings.push(
      "gateway.bind: the gateway can be reached from other machines; put a reverse proxy with TLS before it"
    )
  }
  if ([config.agents.defaults, ...config.agents.list].some((part) => part.sandbox?.mode === "untrusted")) {
    warnings.push('sandbox.mode "untrusted" is read, but every tool call runs in the sandbox all the same')
  }
  for (const [name, provider] of Object.entries(config.providers)) {
    const url = provider.baseUrl === undefined ? null : URL.parse(provider.baseUrl)
    if (url !== null && url.protocol === "http:" && !loopback.test(url.hostname)) {
      warnings.push(`${child("providers", name)}.baseUrl: prompts and the key go there unencrypted (http)`)
    }
  }
  return warnings
}

/** Pure but for looking at the file system where workspaces are concerned. */
export const resolveAgents = (config: Config, around: Surroundings): Resolved => {
  const list = config.agents.list.length === 0 ? [main()] : config.agents.list
  const chosen = Math.max(
    0,
    list.findIndex((entry) => entry.default)
  )
  const problems: Array<SettingsProblem> = [
    ...listProblems(list),
    ...providerProblems(config),
    ...modelProblems(config),
    ...referenceProblems(
      config,
      list.map((entry) => entry.id)
    ),
    ...mcpProblems(config)
  ]
  const agents = list.map((entry, i) => {
    const at = `agents.list[${i}].workspace`
    const expected = "a folder that holds nothing but the agent's own files"
    if (entry.workspace.includes("\0"))
      problems.push(new SettingsProblem({ at, expected: "a path", found: "a text with a zero byte" }))
    const workspace = absolute(entry.workspace.replaceAll("\0", ""), around)
    const refused = refusal(workspace, around)
    if (refused !== null) problems.push(new SettingsProblem({ at, expected, ...refused }))
    return agentOf(entry, config.agents.defaults, i === chosen, workspace)
  })
  const ordered = [...agents.filter((agent) => agent.isDefault), ...agents.filter((agent) => !agent.isDefault)]
  return { agents: ordered, problems, warnings: warningsOf(config) }
}
