/** Status: the gateway at a glance. What it costs to answer does not grow with what was done. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { AgentBudget } from "../domain/Budget.ts"
import { CacheStats } from "../domain/Cache.ts"
import { AgentId, RunId, SessionId } from "../domain/Ids.ts"
import { ModelRef, ProviderName } from "../domain/Model.ts"
import { Reads } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

export class Status extends Schema.Class<Status>("Status")({
  version: Schema.String,
  /** Milliseconds. */
  uptimeMs: Schema.Finite,
  /** Resident memory, bytes. */
  memory: Schema.Int,
  agents: Schema.Array(
    Schema.Struct({
      id: AgentId,
      isDefault: Schema.Boolean,
      model: ModelRef,
      /** `paused` waits for a human; `unready`: no key or server for its model is known. */
      state: Schema.Literal("ready", "paused", "unready")
    })
  ),
  /** Runs that have begun and not ended: they go on, or a crash cut them off and they can be resumed. */
  openRuns: Schema.Array(Schema.Struct({ run: RunId, session: SessionId })),
  pendingApprovals: Schema.Int,
  budget: Schema.Array(AgentBudget),
  cache: CacheStats,
  /** Providers that can be used now: with a key, or on this machine. */
  providers: Schema.Array(ProviderName),
  sandbox: Schema.String,
  /** The newest entry of the audit log; absent when there is none yet. */
  auditHead: Schema.optional(Schema.Struct({ seq: Schema.Int, at: Schema.Finite, hash: Schema.String })),
  /** How many the settings name. */
  configured: Schema.Struct({
    mcpServers: Schema.Int,
    schedules: Schema.Int,
    webhooks: Schema.Int,
    teams: Schema.Int,
    chats: Schema.Int
  }),
  /** Of the settings in force. */
  warnings: Schema.Array(Schema.String)
}) {}

export const StatusGroup = HttpApiGroup.make("status")
  .annotateContext(about("The gateway at a glance."))
  .add(
    HttpApiEndpoint.get("show", "/dashboard/api/status")
      .middleware(Reads)
      .annotateContext(
        about(
          "Show the gateway at a glance",
          "Agents, open runs, approvals, budget, cache, providers, sandbox, audit log."
        )
      )
      .addSuccess(Status)
      .addError(worded(GroundFailed))
  )

export const StatusApi = base.add(StatusGroup)
