import { spawn } from "node:child_process"
import { describe, expect, it } from "@effect/vitest"
import { Cause, type Clock, Deferred, Effect, Either, Fiber, FiberId, Layer, Logger, LogLevel, TestClock } from "effect"
import * as Lockout from "../../src/gateway/Lockout.ts"
import { Audit, layer as auditLayer } from "../../src/kernel/Audit.ts"
import { Database, layer as databaseLayer } from "../../src/kernel/Database.ts"
import { dataDirAt, temporaryFolder } from "../support/database.ts"
import { layerCryptoMemory } from "../support/keyring.ts"
import { settingsLayer } from "../support/settings.ts"

const most = 5
const durationMs = 300_000

const over = (folder: string) =>
  Lockout.layer.pipe(
    Layer.provideMerge(auditLayer),
    Layer.provideMerge(databaseLayer),
    Layer.provideMerge(
      Layer.mergeAll(
        dataDirAt(folder),
        layerCryptoMemory,
        settingsLayer({ config: { gateway: { auth: { maxFailedAttempts: most, lockoutDurationMs: durationMs } } } })
      )
    ),
    Layer.fresh
  )
const ground = Layer.unwrapScoped(Effect.map(temporaryFolder, over))

const wrong = Effect.succeed(null)
const right = Effect.succeed("in")

/** What becomes of one guess: judged wrong, let in, or refused unjudged. */
const guess = (address: string, verify: Effect.Effect<string | null> = wrong) =>
  Effect.gen(function* () {
    const lockout = yield* Lockout.Lockout
    const result = yield* Effect.either(lockout.attempt(address, verify))
    if (Either.isLeft(result)) return result.left._tag === "TooManyRequests" ? "locked" : "broken"
    return result.right ?? "wrong"
  })
const guesses = (address: string, count: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: count }), () => guess(address)),
    (all) => all.filter((each) => each === "wrong").length
  )
const lockouts = Effect.flatMap(Audit, (audit) => audit.tail({ type: "auth.locked_out", limit: 100 }))

describe("Lockout", () => {
  it.effect("judges so many wrong ones and no more, until the time is over", () =>
    Effect.gen(function* () {
      expect(yield* guesses("10.0.0.1", 20)).toBe(most)
      // Not even the right one is judged, nor is anybody else kept out.
      expect(yield* guess("10.0.0.1", right)).toBe("locked")
      expect(yield* guess("10.0.0.2", right)).toBe("in")
      const lockout = yield* Lockout.Lockout
      expect(yield* Effect.flip(lockout.failed("10.0.0.1"))).toMatchObject({
        _tag: "TooManyRequests",
        reason: "lockout",
        retryAfterMs: durationMs
      })
      yield* TestClock.adjust(durationMs - 1)
      expect(yield* guess("10.0.0.1", right)).toBe("locked")
      yield* TestClock.adjust(1)
      expect(yield* guess("10.0.0.1", right)).toBe("in")
      expect(yield* guesses("10.0.0.1", 20)).toBe(most)
    }).pipe(Effect.provide(ground))
  )

  it.effect("counts every way in together, and people rather than spellings", () =>
    Effect.gen(function* () {
      const lockout = yield* Lockout.Lockout
      yield* lockout.failed("10.0.0.1")
      yield* lockout.failed("::ffff:10.0.0.1")
      yield* lockout.failed("::FFFF:a00:1")
      expect(yield* guesses("10.0.0.1", 9)).toBe(most - 3)
      expect(yield* guess("::ffff:10.0.0.1", right)).toBe("locked")
      for (let host = 1; host <= most; host++) yield* lockout.failed(`2001:db8:1:2::${host}`)
      expect(yield* guess("2001:db8:1:2:ffff::1", right)).toBe("locked")
      expect(yield* guess("2001:db8:1:3::1", right)).toBe("in")
    }).pipe(Effect.provide(ground))
  )

  it.effect("is not outrun by attempts side by side", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      let judged = 0
      const slow = Effect.zipRight(
        Effect.sync(() => (judged += 1)),
        Effect.as(Deferred.await(gate), null)
      )
      const fiber = yield* Effect.fork(
        Effect.forEach(Array.from({ length: 100 }), () => guess("10.0.0.1", slow), { concurrency: "unbounded" })
      )
      // All that will ever be judged are waiting when the others have been refused.
      while (judged < most) yield* Effect.yieldNow()
      const late = yield* guess("10.0.0.1", right)
      yield* Deferred.succeed(gate, undefined)
      const all = yield* Fiber.join(fiber)
      expect([late, judged, all.filter((each) => each === "locked").length]).toEqual(["locked", most, 100 - most])
      expect((yield* lockouts).length).toBe(1)
    }).pipe(Effect.provide(ground))
  )

  it.effect("stays in force when a right one that had begun before turns out right", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      let begun = false
      const slow = Effect.suspend(() => {
        begun = true
        return Effect.as(Deferred.await(gate), "in")
      })
      const fiber = yield* Effect.fork(guess("10.0.0.1", slow))
      while (!begun) yield* Effect.yieldNow()
      expect(yield* guesses("10.0.0.1", most - 1)).toBe(most - 1)
      expect((yield* lockouts).length).toBe(1)
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.join(fiber)).toBe("in")
      expect(yield* guesses("10.0.0.1", 20)).toBe(0)
    }).pipe(Effect.provide(ground))
  )

  it.effect("takes back what was right, and only that", () =>
    Effect.gen(function* () {
      const lockout = yield* Lockout.Lockout
      expect(yield* guesses("10.0.0.1", most - 1)).toBe(most - 1)
      for (let index = 0; index < 20; index++) expect(yield* guess("10.0.0.1", right)).toBe("in")
      // Somebody with a right one does not win guesses at others.
      expect(yield* guesses("10.0.0.1", 20)).toBe(1)
      // What could not be judged was no guess.
      for (let index = 0; index < 20; index++) {
        expect(yield* Effect.flip(lockout.attempt("10.0.0.2", Effect.fail("busy" as const)))).toBe("busy")
      }
      expect(yield* guess("10.0.0.2", right)).toBe("in")
    }).pipe(Effect.provide(ground))
  )

  it.effect("counts an attempt that was broken off before its answer", () =>
    Effect.gen(function* () {
      for (let index = 0; index < most; index++) {
        const begun = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          guess("10.0.0.1", Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never))
        )
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
      }
      expect(yield* guess("10.0.0.1", right)).toBe("locked")
      // Also when something else went wrong on the way out.
      const both = Cause.parallel(Cause.fail("busy" as const), Cause.interrupt(FiberId.none))
      const lockout = yield* Lockout.Lockout
      for (let index = 0; index < most; index++) {
        yield* Effect.exit(lockout.attempt("10.0.0.2", Effect.failCause(both)))
      }
      expect(yield* guess("10.0.0.2", right)).toBe("locked")
    }).pipe(Effect.provide(ground))
  )

  it.effect("tells the audit log once for each lock-out", () =>
    Effect.gen(function* () {
      yield* guesses("10.0.0.1", 20)
      const [entry, ...more] = yield* lockouts
      expect(more).toEqual([])
      expect(entry?.event.data).toEqual({ address: "10.0.0.1", failures: most, durationMs })
      yield* TestClock.adjust(durationMs)
      yield* guesses("10.0.0.1", 20)
      expect((yield* lockouts).length).toBe(2)
    }).pipe(Effect.provide(ground))
  )

  it.effect("forgets failures that are long ago, and holds no more addresses than it should", () =>
    Effect.gen(function* () {
      const { desk } = yield* Database
      const count = desk.read((db) => db.get("SELECT COUNT(*) AS count FROM lockouts"))
      yield* guesses("10.0.0.1", most)
      yield* desk.write((db) => {
        const sql = "INSERT INTO lockouts (address, failures, at, told) VALUES (?, 1, 1, 0)"
        for (let index = 0; index < 12_000; index++) db.run(sql, `x${index}`)
      })
      yield* guess("10.0.0.2")
      expect(yield* count).toEqual({ count: 10_000 })
      // Who is locked out stays so while others can be forgotten.
      expect(yield* guess("10.0.0.1", right)).toBe("locked")
      yield* TestClock.adjust(durationMs + 1)
      yield* guess("10.0.0.3")
      expect(yield* count).toEqual({ count: 1 })
    }).pipe(Effect.provide(ground))
  )

  it.scoped("keeps its count over restarts", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (let index = 0; index < most; index++) {
        expect(yield* Effect.provide(guess("10.0.0.1"), over(folder))).toBe("wrong")
      }
      expect(yield* Effect.provide(guess("10.0.0.1", right), over(folder))).toBe("locked")
      // The clock was set back by a year meanwhile: the lock-out lasts as long as ever, not a year.
      yield* TestClock.adjust("365 days")
      yield* Effect.provide(guesses("10.0.0.2", most), over(folder))
      yield* TestClock.setTime(1000)
      yield* Effect.gen(function* () {
        expect(yield* guess("10.0.0.2", right)).toBe("locked")
        yield* TestClock.adjust(durationMs)
        expect(yield* guess("10.0.0.2", right)).toBe("in")
      }).pipe(Effect.provide(over(folder)))
    })
  )

  it.effect("is not shortened by moving the clock", () =>
    Effect.gen(function* () {
      yield* guesses("10.0.0.1", most)
      const steady = yield* Effect.clock
      const moved: Clock.Clock = Object.assign(Object.create(steady), {
        currentTimeMillis: Effect.succeed(4_000_000_000_000),
        unsafeCurrentTimeMillis: () => 4_000_000_000_000,
        unsafeCurrentTimeNanos: () => steady.unsafeCurrentTimeNanos()
      })
      expect(yield* Effect.withClock(guess("10.0.0.1", right), moved)).toBe("locked")
    }).pipe(Effect.provide(ground))
  )

  it.live("keeps what was counted when it is killed, judged or not", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (const count of [2, 3]) {
        yield* Effect.async<void>((resume) => {
          const worker = spawn(process.execPath, ["test/support/lockout-worker.ts", folder, String(count)], {
            stdio: ["ignore", "pipe", "inherit"]
          })
          let said = ""
          worker.stdout.setEncoding("utf8").on("data", (text: string) => {
            said += text
            if (said.split("counted").length > count) worker.kill("SIGKILL")
          })
          worker.once("exit", () => resume(Effect.void))
        })
      }
      expect(yield* Effect.provide(guess("10.1.1.1", right), over(folder))).toBe("locked")
      expect(yield* Effect.provide(guess("10.1.1.2", right), over(folder))).toBe("in")
      // The keys of each process are its own here, which the audit log remarks on.
    }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.Error))
  )
})
