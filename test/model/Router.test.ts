import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Stream, TestClock } from "effect"
import { Caps } from "../../src/domain/Agent.ts"
import type { ModelFailure, ModelRef } from "../../src/domain/Model.ts"
import { NanoUsd } from "../../src/domain/Money.ts"
import type { Scanned } from "../../src/domain/Proof.ts"
import type { ModelRequest } from "../../src/domain/Model.ts"
import { Audit } from "../../src/kernel/Audit.ts"
import { Database } from "../../src/kernel/Database.ts"
import { Router, type RouterEvent } from "../../src/model/Router.ts"
import {
  agentWith,
  breaksOff,
  callOf,
  completed,
  eventsOf,
  fails,
  hangs,
  modelLayer,
  one,
  passing,
  prices,
  requestOf,
  says,
  saysThenHangs,
  type Script,
  settingsOf,
  stage,
  three,
  two,
  usageOf
} from "../support/scripted-provider.ts"

/** Runs one call to its end and tells what was seen everywhere. */
const play = (
  scripts: Readonly<Record<string, ReadonlyArray<Script>>>,
  options: { readonly settings?: object; readonly agent?: Parameters<typeof agentWith>[0] } = {}
) => {
  const actors = stage(scripts)
  const agent = agentWith(options.agent)
  const { call, journal } = callOf(agent)
  return Effect.gen(function* () {
    const router = yield* Router
    const { desk } = yield* Database
    const events: Array<RouterEvent> = []
    const exit = yield* passing(
      router.stream(call).pipe(
        Stream.runForEach((event) => Effect.sync(() => void events.push(event))),
        Effect.exit
      )
    )
    const leases = yield* desk.read((db) =>
      db.all("SELECT id, cost, settled_cost FROM budget_leases WHERE agent = ?", agent.id)
    )
    const audit = yield* Audit
    yield* Effect.sleep(0)
    const entries = yield* audit.tail({ agent: agent.id, limit: 1000 })
    return { events, exit, leases, journal, entries, calls: actors.calls }
  }).pipe(Effect.provide(modelLayer(() => settingsOf(options.settings ?? {}), actors)))
}

type Played = Effect.Effect.Success<ReturnType<typeof play>>

const asked = ({ calls }: Played): ReadonlyArray<ModelRef> => calls.map(({ model }) => model)
const answers = ({ events }: Played) => events.flatMap((event) => (event._tag === "Answered" ? [event.answer] : []))
const failures = ({ events }: Played) => events.flatMap((event) => (event._tag === "AttemptFailed" ? [event] : []))
const errorOfExit = ({ exit }: Played) =>
  Exit.isFailure(exit) && exit.cause._tag === "Fail" ? exit.cause.error : undefined
/** What became of each attempt's reservation, in the order of the attempts. */
const charges = ({ calls, leases }: Played) =>
  calls.map((call) => {
    const row = leases.find((lease) => Reflect.get(Object(lease), "id") === call.lease)
    const settled: unknown = Reflect.get(Object(row), "settled_cost")
    return settled === null ? "open" : settled === call.cost ? "whole" : settled === 0 ? "nothing" : "used"
  })

/** What must hold after any call: each attempt was reserved, journalled and audited before it was made, and settled after. */
const inOrder = (played: Played): void => {
  expect(played.calls.every((call) => call.genuine && call.reserved && call.audited && call.cost > 0)).toBe(true)
  expect(charges(played)).not.toContain("open")
  expect(played.journal.filter(({ what }) => what === "asked")).toHaveLength(played.calls.length)
  expect(played.journal.filter(({ what }) => what !== "asked")).toHaveLength(played.calls.length)
  expect(answers(played).length).toBe(Exit.isSuccess(played.exit) ? 1 : 0)
}

/** Times a model is asked before it is given up, and whether the next one is asked then. */
const table: Record<
  ModelFailure,
  { readonly times: number; readonly onwards: boolean; readonly charged: "whole" | "nothing" }
> = {
  auth: { times: 1, onwards: true, charged: "nothing" },
  rate_limit: { times: 3, onwards: true, charged: "nothing" },
  overloaded: { times: 3, onwards: true, charged: "nothing" },
  timeout: { times: 1, onwards: true, charged: "whole" },
  network: { times: 2, onwards: true, charged: "whole" },
  // All three models have the same window.
  context_too_long: { times: 1, onwards: false, charged: "nothing" },
  content_refused: { times: 1, onwards: false, charged: "whole" },
  bad_request: { times: 1, onwards: false, charged: "nothing" }
}
const chain = [one, two, three]

describe("Router, each failure at each place of the chain", () => {
  for (const [failure, { times, onwards, charged }] of Object.entries(table) as ReadonlyArray<
    [ModelFailure, (typeof table)[ModelFailure]]
  >) {
    for (const place of [0, 1, 2]) {
      it.scoped(`${failure} at place ${place + 1}`, () =>
        Effect.gen(function* () {
          // The models before the place have no accepted key; the one after answers.
          const scripts = Object.fromEntries(
            chain.map((model, index) => [
              model,
              [index < place ? fails("auth") : index === place ? fails(failure) : says("yes")]
            ])
          )
          const played = yield* play(scripts)
          inOrder(played)
          const isLast = place === chain.length - 1
          const expected = [...chain.slice(0, place), ...Array.from({ length: times }, () => chain[place]!)]
          if (onwards && !isLast) expected.push(chain[place + 1]!)
          expect(asked(played)).toEqual(expected)
          expect(answers(played).map((answer) => answer.model)).toEqual(onwards && !isLast ? [chain[place + 1]] : [])
          expect(charges(played).slice(place, place + times)).toEqual(Array.from({ length: times }, () => charged))
          const said = failures(played).slice(place)
          expect(said.map(({ next }) => next)).toEqual([
            ...Array.from({ length: times - 1 }, () => "retry"),
            onwards && !isLast ? "failover" : "stop"
          ])
          if (!onwards || isLast) {
            expect(errorOfExit(played)).toMatchObject({ _tag: "ModelUnavailable", attempts: { length: place + times } })
          }
        })
      )
    }
  }
})

describe("Router", () => {
  it.scoped("answers with what was used, to the token", () =>
    Effect.gen(function* () {
      const played = yield* play({ [one]: [says("hello", usageOf(7, 3))] })
      inOrder(played)
      expect(played.events.map((event) => event._tag)).toEqual(["Reserved", "AttemptStarted", "TextDelta", "Answered"])
      // 10 tokens at 1000 USD per million.
      expect(answers(played)[0]).toMatchObject({
        model: one,
        cost: 10_000_000,
        usage: { inputTokens: 7, outputTokens: 3 }
      })
      expect(played.entries.map((entry) => entry.event.type)).toContain("model.asked")
    })
  )

  const absurd =
    (change: object): Script =>
    () =>
      Stream.make(Object.assign(Object.create(Object.getPrototypeOf(completed(""))), completed("words"), change))
  for (const [what, script] of [
    ["usage that is not there", absurd({ usage: undefined })],
    ["NaN", absurd({ usage: { ...usageOf(5, 5), inputTokens: Number.NaN } })],
    ["a negative count", absurd({ usage: { ...usageOf(5, 5), outputTokens: -5 } })],
    ["an empty prompt", says("words", usageOf(0, 5))],
    ["an answer of no tokens", says("words", usageOf(5, 0))]
  ] as const) {
    it.scoped(`charges the whole reservation for ${what}`, () =>
      Effect.gen(function* () {
        const played = yield* play({ [one]: [script] })
        expect(charges(played)).toEqual(["whole"])
        expect(answers(played)[0]?.cost).toBe(played.calls[0]?.cost)
        expect(answers(played)[0]?.usage.totalTokens).toBe(played.calls[0]?.tokens)
      })
    )
  }

  it.scoped("never mixes two models' answers: a broken one is voided before the next begins", () =>
    Effect.gen(function* () {
      const played = yield* play({
        [one]: [breaksOff("half of ", "overloaded"), breaksOff("again ", "timeout")],
        [two]: [says("whole")]
      })
      inOrder(played)
      expect(played.events.map((event) => (event._tag === "TextDelta" ? event.text : event._tag))).toEqual([
        ...["Reserved", "AttemptStarted", "half of ", "AttemptFailed"],
        ...["Reserved", "AttemptStarted", "again ", "AttemptFailed"],
        ...["Reserved", "AttemptStarted", "whole", "Answered"]
      ])
      expect(charges(played)).toEqual(["whole", "whole", "used"])
      expect(failures(played).every(({ error }) => error.partial)).toBe(true)
    })
  )

  it.scoped("a request that never reached the provider costs nothing", () =>
    Effect.gen(function* () {
      const played = yield* play({ [one]: [fails("network", { unsent: true })], [two]: [says("yes")] })
      expect(charges(played)).toEqual(["nothing", "nothing", "used"])
    })
  )

  it.scoped("waits as long as a rate limit asks for, within the cap", () =>
    Effect.gen(function* () {
      const played = yield* play({ [one]: [fails("rate_limit", { status: 429, retryAfterMs: 7000 }), says("yes")] })
      expect(failures(played).map(({ next, afterMs }) => [next, afterMs])).toEqual([["retry", 7000]])
      const tooLong = yield* play({ [one]: [fails("rate_limit", { retryAfterMs: 60_000 })], [two]: [says("yes")] })
      expect(asked(tooLong)).toEqual([one, two])
    })
  )

  it.scoped("backs off with jitter, doubling up to the cap", () =>
    Effect.gen(function* () {
      const settings = { router: { maxRetries: 6, backoffBaseMs: 100, backoffMaxMs: 1000, cooldownAfter: 100 } }
      const played = yield* play(
        { [one]: [fails("overloaded", { status: 529 })] },
        { settings, agent: { model: { primary: one, failover: [] } } }
      )
      const pauses = failures(played)
        .slice(0, -1)
        .map(({ afterMs }) => afterMs)
      expect(pauses).toHaveLength(6)
      for (const [index, pause] of pauses.entries()) {
        const full = Math.min(1000, 100 * 2 ** index)
        expect(pause).toBeGreaterThanOrEqual(full / 2)
        expect(pause).toBeLessThanOrEqual(full)
      }
    })
  )

  it.scoped("gives up on a model that is silent at the start, or falls silent", () =>
    Effect.gen(function* () {
      const played = yield* play({ [one]: [hangs], [two]: [saysThenHangs("so")], [three]: [says("yes")] })
      inOrder(played)
      expect(failures(played).map(({ error }) => [error.failure, error.partial])).toEqual([
        ["timeout", false],
        ["timeout", true]
      ])
      expect(charges(played)).toEqual(["whole", "whole", "used"])
    })
  )

  it.scoped("a stream that ends without completion is a failure, not an answer", () =>
    Effect.gen(function* () {
      const played = yield* play({ [one]: [() => Stream.empty], [two]: [says("yes")] })
      inOrder(played)
      expect(answers(played).map((answer) => answer.model)).toEqual([two])
    })
  )

  it.scoped("a prompt that is too long goes only to a model that takes longer ones", () =>
    Effect.gen(function* () {
      const settings = { prices: { ...prices, [three]: { ...prices[three], contextWindow: 500_000 } } }
      const played = yield* play(
        { [one]: [fails("context_too_long", { status: 400 })], [two]: [says("no")], [three]: [says("yes")] },
        { settings }
      )
      expect(asked(played)).toEqual([one, three])
    })
  )

  it.scoped("a model without a price is never asked", () =>
    Effect.gen(function* () {
      const scripts = { [one]: [fails("auth")], [two]: [says("no")], [three]: [says("yes")] }
      const withoutTwo = { prices: { [one]: prices[one], [three]: prices[three] } }
      const skipped = yield* play(scripts, { settings: withoutTwo })
      expect(asked(skipped)).toEqual([one, three])
      expect(skipped.entries.map((entry) => entry.event.data["failure"])).toContain("unknown_price")
      const last = yield* play(scripts, { settings: { prices: { [one]: prices[one] } } })
      expect(asked(last)).toEqual([one])
      expect(errorOfExit(last)).toMatchObject({ _tag: "UnknownPrice", model: two })
      const first = yield* play(scripts, { settings: { prices: { [two]: prices[two] } } })
      expect(asked(first)).toEqual([])
      expect(errorOfExit(first)).toMatchObject({ _tag: "UnknownPrice", model: one })
    })
  )

  it.scoped("a failover model that is too dear is passed over for a cheaper one", () =>
    Effect.gen(function* () {
      const dear = { ...prices[two], inputPerMillion: 1e6, outputPerMillion: 1e6 }
      const budget = { daily: new Caps({ cost: NanoUsd.make(2_000_000_000), action: "block" }) }
      const scripts = { [one]: [fails("auth")], [two]: [says("no")], [three]: [says("yes")] }
      const played = yield* play(scripts, { settings: { prices: { ...prices, [two]: dear } }, agent: { budget } })
      expect(asked(played)).toEqual([one, three])
      const none = yield* play(scripts, {
        settings: { prices: { ...prices, [two]: dear, [three]: dear } },
        agent: { budget }
      })
      expect(asked(none)).toEqual([one])
      expect(errorOfExit(none)).toMatchObject({ _tag: "BudgetExceeded" })
      const primary = yield* play(scripts, { settings: { prices: { ...prices, [one]: dear } }, agent: { budget } })
      expect(asked(primary)).toEqual([])
      expect(errorOfExit(primary)).toMatchObject({ _tag: "BudgetExceeded" })
    })
  )

  it.scoped("refuses a request that no scanner passed", () =>
    Effect.gen(function* () {
      const actors = stage({ [one]: [says("no")] })
      const { call } = callOf(agentWith())
      // A forgery: the type is right, the identity is not.
      const forged = { value: requestOf("x") } as unknown as Scanned<ModelRequest>
      const error = yield* Effect.flip(eventsOf({ ...call, request: forged })).pipe(
        Effect.provide(modelLayer(() => settingsOf({}), actors))
      )
      expect(error._tag).toBe("ModelUnavailable")
      expect(actors.calls).toEqual([])
    })
  )

  it.scoped("an interrupted call is settled before the interruption returns", () => {
    const actors = stage({ [one]: [saysThenHangs("so far")] })
    const { call, journal } = callOf(agentWith())
    return Effect.gen(function* () {
      const router = yield* Router
      const { desk } = yield* Database
      const seen = yield* Effect.makeLatch()
      const fiber = yield* Effect.fork(
        Stream.runForEach(router.stream(call), (event) => (event._tag === "TextDelta" ? seen.open : Effect.void))
      )
      yield* seen.await
      yield* Fiber.interrupt(fiber)
      const leases = yield* desk.read((db) => db.all("SELECT cost, settled_cost FROM budget_leases"))
      expect(leases).toEqual([{ cost: actors.calls[0]?.cost, settled_cost: actors.calls[0]?.cost }])
      expect(journal.map(({ what }) => what)).toEqual(["asked", "failed"])
    }).pipe(Effect.provide(modelLayer(() => settingsOf({}), actors)))
  })

  it.scoped("a reader that stops reading ends the call, settled", () => {
    const actors = stage({ [one]: [saysThenHangs("so far")] })
    const { call } = callOf(agentWith())
    return Effect.gen(function* () {
      const router = yield* Router
      const { desk } = yield* Database
      const first = yield* Stream.runCollect(Stream.take(router.stream(call), 3))
      expect(Chunk.size(first)).toBe(3)
      expect(yield* desk.read((db) => db.all("SELECT id FROM budget_leases WHERE settled_at IS NULL"))).toEqual([])
    }).pipe(Effect.provide(modelLayer(() => settingsOf({}), actors)))
  })

  it.scoped("leaves a failing model alone, tries it again after its rest, and forgives it", () => {
    const failing = Array.from({ length: 4 }, () => fails("overloaded"))
    const actors = stage({ [one]: [...failing, says("back")], [two]: [says("meanwhile")] })
    const agent = agentWith({ model: { primary: one, failover: [two] } })
    return Effect.gen(function* () {
      const ask = Effect.gen(function* () {
        const before = actors.calls.length
        yield* passing(eventsOf(callOf(agent).call))
        return actors.calls.slice(before).map(({ model }) => model)
      })
      expect(yield* ask).toEqual([one, one, one, two])
      expect(yield* ask).toEqual([two])
      yield* TestClock.adjust("61 seconds")
      // One try after the rest, and no more when it fails.
      expect(yield* ask).toEqual([one, two])
      expect(yield* ask).toEqual([two])
      yield* TestClock.adjust("61 seconds")
      expect(yield* ask).toEqual([one])
      expect(yield* ask).toEqual([one])
    }).pipe(Effect.provide(modelLayer(() => settingsOf({}), actors)))
  })

  it.scoped("asks a resting model when there is no other, once", () => {
    const actors = stage({ [one]: [fails("auth"), fails("overloaded"), says("back")] })
    const agent = agentWith({ model: { primary: one, failover: [] } })
    return Effect.gen(function* () {
      for (let n = 0; n < 2; n++) yield* passing(Effect.flip(eventsOf(callOf(agent).call)))
      yield* passing(eventsOf(callOf(agent).call))
      expect(actors.calls).toHaveLength(3)
    }).pipe(Effect.provide(modelLayer(() => settingsOf({}), actors)))
  })
})
