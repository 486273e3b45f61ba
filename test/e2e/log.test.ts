/**
 * The log is the truth: whatever a run has done, folding its stored log gives exactly the view that
 * the live run had, in this process and in the next. And the settings may change while runs go on: a
 * run keeps the agent that it began with, the next one has the new one, a bad file changes nothing.
 */
import { renameSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as fc from "effect/FastCheck"
import { AgentRuntime } from "../../src/agent/AgentRuntime.ts"
import { SessionStore, layer as sessionsLayer } from "../../src/agent/SessionStore.ts"
import * as Turn from "../../src/agent/Turn.ts"
import { textOf } from "../../src/domain/Message.ts"
import { Events } from "../../src/kernel/Events.ts"
import { Settings, watch as watchSettings } from "../../src/kernel/Settings.ts"
import { Approvals } from "../../src/tools/Approvals.ts"
import * as E2e from "../support/e2e-vendors.ts"
import * as Path from "../support/path.ts"
import type { Reply } from "../support/providers/FakeServer.ts"

const bill = { input: 60, output: 12, cacheRead: 5, cacheWrite: 3 }
const says = (text: string): Reply => ({ kind: "answer", text, bill })

/** What may happen in one round of a run; the last round is always an answer. */
const rounds: Readonly<Record<string, ReadonlyArray<Reply>>> = {
  read: [{ kind: "answer", text: "Reading.", calls: [{ name: "read_file", arguments: { path: "notes.md" } }], bill }],
  parallel: [
    {
      kind: "answer",
      calls: [
        { name: "list_files", arguments: {}, id: "a" },
        { name: "read_file", arguments: { path: "missing.md" }, id: "b" },
        { name: "search_files", arguments: { pattern: "milk" }, id: "c" }
      ],
      bill
    }
  ],
  denied: [{ kind: "answer", calls: [{ name: "write_file", arguments: { path: "x", content: "y" } }], bill }],
  nonsense: [{ kind: "answer", calls: [{ name: "no_such_tool", arguments: { a: [1, { b: null }] } }], bill }],
  unbilled: [
    { kind: "answer", text: "Nobody counts.", calls: [{ name: "list_files", arguments: {} }], bill: "missing" }
  ]
}

/** How a run may end. */
const lasts: Readonly<Record<string, ReadonlyArray<Reply>>> = {
  plain: [says("That is all.")],
  retried: [{ kind: "failure", reason: "overloaded" }, says("Again: nothing to do.")],
  cut: [{ kind: "answer", text: "This is the beginning of something", bill, cut: "text" }, says("Whole at last.")],
  "given up": [{ kind: "failure", reason: "bad_request" }]
}

type Session = ReadonlyArray<readonly [rounds: ReadonlyArray<string>, last: string]>

/** Everything once, and then as it comes. */
const sessions = (): ReadonlyArray<Session> => {
  const everything: Session = [
    [["read", "parallel"], "plain"],
    [["denied", "nonsense"], "retried"],
    [[], "given up"],
    [["unbilled"], "cut"],
    [[], "plain"]
  ]
  const turn = fc.array(fc.constantFrom(...Object.keys(rounds)), { maxLength: 3 })
  const any = fc.array(fc.tuple(turn, fc.constantFrom(...Object.keys(lasts))), { minLength: 1, maxLength: 3 })
  return [everything, ...fc.sample(any, { numRuns: 5, seed: 20261122 })]
}

describe("replay", () => {
  it.live("the fold of the stored log is the view of the live run, whatever happened", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({
        defaults: { ...E2e.chain("lab"), tools: { profile: "full", requireApproval: ["write_file"] } },
        files: { "notes.md": "remember the milk\n" },
        sections: { cache: { enabled: false } }
      })
      /** What each session's runs did, live: the events as they were appended, and what the viewer was told of money. */
      const live = new Map<string, Turn.SessionView>()
      const spying = Layer.effect(
        SessionStore,
        Effect.map(SessionStore, (store) =>
          SessionStore.of({
            ...store,
            append: (session, events) =>
              Effect.tap(store.append(session, events), () =>
                Effect.sync(() => live.set(session, events.reduce(Turn.step, live.get(session) ?? Turn.emptyView)))
              )
          })
        )
      ).pipe(Layer.provide(sessionsLayer))

      const told: Array<readonly [session: string, run: string, tokens: number, cost: number, toolCalls: number]> = []
      yield* Effect.gen(function* () {
        for (const [n, turns] of sessions().entries()) {
          let session: ReturnType<typeof E2e.sessionOf> | undefined
          for (const [names, last] of turns) {
            stage.fakes.lab.script(names.flatMap((name) => rounds[name] ?? []))
            stage.fakes.lab.script(lasts[last] ?? [])
            const { events } = yield* E2e.runAll(`Do it (${n})`, session === undefined ? {} : { session })
            session = E2e.sessionOf(events)
            const ended = Path.of(events, "RunEnded")[0]
            const run = Path.of(events, "RunStarted")[0]!.run
            if (ended !== undefined) told.push([session, run, ended.usage.totalTokens, ended.cost, ended.toolCalls])
            // The model was shown what the log says: the last question ends the live view's messages.
            const log = yield* E2e.logOf(events)
            const accepted = log.filter((e) => e._tag === "MessageAccepted").at(-1)
            assert.include(JSON.stringify(stage.fakes.lab.requests.at(-1)?.body), textOf(accepted!.message))
          }
        }
        // And one that is stopped in the middle.
        stage.fakes.lab.script([...(rounds["read"] ?? []), { kind: "hang" }])
        const asked = stage.fakes.lab.requests.length
        const watched = yield* E2e.watch("Do it, and never end")
        while (stage.fakes.lab.requests.length < asked + 2) yield* Effect.sleep("5 millis")
        assert.isTrue(yield* (yield* AgentRuntime).stop(Path.of(watched.events, "RunStarted")[0]!.run))
        yield* watched.end
        // What each viewer was told of money is what the ledger has for that run, failed attempts included.
        const rows = yield* E2e.reconcile
        for (const [, run, , cost] of told) {
          const settled = rows.filter((row) => row.run === run).reduce((sum, row) => sum + (row.settled_cost ?? 0), 0)
          assert.strictEqual(cost, settled)
        }
      }).pipe(Effect.provide(Path.agentLayer(stage.place, { sessions: spying })))

      // Another process's view: nothing but the files is left.
      assert.strictEqual(live.size, sessions().length + 1)
      yield* Effect.gen(function* () {
        const store = yield* SessionStore
        for (const { id } of yield* store.list({ limit: 100 })) {
          const log = (yield* store.log(id)).map((logged) => logged.event)
          const folded = Turn.fold(log)
          assert.deepStrictEqual(folded, live.get(id))
          assert.strictEqual(Turn.next(folded, { maxRounds: 25 })._tag, "Idle")
          // Each prefix too, so that a crash after any event finds what the live run knew then.
          log.reduce((view, event, i) => {
            const next = Turn.step(view, event)
            assert.deepStrictEqual(Turn.fold(log.slice(0, i + 1)), next)
            return next
          }, Turn.emptyView)
          // What the viewer was told at the end is what the log says.
          for (const [, run, tokens, cost, toolCalls] of told.filter(([session]) => session === id)) {
            const upTo = log.slice(0, log.findIndex((e) => e._tag === "TurnEnded" && e.run === run) + 1)
            const { run: state } = Turn.fold(upTo)
            assert.deepInclude({ ...state, tokens: state?.usage.totalTokens, cost: Number(state?.cost) }, {
              run,
              tokens,
              cost,
              toolCalls
            } as object)
          }
        }
        assert.isAtLeast(told.length, 5)
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  it.live("a session that goes on after a restart sends what it would have sent without one", () =>
    Effect.gen(function* () {
      const bodies = yield* Effect.forEach([false, true], (restart) =>
        Effect.gen(function* () {
          const stage = yield* E2e.stage({
            defaults: E2e.chain("anthropic"),
            files: { "notes.md": "remember the milk\n" }
          })
          const { anthropic } = stage.fakes
          anthropic.script([
            {
              kind: "answer",
              text: "Reading.",
              calls: [
                { name: "read_file", arguments: { path: "notes.md" }, id: "toolu_1" },
                { name: "list_files", arguments: {}, id: "toolu_2" }
              ],
              bill
            },
            says("It says milk."),
            says("Once more: milk.")
          ])
          const first = Effect.map(E2e.runAll("What is in notes.md?"), ({ events }) => E2e.sessionOf(events))
          const second = (session: ReturnType<typeof E2e.sessionOf>) => E2e.runAll("Say it again", { session })
          const layer = () => Path.agentLayer(stage.place)
          if (restart) {
            const session = yield* Effect.provide(first, layer())
            yield* Effect.provide(second(session), layer())
          } else yield* Effect.provide(Effect.flatMap(first, second), layer())
          assert.lengthOf(anthropic.requests, 3)
          return JSON.stringify(anthropic.requests[2]?.body)
        })
      )
      assert.strictEqual(bodies[1], bodies[0])
    }).pipe(Effect.scoped)
  )
})

describe("hot reload", () => {
  /** As editors do: a new file in the old one's place. */
  const put = (stage: E2e.Stage, text: string) =>
    Effect.sync(() => {
      writeFileSync(`${stage.place.config}.new`, text, { mode: 0o600 })
      renameSync(`${stage.place.config}.new`, stage.place.config)
    })

  it.live("a running turn keeps its agent; the next run has the new one; a bad edit changes nothing", () =>
    Effect.gen(function* () {
      const agentWith = (systemPrompt: string, tools: object) => ({
        defaults: { ...E2e.chain("lab"), systemPrompt, tools },
        list: [{ id: "main", default: true, workspace: "workspace" }]
      })
      const readers = { profile: "readonly", requireApproval: ["read_file"] }
      const nobody = { profile: "deny-all" }
      const stage = yield* E2e.stage({
        files: { "notes.md": "remember the milk\n" },
        sections: { agents: agentWith("You are the old one.", readers), cache: { enabled: false } }
      })
      const settingsOf = (systemPrompt: string, tools: object) =>
        Effect.gen(function* () {
          const { config } = yield* (yield* Settings).current
          return JSON.stringify({
            providers: { lab: { kind: "openai-compatible", baseUrl: stage.fakes.lab.baseUrl, apiKeyEnv: "LAB_KEY" } },
            prices: { [E2e.models.lab]: E2e.labPrice },
            cache: { enabled: false },
            router: config.router,
            agents: agentWith(systemPrompt, tools)
          })
        })
      const look = { name: "read_file", arguments: { path: "notes.md" } }
      const said = (request: number) => JSON.stringify(stage.fakes.lab.requests[request]?.body)

      yield* Effect.gen(function* () {
        yield* Effect.forkScoped(watchSettings)
        const events = yield* Events
        /** Waits until an edit has been taken or refused; the watcher needs a moment to be there at first, so it is repeated. */
        const edited = (text: string, outcome: "ConfigReloaded" | "ConfigRejected") =>
          Effect.gen(function* () {
            const seen = yield* events.stream.pipe(
              Stream.filter((event) => event._tag === outcome),
              Stream.runHead,
              Effect.fork
            )
            yield* Effect.repeat(Effect.zipRight(put(stage, text), Effect.sleep("400 millis")), {
              until: () => Effect.map(seen.status, (status) => status._tag === "Done")
            })
          })

        // The run waits for a human when the settings change under it.
        const approvals = yield* Approvals
        yield* approvals.attach
        stage.fakes.lab.script([{ kind: "answer", text: "Reading it. ", calls: [look], bill }, says("Milk.")])
        const watched = yield* E2e.watch("What is in my notes?")
        yield* watched.until((e) => e._tag === "ApprovalNeeded")
        yield* edited(yield* settingsOf("You are the new one.", nobody), "ConfigReloaded")
        const [asked] = yield* approvals.pending
        yield* approvals.answer({ id: asked!.id, callHash: asked!.callHash, approve: true, scope: "once" })
        yield* watched.end
        assert.deepInclude(Path.of(watched.events, "RunEnded")[0], { end: "answered", text: "Milk.", toolCalls: 1 })
        assert.strictEqual(Path.of(watched.events, "ToolEnded")[0]?.how, "ran", "its tools are those it began with")
        assert.include(said(1), "You are the old one.")

        // The next run, also in the same session, is the new agent's: with its words and without tools.
        stage.fakes.lab.script([{ kind: "answer", calls: [look], bill }, says("I may not.")])
        const session = E2e.sessionOf(watched.events)
        const next = yield* E2e.runAll("And now?", { session })
        assert.include(said(2), "You are the new one.")
        assert.notInclude(said(2), "You are the old one.")
        assert.notInclude(said(2), '"tools"')
        assert.strictEqual(Path.of(next.events, "ToolEnded")[0]?.how, "denied")

        // Half a file, a wrong value, a workspace that holds the data folder: each refused, and the good ones stay.
        const good = yield* settingsOf("You are a third one.", nobody)
        for (const bad of [
          good.slice(0, -20),
          good.replace('"deny-all"', '"everything"'),
          good.replace('"workspace"}', '"."}')
        ]) {
          assert.notStrictEqual(bad, good)
          yield* edited(bad, "ConfigRejected")
          stage.fakes.lab.script([says("Still here.")])
          const still = yield* E2e.runAll("Who are you?")
          assert.strictEqual(Path.of(still.events, "RunEnded")[0]?.text, "Still here.")
          assert.include(said(stage.fakes.lab.requests.length - 1), "You are the new one.")
        }
      }).pipe(Effect.scoped, Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )
})
