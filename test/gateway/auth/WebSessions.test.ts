/** Log-ins: two halves that prove nothing alone, and every way in which one ends. And the links that lead to one. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Redacted, TestClock } from "effect"
import { layerNone, Links, layer as linksLayer } from "../../../src/gateway/auth/Links.ts"
import { newSecret } from "../../../src/gateway/auth/SecretText.ts"
import { layer, WebSessions } from "../../../src/gateway/auth/WebSessions.ts"
import { Database } from "../../../src/kernel/Database.ts"
import { groundOf } from "../../support/auth.ts"

const minute = 60_000
const settings = { sessionIdleMs: 10 * minute, sessionMaxMs: 60 * minute }
const ground = groundOf(settings)
const started = Layer.fresh(layer)
const secretsOf = ({ cookie, proof }: { cookie: Redacted.Redacted<string>; proof: Redacted.Redacted<string> }) =>
  [cookie, proof] as const
const adjust = (millis: number) => TestClock.adjust(Duration.millis(millis))

describe("a log-in", () => {
  it.effect("needs cookie and proof of the same log-in; each is new every time", () =>
    Effect.gen(function* () {
      const sessions = yield* WebSessions
      const first = yield* sessions.begin("token", null)
      const second = yield* sessions.begin("token", null)
      assert.lengthOf(new Set([...secretsOf(first), ...secretsOf(second)].map(Redacted.value)), 4)
      assert.strictEqual((yield* sessions.verify(...secretsOf(first))).state, "active")
      const pairs = [
        [first.cookie, second.proof],
        [first.proof, first.cookie],
        [first.cookie, first.cookie],
        [first.cookie, newSecret("aidp")],
        [newSecret("aids"), first.proof],
        [first.cookie, Redacted.make("")],
        [first.cookie, Redacted.make(Redacted.value(first.proof).slice(0, -1))]
      ] as const
      for (const [cookie, proof] of pairs) {
        assert.deepStrictEqual(yield* sessions.verify(cookie, proof), { state: "unknown" })
      }
    }).pipe(Effect.provide(layer), Effect.provide(ground))
  )

  it.effect("that is not used ends after the idle time, to the millisecond, and not while it is used", () =>
    Effect.gen(function* () {
      const sessions = yield* WebSessions
      const begun = yield* sessions.begin("token", null)
      const served = yield* Effect.fork(sessions.ended(begun.session.id))
      for (let use = 0; use < 3; use++) {
        yield* adjust(10 * minute - 1)
        assert.strictEqual((yield* sessions.verify(...secretsOf(begun))).state, "active")
      }
      assert.strictEqual((yield* Fiber.poll(served))._tag, "None")
      yield* adjust(10 * minute)
      assert.strictEqual((yield* sessions.verify(...secretsOf(begun))).state, "expired")
      yield* Fiber.join(served)
    }).pipe(Effect.provide(layer), Effect.provide(ground))
  )

  it.effect("ends after its whole time however busy it is", () =>
    Effect.gen(function* () {
      const sessions = yield* WebSessions
      const begun = yield* sessions.begin("password", null)
      assert.strictEqual(begun.expiresAt, 60 * minute)
      const served = yield* Effect.fork(sessions.ended(begun.session.id))
      for (let passed = 0; passed < 55; passed += 5) {
        yield* adjust(5 * minute)
        assert.strictEqual((yield* sessions.verify(...secretsOf(begun))).state, "active")
      }
      yield* adjust(5 * minute)
      assert.strictEqual((yield* sessions.verify(...secretsOf(begun))).state, "expired")
      yield* Fiber.join(served)
    }).pipe(Effect.provide(layer), Effect.provide(ground))
  )

  it.effect("that was logged out is over on the server at once, and after a restart; the others go on", () =>
    Effect.gen(function* () {
      const { other, out } = yield* Effect.gen(function* () {
        const sessions = yield* WebSessions
        const out = yield* sessions.begin("token", null)
        const other = yield* sessions.begin("token", null)
        const served = yield* Effect.fork(sessions.ended(out.session.id))
        yield* Effect.yieldNow()
        assert.isTrue(yield* sessions.end(out.session.id))
        yield* Fiber.join(served)
        assert.deepStrictEqual(yield* sessions.verify(...secretsOf(out)), { state: "ended" })
        assert.isFalse(yield* sessions.end(out.session.id))
        yield* sessions.ended("web-nobody")
        return { out, other }
      }).pipe(Effect.provide(started))
      yield* Effect.gen(function* () {
        const sessions = yield* WebSessions
        assert.deepStrictEqual(yield* sessions.verify(...secretsOf(out)), { state: "ended" })
        assert.strictEqual((yield* sessions.verify(...secretsOf(other))).state, "active")
        assert.strictEqual(yield* sessions.endOthers(other.session.id), 0)
        assert.strictEqual(yield* sessions.endOthers(null), 1)
      }).pipe(Effect.provide(started))
    }).pipe(Effect.provide(ground))
  )

  it.effect("was used when it was, also after a restart", () =>
    Effect.gen(function* () {
      const begun = yield* Effect.gen(function* () {
        const sessions = yield* WebSessions
        const begun = yield* sessions.begin("token", null)
        yield* adjust(9 * minute)
        yield* sessions.verify(...secretsOf(begun))
        return begun
      }).pipe(Effect.provide(started))
      yield* adjust(9 * minute)
      const after = yield* Effect.flatMap(WebSessions, (sessions) => sessions.verify(...secretsOf(begun))).pipe(
        Effect.provide(started)
      )
      assert.strictEqual(after.state, "active")
    }).pipe(Effect.provide(ground))
  )

  it.effect("whose row was changed behind our back counts no more", () =>
    Effect.gen(function* () {
      const { desk } = yield* Database
      const changes = [
        "created_at = created_at + 1",
        "mode = 'password'",
        "token = 'tok-00000000000000000000000000'",
        "ended_at = NULL"
      ]
      for (const change of changes) {
        const begun = yield* Effect.gen(function* () {
          const sessions = yield* WebSessions
          const begun = yield* sessions.begin("token", null)
          if (change.startsWith("ended")) yield* sessions.end(begun.session.id)
          return begun
        }).pipe(Effect.provide(started))
        yield* desk.write((db) => db.run(`UPDATE web_sessions SET ${change} WHERE id = ?`, begun.session.id))
        const after = yield* Effect.flatMap(WebSessions, (sessions) => sessions.verify(...secretsOf(begun))).pipe(
          Effect.provide(started)
        )
        assert.deepStrictEqual(after, { state: "unknown" }, change)
      }
    }).pipe(Effect.provide(ground))
  )

  it.effect("is one of 64 at most; the oldest makes room", () =>
    Effect.gen(function* () {
      const sessions = yield* WebSessions
      const all = yield* Effect.forEach(Array.from({ length: 66 }), () =>
        Effect.zipRight(adjust(1), sessions.begin("token", null))
      )
      const states = yield* Effect.forEach(all, (each) => sessions.verify(...secretsOf(each)))
      assert.deepStrictEqual(
        states.map(({ state }) => state),
        all.map((_, i) => (i < 2 ? "ended" : "active"))
      )
    }).pipe(Effect.provide(layer), Effect.provide(ground))
  )
})

describe("a link", () => {
  it.effect("counts once, for a minute, and no other code does", () =>
    Effect.gen(function* () {
      const links = yield* Links
      const { code, expiresAt } = yield* links.make
      assert.strictEqual(expiresAt, minute)
      assert.isFalse(yield* links.take(newSecret("aidl")))
      assert.isFalse(yield* links.take(Redacted.make(Redacted.value(code).slice(0, -1))))
      assert.isTrue(yield* links.take(code))
      assert.isFalse(yield* links.take(code))
      const late = yield* links.make
      yield* adjust(minute)
      assert.isFalse(yield* links.take(late.code))
      const many = yield* Effect.forEach(Array.from({ length: 9 }), () => links.make)
      assert.isFalse(yield* links.take(many[0]!.code), "the oldest of too many")
      assert.isTrue(yield* links.take(many[8]!.code))
      const twice = yield* Effect.all([links.take(many[7]!.code), links.take(many[7]!.code)], { concurrency: 2 })
      assert.deepStrictEqual(twice, [true, false])
    }).pipe(Effect.provide(linksLayer))
  )

  it.effect("is not made where nobody serves it", () =>
    Effect.gen(function* () {
      const links = yield* Links
      assert.strictEqual((yield* Effect.flip(links.make))._tag, "NoGateway")
      assert.isFalse(yield* links.take(newSecret("aidl")))
    }).pipe(Effect.provide(layerNone))
  )
})
