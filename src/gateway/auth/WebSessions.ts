/**
 * WebSessions: log-ins of people in browsers.
 *
 * Guarantees: every log-in is new, with a cookie and a proof of 256 random bits each, kept only as
 * keyed hashes; either alone proves nothing; a log-in ends when it was unused for too long, after a
 * fixed time in any case, and by logging out, on the server and for good: the end survives a restart,
 * as the log-in does. With which token it began, and in which mode, is for `Auth` to judge.
 */
import { Clock, Context, Deferred, Effect, FiberId, Layer, Redacted, Schema } from "effect"
import { AuthMode, TokenId } from "../../domain/Access.ts"
import { constantTimeEqual, Crypto, randomBytes } from "../../kernel/Crypto.ts"
import { Database, type DatabaseError } from "../../kernel/Database.ts"
import { ulid } from "../../kernel/Ids.ts"
import { Settings } from "../../kernel/Settings.ts"
import { isSecret, newSecret } from "./SecretText.ts"
import * as Uses from "./Uses.ts"

export interface WebSession {
  readonly id: string
  readonly mode: AuthMode
  /** With which it began; it ends with it. */
  readonly token: TokenId | null
  readonly createdAt: number
}

export interface Begun {
  readonly session: WebSession
  readonly cookie: Redacted.Redacted<string>
  readonly proof: Redacted.Redacted<string>
  readonly idleMs: number
  /** Epoch milliseconds. */
  readonly expiresAt: number
}

export type SessionVerdict =
  | { readonly state: "active"; readonly session: WebSession }
  | { readonly state: "expired" | "ended" }
  | { readonly state: "unknown" }

export class WebSessions extends Context.Tag("ai-desk/gateway/WebSessions")<
  WebSessions,
  {
    readonly begin: (mode: AuthMode, token: TokenId | null) => Effect.Effect<Begun, DatabaseError>
    /** A right pair counts as a use. Touches no disk. */
    readonly verify: (
      cookie: Redacted.Redacted<string>,
      proof: Redacted.Redacted<string>
    ) => Effect.Effect<SessionVerdict>
    /** Logs out. False when there is no such log-in, or it has ended. */
    readonly end: (id: string) => Effect.Effect<boolean, DatabaseError>
    /** Ends all but one. */
    readonly endOthers: (id: string | null) => Effect.Effect<number, DatabaseError>
    readonly find: (id: string) => Effect.Effect<WebSession | null>
    /** Returns when the log-in ends for any reason of its own; at once when there is none. */
    readonly ended: (id: string) => Effect.Effect<void>
  }
>() {}

/** Uses are written down so often; after a kill a log-in seems unused for so much longer. Less than the shortest idle time, ms. */
const flushMs = 30_000
/** Who waits for an end looks again after so long at the latest, because the settings may have changed, ms. */
const lookMs = 30_000
/** The oldest of more ends. */
const mostOpen = 64
/** Longer than any log-in may last, ms. */
const keptMs = 45 * 86_400_000

const Row = Schema.Struct({
  id: Schema.String,
  cookie: Schema.String,
  proof: Schema.String,
  mode: AuthMode,
  token: Schema.NullOr(TokenId),
  created_at: Schema.Finite,
  ended_at: Schema.NullOr(Schema.Finite),
  last_seen_at: Schema.Finite,
  mac: Schema.String
})
const decodeRow = Schema.decodeUnknownOption(Row)

interface Held extends WebSession {
  readonly cookie: string
  readonly proof: string
  seenAt: number
  endedAt: number | null
  readonly over: Deferred.Deferred<void>
}

const make = Effect.gen(function* () {
  const { desk } = yield* Database
  const crypto = yield* Crypto
  const settings = yield* Settings
  const turn = yield* Effect.makeSemaphore(1)
  const byCookie = new Map<string, Held>()
  const byId = new Map<string, Held>()
  const uses = yield* Uses.make<Held>(
    desk,
    "log-ins",
    flushMs,
    (db, { id, seenAt }) => void db.run("UPDATE web_sessions SET last_seen_at = ? WHERE id = ?", seenAt, id)
  )

  const hashOf = (what: "cookie" | "proof", raw: string) => crypto.fingerprint("web-session", what, raw)
  const macOf = (row: Omit<Held, "seenAt" | "over">) =>
    crypto.fingerprint(
      "web-session",
      "row",
      row.id,
      row.cookie,
      row.proof,
      row.mode,
      ...[row.token, row.createdAt, row.endedAt].map(String)
    )
  const hold = (held: Held): void => {
    byCookie.set(held.cookie, held)
    byId.set(held.id, held)
  }

  const rows = yield* desk.read((db) =>
    db.all(
      "SELECT id, cookie, proof, mode, token, created_at, ended_at, last_seen_at, mac FROM web_sessions ORDER BY created_at, id"
    )
  )
  for (const found of rows) {
    const row = decodeRow(found)
    const held: Held | null =
      row._tag === "None"
        ? null
        : {
            id: row.value.id,
            cookie: row.value.cookie,
            proof: row.value.proof,
            mode: row.value.mode,
            token: row.value.token,
            createdAt: row.value.created_at,
            endedAt: row.value.ended_at,
            seenAt: row.value.last_seen_at,
            over: Deferred.unsafeMake(FiberId.none)
          }
    if (held !== null && row._tag === "Some" && constantTimeEqual(yield* macOf(held), row.value.mac)) hold(held)
    else yield* Effect.logError("a log-in in desk.db was changed by someone else or is damaged; it counts no more")
  }

  const limits = Effect.map(settings.current, ({ config }) => config.gateway.auth)

  /** When it ends by itself, as things stand. */
  const endOf = ({ createdAt, seenAt }: Held) =>
    Effect.map(limits, ({ sessionIdleMs, sessionMaxMs }) => Math.min(createdAt + sessionMaxMs, seenAt + sessionIdleMs))

  const finish = (ending: ReadonlyArray<Held>) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const changes = yield* Effect.forEach(ending, (held) =>
        Effect.map(macOf({ ...held, endedAt: now }), (mac) => ({ held, mac }))
      )
      yield* desk.write((db) => {
        for (const { held, mac } of changes) {
          db.run("UPDATE web_sessions SET ended_at = ?, mac = ? WHERE id = ?", now, mac, held.id)
        }
      })
      for (const held of ending) {
        held.endedAt = now
        uses.forget(held)
        Deferred.unsafeDone(held.over, Effect.void)
      }
    })

  const isOpen = (held: Held, now: number) =>
    held.endedAt === null ? Effect.map(endOf(held), (at) => now < at) : Effect.succeed(false)

  const begin = Effect.fn("WebSessions.begin")(
    function* (mode: AuthMode, token: TokenId | null) {
      const now = yield* Clock.currentTimeMillis
      const cookie = newSecret("aids")
      const proof = newSecret("aidp")
      const held: Held = {
        id: `web-${ulid(now, randomBytes(10))}`,
        cookie: yield* hashOf("cookie", Redacted.value(cookie)),
        proof: yield* hashOf("proof", Redacted.value(proof)),
        mode,
        token,
        createdAt: now,
        endedAt: null,
        seenAt: now,
        over: Deferred.unsafeMake(FiberId.none)
      }
      const old = [...byId.values()].filter(({ createdAt }) => createdAt < now - keptMs)
      const open = yield* Effect.filter([...byId.values()], (each) => isOpen(each, now))
      yield* finish(open.slice(0, Math.max(0, open.length - mostOpen + 1)))
      const mac = yield* macOf(held)
      yield* desk.write((db) => {
        for (const { id } of old) db.run("DELETE FROM web_sessions WHERE id = ?", id)
        db.run(
          "INSERT INTO web_sessions (id, cookie, proof, mode, token, created_at, last_seen_at, mac) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          held.id,
          held.cookie,
          held.proof,
          mode,
          token,
          now,
          now,
          mac
        )
      })
      for (const each of old) {
        byCookie.delete(each.cookie)
        byId.delete(each.id)
      }
      hold(held)
      const { sessionIdleMs, sessionMaxMs } = yield* limits
      return { session: held, cookie, proof, idleMs: sessionIdleMs, expiresAt: now + sessionMaxMs }
    },
    turn.withPermits(1),
    Effect.uninterruptible
  )

  const verify = (cookie: Redacted.Redacted<string>, proof: Redacted.Redacted<string>): Effect.Effect<SessionVerdict> =>
    Effect.gen(function* () {
      const [left, right] = [Redacted.value(cookie), Redacted.value(proof)]
      if (!isSecret("aids", left) || !isSecret("aidp", right)) return { state: "unknown" }
      const held = byCookie.get(yield* hashOf("cookie", left))
      const given = yield* hashOf("proof", right)
      if (held === undefined || !constantTimeEqual(held.proof, given)) return { state: "unknown" }
      if (held.endedAt !== null) return { state: "ended" }
      const now = yield* Clock.currentTimeMillis
      if (!(yield* isOpen(held, now))) return { state: "expired" }
      held.seenAt = now
      yield* uses.add(held)
      return { state: "active", session: held }
    })

  const ended = (id: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      const held = byId.get(id)
      if (held === undefined) return Effect.void
      const look: Effect.Effect<void> = Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        if (held.endedAt !== null) return
        const at = yield* endOf(held)
        if (now >= at) return
        yield* Effect.sleep(Math.min(at - now, lookMs))
        yield* look
      })
      return Effect.race(Deferred.await(held.over), look)
    })

  const endSome = (which: (held: Held) => boolean) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const ending = yield* Effect.filter([...byId.values()].filter(which), (held) => isOpen(held, now))
      if (ending.length > 0) yield* finish(ending)
      return ending.length
    }).pipe(turn.withPermits(1), Effect.uninterruptible)

  return WebSessions.of({
    begin,
    verify,
    end: (id) =>
      Effect.map(
        endSome((held) => held.id === id),
        (count) => count > 0
      ),
    endOthers: (id) => endSome((held) => held.id !== id),
    find: (id) => Effect.sync(() => byId.get(id) ?? null),
    ended
  })
})

export const layer: Layer.Layer<WebSessions, DatabaseError, Database | Crypto | Settings> = Layer.scoped(
  WebSessions,
  make
)
