/** The password: what is kept of it, that nothing of it is cut off, and that checking it cannot be used to keep the gateway busy. */
import nodeCrypto from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Fiber, Redacted, Schema } from "effect"
import { vi } from "vitest"
import { layer, Passwords } from "../../../src/gateway/auth/Passwords.ts"
import { Audit } from "../../../src/kernel/Audit.ts"
import { Crypto, deriveFromPassphrase } from "../../../src/kernel/Crypto.ts"
import { Database } from "../../../src/kernel/Database.ts"
import { groundOf, secret } from "../../support/auth.ts"

const right = "violet kettle under marble skies"

/** The most derivations that ran at once while the effect did. */
const mostAtOnce = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const real = nodeCrypto.argon2
      const seen = { now: 0, most: 0, all: 0 }
      const spy = vi.spyOn(nodeCrypto, "argon2").mockImplementation((algorithm, parameters, done) => {
        seen.now += 1
        seen.all += 1
        seen.most = Math.max(seen.most, seen.now)
        real(algorithm, parameters, (error, key) => {
          seen.now -= 1
          done(error, key)
        })
      })
      return { seen, spy }
    }),
    ({ seen }) => Effect.map(effect, (value) => ({ value, ...seen })),
    ({ spy }) => Effect.sync(() => spy.mockRestore())
  )

describe("the password", () => {
  it.effect("is right only whole: no other case, no character less, no space more", () =>
    Effect.gen(function* () {
      const passwords = yield* Passwords
      assert.isFalse(yield* passwords.isSet)
      assert.strictEqual((yield* Effect.flip(passwords.verify(secret(right))))._tag, "PasswordNotSet")
      yield* passwords.set(secret(` ${right} `))
      assert.isTrue(yield* passwords.isSet)
      assert.isTrue(yield* passwords.verify(secret(` ${right} `)))
      for (const wrong of [right, ` ${right}`, ` ${right.toUpperCase()} `, "", "\ud800", "x".repeat(3000)]) {
        assert.isFalse(yield* passwords.verify(secret(wrong)), wrong.slice(0, 40))
      }
    }).pipe(Effect.provide(layer), Effect.provide(groundOf()))
  )

  it.effect("of a thousand characters counts to the last of them, on any keyboard", () =>
    Effect.gen(function* () {
      const passwords = yield* Passwords
      const long = Array.from({ length: 1022 }, (_, i) => String.fromCodePoint(0x400 + ((i * 37) % 200))).join("")
      yield* passwords.set(secret(`${long}\u00e9z`))
      assert.isTrue(yield* passwords.verify(secret(`${long}e\u0301z`)))
      assert.isFalse(yield* passwords.verify(secret(`${long}\u00e9y`)))
      const refused = yield* Effect.flip(passwords.set(secret(`${long}\u00e9zz`)))
      assert.strictEqual(refused._tag, "PasswordRefused")
      assert.isTrue(yield* passwords.verify(secret(`${long}\u00e9z`)), "what was refused changed nothing")
    }).pipe(Effect.provide(layer), Effect.provide(groundOf()))
  )

  it.effect("is kept as a keyed hash with its parameters, differently each time, and recorded without it", () =>
    Effect.gen(function* () {
      const passwords = yield* Passwords
      const { desk } = yield* Database
      const Row = Schema.Struct({ kdf: Schema.String, hash: Schema.String })
      const row = Effect.map(
        desk.read((db) => db.get("SELECT kdf, hash FROM access_password")),
        Schema.decodeUnknownSync(Row)
      )
      yield* passwords.set(secret(right))
      const first = yield* row
      yield* passwords.set(secret(right))
      const second = yield* row
      assert.notStrictEqual(first.hash, second.hash)
      assert.deepInclude(JSON.parse(second.kdf), { id: "argon2id", memory: 19_456, passes: 2, parallelism: 1 })
      assert.match(second.hash, /^[0-9a-f]{64}$/)
      const entries = yield* Effect.flatMap(Audit, (audit) => audit.tail({ limit: 5 }))
      assert.deepStrictEqual(
        entries.map(({ event }) => event.type),
        ["password.set", "password.set"]
      )
      assert.notInclude(JSON.stringify(entries), "violet")
    }).pipe(Effect.provide(layer), Effect.provide(groundOf()))
  )

  it.effect("that was stored with scrypt, by a Node without argon2, still counts", () =>
    Effect.gen(function* () {
      const passwords = yield* Passwords
      const { desk } = yield* Database
      const crypto = yield* Crypto
      const salt = new Uint8Array(16).fill(7)
      const key = yield* deriveFromPassphrase(new TextEncoder().encode(right), {
        id: "scrypt",
        N: 32_768,
        r: 8,
        p: 3,
        salt
      })
      const kdf = JSON.stringify({ id: "scrypt", N: 32_768, r: 8, p: 3, salt: Buffer.from(salt).toString("base64") })
      const hash = yield* crypto.fingerprint("password", kdf, key?.export().toString("hex") ?? "")
      yield* desk.write((db) =>
        db.run("INSERT INTO access_password (name, kdf, hash, set_at) VALUES ('owner', ?, ?, 0)", kdf, hash)
      )
      assert.isTrue(yield* passwords.verify(secret(right)))
      assert.isFalse(yield* passwords.verify(secret(`${right}!`)))
      yield* desk.write((db) => db.run("UPDATE access_password SET kdf = '{}'"))
      assert.strictEqual((yield* Effect.flip(passwords.verify(secret(right))))._tag, "DatabaseError")
    }).pipe(Effect.provide(layer), Effect.provide(groundOf()))
  )

  it.effect("is checked twice at once at most, ten wait, and the rest is told to come back", () =>
    Effect.gen(function* () {
      const passwords = yield* Passwords
      yield* passwords.set(secret(right))
      const { all, most, value } = yield* mostAtOnce(
        Effect.forEach(
          Array.from({ length: 200 }, (_, i) => i),
          (i) => Effect.either(passwords.verify(secret(i === 0 ? right : `guess ${i}`))),
          { concurrency: "unbounded" }
        )
      )
      assert.strictEqual(most, 2)
      assert.strictEqual(all, 12)
      const busy = value.filter(Either.isLeft).map(({ left }) => left)
      assert.lengthOf(busy, 188)
      assert.isTrue(
        busy.every((error) => error._tag === "TooManyRequests" && error.reason === "busy" && error.retryAfterMs > 0)
      )
      assert.deepStrictEqual(value[0], Either.right(true))
      assert.isTrue(yield* passwords.verify(secret(right)), "all places are free again")
    }).pipe(Effect.provide(layer), Effect.provide(groundOf()))
  )

  it.effect("is checked twice at once at most also when those who asked hang up at once", () =>
    Effect.gen(function* () {
      const passwords = yield* Passwords
      yield* passwords.set(secret(right))
      const { most } = yield* mostAtOnce(
        Effect.gen(function* () {
          for (let round = 0; round < 6; round++) {
            const asking = yield* Effect.fork(
              Effect.forEach([1, 2, 3, 4], () => passwords.verify(Redacted.make("guess")), { concurrency: "unbounded" })
            )
            yield* Effect.yieldNow()
            yield* Effect.yieldNow()
            yield* Fiber.interruptFork(asking)
          }
          yield* Effect.retry(passwords.verify(secret(right)), { while: (error) => error._tag === "TooManyRequests" })
        })
      )
      assert.isAtMost(most, 2)
      assert.isAbove(most, 0)
    }).pipe(Effect.provide(layer), Effect.provide(groundOf()))
  )
})
