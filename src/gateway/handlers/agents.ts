/** Answers the agents group from the settings in force. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { Agents } from "../../agent/Agents.ts"
import { AgentsApi } from "../../contract/agents.ts"

export const layer = HttpApiBuilder.group(AgentsApi, "agents", (handlers) =>
  Effect.map(Agents, (agents) => handlers.handle("list", () => agents.list))
)
