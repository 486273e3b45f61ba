/** `budget`: what each agent has spent and may still spend. */
import { Effect, Schema } from "effect"
import { BudgetApi } from "../contract/budget.ts"
import { AgentBudget, type PeriodStatus } from "../domain/Budget.ts"
import { formatUsd } from "../domain/Money.ts"
import * as ControlClient from "./ControlClient.ts"
import { argument, type Group, verb } from "./Grammar.ts"
import { table, visible } from "./Output.ts"
import { agentName, ask, asIs, config, json, shown } from "./shared.ts"

const client = ControlClient.use(BudgetApi, "budget")

const of = (used: string, cap: string | undefined) => (cap === undefined ? `${used} (no cap)` : `${used} of ${cap}`)

const row = (agent: AgentBudget, p: PeriodStatus): ReadonlyArray<string> => [
  agent.paused ? `${agent.agent} (paused)` : agent.agent,
  `${p.period} ${p.key}`,
  of(formatUsd(p.spent), p.cap === undefined ? undefined : formatUsd(p.cap)),
  p.reserved === 0 ? "-" : formatUsd(p.reserved),
  of(String(p.spentTokens), p.capTokens === undefined ? undefined : String(p.capTokens)),
  p.action
]

const show = verb({
  summary: "Show spending, reservations and caps by agent and period.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      shown(
        Effect.flatMap(client, (c) => c.budget.show()),
        Schema.encodeSync(Schema.Array(AgentBudget)),
        (budgets) =>
          [
            table([
              ["AGENT", "PERIOD (UTC)", "SPENT", "RESERVED", "TOKENS", "AT THE CAP"],
              ...budgets.flatMap((b) => b.periods.map((p) => row(b, p)))
            ]),
            ...budgets.flatMap((b) =>
              b.paused
                ? [`${b.agent} is paused: ${visible(b.pausedReason ?? "")}; ai-desk budget resume ${b.agent}`]
                : []
            )
          ].join("\n")
      )
    )
})

const agent = argument(agentName, "AGENT", "The paused agent's name.")

const resume = verb({
  summary: "Lift an agent's pause.",
  params: { agent, config, json },
  run: (input) =>
    ask(
      input,
      shown(
        Effect.flatMap(client, (c) => c.budget.resume({ path: { agent: input.agent } })),
        asIs,
        ({ resumed }) => (resumed ? `${input.agent} may spend again, up to its caps` : `${input.agent} was not paused`)
      )
    )
})

export const group: Group = { summary: "Spending and caps.", verbs: { show, resume } }
