/**
 * A stop, at every stage at which a run can be waiting for something: it returns when the run has
 * ended, the log's last word is that it was stopped, and nothing happens afterwards: no byte is read
 * from a provider, no command lives on, no event follows, no money stays reserved.
 *
 * That a stop is quick is shown without a stopwatch: each stage waits for something that does not
 * come by itself while the test runs, so a stop that waited for it would not return at all.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { AgentRuntime } from "../../src/agent/AgentRuntime.ts"
import { SessionStore } from "../../src/agent/SessionStore.ts"
import type { RunId } from "../../src/domain/Ids.ts"
import type { RunEvent } from "../../src/domain/RunEvent.ts"
import { Audit } from "../../src/kernel/Audit.ts"
import { Approvals } from "../../src/tools/Approvals.ts"
import * as E2e from "../support/e2e-vendors.ts"
import * as Path from "../support/path.ts"

const says = (text: string) => ({ kind: "answer", text, bill: { input: 40, output: 20 } }) as const

const runOf = (events: ReadonlyArray<RunEvent>): RunId => Path.of(events, "RunStarted")[0]!.run

/** Everything that a run leaves behind, as text that changes when anything is added. */
const traces = (watched: E2e.Watched) =>
  Effect.gen(function* () {
    const audit = yield* Audit
    const ofRun = (yield* audit.tail({ limit: 1000 })).filter((e) => e.event.run === runOf(watched.events))
    return JSON.stringify([
      yield* E2e.logOf(watched.events),
      watched.events.length,
      ofRun.map((e) => e.seq),
      yield* E2e.leases
    ])
  })

/** Stops the run, and checks what holds for every stage. */
const stopNow = (watched: E2e.Watched, stage: E2e.Stage) =>
  Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const store = yield* SessionStore
    assert.isTrue(yield* runtime.stop(runOf(watched.events)))
    yield* watched.end
    assert.deepInclude(watched.events.at(-1), { _tag: "RunEnded", end: "stopped" })
    assert.deepInclude((yield* E2e.logOf(watched.events)).at(-1), { _tag: "TurnEnded", end: "stopped" })
    assert.lengthOf(yield* store.open, 0)
    yield* E2e.reconcile
    const after = yield* traces(watched)
    const asked = stage.asked()
    // Time for whatever was left running to show itself.
    yield* Effect.sleep("300 millis")
    assert.strictEqual(yield* traces(watched), after)
    assert.deepStrictEqual(stage.asked(), asked)
    assert.isFalse(yield* runtime.stop(runOf(watched.events)), "it is not running any more")
    // The session goes on.
    stage.fakes.lab.script([says("back again")])
    const next = yield* E2e.runAll("Are you there?", { session: E2e.sessionOf(watched.events) })
    assert.deepInclude(Path.of(next.events, "RunEnded")[0], { end: "answered", text: "back again" })
  })

/** Commands of living processes that hold this text. */
const living = (mark: string): ReadonlyArray<string> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
        return command.includes(mark) ? [command] : []
      } catch {
        // It ended while we looked.
        return []
      }
    })

describe("a stop", () => {
  it.live("before the first token: the connection is closed and the reservation settled", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: E2e.chain("lab", "anthropic") })
      stage.fakes.lab.script([{ kind: "hang" }])
      yield* Effect.gen(function* () {
        const watched = yield* E2e.watch("What is up?")
        while (stage.fakes.lab.requests.length === 0) yield* Effect.sleep("5 millis")
        yield* stopNow(watched, stage)
        yield* stage.fakes.lab.nextAbort
        // It had been sent, so it may be billed.
        const [row] = yield* E2e.leases
        assert.strictEqual(row?.settled_cost, row?.cost)
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  for (const vendor of E2e.vendorNames) {
    it.live(`while ${vendor} streams`, () =>
      Effect.gen(function* () {
        const stage = yield* E2e.stage({ defaults: E2e.chain(vendor) })
        const text = "word ".repeat(4000)
        stage.fakes[vendor].script([
          { kind: "answer", text, deltaChars: 5, gapMs: 20, bill: { input: 9, output: 4000 } }
        ])
        yield* Effect.gen(function* () {
          const watched = yield* E2e.watch("Tell me a long story")
          yield* watched.until((e) => e._tag === "AnswerDelta")
          const runtime = yield* AgentRuntime
          assert.isTrue(yield* runtime.stop(runOf(watched.events)))
          yield* watched.end
          // The vendor sees the connection closed long before it has said everything.
          yield* stage.fakes[vendor].nextAbort
          assert.isBelow(E2e.shownText(watched.events).length, text.length)
          assert.deepInclude(watched.events.at(-1), { _tag: "RunEnded", end: "stopped" })
          const [row] = yield* E2e.reconcile
          assert.strictEqual(row?.settled_cost, row?.cost)
          const after = yield* traces(watched)
          yield* Effect.sleep("300 millis")
          assert.strictEqual(yield* traces(watched), after)
          // What was cut off is no part of the conversation.
          assert.notInclude(JSON.stringify(yield* E2e.logOf(watched.events)), "word word")
        }).pipe(Effect.provide(Path.agentLayer(stage.place)))
      }).pipe(Effect.scoped)
    )
  }

  it.live("while it waits to ask a failing model again", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: E2e.chain("lab"), router: { backoffMaxMs: 600_000 } })
      stage.fakes.lab.script([{ kind: "failure", reason: "rate_limit", retryAfter: { seconds: 500 } }])
      yield* Effect.gen(function* () {
        const watched = yield* E2e.watch("What is up?")
        yield* watched.until((e) => e._tag === "ModelAttemptFailed" && e.next === "retry" && e.afterMs === 500_000)
        yield* stopNow(watched, stage)
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  it.live("while it waits for a human: the question is withdrawn, and nothing runs", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({
        defaults: { ...E2e.chain("lab"), tools: { profile: "full", requireApproval: ["write_file"] } }
      })
      const write = { name: "write_file", arguments: { path: "out.txt", content: "x" }, id: "call_w" }
      stage.fakes.lab.script([{ kind: "answer", calls: [write], bill: { input: 40, output: 20 } }])
      yield* Effect.gen(function* () {
        const approvals = yield* Approvals
        yield* approvals.attach
        const watched = yield* E2e.watch("Write it")
        yield* watched.until((e) => e._tag === "ApprovalNeeded")
        const [asked] = yield* approvals.pending
        yield* stopNow(watched, stage)
        assert.lengthOf(yield* approvals.pending, 0)
        // Leave that comes too late is none.
        const late = yield* Effect.flip(
          approvals.answer({ id: asked!.id, callHash: asked!.callHash, approve: true, scope: "session" })
        )
        assert.deepInclude(late, { _tag: "ApprovalInvalid", reason: "expired" })
        assert.isFalse(existsSync(join(stage.place.workspace, "out.txt")))
      }).pipe(Effect.scoped, Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  it.live("while a command runs: everything it started is dead", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: E2e.chain("lab") })
      // Children, one that has left the session, one that ignores being asked: by a time of its own, each to be found.
      const mark = `${86_000 + (process.pid % 1000)}.${process.pid}`
      const command = `sleep ${mark} & setsid sleep ${mark} & (trap '' TERM INT HUP; sleep ${mark}) & touch began; wait; touch late`
      const call = { name: "execute_command", arguments: { command }, id: "call_x" }
      stage.fakes.lab.script([{ kind: "answer", calls: [call], bill: { input: 40, output: 20 } }])
      yield* Effect.gen(function* () {
        const watched = yield* E2e.watch("Run it")
        while (living(`sleep ${mark}`).length < 4 || !existsSync(join(stage.place.workspace, "began"))) {
          yield* Effect.sleep("10 millis")
        }
        const log = yield* E2e.logOf(watched.events)
        assert.strictEqual(log.at(-1)?._tag, "ToolIntended")
        const runtime = yield* AgentRuntime
        assert.isTrue(yield* runtime.stop(runOf(watched.events)))
        assert.deepStrictEqual(living(mark), [], "dead when the stop returns, not some time later")
        yield* watched.end
        assert.isFalse(existsSync(join(stage.place.workspace, "late")))
        assert.deepInclude((yield* E2e.logOf(watched.events)).at(-1), { _tag: "TurnEnded", end: "stopped" })
        const audit = yield* Audit
        const [unknown] = yield* audit.tail({ type: "tool.unknown", limit: 1 })
        assert.deepInclude(unknown?.event.data, { tool: "execute_command", why: "interrupted" })

        // The next turn knows of the call, and that nobody knows how it ended.
        stage.fakes.lab.script([says("back again")])
        yield* E2e.runAll("Are you there?", { session: E2e.sessionOf(watched.events) })
        assert.include(JSON.stringify(stage.fakes.lab.requests.at(-1)?.body), "Outcome unknown")
        yield* E2e.reconcile
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  /** Two runs with one question: the first is being answered, the second waits for that answer. */
  const stampede = (stage: E2e.Stage) =>
    Effect.gen(function* () {
      stage.fakes.lab.script([{ kind: "hang" }])
      const asking = yield* E2e.watch("What is up?")
      while (stage.fakes.lab.requests.length === 0) yield* Effect.sleep("5 millis")
      const waiting = yield* E2e.watch("What is up?")
      yield* waiting.until((e) => e._tag === "MessageScanned")
      // Another moment, and it has come to the cache, where it must wait rather than ask.
      yield* Effect.sleep("200 millis")
      assert.lengthOf(stage.fakes.lab.requests, 1)
      assert.lengthOf(Path.of(waiting.events, "CacheChecked"), 0)
      return { asking, waiting }
    })

  it.live("while it waits for another run's answer to the same question", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: E2e.chain("lab") })
      yield* Effect.gen(function* () {
        const { asking, waiting } = yield* stampede(stage)
        const runtime = yield* AgentRuntime
        assert.isTrue(yield* runtime.stop(runOf(waiting.events)))
        yield* waiting.end
        assert.deepInclude(waiting.events.at(-1), { _tag: "RunEnded", end: "stopped" })
        assert.strictEqual(Number(Path.of(waiting.events, "RunEnded")[0]?.cost), 0)
        // The other is none the worse for it.
        assert.lengthOf(yield* E2e.leases, 1)
        assert.notStrictEqual(asking.events.at(-1)?._tag, "RunEnded")
        yield* stopNow(asking, stage)
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  it.live("of the run that others wait for: one of them asks in its place", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: E2e.chain("lab") })
      yield* Effect.gen(function* () {
        const { asking, waiting } = yield* stampede(stage)
        stage.fakes.lab.script([says("here it is")])
        const runtime = yield* AgentRuntime
        assert.isTrue(yield* runtime.stop(runOf(asking.events)))
        yield* waiting.end
        assert.deepInclude(waiting.events.at(-1), { _tag: "RunEnded", end: "answered", text: "here it is" })
        assert.lengthOf(stage.fakes.lab.requests, 2)
        yield* E2e.reconcile
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )
})
