/** Budget: what was spent, what is reserved, and lifting a pause. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { AgentNotFound } from "../domain/Agent.ts"
import { AgentBudget } from "../domain/Budget.ts"
import { GroundFailed } from "./failures.ts"

export const BudgetGroup = HttpApiGroup.make("budget")
  .add(HttpApiEndpoint.get("show", "/api/budget").addSuccess(Schema.Array(AgentBudget)).addError(GroundFailed))
  .add(
    HttpApiEndpoint.post("resume", "/api/budget/:agent/resume")
      .setPath(Schema.Struct({ agent: Schema.String }))
      .addSuccess(Schema.Struct({ resumed: Schema.Boolean }))
      .addError(AgentNotFound, { status: 404 })
      .addError(GroundFailed)
  )

export const BudgetApi = HttpApi.make("ai-desk").add(BudgetGroup)
