/** Who asks, in each mode: what counts, what is a guess and what is not, and who is told when it ends. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Either, FastCheck as fc, Fiber, FiberId, Redacted, Schema, TestClock } from "effect"
import { NewToken } from "../../src/domain/Access.ts"
import { AccessScope, Caller, localOwner, may, nobody, type CallerInfo } from "../../src/domain/Caller.ts"
import { Config } from "../../src/domain/Config.ts"
import { owner } from "../../src/domain/Ids.ts"
import { Auth, narrowed } from "../../src/gateway/Auth.ts"
import { Links } from "../../src/gateway/auth/Links.ts"
import { Logins } from "../../src/gateway/auth/Logins.ts"
import { newSecret } from "../../src/gateway/auth/SecretText.ts"
import { Tokens } from "../../src/gateway/auth/Tokens.ts"
import { WebSessions } from "../../src/gateway/auth/WebSessions.ts"
import { Audit } from "../../src/kernel/Audit.ts"
import { authOf, from, groundOf, pinned, restartedIn, secret } from "../support/auth.ts"

type Scopes = ConstructorParameters<typeof NewToken>[0]["scopes"]

const ask = (presented: Parameters<(typeof Auth.Service)["authenticate"]>[0]) =>
  Effect.flatMap(Auth, (auth) => auth.authenticate(presented))
/** How a request is refused, in short. */
const refusal = (presented: Parameters<typeof ask>[0]) =>
  Effect.map(Effect.flip(ask(presented)), (error) => (error._tag === "GroundFailed" ? error.detail : error.reason))
const token = (scopes: Scopes = ["owner"], rest: object = {}) =>
  Effect.flatMap(Tokens, (tokens) => tokens.create(new NewToken({ label: "t", scopes, ...rest })))
const byToken = (address: string, scopes?: Scopes) =>
  Effect.map(token(scopes), ({ token: bearer }) => from(address, { bearer }))
const as = (caller: CallerInfo) => Effect.provideService(Caller, caller)
const session = ({ cookie, proof }: { cookie: Redacted.Redacted<string>; proof: Redacted.Redacted<string> }) => ({
  session: { cookie, proof }
})
const entries = (type: string) =>
  Effect.map(
    Effect.flatMap(Audit, (audit) => audit.tail({ limit: 1000, type })),
    (found) => found.map(({ event }) => event.data)
  )
const pin = (key: string, scopes: ReadonlyArray<AccessScope>) => {
  const over = Deferred.unsafeMake<void>(FiberId.none)
  pinned.set(key, { id: `cert-${key.slice(0, 4)}`, scopes, label: "phone", over })
  return Deferred.succeed(over, undefined)
}
const home = "192.0.2.7"
const password = "violet kettle under marble skies"

describe("the settings", () => {
  it("know three modes and none without proof; left out, it is token", () => {
    const decode = Schema.decodeUnknownEither(Config)
    for (const mode of ["none", "", "None", "off", "open", "trusted-proxy", null, false, 0, [], ["token"], "token "]) {
      assert.isTrue(Either.isLeft(decode({ gateway: { auth: { mode } } })), JSON.stringify(mode))
    }
    const [missing] = [decode({})]
    assert(Either.isRight(missing))
    assert.strictEqual(missing.right.gateway.auth.mode, "token")
  })
})

describe("scopes", () => {
  const scopes = fc.uniqueArray(fc.constantFrom(...AccessScope.literals))
  const allows = (given: ReadonlyArray<AccessScope>, wanted: AccessScope) => may({ ...nobody, scopes: given }, wanted)

  it("narrow: together they allow what both allow, and nothing else", () =>
    fc.assert(
      fc.property(scopes, scopes, fc.constantFrom(...AccessScope.literals), (a, b, wanted) => {
        assert.strictEqual(allows(narrowed(a, b), wanted), allows(a, wanted) && allows(b, wanted))
        assert.deepStrictEqual(new Set(narrowed(a, a)), new Set(a))
      })
    ))
})

describe("in token mode", () => {
  it.effect("a token counts, for itself; nothing, or nothing but empty texts, is no attempt", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* ask(yield* byToken(home)), { principal: owner, scopes: ["owner"], by: "token" })
      const reader = yield* ask(yield* byToken(home, ["read"]))
      assert.deepStrictEqual(reader.scopes, ["read"])
      assert.strictEqual(String(reader.principal), reader.credential)
      const empty = secret("")
      for (let i = 0; i < 20; i++) {
        assert.strictEqual(yield* refusal(from(home)), "missing")
        assert.strictEqual(yield* refusal(from(home, { bearer: empty })), "missing")
        assert.strictEqual(
          yield* refusal(from(home, { session: { cookie: newSecret("aids"), proof: empty } })),
          "missing"
        )
        assert.strictEqual(yield* refusal(from(home, { certificate: "ab".repeat(32) })), "missing")
      }
      assert.deepStrictEqual(yield* entries("auth.failed"), [])
    }).pipe(Effect.provide(authOf()))
  )

  it.effect("an address is locked out after five wrong ones, of whatever kind; what is right passes all the same", () =>
    Effect.gen(function* () {
      const good = yield* byToken(home)
      const begun = yield* Effect.flatMap(WebSessions, (sessions) => sessions.begin("token", null))
      const wrong = [
        from(home, { bearer: newSecret("aidt") }),
        from(home, { bearer: secret("hunter2") }),
        from(home, session({ cookie: begun.cookie, proof: newSecret("aidp") })),
        from(home, session({ cookie: newSecret("aids"), proof: newSecret("aidp") })),
        from(home, { bearer: begun.cookie })
      ]
      for (const each of wrong) assert.strictEqual(yield* refusal(each), "invalid")
      for (const each of wrong) assert.strictEqual(yield* refusal(each), "lockout")
      assert.strictEqual((yield* ask(good)).by, "token")
      assert.strictEqual((yield* ask(from(home, session(begun)))).by, "session")
      assert.strictEqual(yield* refusal(from("192.0.2.8", { bearer: newSecret("aidt") })), "invalid")
      assert.strictEqual((yield* entries("auth.failed")).length, 6)
      assert.strictEqual((yield* entries("auth.locked_out")).length, 1)
    }).pipe(Effect.provide(authOf()))
  )

  it.effect("of many wrong ones at once no more are judged, and a right one among them passes", () =>
    Effect.gen(function* () {
      const good = yield* byToken(home)
      const all = [...Array.from({ length: 40 }, () => from(home, { bearer: newSecret("aidt") })), good]
      const answers = yield* Effect.forEach(all, (each) => Effect.either(ask(each)), { concurrency: "unbounded" })
      const reasons = answers.flatMap((answer) =>
        Either.isLeft(answer) && answer.left._tag !== "GroundFailed" ? [answer.left.reason] : []
      )
      assert.lengthOf(
        reasons.filter((reason) => reason === "invalid"),
        5
      )
      assert.lengthOf(
        reasons.filter((reason) => reason === "lockout"),
        35
      )
      assert.isTrue(Either.isRight(answers.at(-1)!))
    }).pipe(Effect.provide(authOf()))
  )

  it.effect("one that was right once is no guess: it is refused for ever, and locks nobody out", () =>
    Effect.gen(function* () {
      const revoked = yield* token()
      yield* Effect.flatMap(Tokens, (tokens) => tokens.revoke(revoked.info.id))
      const begun = yield* Effect.flatMap(WebSessions, (sessions) => sessions.begin("token", null))
      yield* Effect.flatMap(WebSessions, (sessions) => sessions.end(begun.session.id))
      for (let i = 0; i < 12; i++) {
        assert.strictEqual(yield* refusal(from(home, { bearer: revoked.token })), "revoked")
        assert.strictEqual(yield* refusal(from(home, session(begun))), "revoked")
      }
      assert.strictEqual(yield* refusal(from(home, { bearer: newSecret("aidt") })), "invalid")
      const recorded = (yield* entries("auth.failed")).map(({ how, reason }) => `${how} ${reason}`)
      assert.deepStrictEqual(recorded, ["token revoked", "session revoked", "token wrong"])
    }).pipe(Effect.provide(authOf()))
  )

  it.effect("a log-in ends with the token that it began with, and whoever serves it is told at once", () =>
    Effect.gen(function* () {
      const auth = yield* Auth
      const tokens = yield* Tokens
      const made = yield* token()
      const begun = yield* Effect.flatMap(Logins, (logins) => logins.begin(home, { token: made.token }))
      const callers = [yield* ask(from(home, session(begun))), yield* ask(from(home, { bearer: made.token }))]
      const served = yield* Effect.fork(Effect.forEach(callers, (caller) => auth.ended(caller), { concurrency: 2 }))
      const others = yield* Effect.fork(Effect.raceAll([localOwner, nobody].map((caller) => auth.ended(caller))))
      yield* Effect.yieldNow()
      yield* tokens.revoke(made.info.id)
      // No clock moves: it is the revocation itself that ends them.
      yield* Fiber.join(served)
      assert.strictEqual(yield* refusal(from(home, session(begun))), "revoked")
      assert.strictEqual((yield* Fiber.poll(others))._tag, "None")
    }).pipe(Effect.provide(authOf()))
  )

  it.effect("a log-in that ends tells whoever serves it", () =>
    Effect.gen(function* () {
      const auth = yield* Auth
      const begun = yield* Effect.flatMap(WebSessions, (sessions) => sessions.begin("token", null))
      const caller = yield* ask(from(home, session(begun)))
      const served = yield* Effect.fork(auth.ended(caller))
      yield* Effect.yieldNow()
      assert.isTrue(yield* Effect.flatMap(Logins, (logins) => logins.end).pipe(as(caller)))
      yield* Fiber.join(served)
      assert.strictEqual(yield* refusal(from(home, session(begun))), "revoked")
    }).pipe(Effect.provide(authOf()))
  )

  it.effect("nobody floods the audit log with wrong ones; how many were left out is in it", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(
        Array.from({ length: 300 }, (_, i) => `198.51.${100 + Math.floor(i / 200)}.${i % 200}`),
        (address) => refusal(from(address, { bearer: newSecret("aidt") })),
        { concurrency: 10 }
      )
      assert.lengthOf(yield* entries("auth.failed"), 60)
      yield* TestClock.adjust("61 seconds")
      yield* refusal(from("203.0.113.1", { bearer: newSecret("aidt") }))
      const later = (yield* entries("auth.failed")).slice(60)
      assert.lengthOf(later, 2)
      assert.deepInclude(later[0], { count: 240 })
    }).pipe(Effect.provide(authOf()))
  )

  it.effect("the first use of a credential from an address is recorded, and not each", () =>
    Effect.gen(function* () {
      const good = yield* byToken(home, ["read"])
      for (let i = 0; i < 10; i++) yield* ask(good)
      yield* ask({ ...good, address: "192.0.2.9" })
      assert.deepStrictEqual(
        (yield* entries("auth.succeeded")).map(({ address }) => address),
        [home, "192.0.2.9"]
      )
    }).pipe(Effect.provide(authOf()))
  )
})

describe("in password mode", () => {
  it.effect("the owner's tokens do not count, the others do; the owner logs in with the password", () =>
    Effect.gen(function* () {
      const logins = yield* Logins
      for (let i = 0; i < 8; i++) assert.strictEqual(yield* refusal(yield* byToken(home)), "invalid")
      assert.strictEqual(yield* refusal(yield* byToken(home, ["chat", "owner"])), "invalid")
      assert.deepStrictEqual((yield* ask(yield* byToken(home, ["read"]))).scopes, ["read"])
      yield* logins.setPassword(home, secret(password), null).pipe(as(localOwner))
      const begun = yield* logins.begin(home, { password: secret(password) })
      assert.deepInclude(yield* ask(from(home, session(begun))), {
        principal: owner,
        by: "session",
        scopes: ["owner"]
      })
    }).pipe(Effect.provide(authOf({ mode: "password" })))
  )

  it.effect("log-ins of another mode do not count", () =>
    Effect.gen(function* () {
      const begun = yield* Effect.flatMap(WebSessions, (sessions) => sessions.begin("token", null)).pipe(
        Effect.provide(restartedIn("token"))
      )
      const reader = yield* byToken(home, ["read"]).pipe(Effect.provide(restartedIn("token")))
      const asked = from(home, session(begun))
      assert.strictEqual(yield* refusal(asked).pipe(Effect.provide(restartedIn("password"))), "revoked")
      assert.strictEqual((yield* ask(reader).pipe(Effect.provide(restartedIn("password")))).by, "token")
      assert.strictEqual(yield* refusal(asked).pipe(Effect.provide(restartedIn("certificate"))), "missing")
      assert.strictEqual(yield* refusal(reader).pipe(Effect.provide(restartedIn("certificate"))), "invalid")
      assert.strictEqual((yield* ask(asked).pipe(Effect.provide(restartedIn("token")))).by, "session")
    }).pipe(Effect.provide(groundOf()))
  )
})

describe("in certificate mode", () => {
  const key = "c0ffee".padEnd(64, "0")
  const limited = "facade".padEnd(64, "0")

  it.effect("a pinned key counts; a token only beside one, and narrows it; a log-in and a token alone do not", () =>
    Effect.gen(function* () {
      const auth = yield* Auth
      const end = pin(key, ["owner"])
      const endLimited = pin(limited, ["chat"])
      const caller = yield* ask(from(home, { certificate: key }))
      assert.deepInclude(caller, { principal: owner, by: "certificate", scopes: ["owner"] })
      const phone = yield* ask(from(home, { certificate: limited }))
      assert.deepStrictEqual([phone.scopes, String(phone.principal)], [["chat"], phone.credential])
      assert.strictEqual(yield* refusal(from(home, { certificate: "dead".padEnd(64, "0") })), "invalid")
      assert.strictEqual(yield* refusal(from(home)), "missing")

      const full = yield* byToken(home)
      const reader = yield* byToken(home, ["read"])
      assert.strictEqual(yield* refusal(full), "invalid")
      const narrow = yield* ask({ ...reader, certificate: key })
      assert.deepInclude(narrow, { by: "token", scopes: ["read"] })
      const cut = yield* ask({ ...full, certificate: limited })
      assert.deepStrictEqual(cut.scopes, ["chat"])
      assert.notStrictEqual(cut.principal, owner)
      assert.deepStrictEqual((yield* ask({ ...reader, certificate: limited })).scopes, [])
      assert.strictEqual(yield* refusal({ ...full, certificate: "dead".padEnd(64, "0") }), "invalid")
      assert.strictEqual(yield* refusal(from(home, { certificate: key, bearer: newSecret("aidt") })), "invalid")

      const begun = yield* Effect.flatMap(WebSessions, (sessions) => sessions.begin("certificate", null))
      assert.strictEqual(yield* refusal(from(home, session(begun))), "missing")

      const served = yield* Effect.fork(
        Effect.forEach([caller, narrow], (each) => auth.ended(each), { concurrency: 2 })
      )
      yield* Effect.yieldNow()
      yield* Effect.yieldNow()
      yield* end
      yield* Fiber.join(served)
      yield* endLimited
    }).pipe(Effect.provide(authOf({ mode: "certificate" })))
  )
})

describe("a log-in", () => {
  it.effect("begins as the mode allows, and no other way", () =>
    Effect.gen(function* () {
      const mine = yield* Effect.gen(function* () {
        const logins = yield* Logins
        yield* logins.setPassword(home, secret(password), null).pipe(as(localOwner))
        return yield* token()
      }).pipe(Effect.provide(restartedIn("token")))
      const ways = Effect.gen(function* () {
        const logins = yield* Logins
        const made = yield* Effect.flatMap(Links, (links) => links.make)
        const all = [{ token: mine.token }, { password: secret(password) }, { link: made.code }]
        const answers = yield* Effect.forEach(all, (way) => Effect.either(logins.begin(home, way)))
        return answers.map((answer) => (Either.isRight(answer) ? answer.right.session.mode : answer.left._tag))
      })
      const no = "LoginNotOffered"
      assert.deepStrictEqual(yield* ways.pipe(Effect.provide(restartedIn("token"))), ["token", no, "token"])
      assert.deepStrictEqual(yield* ways.pipe(Effect.provide(restartedIn("password"))), [no, "password", "password"])
      assert.deepStrictEqual(yield* ways.pipe(Effect.provide(restartedIn("certificate"))), [no, no, no])
    }).pipe(Effect.provide(groundOf()))
  )

  it.effect("begins with an owner's token only, and never lasts longer than that", () =>
    Effect.gen(function* () {
      const logins = yield* Logins
      const reader = yield* token(["read", "chat", "client"])
      assert.strictEqual((yield* Effect.flip(logins.begin(home, { token: reader.token })))._tag, "Forbidden")
      const short = yield* token(["owner"], { expiresInMs: 60_000 })
      const begun = yield* logins.begin(home, { token: short.token })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* refusal(from(home, session(begun))), "expired")
      assert.deepInclude(yield* Effect.flip(logins.begin(home, { token: short.token })), { reason: "expired" })
    }).pipe(Effect.provide(authOf()))
  )

  it.effect("begins anew every time: what a browser brought along is never taken over, and ends", () =>
    Effect.gen(function* () {
      const logins = yield* Logins
      const mine = yield* token()
      const before = yield* logins.begin(home, { token: mine.token })
      const caller = yield* ask(from(home, session(before)))
      const after = yield* logins.begin(home, { token: mine.token }).pipe(as(caller))
      assert.notStrictEqual(after.session.id, before.session.id)
      assert.notStrictEqual(Redacted.value(after.cookie), Redacted.value(before.cookie))
      assert.notStrictEqual(Redacted.value(after.proof), Redacted.value(before.proof))
      assert.strictEqual(yield* refusal(from(home, session(before))), "revoked")
      assert.strictEqual((yield* ask(from(home, session(after)))).by, "session")
    }).pipe(Effect.provide(authOf()))
  )

  it.effect(
    "by password is not even judged where too many were wrong, also after a restart; by token and link it is",
    () =>
      Effect.gen(function* () {
        const mine = yield* Effect.gen(function* () {
          const logins = yield* Logins
          yield* logins.setPassword(home, secret(password), null).pipe(as(localOwner))
          const guess = (text: string) => Effect.flip(logins.begin(home, { password: secret(text) }))
          for (let i = 0; i < 5; i++) assert.deepInclude(yield* guess(`guess ${i}`), { reason: "invalid" })
          assert.deepInclude(yield* guess(password), { _tag: "TooManyRequests", reason: "lockout" })
          assert.strictEqual(
            (yield* logins.begin("192.0.2.99", { password: secret(password) })).session.mode,
            "password"
          )
          return yield* token()
        }).pipe(Effect.provide(restartedIn("password")))
        yield* Effect.gen(function* () {
          const logins = yield* Logins
          assert.deepInclude(yield* Effect.flip(logins.begin(home, { link: newSecret("aidl") })), { reason: "lockout" })
          assert.deepInclude(yield* Effect.flip(logins.begin(home, { token: newSecret("aidt") })), {
            reason: "lockout"
          })
          assert.strictEqual((yield* logins.begin(home, { token: mine.token })).session.mode, "token")
          const made = yield* Effect.flatMap(Links, (links) => links.make)
          assert.strictEqual((yield* logins.begin(home, { link: made.code })).session.mode, "token")
        }).pipe(Effect.provide(restartedIn("token")))
      }).pipe(Effect.provide(groundOf()))
  )

  it.effect("a new password needs the current one over the network, and ends every other log-in", () =>
    Effect.gen(function* () {
      const logins = yield* Logins
      const next = "seventh otter lagoon drum"
      yield* logins.setPassword(home, secret(password), null).pipe(as(localOwner))
      const mine = yield* logins.begin(home, { password: secret(password) })
      const other = yield* logins.begin(home, { password: secret(password) })
      const caller = yield* ask(from(home, session(mine)))
      const set = (text: string, current: string | null) =>
        logins.setPassword(home, secret(text), current === null ? null : secret(current)).pipe(as(caller))
      assert.strictEqual((yield* Effect.flip(set(next, null)))._tag, "Forbidden")
      assert.deepInclude(yield* Effect.flip(set(next, "guess")), { reason: "invalid" })
      assert.strictEqual((yield* Effect.flip(set("short", password)))._tag, "PasswordRefused")
      assert.strictEqual((yield* ask(from(home, session(other)))).by, "session")
      yield* set(next, password)
      assert.strictEqual(yield* refusal(from(home, session(other))), "revoked")
      assert.strictEqual((yield* ask(from(home, session(mine)))).by, "session")
      assert.deepInclude(yield* Effect.flip(logins.begin(home, { password: secret(password) })), { reason: "invalid" })
      yield* logins.begin(home, { password: secret(next) })
    }).pipe(Effect.provide(authOf({ mode: "password" })))
  )

  it.effect("a link is made for the owner's own processes, and for nobody from the network", () =>
    Effect.gen(function* () {
      const logins = yield* Logins
      const caller = yield* ask(yield* byToken(home))
      assert.strictEqual((yield* Effect.flip(logins.link.pipe(as(caller))))._tag, "Forbidden")
      assert.strictEqual((yield* Effect.flip(logins.link))._tag, "Forbidden")
      const { code } = yield* logins.link.pipe(as(localOwner))
      yield* logins.begin(home, { link: code })
      assert.deepInclude(yield* Effect.flip(logins.begin(home, { link: code })), { reason: "invalid" })
    }).pipe(Effect.provide(authOf()))
  )

  it.effect("a link is not made where it would not count", () =>
    Effect.gen(function* () {
      const logins = yield* Logins
      assert.strictEqual((yield* Effect.flip(logins.link.pipe(as(localOwner))))._tag, "LoginNotOffered")
    }).pipe(Effect.provide(authOf({ mode: "certificate" })))
  )
})
