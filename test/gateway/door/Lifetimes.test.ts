import * as Socket from "@effect/platform/Socket"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Scope, TestClock } from "effect"
import { type CallerInfo, nobody } from "../../../src/domain/Caller.ts"
import * as Lifetimes from "../../../src/gateway/door/Lifetimes.ts"

const caller = (credential: string): CallerInfo => ({ ...nobody, by: "token", credential })

/** Credentials that end when the test says so, and how many watches of them there are. */
const credentials = Effect.gen(function* () {
  const ends = new Map<string, Deferred.Deferred<void>>()
  let watches = 0
  const endOf = (id: string) =>
    Effect.suspend(() => {
      const known = ends.get(id)
      if (known !== undefined) return Effect.succeed(known)
      return Effect.tap(Deferred.make<void>(), (made) => Effect.sync(() => ends.set(id, made)))
    })
  const lifetimes = yield* Lifetimes.make(({ credential }) =>
    Effect.flatMap(endOf(credential ?? ""), (end) => {
      watches += 1
      return Effect.ensuring(
        Deferred.await(end),
        Effect.sync(() => (watches -= 1))
      )
    })
  )
  return {
    hold: lifetimes.hold,
    end: (id: string) => Effect.flatMap(endOf(id), (end) => Deferred.succeed(end, undefined)),
    watches: () => watches
  }
})

/** Lets every fiber that can go on do so, and the time of grace pass. */
const begin = Effect.repeatN(Effect.yieldNow(), 50)
const settle = Effect.zipRight(begin, TestClock.adjust(Lifetimes.graceMs))

const after = (afterGrace: Effect.Effect<unknown>): Lifetimes.End => ({
  atOnce: Effect.void,
  afterGrace: Effect.asVoid(afterGrace)
})

describe("Lifetimes", () => {
  it("are over within a second of their credential", () => {
    expect(Lifetimes.graceMs).toBeLessThanOrEqual(500)
  })

  it.scoped("ends all that one credential holds open, by one watch, and nothing of another", () =>
    Effect.gen(function* () {
      const { end, hold, watches } = yield* credentials
      const ended: Array<string> = []
      for (const [id, name] of [
        ["a", "first"],
        ["a", "second"],
        ["b", "other"]
      ] as const) {
        yield* hold(caller(id), after(Effect.sync(() => ended.push(name))))
      }
      yield* settle
      expect(watches()).toBe(2)
      yield* end("a")
      yield* settle
      expect([ended.toSorted(), watches()]).toEqual([["first", "second"], 1])
    })
  )

  it.scoped("end what cannot be spoken to as well, and take no word from it any more", () =>
    Effect.gen(function* () {
      const { end, hold } = yield* credentials
      let destroyed = 0
      const life = Lifetimes.endOf({ destroy: () => (destroyed += 1) })
      let deliver: (message: string) => unknown = () => undefined
      const socket = yield* life.upgrade(
        Effect.succeed(
          Socket.Socket.of({
            [Socket.TypeId]: Socket.TypeId,
            run: () => Effect.void,
            runRaw: (handler) =>
              Effect.sync(() => {
                deliver = handler
              }),
            writer: Effect.succeed(() => Effect.never)
          })
        )
      )
      const heard: Array<string> = []
      yield* socket.runRaw((message) => void heard.push(String(message)))
      yield* hold(caller("a"), life.end)
      deliver("before")
      yield* begin
      yield* end("a")
      yield* begin
      deliver("after")
      expect([heard, destroyed]).toEqual([["before"], 0])
      yield* settle
      expect([heard, destroyed]).toEqual([["before"], 1])
    })
  )

  it.scoped("watches a token beside each certificate by itself: it ends with either", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const lifetimes = yield* Lifetimes.make(({ beside }) =>
        Effect.suspend(() => {
          asked.push(beside ?? "")
          return beside === "lost" ? Effect.void : Effect.never
        })
      )
      const ended: Array<string> = []
      for (const beside of ["kept", "lost"]) {
        yield* lifetimes.hold({ ...caller("a"), beside }, after(Effect.sync(() => ended.push(beside))))
      }
      yield* settle
      expect([asked, ended]).toEqual([["kept", "lost"], ["lost"]])
    })
  )

  it.scoped("speaks at once, and lets an answer be done in a moment", () =>
    Effect.gen(function* () {
      const { end, hold } = yield* credentials
      const ended: Array<string> = []
      const scope = yield* Scope.make()
      const spoken = Effect.sync(() => void ended.push("spoken"))
      yield* Scope.extend(
        hold(caller("a"), { atOnce: spoken, afterGrace: Effect.sync(() => void ended.push("cut")) }),
        scope
      )
      yield* end("a")
      yield* begin
      expect(ended).toEqual(["spoken"])
      yield* TestClock.adjust(Lifetimes.graceMs - 1)
      yield* Scope.close(scope, Exit.void)
      yield* settle
      expect(ended).toEqual(["spoken"])
    })
  )

  it.scoped("does not let one that cannot be ended keep the others", () =>
    Effect.gen(function* () {
      const { end, hold } = yield* credentials
      const ended: Array<string> = []
      yield* hold(caller("a"), { atOnce: Effect.never, afterGrace: Effect.never })
      yield* hold(caller("a"), after(Effect.sync(() => ended.push("second"))))
      yield* end("a")
      yield* settle
      expect(ended).toEqual(["second"])
    })
  )

  it.scoped("ends what begins after the credential has ended", () =>
    Effect.gen(function* () {
      const { end, hold } = yield* credentials
      const ended: Array<string> = []
      yield* hold(caller("a"), after(Effect.sync(() => ended.push("first"))))
      yield* end("a")
      yield* settle
      yield* hold(caller("a"), after(Effect.sync(() => ended.push("late"))))
      yield* settle
      expect(ended).toEqual(["first", "late"])
    })
  )

  it.scoped("holds on to nothing that is done, and to no more watches than it should", () =>
    Effect.gen(function* () {
      const { end, hold, watches } = yield* credentials
      const ended: Array<string> = []
      const scope = yield* Scope.make()
      yield* Scope.extend(hold(caller("a"), after(Effect.sync(() => ended.push("done")))), scope)
      yield* Scope.close(scope, Exit.void)
      yield* end("a")
      yield* settle
      expect(ended).toEqual([])
      const held = yield* Scope.make()
      yield* Scope.extend(hold(caller("kept"), after(Effect.sync(() => ended.push("kept")))), held)
      for (let index = 0; index < 2000; index++) yield* Effect.scoped(hold(caller(`${index}`), after(Effect.void)))
      yield* settle
      expect(watches()).toBeLessThanOrEqual(300)
      yield* end("kept")
      yield* settle
      expect(ended).toEqual(["kept"])
    })
  )
})
