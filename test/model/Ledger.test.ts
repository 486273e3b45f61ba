import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Database } from "../../src/kernel/Database.ts"
import { Budget } from "../../src/model/Budget.ts"
import { temporaryFolder } from "../support/database.ts"
import { runId } from "../support/scripted-provider.ts"
import { ledgerAt, sharedAgent, sharedAllowance, sharedCap, sharedPrincipal } from "../support/ledger-worker.ts"

const worker = new URL("../support/ledger-worker.ts", import.meta.url).pathname

interface Started {
  readonly child: ChildProcess
  readonly ready: Promise<void>
  /** The last line it printed, and how it ended. */
  readonly ended: Promise<{ readonly last: string; readonly signal: string | null; readonly code: number | null }>
}

const start = (folder: string, number: number, rounds: number): Started => {
  const child = spawn(process.execPath, [worker, folder, String(number), String(rounds)], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  let last = ""
  let announce = () => {}
  const ready = new Promise<void>((resolve) => {
    announce = resolve
  })
  const lines = createInterface({ input: child.stdout })
  lines.on("line", (line) => {
    last = line
    if (line === "ready") announce()
  })
  const ended = new Promise<{ last: string; signal: string | null; code: number | null }>((resolve) => {
    child.on("close", (code, signal) => resolve({ last, signal, code }))
  })
  return { child, ready, ended }
}

const Period = Schema.Struct({
  tokens: Schema.Number,
  cost: Schema.Number,
  reserved_tokens: Schema.Number,
  spent_tokens: Schema.Number,
  spent: Schema.Number
})

const look = Effect.flatMap(Database, ({ desk }) =>
  desk.read((db) =>
    db.all(
      `SELECT spent_tokens + reserved_tokens AS tokens, spent + reserved AS cost, reserved_tokens, spent_tokens, spent
       FROM budget_periods WHERE agent = ? AND period <> 'run'`,
      sharedAgent.id
    )
  )
).pipe(Effect.flatMap(Schema.decodeUnknown(Schema.Array(Period))))

/** Open leases of a worker. */
const held = (number: number) =>
  Effect.flatMap(Database, ({ desk }) =>
    desk.read(
      (db) =>
        db.all(
          "SELECT id FROM budget_leases WHERE settled_at IS NULL AND run BETWEEN ? AND ?",
          runId(number * 100),
          runId(number * 100 + 99)
        ).length
    )
  )

describe("the ledger of four processes", () => {
  it.scopedLive("never shows more than the cap, loses no lease to kill -9, and counts it as spent", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const budget = yield* Budget
        const { desk } = yield* Database
        const workers = [0, 1, 2, 3].map((number) => start(folder, number, number === 0 ? 1_000_000 : 8))
        yield* Effect.addFinalizer(() => Effect.sync(() => workers.forEach(({ child }) => child.kill("SIGKILL"))))
        let ended = 0
        for (const { ended: end } of workers) void end.then(() => (ended += 1))

        let looks = 0
        let busiest = 0
        let tokenBusiest = 0
        const observe = Effect.gen(function* () {
          while (ended < workers.length) {
            for (const row of yield* look) {
              expect(row.tokens).toBeLessThanOrEqual(sharedCap.tokens)
              expect(row.cost).toBeLessThanOrEqual(sharedCap.cost)
              busiest = Math.max(busiest, row.reserved_tokens)
            }
            for (const status of yield* budget.spending(sharedPrincipal, sharedAllowance)) {
              expect(status.spentTokens + status.reservedTokens).toBeLessThanOrEqual(status.capTokens ?? Infinity)
              expect(status.spent + status.reserved).toBeLessThanOrEqual(status.cap ?? Infinity)
              tokenBusiest = Math.max(tokenBusiest, status.spentTokens + status.reservedTokens)
            }
            looks += 1
            yield* Effect.sleep(1)
          }
        })
        const kill = Effect.gen(function* () {
          yield* Effect.promise(() => Promise.all(workers.map(({ ready }) => ready)))
          for (const { child } of workers) child.stdin?.write("go")
          // In the midst: three of its fifty fibers hold a lease at this instant.
          while ((yield* held(0)) < 3) yield* Effect.sleep(1)
          workers[0]?.child.kill("SIGKILL")
        })
        yield* Effect.all([observe, kill], { concurrency: "unbounded" })
        const ends = yield* Effect.promise(() => Promise.all(workers.map(({ ended: end }) => end)))
        expect(ends.map(({ code, signal }) => signal ?? code)).toEqual(["SIGKILL", 0, 0, 0])
        const [granted, refused] = ends.slice(1).reduce(
          ([g, r], { last }) => {
            const [, a, b] = last.split(" ")
            return [g + Number(a), r + Number(b)]
          },
          [0, 0] as readonly [number, number]
        )
        expect(granted).toBeGreaterThan(100)
        expect(refused).toBeGreaterThan(0)
        expect(looks).toBeGreaterThan(20)
        expect(busiest).toBeGreaterThan(0)
        expect(tokenBusiest).toBeGreaterThan(0)

        const open = yield* desk.read((db) =>
          db.all("SELECT id FROM budget_leases WHERE settled_at IS NULL AND holder IN (SELECT id FROM budget_holders)")
        )
        expect(open.length).toBeGreaterThan(0)
        expect(yield* budget.recover).toBe(open.length)
        expect(yield* budget.recover).toBe(0)
        const sums = yield* desk.read((db) =>
          db.get("SELECT SUM(settled_tokens) AS spent_tokens, SUM(settled_cost) AS spent FROM budget_leases")
        )
        for (const row of yield* look) {
          expect(row).toMatchObject({ reserved_tokens: 0 })
          expect({ spent_tokens: row.spent_tokens, spent: row.spent }).toEqual(sums)
          expect(row.tokens).toBeLessThanOrEqual(sharedCap.tokens)
        }
        const ofToken = yield* desk.read((db) =>
          db.get(
            "SELECT SUM(settled_tokens) AS tokens, SUM(settled_cost) AS cost FROM budget_leases WHERE account IS NOT NULL"
          )
        )
        for (const status of yield* budget.spending(sharedPrincipal, sharedAllowance)) {
          expect({ tokens: status.spentTokens, cost: status.spent }).toEqual(ofToken)
          expect(status.reservedTokens).toBe(0)
        }
      }).pipe(Effect.provide(ledgerAt(folder)))
    })
  )
})
