/**
 * SecurityAudit: looks at a whole set-up the way someone who wants in would, and says what to mend.
 * Each check has an id that stays, a severity, and a fix of one line. A check that cannot be made
 * counts as failed: not knowing is not safe.
 */
import { lstatSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { Context, Effect, Either, Layer } from "effect"
import type { Agent } from "../domain/Agent.ts"
import { untainted } from "../domain/Labels.ts"
import { SecurityCheck } from "../domain/Security.ts"
import type { Severity } from "../domain/Threat.ts"
import { Audit } from "../kernel/Audit.ts"
import { DataDir } from "../kernel/DataDir.ts"
import { type LoadedSettings, Settings } from "../kernel/Settings.ts"
import { Sandbox } from "../tools/Sandbox.ts"
import { approvalReason, denialReason } from "../tools/ToolPolicy.ts"
import { type Tool, ToolRegistry } from "../tools/ToolRegistry.ts"

export class SecurityAudit extends Context.Tag("ai-desk/gateway/SecurityAudit")<
  SecurityAudit,
  {
    /** Every check, the failed ones first, the gravest of them first. */
    readonly run: Effect.Effect<ReadonlyArray<SecurityCheck>>
  }
>() {}

interface Outcome {
  readonly ok: boolean
  readonly detail: string
  readonly fix?: string
}

const check = (id: string, title: string, severity: Severity, { ok, detail, fix }: Outcome): SecurityCheck =>
  SecurityCheck.make({ id, title, severity, ok, detail, ...(ok || fix === undefined ? {} : { fix }) })

const good = (detail: string): Outcome => ({ ok: true, detail })
const bad = (detail: string, fix: string): Outcome => ({ ok: false, detail, fix })

const loopback = /^(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1|localhost)$/

/** Names the agents to which something applies; good when there are none. */
const agentsWhere = (
  agents: ReadonlyArray<Agent>,
  wrong: (agent: Agent) => boolean,
  fine: string,
  say: string,
  fix: string
) => {
  const found = agents.filter(wrong).map((agent) => agent.id)
  return found.length === 0 ? good(fine) : bad(`${say}: ${found.join(", ")}`, fix)
}

const forSettings = (loaded: LoadedSettings, tools: ReadonlyArray<Tool>): ReadonlyArray<SecurityCheck> => {
  const { agents, config } = loaded
  const { bind } = config.gateway
  const plain = Object.entries(config.providers).flatMap(([name, provider]) => {
    const url = provider.baseUrl === undefined ? undefined : new URL(provider.baseUrl)
    return url?.protocol === "http:" && !loopback.test(url.hostname.replaceAll(/[[\]]/g, "")) ? [name] : []
  })
  return [
    check(
      "net-bind",
      "The gateway listens on this machine only",
      "critical",
      loopback.test(bind)
        ? good(`bound to ${bind}`)
        : bad(
            `bound to ${bind}, which others can reach`,
            'set "gateway": {"bind": "127.0.0.1"} and put a reverse proxy with TLS in front'
          )
    ),
    check(
      "net-provider-tls",
      "Providers elsewhere are reached over TLS",
      "high",
      plain.length === 0
        ? good("no provider on another machine is reached over plain http")
        : bad(`reached over plain http: ${plain.join(", ")}`, `use https in providers.${plain[0] ?? ""}.baseUrl`)
    ),
    check(
      "tools-unattended",
      "High-risk tools wait for a human",
      "high",
      agentsWhere(
        agents,
        // By the very rules that decide on a call, in a session that has seen nothing from outside.
        (agent) =>
          tools.some(
            (tool) =>
              tool.risk === "high" &&
              denialReason(agent, tool) === undefined &&
              approvalReason(agent, tool, untainted) === undefined
          ),
        "every agent that may write, run or fetch asks first",
        "may do so without asking",
        "add the tools to agents.…tools.requireApproval, or to deny"
      )
    ),
    check(
      "tools-wildcard",
      "No agent is allowed every tool by a bare wildcard",
      "medium",
      agentsWhere(
        agents,
        ({ tools: { allow } }) => allow.some((pattern) => /^\*+$/.test(pattern)),
        "no bare * in an allow list",
        'a bare "*" in tools.allow',
        "name the tools, or use a prefix such as read*"
      )
    ),
    check(
      "budget-caps",
      "Every agent has a hard daily cap in money",
      "high",
      agentsWhere(
        agents,
        ({ budget }) => budget.daily?.cost === undefined || budget.daily.action === "warn",
        "every agent stops at its daily cap",
        "no daily cap in USD that stops it",
        'set agents.…budget.daily to {"cost": 5, "action": "pause"}'
      )
    ),
    check(
      "key-source",
      "The master key does not stand in the environment",
      "low",
      loaded.masterKeySource === "environment" || loaded.masterKeySource === ".env"
        ? bad(
            `it comes from ${loaded.masterKeySource === ".env" ? ".env beside the config: whoever copies both folder and file has everything" : "the environment, where /proc keeps it readable for this user"}`,
            "put it in a file of mode 0600 on another disk and set AI_DESK_MASTER_KEY_FILE, or use a systemd credential"
          )
        : good(loaded.masterKey === null ? "no master key is set" : "it comes from a file")
    ),
    check(
      "oauth-terms",
      "No log-in made for another program is used",
      "medium",
      config.claudeOAuth.use
        ? bad(
            "Claude Code's log-in is used; the provider's terms may not allow that",
            "use an API key: ai-desk credential set anthropic"
          )
        : good("API keys only")
    ),
    check(
      "config-known",
      "Every key of the settings file is known",
      "medium",
      loaded.warnings.length === 0
        ? good("nothing was set aside")
        : bad(loaded.warnings.join("; "), "ai-desk config check")
    )
  ]
}

/** Modes of the data folder and of everything in it; links do not belong there. */
const forFolder = (path: string): ReadonlyArray<SecurityCheck> => {
  const outcome = Either.try({
    try: () =>
      ["", ...readdirSync(path, { recursive: true, encoding: "utf8" })]
        .map((name) => join(path, name))
        .filter((file) => {
          const stat = lstatSync(file)
          return stat.isSymbolicLink() || (stat.mode & 0o077) !== 0
        }),
    catch: () => path
  })
  return [
    check(
      "data-modes",
      "Only this user can read the data folder",
      "high",
      Either.match(outcome, {
        onLeft: () => bad(`${path} cannot be looked at`, `make ${path} readable for this user`),
        onRight: (open) =>
          open.length === 0
            ? good("0700, files 0600, no links")
            : bad(`open to others, or a link: ${open.join(", ")}`, `chmod -R go-rwx ${path}`)
      })
    )
  ]
}

/** A workspace that does not exist yet is made when first used, for this user alone. */
const isMissing = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT"

const forWorkspaces = (agents: ReadonlyArray<Agent>): SecurityCheck => {
  const open = agents.flatMap(({ workspace }) =>
    Either.match(Either.try({ try: () => statSync(workspace), catch: isMissing }), {
      onLeft: (missing) => (missing ? [] : [{ workspace, seen: false }]),
      onRight: (stat) => ((stat.mode & 0o002) === 0 ? [] : [{ workspace, seen: true }])
    })
  )
  const [first] = open
  return check(
    "workspace-modes",
    "No workspace is writable by everyone",
    "medium",
    first === undefined
      ? good("no workspace is writable by others")
      : bad(
          open.map(({ seen, workspace }) => (seen ? workspace : `${workspace} cannot be looked at`)).join(", "),
          first.seen ? `chmod o-w ${first.workspace}` : `make ${first.workspace} readable for this user`
        )
  )
}

const forProcess = (): SecurityCheck =>
  check(
    "run-as-root",
    "It does not run as root",
    "medium",
    process.geteuid?.() === 0
      ? bad("it runs as root; what escapes would be root too", "run it as a user of its own")
      : good("an ordinary user")
  )

const order: Readonly<Record<Severity, number>> = { critical: 0, high: 1, medium: 2, low: 3 }

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const dir = yield* DataDir
  const sandbox = yield* Sandbox
  const audit = yield* Audit
  const registry = yield* ToolRegistry

  const sandboxCheck = Effect.map(Effect.either(sandbox.check), (result) =>
    check(
      "sandbox",
      "Tools are confined",
      "critical",
      Either.match(result, {
        onLeft: (error) => bad(error.message, error.fix),
        onRight: (probes) => {
          const open = probes.filter((p) => !p.confined)
          return open.length === 0
            ? good(`${sandbox.backend}: ${probes.length} probes confined`)
            : bad(`not confined: ${open.map((p) => p.id).join(", ")}`, "ai-desk sandbox check")
        }
      })
    )
  )

  const auditCheck = Effect.map(Effect.either(audit.verify), (result) =>
    check(
      "audit-log",
      "The audit log is whole",
      "critical",
      Either.match(result, {
        onLeft: (error) => bad(error.message, error.fix),
        onRight: (report) =>
          report.ok
            ? good(`${report.entries} entries verified`)
            : bad(`${report.findings.length} signs of damage`, "ai-desk audit verify")
      })
    )
  )

  return SecurityAudit.of({
    run: Effect.gen(function* () {
      const loaded = yield* settings.current
      const checks = [
        ...forSettings(loaded, yield* registry.all),
        ...forFolder(dir.path),
        forWorkspaces(loaded.agents),
        forProcess(),
        yield* sandboxCheck,
        yield* auditCheck
      ]
      return checks.sort((a, b) => Number(a.ok) - Number(b.ok) || order[a.severity] - order[b.severity])
    })
  })
})

export const layer = Layer.effect(SecurityAudit, make)
