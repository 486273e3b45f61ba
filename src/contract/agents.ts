/** Agents: which there are and what each may do. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { Agent } from "../domain/Agent.ts"
import { Sees } from "./access.ts"
import { about, base } from "./failures.ts"

export const AgentsGroup = HttpApiGroup.make("agents")
  .annotateContext(about("The agents of the settings in force."))
  .add(
    HttpApiEndpoint.get("list", "/dashboard/api/agents")
      .middleware(Sees)
      .annotateContext(
        about("List the agents", "The default agent first, each with its model, tools, limits and budget.")
      )
      .addSuccess(Schema.Array(Agent))
  )

export const AgentsApi = base.add(AgentsGroup)
