/** The one way to the log: what was deferred is neither lost nor written twice, and log and view agree on the order. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Ref } from "effect"
import * as RunContext from "../../src/agent/RunContext.ts"
import * as Turn from "../../src/agent/Turn.ts"
import type { SessionStore } from "../../src/agent/SessionStore.ts"
import { owner, RunId, SessionId } from "../../src/domain/Ids.ts"
import { userText } from "../../src/domain/Message.ts"
import { MessageAccepted, type SessionEvent, TurnEnded } from "../../src/domain/SessionEvent.ts"
import { DatabaseError } from "../../src/kernel/Database.ts"
import { testAgent } from "../support/agent.ts"

const run = RunId.make("run-00000000000000000000000001")
const agent = testAgent({ workspace: "/nowhere" })
const accepted = new MessageAccepted({ run, agent: agent.id, principal: owner, message: userText("hi") })
const ended = (report: string) => new TurnEnded({ run, end: "answered", report })

/** A log in memory whose first `failures` appends fail, and whose others take a turn of the loop. */
const make = (failures: number) =>
  Effect.gen(function* () {
    const log: Array<ReadonlyArray<SessionEvent>> = []
    let left = failures
    const unused = Effect.dieMessage("not asked for")
    const store: typeof SessionStore.Service = {
      append: (_session, events) =>
        Effect.gen(function* () {
          yield* Effect.yieldNow()
          if (left-- > 0) return yield* new DatabaseError({ file: "desk.db", reason: "full", detail: "no space" })
          log.push(events)
        }),
      log: () => unused,
      summary: () => unused,
      messageOf: () => unused,
      list: () => unused,
      open: unused
    }
    const view = yield* Ref.make(Turn.emptyView)
    const session = SessionId.make("sess-00000000000000000000000001")
    const ctx = RunContext.make({
      agent,
      session,
      run,
      principal: owner,
      allowance: null,
      view,
      store,
      emit: () => Effect.void
    })
    return { ctx, log }
  })

describe("RunContext", () => {
  it.effect("shows a deferred event at once, and writes it once, with the next", () =>
    Effect.gen(function* () {
      const { ctx, log } = yield* make(0)
      yield* ctx.defer(accepted)
      assert.lengthOf((yield* ctx.view).messages, 1)
      assert.deepStrictEqual(log, [])
      yield* ctx.record(ended("a"))
      yield* ctx.flush
      assert.deepStrictEqual(log, [[accepted, ended("a")]])
      assert.lengthOf((yield* ctx.view).messages, 1)
    })
  )

  it.effect("keeps what was deferred when the log fails, and does not show what was not written", () =>
    Effect.gen(function* () {
      const { ctx, log } = yield* make(2)
      yield* ctx.defer(accepted)
      yield* Effect.flip(ctx.flush)
      yield* Effect.flip(ctx.record(ended("lost")))
      assert.isNull((yield* ctx.view).run?.ended ?? null)
      yield* ctx.record(ended("kept"))
      assert.deepStrictEqual(log, [[accepted, ended("kept")]])
    })
  )

  it.effect("keeps the order of deferred and recorded events, also while a flush is under way", () =>
    Effect.gen(function* () {
      const { ctx, log } = yield* make(1)
      yield* ctx.defer(accepted)
      yield* Effect.all([Effect.either(ctx.flush), ctx.record(ended("after"))], { concurrency: "unbounded" })
      assert.deepStrictEqual(log.flat(), [accepted, ended("after")])
    })
  )
})
