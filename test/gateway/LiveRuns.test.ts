/**
 * What watchers of a session are told: a reconnect at every place of a run loses and doubles nothing,
 * a snapshot and what follows it make the whole, who reads too slowly is told so, and memory is bounded.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { SessionStore } from "../../src/agent/SessionStore.ts"
import { localOwner } from "../../src/domain/Caller.ts"
import { MessageKey, owner, type SessionId } from "../../src/domain/Ids.ts"
import { AssistantMessage, TextPart } from "../../src/domain/Message.ts"
import { Completed, TextDelta, Usage } from "../../src/domain/Model.ts"
import type { Entry } from "../../src/gateway/live/Hub.ts"
import * as LiveRuns from "../../src/gateway/LiveRuns.ts"
import { Providers } from "../../src/model/Provider.ts"
import * as Path from "../support/path.ts"

const within = <A, E>(
  body: Effect.Effect<A, E, LiveRuns.LiveRuns | SessionStore>,
  replaced: Parameters<typeof Path.agentLayer>[1] = {}
) =>
  Effect.gen(function* () {
    const place = yield* Path.place({ files: { "notes.md": "# Notes\nhello" } })
    return yield* body.pipe(Effect.provide(LiveRuns.layer), Effect.provide(Path.agentLayer(place, replaced)))
  }).pipe(Effect.scoped)

const send = (key: string, message: string, session?: SessionId) =>
  Effect.flatMap(LiveRuns.LiveRuns, (live) =>
    live.start({
      principal: owner,
      message,
      key: MessageKey.make(key),
      ...(session === undefined ? {} : { session })
    })
  )

/** Everything from a place on, until the last entry of so many runs. */
const follow = (session: SessionId, after: string | undefined, runs = 1) =>
  Effect.gen(function* () {
    const live = yield* LiveRuns.LiveRuns
    const { snapshot, take } = yield* live.watch({ session, caller: localOwner, after, wake: () => {} })
    const seen: Array<Entry> = []
    while (seen.filter(({ isLast }) => isLast).length < runs) {
      const entries = take(7)
      if (entries === null) return yield* Effect.dieMessage("left behind")
      seen.push(...entries)
      if (entries.length === 0) yield* Effect.sleep("2 millis")
    }
    return { snapshot, seen }
  }).pipe(Effect.scoped)

describe("a watcher", () => {
  it.live("that comes back after any event of a run is told every later one, once", () =>
    within(
      Effect.gen(function* () {
        const live = yield* LiveRuns.LiveRuns
        const started = yield* send("message-0001", "Read notes.md")
        const { seen } = yield* follow(started.session, started.before)
        assert.isAbove(seen.length, 10)
        for (let cut = 0; cut < seen.length - 1; cut++) {
          const { seen: rest, snapshot } = yield* follow(started.session, live.idOf(seen[cut]!))
          assert.isNull(snapshot)
          assert.deepStrictEqual(rest, seen.slice(cut + 1), `after event ${cut}`)
        }
        const unknown = ["zz.1", `${live.epoch}.999999`, `${live.epoch}.x`, ""]
        const more = yield* send("message-0002", "Hello", started.session)
        for (const after of unknown) {
          const watching = yield* Effect.scoped(
            live.watch({ session: more.session, caller: localOwner, after, wake: () => {} })
          )
          assert.isNotNull(watching.snapshot, after)
        }
      })
    )
  )

  it.live("that begins at any moment of a run has, with its snapshot, the whole answer once", () =>
    within(
      Effect.gen(function* () {
        const live = yield* LiveRuns.LiveRuns
        const store = yield* SessionStore
        const session = (yield* send("message-0000", "Hello")).session
        for (let round = 1; round <= 4; round++) {
          const started = yield* send(`message-1${round}00`, "Read notes.md", session)
          for (let turn = 0; turn < round * 4; turn++) yield* Effect.yieldNow()
          const late = yield* Effect.fork(follow(session, undefined))
          const { seen } = yield* follow(session, started.before)
          const { snapshot, seen: rest } = yield* Effect.timeoutTo(late, {
            duration: "1 second",
            onSuccess: (found) => found,
            // It began after the end, so that nothing more came.
            onTimeout: () => ({ snapshot: null, seen: [] as ReadonlyArray<Entry> })
          })
          if (snapshot === null) continue
          const firstOfRest = rest[0]
          const at = seen.findIndex(({ n }) => n === firstOfRest?.n)
          assert.isAtLeast(at, 0)
          assert.deepStrictEqual(rest, seen.slice(at), "what follows the snapshot has no gap")
          const told = seen.slice(0, at).map(({ json }) => JSON.parse(json)._tag as string)
          const mine = snapshot.log.filter(({ event }) => event.run === started.run)
          const count = (tag: string) => mine.filter(({ event }) => event._tag === tag).length
          assert.strictEqual(count("ModelAnswered"), told.filter((tag) => tag === "ModelFinished").length)
          assert.strictEqual(count("ToolFinished"), told.filter((tag) => tag === "ToolEnded").length)
          assert.strictEqual(count("TurnEnded"), told.filter((tag) => tag === "RunEnded").length)
        }
        assert.isAbove((yield* store.log(session)).length, 8)
        assert.isAbove(live.epoch.length, 4)
      })
    )
  )

  it.live("that does not read is left behind, and neither the run nor another watcher is held up", () => {
    const piece = "x".repeat(4096)
    const pieces = 2000
    const providers = Layer.succeed(Providers, {
      available: Effect.succeed([]),
      get: () =>
        Effect.succeed({
          name: "rehearsal",
          stream: () =>
            Stream.concat(
              Stream.rechunk(Stream.repeatValue(new TextDelta({ text: piece })).pipe(Stream.take(pieces)), 16),
              Stream.succeed(
                new Completed({
                  message: new AssistantMessage({ content: [new TextPart({ text: "done" })] }),
                  finish: "stop",
                  usage: new Usage({ inputTokens: 1, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0 })
                })
              )
            )
        })
    })
    return within(
      Effect.gen(function* () {
        const live = yield* LiveRuns.LiveRuns
        const started = yield* send("message-0001", "Talk")
        const slow = yield* live.watch({
          session: started.session,
          caller: localOwner,
          after: started.before,
          wake: () => {}
        })
        assert.isAbove(slow.take(1)!.length, 0)
        let text = 0
        let done = false
        const reader = yield* live.watch({
          session: started.session,
          caller: localOwner,
          after: started.before,
          wake: () => {
            for (let entries = reader.take(64); entries !== null && entries.length > 0; entries = reader.take(64)) {
              for (const entry of entries) {
                text += entry.text?.length ?? 0
                done ||= entry.isLast
              }
            }
          }
        })
        while (!done) yield* Effect.sleep("5 millis")
        assert.isAtLeast(text, pieces * piece.length * 0.9)
        assert.isNull(slow.take(1), "it was left behind")
        const again = yield* live.watch({
          session: started.session,
          caller: localOwner,
          after: started.before,
          wake: () => {}
        })
        assert.isNotNull(again.snapshot, "and begins again with a snapshot")
      }).pipe(Effect.scoped),
      { providers }
    )
  })
})
