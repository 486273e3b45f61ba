/** Answers the budget group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { Agents } from "../../agent/Agents.ts"
import { BudgetApi } from "../../contract/budget.ts"
import { Budget } from "../../model/Budget.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(BudgetApi, "budget", (handlers) =>
  Effect.gen(function* () {
    const budget = yield* Budget
    const agents = yield* Agents
    return handlers
      .handle("show", () => ground(budget.show))
      .handle("resume", ({ path }) =>
        agents.get(path.agent).pipe(
          Effect.flatMap((agent) => ground(budget.resume(agent.id))),
          Effect.map((resumed) => ({ resumed }))
        )
      )
  })
)
