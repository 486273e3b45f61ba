/** Agents: which there are and what each may do. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { Agent } from "../domain/Agent.ts"

export const AgentsGroup = HttpApiGroup.make("agents").add(
  HttpApiEndpoint.get("list", "/api/agents").addSuccess(Schema.Array(Agent))
)

export const AgentsApi = HttpApi.make("ai-desk").add(AgentsGroup)
