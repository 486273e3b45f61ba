/**
 * What can go wrong around the steps: stops at awkward moments, a log that fails, a gateway that
 * closes, agents that are gone. Every part is real but the model, which plays a script.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import { AgentRuntime } from "../../src/agent/AgentRuntime.ts"
import * as SessionStore from "../../src/agent/SessionStore.ts"
import { AgentId, LeaseId, MessageKey, owner, type SessionId, ToolCallId } from "../../src/domain/Ids.ts"
import { Taint } from "../../src/domain/Labels.ts"
import { AssistantMessage, ToolCallPart, userText } from "../../src/domain/Message.ts"
import { Completed, ModelRef } from "../../src/domain/Model.ts"
import { NanoUsd } from "../../src/domain/Money.ts"
import type { RunEvent } from "../../src/domain/RunEvent.ts"
import {
  MessageAccepted,
  ModelAnswered,
  type SessionEvent,
  ToolFinished,
  ToolIntended
} from "../../src/domain/SessionEvent.ts"
import { ToolOutcome } from "../../src/domain/Tool.ts"
import { DatabaseError } from "../../src/kernel/Database.ts"
import { Events } from "../../src/kernel/Events.ts"
import { newId } from "../../src/kernel/Ids.ts"
import { Budget } from "../../src/model/Budget.ts"
import { Providers } from "../../src/model/Provider.ts"
import * as E2e from "../support/e2e-vendors.ts"
import * as Path from "../support/path.ts"
import { hangs, says, type Script, usageOf } from "../support/scripted-provider.ts"

/** One script a question, in turn; the last again and again. */
const playing = (...scripts: ReadonlyArray<Script>) => {
  let turn = 0
  return Layer.succeed(
    Providers,
    Providers.of({
      available: Effect.succeed(["rehearsal"]),
      get: () =>
        Effect.succeed({
          name: "rehearsal",
          stream: (_request, lease) =>
            Stream.suspend(() => (scripts[Math.min(turn++, scripts.length - 1)] ?? hangs)(lease))
        })
    })
  )
}

const call = (id: string, name: string, args: unknown) =>
  new ToolCallPart({ id: ToolCallId.make(id), name, arguments: args })

const callsFor =
  (...calls: ReadonlyArray<ToolCallPart>): Script =>
  () =>
    Stream.make(
      new Completed({ message: new AssistantMessage({ content: calls }), finish: "tool_calls", usage: usageOf(10, 5) })
    )

/** The session store with a say in what becomes of each append. */
const watched = (
  around: (
    events: ReadonlyArray<SessionEvent>,
    append: Effect.Effect<void, DatabaseError>
  ) => Effect.Effect<void, DatabaseError>
) =>
  Layer.effect(
    SessionStore.SessionStore,
    Effect.map(SessionStore.SessionStore, (store) => ({
      ...store,
      append: (session: SessionId, events: readonly [SessionEvent, ...ReadonlyArray<SessionEvent>]) =>
        around(events, store.append(session, events))
    }))
  ).pipe(Layer.provide(SessionStore.layer))

const brokenDisk = new DatabaseError({ file: "desk.db", reason: "full", detail: "no space is left" })

const tags = (session: SessionId) =>
  Effect.flatMap(SessionStore.SessionStore, (store) =>
    Effect.map(store.log(session), (log) => log.map((logged) => logged.event._tag))
  )

const ends = (session: SessionId) =>
  Effect.flatMap(SessionStore.SessionStore, (store) =>
    Effect.map(store.log(session), (log) => log.flatMap(({ event }) => (event._tag === "TurnEnded" ? [event] : [])))
  )

const runOf = (events: ReadonlyArray<RunEvent>) => Path.of(events, "RunStarted")[0]!.run

const nothingReserved = Effect.flatMap(Budget, (budget) =>
  Effect.map(budget.show, (agents) =>
    assert.isTrue(agents.every(({ periods }) => periods.every((p) => p.reservedTokens === 0 && p.reserved === 0)))
  )
)

describe("a stop at an awkward moment", () => {
  it.live("of a run that waits for its session: it ends, is told, and has left nothing", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Effect.gen(function* () {
        const runtime = yield* AgentRuntime
        const first = yield* Path.run("first")
        const session = E2e.sessionOf(first)
        const going = yield* E2e.watch("second", { session })
        yield* going.until((event) => event._tag === "ModelStarted")
        const before = yield* tags(session)
        const queued = yield* E2e.watch("third", { session })
        yield* queued.until((event) => event._tag === "MessageScanned")
        assert.isTrue(yield* runtime.stop(runOf(queued.events)))
        yield* queued.end
        assert.deepInclude(queued.events.at(-1), { _tag: "RunEnded", end: "stopped" })
        assert.lengthOf(Path.of(queued.events, "RunEnded"), 1)
        assert.deepStrictEqual(yield* tags(session), before)
        // The one that held the session was not touched, and can be stopped as well.
        assert.lengthOf(Path.of(going.events, "RunEnded"), 0)
        assert.isTrue(yield* runtime.stop(runOf(going.events)))
        yield* going.end
        assert.strictEqual((yield* ends(session)).at(-1)?.end, "stopped")
      }).pipe(Effect.provide(Path.agentLayer(place, { providers: playing(says("one"), hangs) })))
    }).pipe(Effect.scoped)
  )

  it.live("while the end is being written: the run ends once, in the log and for who watches", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const atTheEnd = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const sessions = watched((events, append) =>
        events.some((event) => event._tag === "TurnEnded")
          ? Deferred.succeed(atTheEnd, undefined).pipe(Effect.zipRight(Deferred.await(goOn)), Effect.zipRight(append))
          : append
      )
      yield* Effect.gen(function* () {
        const runtime = yield* AgentRuntime
        const running = yield* E2e.watch("hello")
        yield* Deferred.await(atTheEnd)
        const stop = yield* Effect.fork(runtime.stop(runOf(running.events)))
        // The stop has to have reached the run before the write goes on.
        yield* Effect.sleep("30 millis")
        yield* Deferred.succeed(goOn, undefined)
        assert.isTrue(yield* Fiber.join(stop))
        yield* running.end
        assert.lengthOf(Path.of(running.events, "RunEnded"), 1)
        assert.lengthOf(yield* ends(E2e.sessionOf(running.events)), 1)
      }).pipe(Effect.provide(Path.agentLayer(place, { providers: playing(says("one")), sessions })))
    }).pipe(Effect.scoped)
  )

  it.live("by a viewer who goes away: the log says that it was stopped", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Effect.gen(function* () {
        const runtime = yield* AgentRuntime
        const store = yield* SessionStore.SessionStore
        yield* runtime.run({ principal: owner, message: "hello" }).pipe(
          Stream.takeUntil((event) => event._tag === "ModelStarted"),
          Stream.runDrain
        )
        const [summary] = yield* store.list({ limit: 1 })
        assert.strictEqual((yield* ends(summary!.id))[0]?.end, "stopped")
        yield* nothingReserved
      }).pipe(Effect.provide(Path.agentLayer(place, { providers: playing(hangs) })))
    }).pipe(Effect.scoped)
  )
})

describe("a gateway that closes", () => {
  for (const key of [undefined, MessageKey.make("message-0001")]) {
    const name = key === undefined ? "without a key" : "with a key"
    it.live(`tells who watches, and leaves the turn of a message ${name} open, to be resumed`, () =>
      Effect.gen(function* () {
        const place = yield* Path.place()
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(Path.agentLayer(place, { providers: playing(hangs) }), scope)
        const keyed = key === undefined ? {} : { key }
        const running = yield* E2e.watch("hello", keyed).pipe(Effect.provide(context))
        yield* running.until((event) => event._tag === "ModelStarted")
        yield* Scope.close(scope, Exit.void)
        yield* running.end
        const session = E2e.sessionOf(running.events)
        const last = running.events.at(-1)
        assert.deepInclude(last, { _tag: "RunEnded", end: "interrupted" })
        assert.include(last?._tag === "RunEnded" ? last.text : "", `session resume ${session}`)

        yield* Effect.gen(function* () {
          const store = yield* SessionStore.SessionStore
          const runtime = yield* AgentRuntime
          assert.lengthOf(yield* store.open, 1)
          assert.lengthOf(yield* ends(session), 0)
          yield* nothingReserved
          if (key !== undefined) {
            const again = yield* Path.run("hello", { key })
            assert.deepInclude(again[0], { _tag: "MessageStored", again: true, state: "interrupted", session })
            assert.lengthOf(again, 1)
          }
          const resumed = [...(yield* Stream.runCollect(runtime.resume(session, owner)))]
          assert.deepInclude(resumed.at(-1), { _tag: "RunEnded", end: "answered", text: "here again" })
          assert.deepStrictEqual(
            (yield* ends(session)).map(({ end }) => end),
            ["answered"]
          )
          assert.lengthOf(yield* store.open, 0)
        }).pipe(Effect.provide(Path.agentLayer(place, { providers: playing(says("here again")) })))
      }).pipe(Effect.scoped)
    )
  }

  it.live("does not take up again what somebody stopped before", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Path.agentLayer(place, { providers: playing(hangs) }), scope)
      const running = yield* E2e.watch("hello").pipe(Effect.provide(context))
      yield* running.until((event) => event._tag === "ModelStarted")
      const runtime = Context.get(context, AgentRuntime)
      const [started] = Path.of(running.events, "RunStarted")
      yield* Effect.all([runtime.stop(started!.run), runtime.close], { concurrency: 2 })
      yield* running.end
      assert.deepInclude(running.events.at(-1), { _tag: "RunEnded", end: "stopped" })
      yield* Scope.close(scope, Exit.void)
    }).pipe(Effect.scoped)
  )
})

describe("a log that fails", () => {
  const script = () => playing(callsFor(call("1", "write_file", { path: "out.txt", content: "x" })), says("done"))
  const moments: ReadonlyArray<readonly [SessionEvent["_tag"], wrote: boolean]> = [
    ["ModelAsked", false],
    ["ModelAnswered", false],
    ["ToolIntended", false],
    ["ToolFinished", true],
    ["TurnEnded", true]
  ]
  for (const [tag, wrote] of moments) {
    it.live(`once, at ${tag}: the run fails, says so in the log, and leaves no money reserved`, () =>
      Effect.gen(function* () {
        const place = yield* Path.place()
        let failed = false
        const sessions = watched((events, append) =>
          Effect.suspend(() => {
            if (failed || !events.some((event) => event._tag === tag)) return append
            failed = true
            return Effect.fail(brokenDisk)
          })
        )
        yield* Effect.gen(function* () {
          const events = yield* Events
          const states: Array<string> = []
          const listening = yield* Effect.fork(
            Stream.runForEach(events.stream, (event) =>
              Effect.sync(() => void (event._tag === "RunChanged" && states.push(event.state)))
            )
          )
          yield* Effect.yieldNow()
          const { events: seen, failure } = yield* E2e.runAll("write it")
          assert.deepInclude(failure, { _tag: "DatabaseError" })
          assert.lengthOf(Path.of(seen, "RunEnded"), 0)
          assert.strictEqual(existsSync(join(place.workspace, "out.txt")), wrote)
          const session = E2e.sessionOf(seen)
          if (tag !== "TurnEnded") {
            const [first] = yield* tags(session)
            assert.strictEqual(first, "MessageAccepted", "what was deferred is not lost with what failed")
            assert.deepStrictEqual(
              (yield* ends(session)).map(({ end }) => end),
              ["failed"]
            )
          }
          yield* nothingReserved
          yield* Effect.sleep("10 millis")
          assert.deepStrictEqual(states, ["started", "ended"], "listeners are told of every end")
          yield* Fiber.interrupt(listening)
        }).pipe(Effect.provide(Path.agentLayer(place, { providers: script(), sessions })))
      }).pipe(Effect.scoped)
    )
  }
})

describe("what a model can do wrong", () => {
  it.live("a provider that breaks inside is an internal error, without its inside", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const breaks: Script = () => Stream.die(new TypeError("secret inside"))
      yield* Effect.gen(function* () {
        const watchedRun = yield* E2e.watch("hello")
        const exit = yield* Effect.exit(watchedRun.end)
        assert.isTrue(Exit.isFailure(exit))
        const [end] = yield* ends(E2e.sessionOf(watchedRun.events))
        assert.deepInclude(end, { end: "failed", report: "an internal error" })
        yield* nothingReserved
      }).pipe(Effect.provide(Path.agentLayer(place, { providers: playing(breaks) })))
    }).pipe(Effect.scoped)
  )

  it.live("a tool that does not exist is refused to the model, and the run goes on", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Effect.gen(function* () {
        const events = yield* Path.run("hello")
        assert.deepInclude(Path.of(events, "ToolEnded")[0], { how: "denied" })
        assert.deepInclude(events.at(-1), { end: "answered", text: "I see" })
      }).pipe(
        Effect.provide(Path.agentLayer(place, { providers: playing(callsFor(call("1", "rm_rf", {})), says("I see")) }))
      )
    }).pipe(Effect.scoped)
  )

  it.live("a write among reads runs in the model's order, one after the other", () =>
    Effect.gen(function* () {
      const place = yield* Path.place({ files: { "a.txt": "old" } })
      const read = (id: string) => call(id, "read_file", { path: "a.txt" })
      const write = call("2", "write_file", { path: "a.txt", content: "new" })
      yield* Effect.gen(function* () {
        const events = yield* Path.run("hello")
        const results = Path.of(events, "ToolEnded").map(
          ({ call: id, outcome }) => [String(id), outcome.content] as const
        )
        assert.deepStrictEqual(
          results.map(([id]) => id),
          ["1", "2", "3"]
        )
        assert.include(results[0]![1], "old")
        assert.include(results[2]![1], "new")
        assert.strictEqual(readFileSync(join(place.workspace, "a.txt"), "utf8"), "new")
      }).pipe(
        Effect.provide(
          Path.agentLayer(place, { providers: playing(callsFor(read("1"), write, read("3")), says("ok")) })
        )
      )
    }).pipe(Effect.scoped)
  )
})

describe("a session from before", () => {
  const model = ModelRef.make("rehearsal/rehearsal-1")
  /** As a gateway that is gone has left it. */
  const left = (agent: string, more: (run: SessionEvent["run"]) => ReadonlyArray<SessionEvent>) =>
    Effect.gen(function* () {
      const store = yield* SessionStore.SessionStore
      const session = yield* newId("sess")
      const run = yield* newId("run")
      yield* store.append(session, [
        new MessageAccepted({ run, agent: AgentId.make(agent), principal: owner, message: userText("before") }),
        ...more(run)
      ])
      return session
    })

  it.live("of an agent that is gone: named as such, and nothing is changed", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Effect.gen(function* () {
        const runtime = yield* AgentRuntime
        const session = yield* left("gone", () => [])
        const { failure } = yield* E2e.runAll("hello", { session })
        assert.deepInclude(failure, { _tag: "AgentNotFound", agent: "gone" })
        const resumed = yield* Effect.flip(Stream.runDrain(runtime.resume(session, owner)))
        assert.strictEqual(resumed._tag, "AgentNotFound")
        const other = yield* E2e.runAll("hello", { session, agent: "main" })
        assert.deepInclude(other.failure, { _tag: "SessionOfOtherAgent" })
        assert.deepStrictEqual(yield* tags(session), ["MessageAccepted"])
      }).pipe(Effect.provide(Path.agentLayer(place, { providers: playing(says("one")) })))
    }).pipe(Effect.scoped)
  )

  it.live("that took in foreign content asks before it acts, also after a restart", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const fetched = call("f", "http_fetch", { url: "https://example.org/" })
      const taint = new Taint({ sources: ["http_fetch:example.org"], privateSeen: false })
      const write = call("1", "write_file", { path: "out.txt", content: "x" })
      yield* Effect.gen(function* () {
        const session = yield* left("main", (run) => [
          new ModelAnswered({
            run,
            model,
            lease: LeaseId.make("lease-00000000000000000000000001"),
            message: new AssistantMessage({ content: [fetched] }),
            finish: "tool_calls",
            usage: usageOf(1, 1),
            cost: NanoUsd.make(0)
          }),
          new ToolIntended({ run, call: fetched.id, tool: fetched.name, callHash: "h" }),
          new ToolFinished({
            run,
            call: fetched.id,
            tool: fetched.name,
            how: "ran",
            outcome: new ToolOutcome({ content: "hi", isError: false, truncated: false, durationMs: 1 }),
            taint
          })
        ])
        const events = yield* Path.run("write it", { session })
        assert.deepStrictEqual(
          (yield* ends(session)).map(({ end }) => end),
          ["interrupted", "answered"]
        )
        const [ended] = Path.of(events, "ToolEnded")
        assert.strictEqual(ended?.how, "denied")
        assert.include(ended?.outcome.content, "http_fetch:example.org")
        assert.isFalse(existsSync(join(place.workspace, "out.txt")))
        // The same call in a session that has seen nothing from outside goes through.
        const clean = yield* Path.run("write it")
        assert.strictEqual(Path.of(clean, "ToolEnded")[0]?.how, "ran")
      }).pipe(
        Effect.provide(
          Path.agentLayer(place, { providers: playing(callsFor(write), says("no"), callsFor(write), says("yes")) })
        )
      )
    }).pipe(Effect.scoped)
  )

  it.live("that was interrupted is resumed once, whoever asks at the same time", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Effect.gen(function* () {
        const runtime = yield* AgentRuntime
        const session = yield* left("main", () => [])
        const both = yield* Effect.all(
          [1, 2].map(() => Effect.either(Stream.runLast(runtime.resume(session, owner)))),
          { concurrency: "unbounded" }
        )
        const told = both.map((one) =>
          one._tag === "Left" ? one.left._tag : Option.match(one.right, { onNone: () => "", onSome: (e) => e._tag })
        )
        assert.sameMembers(told, ["RunEnded", "NothingToResume"])
        assert.lengthOf(yield* ends(session), 1)
        const stranger = yield* Effect.flip(Stream.runDrain(runtime.resume(session, "stranger" as typeof owner)))
        assert.strictEqual(stranger._tag, "SessionNotFound")
      }).pipe(Effect.provide(Path.agentLayer(place, { providers: playing(says("again")) })))
    }).pipe(Effect.scoped)
  )
})
