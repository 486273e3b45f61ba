import { expect, it, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, TestClock } from "effect"
import { AgentId, owner, PrincipalId, ToolCallId } from "../../src/domain/Ids.ts"
import { AssistantMessage, TextPart, ToolCallPart } from "../../src/domain/Message.ts"
import { ModelRequest, type ModelRef, ToolSpec } from "../../src/domain/Model.ts"
import { Database } from "../../src/kernel/Database.ts"
import { canonical } from "../../src/model/cache/Canonical.ts"
import * as Front from "../../src/model/cache/Front.ts"
import {
  type CachedAnswer,
  type CacheQuestion,
  layer as cacheLayer,
  ResponseCache
} from "../../src/model/ResponseCache.ts"
import { ground, one, requestOf, settingsOf, two } from "../support/scripted-provider.ts"

let questions = 0
const question = (change: Partial<CacheQuestion> = {}): CacheQuestion => ({
  agent: AgentId.make("a"),
  principal: owner,
  chain: [one, two],
  request: requestOf(`question ${questions++}`),
  ...change
})
const answer = (text = "42", model: ModelRef = one): CachedAnswer => ({
  model,
  message: new AssistantMessage({ content: [new TextPart({ text })] })
})

const put = (asked: CacheQuestion, given = answer()) =>
  Effect.gen(function* () {
    const cache = yield* ResponseCache
    const found = yield* cache.lookup(asked)
    if (found._tag !== "ask") return expect(found._tag).toBe("ask")
    return yield* found.store(given)
  })
const tagOf = (asked: CacheQuestion) =>
  Effect.gen(function* () {
    const cache = yield* ResponseCache
    const found = yield* cache.lookup(asked)
    if (found._tag === "ask") yield* found.abandon
    return found._tag
  })

/** Built anew wherever it is provided: a cache with nothing in memory. */
const fresh = Layer.fresh(cacheLayer)

layer(ground(() => settingsOf({ cache: { ttlSeconds: 100 } })))("ResponseCache", (it) => {
  it.scoped("gives an answer again, from memory and from disk", () =>
    Effect.gen(function* () {
      const asked = question()
      yield* Effect.gen(function* () {
        yield* put(asked)
        const cache = yield* ResponseCache
        expect(yield* cache.lookup(asked)).toMatchObject({ _tag: "hit", answer: answer() })
      }).pipe(Effect.provide(fresh))
      // After a restart nothing is in memory.
      expect(yield* tagOf(asked).pipe(Effect.provide(fresh))).toBe("hit")
    })
  )

  it.scoped("never gives it where anything differs that shapes an answer", () =>
    Effect.gen(function* () {
      const asked = question()
      yield* put(asked)
      const { request } = asked
      const tool = new ToolSpec({ name: "t", description: "", parameters: {} })
      const others: ReadonlyArray<Partial<CacheQuestion>> = [
        { agent: AgentId.make("b") },
        { principal: PrincipalId.make("someone else") },
        { chain: [one] },
        { chain: [two, one] },
        { request: requestOf("another") },
        { request: new ModelRequest({ ...request, system: "You are another." }) },
        { request: new ModelRequest({ ...request, tools: [tool] }) },
        { request: new ModelRequest({ ...request, maxOutputTokens: 99 }) },
        { request: new ModelRequest({ ...request, temperature: 1 }) }
      ]
      for (const other of others) expect(yield* tagOf({ ...asked, ...other })).toBe("ask")
      expect(yield* tagOf(asked)).toBe("hit")
    }).pipe(Effect.provide(fresh))
  )

  it.scoped("never keeps an answer that calls tools", () =>
    Effect.gen(function* () {
      const asked = question()
      const call = new ToolCallPart({ id: ToolCallId.make("1"), name: "t", arguments: {} })
      yield* put(asked, { model: one, message: new AssistantMessage({ content: [call] }) })
      expect(yield* tagOf(asked)).toBe("ask")
    }).pipe(Effect.provide(fresh))
  )

  it.scoped("forgets after the time to live, in memory and on disk, and purges only then", () =>
    Effect.gen(function* () {
      const asked = question()
      yield* put(asked)
      const cache = yield* ResponseCache
      yield* TestClock.adjust("99 seconds")
      expect(yield* tagOf(asked)).toBe("hit")
      expect((yield* cache.stats).expired).toBe(0)
      yield* TestClock.adjust("1 seconds")
      expect(yield* tagOf(asked)).toBe("ask")
      expect((yield* cache.stats).expired).toBeGreaterThan(0)
      expect(yield* cache.purge).toBeGreaterThan(0)
      expect(yield* cache.purge).toBe(0)
      expect(yield* tagOf(asked)).toBe("ask")
    }).pipe(Effect.provide(fresh))
  )

  it.scoped("stores nothing in the clear, and takes a row that was prolonged, moved or changed for a miss", () =>
    Effect.gen(function* () {
      const { cache: store } = yield* Database
      const secret = "a very private answer"
      for (const damage of [
        "UPDATE cache_answers SET sealed = X'00'",
        "UPDATE cache_answers SET sealed = zeroblob(length(sealed))",
        "UPDATE cache_answers SET sealed = 'text'",
        "UPDATE cache_answers SET sealed = (SELECT sealed FROM cache_answers AS o WHERE o.id <> cache_answers.id LIMIT 1)"
      ]) {
        const asked = question()
        yield* put(asked, answer(secret)).pipe(Effect.provide(fresh))
        yield* put(question(), answer("another")).pipe(Effect.provide(fresh))
        const rows = yield* store.read((db) => db.all("SELECT sealed FROM cache_answers"))
        expect(rows.some((row) => Buffer.from(Reflect.get(Object(row), "sealed")).includes(secret))).toBe(false)
        yield* store.write((db) => db.run(damage))
        expect(yield* tagOf(asked).pipe(Effect.provide(fresh))).toBe("ask")
        yield* store.write((db) => db.run("DELETE FROM cache_answers"))
      }
      const asked = question()
      yield* put(asked).pipe(Effect.provide(fresh))
      yield* store.write((db) => db.run("UPDATE cache_answers SET expires_at = expires_at + 1000000"))
      yield* TestClock.adjust("101 seconds")
      expect(yield* tagOf(asked).pipe(Effect.provide(fresh))).toBe("ask")
    })
  )

  it.scoped("of 100 equal questions at once one asks, and all get its answer", () =>
    Effect.gen(function* () {
      const cache = yield* ResponseCache
      const asked = question()
      const go = yield* Deferred.make<void>()
      let asks = 0
      const one = Effect.gen(function* () {
        const found = yield* cache.lookup(asked)
        if (found._tag === "off") return undefined
        if (found._tag === "hit") return found.answer
        asks += 1
        yield* Deferred.await(go)
        yield* found.store(answer("once"))
        return answer("once")
      })
      const all = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 100 }, () => one),
          { concurrency: "unbounded" }
        )
      )
      yield* Effect.yieldNow()
      yield* Deferred.succeed(go, undefined)
      expect(yield* Fiber.join(all)).toEqual(Array.from({ length: 100 }, () => answer("once")))
      expect(asks).toBe(1)
    }).pipe(Effect.provide(fresh))
  )

  it.scoped("whoever waits takes over when the asker gives up, or takes longer than a model may", () =>
    Effect.gen(function* () {
      const cache = yield* ResponseCache
      const asked = question()
      const first = yield* cache.lookup(asked)
      const waiting = yield* Effect.fork(cache.lookup(asked))
      yield* Effect.yieldNow()
      expect(Option.isNone(yield* Fiber.poll(waiting))).toBe(true)
      if (first._tag === "ask") yield* first.abandon
      const second = yield* Fiber.join(waiting)
      expect(second._tag).toBe("ask")
      // The second asker is never heard of again.
      const patient = yield* Effect.fork(cache.lookup(asked))
      yield* Effect.yieldNow()
      yield* TestClock.adjust("91 seconds")
      const third = yield* Fiber.join(patient)
      expect(third._tag).toBe("ask")
      // A late end of an earlier asker does not disturb the present one.
      if (second._tag === "ask") yield* second.abandon
      const fourth = yield* Effect.fork(cache.lookup(asked))
      yield* Effect.yieldNow()
      expect(Option.isNone(yield* Fiber.poll(fourth))).toBe(true)
      if (third._tag === "ask") yield* third.store(answer("at last"))
      expect(yield* Fiber.join(fourth)).toMatchObject({ _tag: "hit", answer: answer("at last") })
    }).pipe(Effect.provide(fresh))
  )

  it.scoped("an interrupted waiter harms nobody", () =>
    Effect.gen(function* () {
      const cache = yield* ResponseCache
      const asked = question()
      const first = yield* cache.lookup(asked)
      const waiting = yield* Effect.fork(cache.lookup(asked))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      if (first._tag === "ask") yield* first.store(answer())
      expect(yield* tagOf(asked)).toBe("hit")
    }).pipe(Effect.provide(fresh))
  )

  it.scoped("counts hits and misses across restarts, and clear begins anew", () =>
    Effect.gen(function* () {
      const cleared = Effect.flatMap(ResponseCache, (cache) => cache.clear)
      yield* cleared.pipe(Effect.provide(fresh))
      const asked = question()
      yield* Effect.zipRight(put(asked), tagOf(asked)).pipe(Effect.provide(fresh))
      yield* tagOf(asked).pipe(Effect.provide(fresh))
      yield* Effect.gen(function* () {
        const cache = yield* ResponseCache
        expect(yield* cache.stats).toMatchObject({ enabled: true, entries: 1, hits: 2, misses: 1 })
        expect(yield* cache.clear).toBe(1)
        expect(yield* cache.stats).toMatchObject({ entries: 0, bytes: 0, hits: 0, misses: 0 })
        expect(yield* tagOf(asked)).toBe("ask")
      }).pipe(Effect.provide(fresh))
    })
  )
})

layer(ground(() => settingsOf({ cache: { enabled: false } })))("ResponseCache, disabled", (it) => {
  it.scoped("is off", () =>
    Effect.gen(function* () {
      expect(yield* tagOf(question())).toBe("off")
    }).pipe(Effect.provide(fresh))
  )
})

it("canonical text depends on content, not on the order of fields", () => {
  expect(canonical({ b: [1, { d: "x", c: null }], a: undefined })).toBe('{"b":[1,{"c":null,"d":"x"}]}')
  expect(canonical({ a: "1" })).not.toBe(canonical({ a: 1 }))
  expect(canonical(["a", "b"])).not.toBe(canonical(["a,b"]))
})

it("the front keeps to its size and drops what was not used longest", () => {
  const front = Front.make<number>()
  const third = 6 * 1024 * 1024
  front.put("a", 1, third)
  front.put("b", 2, third)
  expect(front.get("a")).toBe(1)
  front.put("c", 3, third)
  expect([front.get("a"), front.get("b"), front.get("c")]).toEqual([1, undefined, 3])
  front.put("huge", 4, 100 * third)
  expect(front.get("huge")).toBeUndefined()
})
