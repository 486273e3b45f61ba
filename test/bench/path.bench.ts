/** What the guarded path costs around a model that answers at once: ledger, session log and audit log durable. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import Sqlite from "better-sqlite3"
import { Effect, Fiber, ManagedRuntime, Stream } from "effect"
import type { Bench } from "../../.ci/bench.ts"
import { AgentRuntime } from "../../src/agent/AgentRuntime.ts"
import { owner } from "../../src/domain/Ids.ts"
import { agentLayer, layOut, run } from "../support/path.ts"

const budget = { daily: { tokens: 1_000_000_000, cost: 1000, action: "block" } }

const open = (cache: boolean) => {
  const place = layOut({
    defaults: { tools: { profile: "deny-all" }, budget },
    sections: { cache: { enabled: cache } }
  })
  const runtime = ManagedRuntime.make(agentLayer(place))
  const folder = mkdtempSync(join(tmpdir(), "ai-desk-bench-"))
  const raw = new Sqlite(join(folder, "floor.db"))
  raw.pragma("journal_mode = WAL")
  raw.pragma("synchronous = FULL")
  raw.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
  const insert = raw.prepare("INSERT INTO t (body) VALUES (?)")
  const select = raw.prepare("SELECT body FROM t WHERE id = 1")
  const close = async () => {
    await runtime.dispose()
    raw.close()
    for (const path of [folder, place.dir]) rmSync(path, { recursive: true, force: true })
  }
  return { runtime, insert, select, close }
}

const body = Buffer.from(JSON.stringify({ text: "x".repeat(300) }))
const question = "What can you do here, in two sentences?"

const asked = open(false)
let count = 0

const hit = open(true)
let rest: Fiber.RuntimeFiber<unknown, unknown> | undefined

/** Until the answer is on its way to the person; what is written down after it does not delay it. */
const answerFromCache = () =>
  new Promise<void>((resolve) => {
    rest = hit.runtime.runFork(
      Effect.flatMap(AgentRuntime, (runtime) =>
        Stream.runForEach(runtime.run({ principal: owner, message: question }), (event) =>
          Effect.sync(() => {
            if (event._tag === "AnswerDelta") resolve()
          })
        )
      )
    )
  })

export const benches: ReadonlyArray<Bench> = [
  {
    name: "message answered by a model that answers at once",
    floor: {
      name: "five durable inserts",
      run: () => {
        for (let i = 0; i < 5; i += 1) asked.insert.run(body)
      }
    },
    run: () => asked.runtime.runPromise(run(`${question} (${++count})`)),
    setup: () => asked.close,
    rounds: 300,
    warmup: 60,
    goals: { p50Ms: 5 }
  },
  {
    name: "cached answer through the runtime",
    floor: {
      name: "one select and JSON.parse",
      run: () => JSON.parse(String((hit.select.get() as { body: Buffer } | undefined)?.body ?? "{}"))
    },
    run: answerFromCache,
    settle: () => (rest === undefined ? undefined : Effect.runPromise(Fiber.await(rest))),
    setup: async () => {
      hit.insert.run(body)
      await hit.runtime.runPromise(run(question))
      return hit.close
    },
    rounds: 500,
    warmup: 100,
    goals: { p50Ms: 0.3, p99Ms: 1 }
  }
]
