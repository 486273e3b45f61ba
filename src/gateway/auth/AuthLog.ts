/**
 * AuthLog: what the audit log hears of log-ins and credentials.
 *
 * Guarantees: every log-in and every new use of a credential is recorded; nobody can flood the log with
 * wrong ones: an address is locked out after a few, which is recorded once, and over all addresses no
 * more than so many are recorded in a minute; how many were left out is recorded then.
 */
import { Clock, Effect, type Scope } from "effect"
import { AuditEvent } from "../../domain/Audit.ts"
import type { CallerInfo } from "../../domain/Caller.ts"
import type { Audit } from "../../kernel/Audit.ts"

export interface AuthLog {
  /** A credential that was not right. Never what was sent. */
  readonly failed: (address: string, how: string, reason: string) => Effect.Effect<void>
  /** One that was right once, or is elsewhere: recorded when it is the first such from there within an hour. */
  readonly ofNoUse: (address: string, how: string, reason: string) => Effect.Effect<void>
  /** A log-in. */
  readonly loggedIn: (address: string, how: string, credential: string) => Effect.Effect<void>
  /** A request with a credential: recorded when it is the first from there within an hour. */
  readonly used: (address: string, caller: CallerInfo) => Effect.Effect<void>
}

/** Over all addresses. */
const mostPerMinute = 60
const minuteMs = 60_000
const hourMs = 3_600_000
/** Pairs of credential (or failure) and address that are remembered; the ones unused for longest go. */
const mostPairs = 1000

export const make = (audit: typeof Audit.Service): Effect.Effect<AuthLog, never, Scope.Scope> =>
  Effect.gen(function* () {
    let since = 0
    let recorded = 0
    let left = 0
    const pairs = new Map<string, number>()

    const owed = Effect.suspend(() => {
      if (left === 0) return Effect.void
      const count = left
      left = 0
      return audit.note(new AuditEvent({ type: "auth.failed", data: { reason: "too many to record each", count } }))
    })
    yield* Effect.addFinalizer(() => owed)

    const isNew = (pair: string, now: number): boolean => {
      const last = pairs.get(pair)
      if (last !== undefined && Math.abs(now - last) < hourMs) return false
      pairs.delete(pair)
      pairs.set(pair, now)
      const [oldest] = pairs.keys()
      if (pairs.size > mostPairs && oldest !== undefined) pairs.delete(oldest)
      return true
    }

    const failed: AuthLog["failed"] = (address, how, reason) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        if (Math.abs(now - since) >= minuteMs) {
          since = now
          recorded = 0
          yield* owed
        }
        if (recorded >= mostPerMinute) {
          left += 1
          return
        }
        recorded += 1
        yield* audit.note(new AuditEvent({ type: "auth.failed", data: { address, how, reason } }))
      })

    return {
      failed,
      ofNoUse: (address, how, reason) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          isNew(`${how} ${reason} ${address}`, now) ? failed(address, how, reason) : Effect.void
        ),
      loggedIn: (address, how, credential) =>
        audit.note(new AuditEvent({ type: "auth.succeeded", principal: "owner", data: { address, how, credential } })),
      used: (address, { by, credential, principal }) =>
        Effect.gen(function* () {
          const pair = `${credential ?? ""} ${address}`
          const now = yield* Clock.currentTimeMillis
          if (!isNew(pair, now)) return
          yield* audit.note(
            new AuditEvent({
              type: "auth.succeeded",
              principal,
              data: { address, how: by, credential: credential ?? "" }
            })
          )
        })
    }
  })
