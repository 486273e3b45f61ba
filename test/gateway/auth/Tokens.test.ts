/** Tokens: what counts, until when, what is kept of them, and who is told when they end. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, FastCheck as fc, Fiber, Layer, Redacted, Schema, TestClock } from "effect"
import { NewToken, TokenId } from "../../../src/domain/Access.ts"
import { AccessScope, Allowance } from "../../../src/domain/Caller.ts"
import { Caps } from "../../../src/domain/Agent.ts"
import { fromUsd } from "../../../src/domain/Money.ts"
import { newSecret } from "../../../src/gateway/auth/SecretText.ts"
import { layer, Tokens } from "../../../src/gateway/auth/Tokens.ts"
import { Audit } from "../../../src/kernel/Audit.ts"
import { Database } from "../../../src/kernel/Database.ts"
import { DataDir } from "../../../src/kernel/DataDir.ts"
import { redactText } from "../../../src/kernel/Redaction.ts"
import { groundOf } from "../../support/auth.ts"
import { formsOf } from "../../support/e2e-cli.ts"

const day = 86_400_000
const fresh = (rest: Partial<ConstructorParameters<typeof NewToken>[0]> = {}) =>
  new NewToken({ label: "test", scopes: ["owner"], ...rest })

/** Each `Effect.provide(started)` is a process of its own on the same ground. */
const started = Layer.fresh(layer)

describe("a token", () => {
  it.effect("counts for what it was made for, also after a restart, and no other text does", () =>
    Effect.gen(function* () {
      const allowance = new Allowance({ daily: new Caps({ cost: fromUsd(2), action: "block" }) })
      const wanted = fresh({
        label: "editor",
        scopes: ["client", "chat"],
        allowance,
        models: ["rehearsal/rehearsal-1"]
      })
      const { info, token } = yield* Effect.flatMap(Tokens, (tokens) => tokens.create(wanted)).pipe(
        Effect.provide(started)
      )
      yield* Effect.gen(function* () {
        const tokens = yield* Tokens
        const found = yield* tokens.verify(token)
        assert(found.state === "active")
        assert.deepStrictEqual(found.info.scopes, ["client", "chat"])
        assert.deepStrictEqual(found.info.allowance, allowance)
        assert.deepStrictEqual(found.info.models, ["rehearsal/rehearsal-1"])
        assert.strictEqual(found.info.id, info.id)
        const text = Redacted.value(token)
        const wrong = [
          "",
          "aidt_",
          text.slice(0, -1),
          `${text}0`,
          text.toLowerCase(),
          ` ${text}`,
          `${text.slice(0, 5)}${text.slice(6)}0`
        ]
        for (const each of wrong) {
          assert.deepStrictEqual(yield* tokens.verify(Redacted.make(each)), { state: "unknown" }, each)
        }
        // Of the right form, and nobody's.
        assert.deepStrictEqual(yield* tokens.verify(newSecret("aidt")), { state: "unknown" })
      }).pipe(Effect.provide(started))
    }).pipe(Effect.provide(groundOf()))
  )

  it.effect("ends at its time to the millisecond, and whoever serves it is told", () =>
    Effect.gen(function* () {
      const tokens = yield* Tokens
      const { info, token } = yield* tokens.create(fresh({ expiresInMs: 5 * day }))
      const served = yield* Effect.fork(tokens.ended(info.id))
      yield* TestClock.adjust(Duration.millis(5 * day - 1))
      assert.strictEqual((yield* tokens.verify(token)).state, "active")
      assert.isNull(yield* Fiber.poll(served).pipe(Effect.map((exit) => (exit._tag === "Some" ? exit.value : null))))
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* tokens.verify(token)).state, "expired")
      yield* Fiber.join(served)
    }).pipe(Effect.provide(layer), Effect.provide(groundOf()))
  )

  it.effect(
    "that was revoked counts no more when that has been said, without the clock moving, also after a restart",
    () =>
      Effect.gen(function* () {
        const made = yield* Effect.gen(function* () {
          const tokens = yield* Tokens
          const made = yield* tokens.create(fresh())
          const other = yield* tokens.create(fresh())
          const served = yield* Effect.fork(tokens.ended(made.info.id))
          yield* Effect.yieldNow()
          assert.isTrue(yield* tokens.revoke(made.info.id))
          assert.strictEqual((yield* tokens.verify(made.token)).state, "revoked")
          yield* Fiber.join(served)
          assert.isFalse(yield* tokens.revoke(made.info.id))
          assert.strictEqual((yield* tokens.verify(other.token)).state, "active")
          const none = TokenId.make(`tok-${"0".repeat(26)}`)
          assert.strictEqual((yield* Effect.flip(tokens.revoke(none)))._tag, "TokenNotFound")
          yield* tokens.ended(none)
          return made
        }).pipe(Effect.provide(started))
        const after = yield* Effect.flatMap(Tokens, (tokens) => tokens.verify(made.token)).pipe(Effect.provide(started))
        assert.strictEqual(after.state, "revoked")
        const types = (yield* Effect.flatMap(Audit, (audit) => audit.tail({ limit: 10 }))).map(
          ({ event }) => event.type
        )
        assert.deepStrictEqual(types, ["token.created", "token.created", "token.revoked"])
      }).pipe(Effect.provide(groundOf()))
  )

  it.effect(
    "is in no file, in no form; lists and records have no trace of it; and no text that passes redaction has",
    () =>
      Effect.gen(function* () {
        const { dir, token } = yield* Effect.gen(function* () {
          const tokens = yield* Tokens
          const { token } = yield* tokens.create(fresh())
          yield* tokens.verify(token)
          assert.notInclude(JSON.stringify(yield* tokens.list), Redacted.value(token).slice(5, 20))
          return { token, dir: (yield* DataDir).path }
        }).pipe(Effect.provide(started))
        yield* Effect.flatMap(Audit, (audit) => audit.checkpoint)
        const forms = formsOf(Redacted.value(token))
        for (const name of readdirSync(dir)) {
          const bytes = readFileSync(join(dir, name)).toString("latin1")
          assert.deepStrictEqual(
            forms.filter((form) => bytes.includes(form)),
            [],
            name
          )
        }
        assert.notInclude(redactText(`x ${Buffer.from(Redacted.value(token)).toString("base64")} y`), "YWlkdF")
      }).pipe(Effect.provide(groundOf()))
  )

  it.effect("whose row was changed behind our back counts no more", () =>
    Effect.gen(function* () {
      const { desk } = yield* Database
      const changes = [
        `UPDATE api_tokens SET grants = replace(grants, 'read', 'owner') WHERE id = ?`,
        "UPDATE api_tokens SET expires_at = 9999999999999 WHERE id = ?",
        "UPDATE api_tokens SET created_at = created_at + 1 WHERE id = ?",
        "UPDATE api_tokens SET revoked_at = NULL, mac = mac WHERE id = ?"
      ]
      for (const change of changes) {
        const made = yield* Effect.gen(function* () {
          const tokens = yield* Tokens
          const made = yield* tokens.create(fresh({ scopes: ["read"], expiresInMs: day }))
          if (change.includes("revoked_at")) yield* tokens.revoke(made.info.id)
          return made
        }).pipe(Effect.provide(started))
        yield* desk.write((db) => db.run(change, made.info.id))
        const after = yield* Effect.flatMap(Tokens, (tokens) => tokens.verify(made.token)).pipe(Effect.provide(started))
        assert.deepStrictEqual(after, { state: "unknown" }, change)
      }
    }).pipe(Effect.provide(groundOf()))
  )

  it.effect("was last used when it was, written down within a minute and when the process ends", () =>
    Effect.gen(function* () {
      const { desk } = yield* Database
      const written = desk.read((db) => db.get("SELECT last_used_at AS at FROM api_tokens"))
      const decode = Schema.decodeUnknownSync(Schema.Struct({ at: Schema.NullOr(Schema.Number) }))
      yield* Effect.gen(function* () {
        const tokens = yield* Tokens
        const { info, token } = yield* tokens.create(fresh())
        yield* TestClock.adjust("1 second")
        for (let use = 0; use < 50; use++) yield* tokens.verify(token)
        assert.isNull(decode(yield* written).at, "not a write for each use")
        assert.strictEqual((yield* tokens.find(info.id))?.lastUsedAt, 1000)
        yield* TestClock.adjust("1 minute")
        yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
        assert.strictEqual(decode(yield* written).at, 1000)
        yield* tokens.verify(token)
      }).pipe(Effect.provide(started))
      assert.strictEqual(decode(yield* written).at, 61_000)
    }).pipe(Effect.provide(groundOf()))
  )

  it.effect("that ended long ago is forgotten, and none that still counts", () =>
    Effect.gen(function* () {
      const tokens = yield* Tokens
      const stays = yield* tokens.create(fresh())
      yield* tokens.create(fresh({ expiresInMs: day }))
      const revoked = yield* tokens.create(fresh())
      yield* tokens.revoke(revoked.info.id)
      yield* TestClock.adjust(Duration.millis(92 * day))
      const last = yield* tokens.create(fresh())
      assert.deepStrictEqual(
        (yield* tokens.list).map(({ id }) => id),
        [stays.info.id, last.info.id]
      )
    }).pipe(Effect.provide(layer), Effect.provide(groundOf()))
  )

  it("says what it may have: a label, at least one scope, each once, and a time that ends", () => {
    const is = Schema.is(NewToken.pipe(Schema.typeSchema))
    const decodes = Schema.decodeUnknownEither(NewToken)
    const good = { label: "x", scopes: ["read"] }
    assert.strictEqual(decodes(good)._tag, "Right")
    const bad = [
      { ...good, scopes: [] },
      { ...good, scopes: ["read", "read"] },
      { ...good, scopes: ["root"] },
      { ...good, label: "" },
      { ...good, label: "a\nb" },
      { ...good, label: "x".repeat(101) },
      { ...good, expiresInMs: 0 },
      { ...good, expiresInMs: -1 },
      { ...good, expiresInMs: 1e15 },
      { ...good, models: [] },
      { ...good, models: ["../x y"] },
      { ...good, allowance: { daily: { cost: -1, action: "block" } } }
    ]
    for (const each of bad) assert.strictEqual(decodes(each)._tag, "Left", JSON.stringify(each))
    assert.isFalse(is({}))
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.constantFrom(...AccessScope.literals), { minLength: 1 }),
        (scopes) => decodes({ label: "x", scopes })._tag === "Right"
      )
    )
  })
})
