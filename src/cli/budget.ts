/** `budget`: what each agent has spent and may still spend. */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import { Effect, Schema } from "effect"
import { BudgetApi } from "../contract/budget.ts"
import { AgentBudget, type PeriodStatus } from "../domain/Budget.ts"
import { formatUsd } from "../domain/Money.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output, table, visible } from "./Output.ts"
import { ask, config, json } from "./shared.ts"

const of = (used: string, cap: string | undefined) => (cap === undefined ? `${used} (no cap)` : `${used} of ${cap}`)

const row = (agent: AgentBudget, p: PeriodStatus): ReadonlyArray<string> => [
  agent.paused ? `${agent.agent} (paused)` : agent.agent,
  `${p.period} ${p.key}`,
  of(formatUsd(p.spent), p.cap === undefined ? undefined : formatUsd(p.cap)),
  p.reserved === 0 ? "-" : formatUsd(p.reserved),
  of(String(p.spentTokens), p.capTokens === undefined ? undefined : String(p.capTokens)),
  p.action
]

const show = Command.make("show", { config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const client = yield* ControlClient.use(BudgetApi, "budget")
      const budgets = yield* client.budget.show()
      yield* output.result(Schema.encodeSync(Schema.Array(AgentBudget))(budgets), () =>
        [
          table([
            ["AGENT", "PERIOD (UTC)", "SPENT", "RESERVED", "TOKENS", "AT THE CAP"],
            ...budgets.flatMap((b) => b.periods.map((p) => row(b, p)))
          ]),
          ...budgets.flatMap((b) =>
            b.paused ? [`${b.agent} is paused: ${visible(b.pausedReason ?? "")}; ai-desk budget resume ${b.agent}`] : []
          )
        ].join("\n")
      )
    })
  )
).pipe(Command.withDescription("Show spending, reservations and caps by agent and period."))

const agent = Args.text({ name: "agent" }).pipe(Args.withDescription("The paused agent's id."))

const resume = Command.make("resume", { agent, config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const client = yield* ControlClient.use(BudgetApi, "budget")
      const answer = yield* client.budget.resume({ path: { agent: input.agent } })
      yield* output.result(answer, () =>
        answer.resumed ? `${input.agent} may spend again, up to its caps` : `${input.agent} was not paused`
      )
    })
  )
).pipe(Command.withDescription("Lift an agent's pause."))

export const command = Command.make("budget").pipe(
  Command.withDescription("Spending and caps."),
  Command.withSubcommands([show, resume])
)
