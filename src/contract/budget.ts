/** Budget: what was spent, what is reserved, and lifting a pause. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { AgentNotFound } from "../domain/Agent.ts"
import { AgentBudget } from "../domain/Budget.ts"
import { Owns, Reads } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

export const BudgetGroup = HttpApiGroup.make("budget")
  .annotateContext(about("What was spent and what is reserved."))
  .add(
    HttpApiEndpoint.get("show", "/dashboard/api/budget")
      .middleware(Reads)
      .annotateContext(
        about("Show spending and caps", "Per agent and period: spent, reserved, cap, and whether the agent is paused.")
      )
      .addSuccess(Schema.Array(AgentBudget))
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("resume", "/dashboard/api/budget/:agent/resume")
      .middleware(Owns)
      .annotateContext(about("Lift an agent's pause", "Answers whether the agent was paused at all."))
      .setPath(Schema.Struct({ agent: Schema.String }))
      .addSuccess(Schema.Struct({ resumed: Schema.Boolean }))
      .addError(worded(AgentNotFound), { status: 404 })
      .addError(worded(GroundFailed))
  )

export const BudgetApi = base.add(BudgetGroup)
