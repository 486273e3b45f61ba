/**
 * kill -9 at every named point of the path. Afterwards, in a new process's place: the log is whole,
 * the audit log verifies, the money is accounted for, no side effect ran twice, the session goes on.
 */
import { spawn } from "node:child_process"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { AgentRuntime } from "../../src/agent/AgentRuntime.ts"
import { SessionStore } from "../../src/agent/SessionStore.ts"
import * as Turn from "../../src/agent/Turn.ts"
import { owner } from "../../src/domain/Ids.ts"
import { Audit } from "../../src/kernel/Audit.ts"
import { Budget } from "../../src/model/Budget.ts"
import * as Path from "../support/path.ts"

const worker = join(import.meta.dirname, "../support/crash-worker.ts")
const message = 'Run "echo once >> effects.txt"'

const points = [
  "log:MessageAccepted:before",
  "log:MessageAccepted:after",
  "budget:reserve:before",
  "budget:reserve:after",
  "log:ModelAsked:before",
  "log:ModelAsked:after",
  "audit:model.asked:before",
  "audit:model.asked:after",
  "model:ask:before",
  "model:TextDelta:after",
  "model:Completed:after",
  "budget:settle:before",
  "budget:settle:after",
  "log:ModelAnswered:before",
  "log:ModelAnswered:after",
  "audit:tool.intended:before",
  "audit:tool.intended:after",
  "log:ToolIntended:before",
  "log:ToolIntended:after",
  "sandbox:run:before",
  "sandbox:run:after",
  "log:ToolFinished:before",
  "log:ToolFinished:after",
  "log:TurnEnded:before",
  "log:TurnEnded:after"
]

/** A message is accepted in one commit with its first reservation, so these come before anything is durable. */
const beforeAcceptance = new Set(["log:MessageAccepted:before", "budget:reserve:before"])

/** Ends with the signal that killed the worker, or its exit code. */
const crashAt = (place: Path.Place, point: string) =>
  Effect.async<string>((resume) => {
    const child = spawn(process.execPath, [worker, JSON.stringify(place), point, message], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env["PATH"] }
    })
    let errors = ""
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString()
    })
    child.once("close", (code, signal) => resume(Effect.succeed(signal ?? `exit ${code}: ${errors.slice(-2000)}`)))
  })

const effects = (place: Path.Place): number => {
  const file = join(place.workspace, "effects.txt")
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").length : 0
}

describe("kill -9", () => {
  for (const point of points) {
    it.live(`at ${point}`, () =>
      Effect.gen(function* () {
        const place = yield* Effect.acquireRelease(
          Effect.sync(() => Path.layOut()),
          ({ dir }) => Effect.sync(() => rmSync(dir, { recursive: true, force: true }))
        )
        assert.strictEqual(yield* crashAt(place, point), "SIGKILL", "the point was never reached")
        const ranBefore = effects(place)
        assert.isAtMost(ranBefore, 1)

        yield* Effect.gen(function* () {
          const store = yield* SessionStore
          const audit = yield* Audit
          const budget = yield* Budget

          // The money: what was reserved by the dead process counts as spent, nothing stays reserved.
          const [main] = yield* budget.show
          assert.isTrue(main!.periods.every((p) => p.reservedTokens === 0))

          const [summary] = yield* store.list({ limit: 10 })
          if (beforeAcceptance.has(point)) {
            assert.isUndefined(summary, "nothing was accepted, so nothing may be there")
            return
          }
          assert.isDefined(summary)
          const session = summary!.id

          // The log is whole: it reads, without gaps, to the point of the crash.
          const log = yield* store.log(session)
          const view = Turn.fold(log.map((l) => l.event))
          const asked = log.filter((l) => l.event._tag === "ModelAsked").length
          const spent = main!.periods[0]!.spentTokens
          assert.isTrue(asked === 0 || spent > 0, `${asked} models were asked and ${spent} tokens are spent`)

          // Resumed, the turn comes to its end without repeating what may have happened.
          const open = (yield* store.open).length > 0
          assert.strictEqual(open, point !== "log:TurnEnded:after")
          if (open) {
            const runtime = yield* AgentRuntime
            const events = [...(yield* Stream.runCollect(runtime.resume(session, owner)))]
            assert.lengthOf(Path.of(events, "RunEnded"), 1)
            const intended = view.calls.some((c) => c.stage === "intended")
            assert.strictEqual(
              Path.of(events, "ToolEnded").some((e) => e.how === "unknown"),
              intended,
              "an open intent must be reported as unknown, and nothing else"
            )
            if (intended) assert.strictEqual(effects(place), ranBefore, "an open intent must not be run again")
          }
          assert.isAtMost(effects(place), 1, "the side effect ran twice")

          // The session goes on.
          const next = yield* Path.run("What can you do?", { session })
          assert.strictEqual(Path.of(next, "RunEnded")[0]?.end, "answered")
          assert.lengthOf(yield* store.open, 0)
          yield* audit.checkpoint
          const report = yield* audit.verify
          assert.isTrue(report.ok, JSON.stringify(report.findings))
        }).pipe(Effect.provide(Path.agentLayer(place)))
      }).pipe(Effect.scoped)
    )
  }

  it.live("an uninterrupted run, for comparison, has its effect once", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Path.run(message).pipe(Effect.provide(Path.agentLayer(place)))
      assert.strictEqual(effects(place), 1)
    }).pipe(Effect.scoped)
  )

  it.live("a new message closes an interrupted turn, and says so", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      assert.strictEqual(yield* crashAt(place, "sandbox:run:after"), "SIGKILL")
      yield* Effect.gen(function* () {
        const store = yield* SessionStore
        const [summary] = yield* store.list({ limit: 1 })
        yield* Path.run("What can you do?", { session: summary!.id })
        const log = (yield* store.log(summary!.id)).map((l) => l.event)
        assert.isTrue(log.some((e) => e._tag === "ToolFinished" && e.how === "unknown"))
        assert.isTrue(log.some((e) => e._tag === "TurnEnded" && e.end === "interrupted"))
        assert.strictEqual(effects(place), 1)
      }).pipe(Effect.provide(Path.agentLayer(place)))
    }).pipe(Effect.scoped)
  )
})
