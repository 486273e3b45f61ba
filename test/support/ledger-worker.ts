/**
 * One process among several that spend from the same ledger. Run as
 * `node ledger-worker.ts <folder> <number> <rounds>`: prints `ready`, waits for a byte on stdin,
 * then fifty fibers reserve and settle, and each leaves its last lease open, as a process does that
 * ends without warning. Prints `done <granted> <refused>` at the end. Number 0 gives back all it
 * reserves, so that it can go on until it is killed.
 */
import { once } from "node:events"
import { join } from "node:path"
import { Console, Effect, Either, Layer, Schema } from "effect"
import { Caps } from "../../src/domain/Agent.ts"
import { NanoUsd } from "../../src/domain/Money.ts"
import * as Audit from "../../src/kernel/Audit.ts"
import { Database, openStore } from "../../src/kernel/Database.ts"
import * as Events from "../../src/kernel/Events.ts"
import { deskMigrations } from "../../src/kernel/migrations/desk.ts"
import * as Budget from "../../src/model/Budget.ts"
import { layerTemporary } from "./database.ts"
import { agentWith, layerSettings, one, runId, settingsOf } from "./scripted-provider.ts"
import { Allowance } from "../../src/domain/Caller.ts"
import { AgentId, owner, PrincipalId } from "../../src/domain/Ids.ts"

export const sharedCap = { tokens: 9_000, cost: 8_000 }
/** Below the agent's, so that it is what holds. */
export const sharedAllowance = new Allowance({
  daily: new Caps({ tokens: 7_000, action: "block" }),
  monthly: new Caps({ cost: NanoUsd.make(6_500), action: "block" })
})
export const sharedPrincipal = PrincipalId.make("token:shared")
export const sharedAgent = agentWith({
  id: AgentId.make("shared"),
  budget: {
    daily: new Caps({ tokens: sharedCap.tokens, cost: NanoUsd.make(sharedCap.cost), action: "block" }),
    monthly: new Caps({ tokens: sharedCap.tokens, action: "block" })
  }
})

/** The ledger of a folder, with everything else this process' own. */
export const ledgerAt = (folder: string) => {
  const store = Layer.scoped(
    Database,
    Effect.map(openStore(join(folder, "desk.db"), "FULL", deskMigrations), (desk) => ({
      desk,
      audit: desk,
      cache: desk
    }))
  )
  const around = Layer.mergeAll(
    Layer.provide(Audit.layer, layerTemporary),
    Events.layer,
    layerSettings(() => settingsOf({}))
  )
  return Budget.layer.pipe(Layer.provideMerge(Layer.mergeAll(store, around)))
}

const fibers = 50

const spend = (number: number, rounds: number) =>
  Effect.gen(function* () {
    const budget = yield* Budget.Budget
    let granted = 0
    let refused = 0
    const fiber = (index: number) =>
      Effect.gen(function* () {
        for (let round = 0; round < rounds; round++) {
          const size = 1 + ((number * 31 + index * 17 + round * 7) % 60)
          const got = yield* Effect.either(
            budget.reserve({
              agent: sharedAgent,
              // Every other fiber spends as the owner, so that both kinds of cap are met.
              principal: index % 2 === 0 ? sharedPrincipal : owner,
              allowance: index % 2 === 0 ? sharedAllowance : null,
              run: runId(number * 100 + index),
              model: one,
              tokens: size,
              cost: NanoUsd.make(size)
            })
          )
          if (Either.isLeft(got)) {
            if (got.left._tag !== "BudgetExceeded") return yield* Effect.die(got.left)
            refused += 1
            yield* Effect.sleep(2)
            continue
          }
          granted += 1
          yield* Effect.sleep(index % 5)
          if (round === rounds - 1) return
          const used = number === 0 ? 0 : Math.floor(size / (1 + (index % 4)))
          yield* budget.settle(got.right, { tokens: used, cost: NanoUsd.make(used) })
        }
      })
    yield* Console.log("ready")
    yield* Effect.promise(() => once(process.stdin, "data"))
    process.stdin.destroy()
    yield* Effect.forEach(
      Array.from({ length: fibers }, (_, index) => index),
      fiber,
      { concurrency: "unbounded", discard: true }
    )
    yield* Console.log(`done ${granted} ${refused}`)
  })

const Arguments = Schema.Tuple(Schema.String, Schema.NumberFromString, Schema.NumberFromString)

if (import.meta.main) {
  const [folder, number, rounds] = Schema.decodeUnknownSync(Arguments)(process.argv.slice(2))
  await Effect.runPromise(spend(number, rounds).pipe(Effect.provide(ledgerAt(folder))))
}
