/**
 * Lockout: counts wrong credentials per client address, over HTTP, WebSocket and SSE alike.
 *
 * Guarantees: after `maxFailedAttempts` failures an address is locked out for `lockoutDurationMs`;
 * of many attempts at once no more than that many are ever judged; counts survive a restart and a
 * kill; addresses are told apart as people are: an IPv4-mapped IPv6 address is that IPv4 address, an
 * IPv6 address stands for its /64. While the process lives, moving the clock shortens nothing.
 */
import { Cause, Context, Effect, Exit, Layer, Schema } from "effect"
import { TooManyRequests } from "../contract/access.ts"
import { AuditEvent } from "../domain/Audit.ts"
import { Audit } from "../kernel/Audit.ts"
import { Database, DatabaseError, type Statements } from "../kernel/Database.ts"
import { Settings } from "../kernel/Settings.ts"
import { canonical, counted } from "./ClientAddress.ts"

export class Lockout extends Context.Tag("ai-desk/gateway/Lockout")<
  Lockout,
  {
    /**
     * Judges one attempt. `verify` answers whether the credential is right; it is not run for an
     * address that is locked out. A failure is counted before it is known to be one, so that
     * attempts side by side cannot outrun the count; success takes the count back.
     */
    readonly attempt: <A, E>(
      address: string,
      verify: Effect.Effect<A | null, E>
    ) => Effect.Effect<A | null, E | TooManyRequests | DatabaseError>
    /** Counts a failure that was found without this service. */
    readonly failed: (address: string) => Effect.Effect<void, TooManyRequests | DatabaseError>
  }
>() {}

/** About a megabyte. When more addresses fail within one lock-out, the longest quiet is forgotten, those locked out last. */
const mostAddresses = 10_000

const Row = Schema.Struct({ failures: Schema.Number, at: Schema.Number, told: Schema.Number })
type Row = typeof Row.Type
const isRow = Schema.is(Row)

interface Rule {
  readonly most: number
  readonly durationMs: number
}

const rowOf = (db: Statements, address: string): Row | null => {
  const row = db.get("SELECT failures, at, told FROM lockouts WHERE address = ?", address)
  return isRow(row) ? row : null
}

/** Epoch milliseconds at the start of the process, then the machine's steady clock. */
const steadyMs = Effect.clockWith((clock) => Effect.sync(() => Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)))

/** Milliseconds for which the row still locks its address out; 0 when it does not. */
const lockedFor = (row: Row | null, now: number, rule: Rule): number =>
  row === null || row.failures < rule.most ? 0 : Math.max(0, row.at + rule.durationMs - now)

const refusal = (retryAfterMs: number) => new TooManyRequests({ reason: "lockout", retryAfterMs })

const makeRoom = (db: Statements, now: number, rule: Rule): void => {
  db.run("DELETE FROM lockouts WHERE at <= ?", now - rule.durationMs)
  const count = db.get("SELECT COUNT(*) AS count FROM lockouts")
  if (!Schema.is(Schema.Struct({ count: Schema.Number }))(count) || count.count < mostAddresses) return
  db.run(
    `DELETE FROM lockouts WHERE address IN (
      SELECT address FROM lockouts ORDER BY CASE WHEN failures >= ? THEN 1 ELSE 0 END, at LIMIT ?
    )`,
    rule.most,
    count.count - mostAddresses + 1
  )
}

/** Within the write's transaction. */
const count = (db: Statements, address: string, now: number, rule: Rule): void => {
  const row = rowOf(db, address)
  if (row === null) {
    makeRoom(db, now, rule)
    db.run("INSERT INTO lockouts (address, failures, at, told) VALUES (?, 1, ?, 0)", address, now)
  } else if (now - row.at >= rule.durationMs) {
    db.run("UPDATE lockouts SET failures = 1, at = ?, told = 0 WHERE address = ?", now, address)
  } else {
    db.run("UPDATE lockouts SET failures = failures + 1, at = ? WHERE address = ?", now, address)
  }
}

const make = Effect.gen(function* () {
  const { desk } = yield* Database
  const settings = yield* Settings
  const audit = yield* Audit

  const rule = Effect.map(
    settings.current,
    ({ config }): Rule => ({
      most: config.gateway.auth.maxFailedAttempts,
      durationMs: config.gateway.auth.lockoutDurationMs
    })
  )

  // The clock was set back while no process ran: what lies ahead lasts from now, not until then.
  const begin = yield* steadyMs
  yield* desk.write((db) => db.run("UPDATE lockouts SET at = ? WHERE at > ?", begin, begin))

  const keyOf = (address: string) => counted(canonical(address) ?? address.slice(0, 64))

  const begun = (key: string, now: number, { durationMs, most }: Rule) =>
    Effect.gen(function* () {
      // First without writing: whoever is locked out costs no disk.
      const locked = yield* desk.read((db) => lockedFor(rowOf(db, key), now, { durationMs, most }))
      if (locked > 0) return yield* refusal(locked)
      yield* desk.write<void, TooManyRequests>((db, fail) => {
        const left = lockedFor(rowOf(db, key), now, { durationMs, most })
        if (left > 0) return fail(refusal(left))
        count(db, key, now, { durationMs, most })
      })
    })

  const takenBack = (key: string) =>
    desk.write((db) =>
      db.run("UPDATE lockouts SET failures = failures - 1 WHERE address = ? AND failures > 0 AND told = 0", key)
    )

  /** Tells the audit log when the address is locked out now, once for each time. */
  const told = (key: string, { durationMs, most }: Rule) =>
    Effect.gen(function* () {
      const due = (row: Row | null) => row !== null && row.failures >= most && row.told === 0
      if (!(yield* desk.read((db) => due(rowOf(db, key))))) return
      const first = yield* desk.write((db) =>
        db.run("UPDATE lockouts SET told = 1 WHERE address = ? AND failures >= ? AND told = 0", key, most)
      )
      if (first === 0) return
      yield* audit.note(new AuditEvent({ type: "auth.locked_out", data: { address: key, failures: most, durationMs } }))
    })

  const attempt = <A, E>(address: string, verify: Effect.Effect<A | null, E>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const limits = yield* rule
        const key = keyOf(address)
        yield* begun(key, yield* steadyMs, limits)
        const exit = yield* Effect.exit(restore(verify))
        // Interrupted or broken is no proof, so it stays counted; an error of its own was never judged.
        const unjudged = Exit.isFailure(exit) && Cause.isFailure(exit.cause) && !Cause.isInterrupted(exit.cause)
        if (unjudged || (Exit.isSuccess(exit) && exit.value !== null)) yield* takenBack(key)
        else yield* told(key, limits)
        return yield* exit
      })
    )

  const failed = Effect.fn("Lockout.failed")(function* (address: string) {
    const limits = yield* rule
    const key = keyOf(address)
    yield* begun(key, yield* steadyMs, limits)
    yield* told(key, limits)
  }, Effect.uninterruptible)

  return Lockout.of({ attempt, failed })
})

export const layer: Layer.Layer<Lockout, DatabaseError, Database | Settings | Audit> = Layer.effect(Lockout, make)
