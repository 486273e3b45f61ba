/** Agents: which there are, what each may do, and changing that. A change is one of `ai-desk.json` and in force with the next run. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { Agent, AgentNotFound } from "../domain/Agent.ts"
import { AgentId } from "../domain/Ids.ts"
import {
  AgentConflict,
  SettingsConflict,
  SettingsEdited,
  SettingsRefused,
  VersionMissing
} from "../domain/SettingsEdit.ts"
import { Owns, Reads, Sees } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"
import { IfMatch, MergePatch } from "./pages.ts"

export class AgentDetail extends Schema.Class<AgentDetail>("AgentDetail")({
  /** Of the settings file; what a change names in If-Match. Also the ETag. */
  version: Schema.String,
  /** As it is in force, defaults merged in; values of environment variables are hidden. */
  agent: Agent,
  /** What the file itself says of it; empty for an agent that is there by default. */
  entry: Schema.Record({ key: Schema.String, value: Schema.Unknown })
}) {}

const path = Schema.Struct({ agent: AgentId })

export const AgentsGroup = HttpApiGroup.make("agents")
  .annotateContext(about("The agents of the settings in force."))
  .add(
    HttpApiEndpoint.get("list", "/dashboard/api/agents")
      .middleware(Sees)
      .annotateContext(
        about(
          "List the agents",
          "The default agent first, each with its model, tools, limits and budget; those that the caller may use."
        )
      )
      .addSuccess(Schema.Array(Agent))
  )
  .add(
    HttpApiEndpoint.get("show", "/dashboard/api/agents/:agent")
      .middleware(Reads)
      .annotateContext(about("Show an agent", "As it is in force and as it stands in the file; the ETag goes with it."))
      .setPath(path)
      .addSuccess(AgentDetail)
      .addError(worded(AgentNotFound), { status: 404 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("create", "/dashboard/api/agents")
      .middleware(Owns)
      .annotateContext(
        about("Add an agent", "The fields of an entry of agents.list; what is left out comes from agents.defaults.")
      )
      .setHeaders(IfMatch)
      .setPayload(Schema.Struct({ id: AgentId, entry: Schema.optionalWith(MergePatch, { default: () => ({}) }) }))
      .addSuccess(SettingsEdited)
      .addError(worded(AgentConflict), { status: 409 })
      .addError(worded(SettingsConflict), { status: 412 })
      .addError(worded(SettingsRefused), { status: 422 })
      .addError(worded(VersionMissing), { status: 428 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.patch("edit", "/dashboard/api/agents/:agent")
      .middleware(Owns)
      .annotateContext(
        about(
          "Change an agent",
          "A JSON merge patch of its entry in agents.list: null goes back to agents.defaults. Written only if the whole file stays valid; comments and layout stay."
        )
      )
      .setPath(path)
      .setHeaders(IfMatch)
      .setPayload(MergePatch)
      .addSuccess(SettingsEdited)
      .addError(worded(AgentNotFound), { status: 404 })
      .addError(worded(SettingsConflict), { status: 412 })
      .addError(worded(SettingsRefused), { status: 422 })
      .addError(worded(VersionMissing), { status: 428 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.del("remove", "/dashboard/api/agents/:agent")
      .middleware(Owns)
      .annotateContext(about("Remove an agent", "Its sessions, workspace and ledger stay. The last agent cannot go."))
      .setPath(path)
      .setHeaders(IfMatch)
      .addSuccess(SettingsEdited)
      .addError(worded(AgentNotFound), { status: 404 })
      .addError(worded(AgentConflict), { status: 409 })
      .addError(worded(SettingsConflict), { status: 412 })
      .addError(worded(SettingsRefused), { status: 422 })
      .addError(worded(VersionMissing), { status: 428 })
      .addError(worded(GroundFailed))
  )

export const AgentsApi = base.add(AgentsGroup)
