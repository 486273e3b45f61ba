/** Answers the status group: each part is asked for what it knows by heart; nothing is tested or searched. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { Agents } from "../../agent/Agents.ts"
import { SessionStore } from "../../agent/SessionStore.ts"
import { Status, StatusApi } from "../../contract/status.ts"
import type { AgentId } from "../../domain/Ids.ts"
import { type ModelRef, splitModelRef } from "../../domain/Model.ts"
import { Audit } from "../../kernel/Audit.ts"
import { Settings } from "../../kernel/Settings.ts"
import { Budget } from "../../model/Budget.ts"
import { Providers } from "../../model/Provider.ts"
import { ResponseCache } from "../../model/ResponseCache.ts"
import { Approvals } from "../../tools/Approvals.ts"
import { Sandbox } from "../../tools/Sandbox.ts"
import { Health } from "../Health.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(StatusApi, "status", (handlers) =>
  Effect.gen(function* () {
    const agents = yield* Agents
    const approvals = yield* Approvals
    const audit = yield* Audit
    const budget = yield* Budget
    const cache = yield* ResponseCache
    const { identity } = yield* Health
    const providers = yield* Providers
    const sandbox = yield* Sandbox
    const sessions = yield* SessionStore
    const settings = yield* Settings

    return handlers.handle("show", () =>
      Effect.gen(function* () {
        const { config, warnings } = yield* settings.current
        const spent = yield* budget.show
        const usable = yield* providers.available
        const [head] = yield* audit.tail({ limit: 1 })
        const paused = new Set(spent.flatMap((one) => (one.paused ? [one.agent] : [])))
        const stateOf = (id: AgentId, model: ModelRef) => {
          if (paused.has(id)) return "paused" as const
          return usable.includes(splitModelRef(model).provider) ? ("ready" as const) : ("unready" as const)
        }
        return Status.make({
          version: identity.version,
          uptimeMs: Math.round(process.uptime() * 1000),
          memory: process.memoryUsage.rss(),
          agents: (yield* agents.list).map(({ id, isDefault, model }) => ({
            id,
            isDefault,
            model: model.primary,
            state: stateOf(id, model.primary)
          })),
          openRuns: yield* sessions.open,
          pendingApprovals: (yield* approvals.pending).length,
          budget: spent,
          cache: yield* cache.stats,
          providers: usable,
          sandbox: sandbox.backend,
          ...(head === undefined ? {} : { auditHead: { seq: head.seq, at: head.at, hash: head.hash } }),
          configured: {
            mcpServers: Object.values(config.mcp.servers).filter(({ enabled }) => enabled).length,
            schedules: Object.values(config.schedule).filter(({ enabled }) => enabled).length,
            webhooks: Object.values(config.webhooks).filter(({ enabled }) => enabled).length,
            teams: Object.keys(config.teams).length,
            chats: Object.values(config.messaging).filter(({ enabled }) => enabled).length
          },
          warnings
        })
      }).pipe(ground)
    )
  })
)
