/** What one durable commit costs, and what the ledger adds: alone, and for 200 runs at once. */
import { owner } from "../../src/domain/Ids.ts"
import { Effect, Layer, ManagedRuntime } from "effect"
import type { Bench } from "../../.ci/bench.ts"
import { Caps } from "../../src/domain/Agent.ts"
import { NanoUsd } from "../../src/domain/Money.ts"
import { Database } from "../../src/kernel/Database.ts"
import * as Budget from "../../src/model/Budget.ts"
import { agentWith, ground, one, runId, settingsOf } from "../support/scripted-provider.ts"

const settings = settingsOf({})
const runtime = ManagedRuntime.make(
  Layer.provideMerge(
    Budget.layer,
    ground(() => settings)
  )
)
const { budget, desk } = await runtime.runPromise(
  Effect.all({ budget: Budget.Budget, desk: Effect.map(Database, (database) => database.desk) })
)
const cap = new Caps({ cost: NanoUsd.make(1e15), action: "pause" })
const agent = agentWith({ budget: { daily: cap, monthly: cap, perRun: cap } })
const nothing = { tokens: 1, cost: NanoUsd.make(1) }
const spend = (run: number) =>
  Effect.flatMap(
    budget.reserve({
      agent,
      principal: owner,
      allowance: null,
      run: runId(run),
      model: one,
      tokens: 1000,
      cost: NanoUsd.make(1000)
    }),
    (lease) => budget.settle(lease, nothing)
  )
// The holder's row exists from here on, so that the floor really writes.
await runtime.runPromise(spend(0))
let touched = 0
const commit = desk.write((db) => db.run("UPDATE budget_holders SET seen_at = ?", touched++))
const floor = { name: "two durable commits", run: () => runtime.runPromise(Effect.zipRight(commit, commit)) }

export const benches: ReadonlyArray<Bench> = [
  {
    name: "reserve and settle",
    floor,
    run: () => runtime.runPromise(spend(1)),
    rounds: 200,
    goals: { overFloorMs: 1 }
  },
  {
    name: "reserve and settle, 200 runs at once",
    floor,
    run: () =>
      runtime.runPromise(
        Effect.forEach(
          Array.from({ length: 200 }, (_, run) => run),
          spend,
          { concurrency: "unbounded", discard: true }
        )
      ),
    perRun: 200,
    rounds: 20,
    setup: () => () => runtime.dispose()
  }
]
