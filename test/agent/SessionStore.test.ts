import { readdirSync, readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, FastCheck, Layer, Schema } from "effect"
import * as SessionStore from "../../src/agent/SessionStore.ts"
import { AgentId, owner, RunId, SessionId } from "../../src/domain/Ids.ts"
import { userText } from "../../src/domain/Message.ts"
import { MessageAccepted, SessionEvent, TurnEnded } from "../../src/domain/SessionEvent.ts"
import { DataDir } from "../../src/kernel/DataDir.ts"
import { Database } from "../../src/kernel/Database.ts"
import { newId } from "../../src/kernel/Ids.ts"
import { layerTemporary } from "../support/database.ts"

const layer = SessionStore.layer.pipe(Layer.provideMerge(layerTemporary))
const agent = AgentId.make("main")

const accepted = (run: RunId, text: string) =>
  new MessageAccepted({ run, agent, principal: owner, message: userText(text) })

const begin = (text: string) =>
  Effect.gen(function* () {
    const store = yield* SessionStore.SessionStore
    const session = yield* newId("sess")
    const run = yield* newId("run")
    yield* store.append(session, [accepted(run, text)])
    return { store, session, run }
  })

/** Tool arguments are JSON, so JSON is what must come back equal. */
const encode = Schema.encodeSync(Schema.parseJson(SessionEvent))

const flip = (bytes: Uint8Array) => Uint8Array.from(bytes, (byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte))

it.layer(layer)("SessionStore", (it) => {
  it.effect("returns events in order, whatever they are", () =>
    Effect.gen(function* () {
      const { store, session, run } = yield* begin("hello")
      const events = FastCheck.sample(Arbitrary.make(SessionEvent), { numRuns: 60, seed: 7 })
      for (const event of events) yield* store.append(session, [event])
      const log = yield* store.log(session)
      assert.deepStrictEqual(
        log.map((logged) => encode(logged.event)),
        [accepted(run, "hello"), ...events].map((event) => encode(event))
      )
      assert.deepStrictEqual(
        log.map((logged) => logged.seq),
        log.map((_, i) => i)
      )
    })
  )

  it.effect("keeps the order of appends that arrive at once, without gaps", () =>
    Effect.gen(function* () {
      const { store, session, run } = yield* begin("many")
      yield* Effect.forEach(
        Array.from({ length: 50 }, (_, i) => i),
        (i) => store.append(session, [new TurnEnded({ run, end: "answered", report: String(i) })]),
        { concurrency: "unbounded", discard: true }
      )
      const log = yield* store.log(session)
      assert.deepStrictEqual(
        log.slice(1).map((l) => (l.event._tag === "TurnEnded" ? l.event.report : "?")),
        Array.from({ length: 50 }, (_, i) => String(i))
      )
    })
  )

  it.effect("knows which sessions a dead process left open", () =>
    Effect.gen(function* () {
      const { store, session, run } = yield* begin("left open")
      assert.deepInclude(yield* store.open, { session, run })
      yield* store.append(session, [new TurnEnded({ run, end: "interrupted", report: "" })])
      assert.notDeepInclude(yield* store.open, { session, run })
    })
  )

  it.effect("refuses a session that does not begin with a message", () =>
    Effect.gen(function* () {
      const store = yield* SessionStore.SessionStore
      const exit = yield* Effect.exit(
        store.append(SessionId.make("sess-00000000000000000000000001"), [
          new TurnEnded({ run: RunId.make("run-00000000000000000000000001"), end: "answered", report: "" })
        ])
      )
      assert.isTrue(Exit.isFailure(exit))
    })
  )

  it.effect("writes no word of a session in the clear", () =>
    Effect.gen(function* () {
      const canary = "canary-7f3a9c1e"
      yield* begin(`please keep ${canary} to yourself`)
      const dir = yield* DataDir
      for (const name of readdirSync(dir.path)) {
        assert.isFalse(readFileSync(dir.file(name)).includes(canary), name)
      }
    })
  )

  const damage: ReadonlyArray<readonly [what: string, sql: string]> = [
    ["a deleted event", "DELETE FROM session_events WHERE session = ? AND seq = 1"],
    ["a deleted tail", "DELETE FROM session_events WHERE session = ? AND seq = 2"]
  ]
  for (const [what, sql] of damage) {
    it.effect(`refuses a log with ${what}, and only that log`, () =>
      Effect.gen(function* () {
        const { store, session, run } = yield* begin(what)
        const other = yield* begin("unharmed")
        const ended = new TurnEnded({ run, end: "answered", report: "" })
        yield* store.append(session, [ended, ended])
        const { desk } = yield* Database
        yield* desk.write((db) => db.run(sql, session))
        assert.strictEqual((yield* Effect.flip(store.log(session)))._tag, "SessionCorrupt")
        assert.lengthOf(yield* other.store.log(other.session), 1)
      })
    )
  }

  it.effect("refuses an event that was changed, moved, or taken from another session", () =>
    Effect.gen(function* () {
      const { desk } = yield* Database
      const body = (session: SessionId, seq: number) =>
        Effect.map(
          desk.read((db) => db.get("SELECT body FROM session_events WHERE session = ? AND seq = ?", session, seq)),
          (row) => (row as { readonly body: Uint8Array }).body
        )
      const put = (session: SessionId, seq: number, bytes: Uint8Array) =>
        desk.write((db) =>
          db.run("UPDATE session_events SET body = ? WHERE session = ? AND seq = ?", bytes, session, seq)
        )
      const mine = yield* begin("mine")
      const theirs = yield* begin("theirs")
      yield* mine.store.append(mine.session, [new TurnEnded({ run: mine.run, end: "answered", report: "x" })])
      const original = yield* body(mine.session, 0)
      for (const forged of [flip(original), yield* body(mine.session, 1), yield* body(theirs.session, 0)]) {
        yield* put(mine.session, 0, forged)
        assert.strictEqual((yield* Effect.flip(mine.store.log(mine.session)))._tag, "SessionCorrupt")
      }
      yield* put(mine.session, 0, original)
      assert.lengthOf(yield* mine.store.log(mine.session), 2)
    })
  )

  it.effect("lists by agent, newest first, and names what it does not know", () =>
    Effect.gen(function* () {
      const { store, session } = yield* begin("a title   with\n spaces")
      const all = yield* store.list({ agent, limit: 100 })
      assert.include(
        all.map((s) => s.id),
        session
      )
      assert.strictEqual(all.find((s) => s.id === session)?.title, "a title with spaces")
      assert.lengthOf(yield* store.list({ agent: AgentId.make("nobody"), limit: 10 }), 0)
      const unknown = yield* Effect.flip(store.log(SessionId.make("sess-0000000000000000000000000Z")))
      assert.strictEqual(unknown._tag, "SessionNotFound")
    })
  )
})
