/**
 * Tokens: what programs, and people who do not log in, prove themselves with.
 *
 * Guarantees: 256 random bits, shown once and kept only as a keyed hash, so that neither a copy of the
 * database nor of the logs gives one back; found by that hash, so that no time taken tells how much of
 * a guess is right; a row that was changed behind our back counts no more; a token that was revoked or
 * has run out counts no more from the next request on, and whoever serves it is told at once. One
 * process per folder changes tokens: it holds the folder's lock.
 */
import { Clock, Context, Deferred, Effect, FiberId, Layer, Redacted, Schema } from "effect"
import { type NewToken, TokenCreated, TokenId, TokenInfo, TokenNotFound } from "../../domain/Access.ts"
import { AuditEvent, type AuditUnavailable } from "../../domain/Audit.ts"
import { Caller } from "../../domain/Caller.ts"
import { Audit } from "../../kernel/Audit.ts"
import { constantTimeEqual, Crypto, randomBytes } from "../../kernel/Crypto.ts"
import { Database, DatabaseError } from "../../kernel/Database.ts"
import { ulid } from "../../kernel/Ids.ts"
import { Secrets } from "../../kernel/Redaction.ts"
import { isSecret, newSecret } from "./SecretText.ts"
import { until } from "./Until.ts"
import * as Uses from "./Uses.ts"

/** What a presented text turned out to be. */
export type Verdict =
  | { readonly state: "active"; readonly info: TokenInfo }
  | { readonly state: "expired" | "revoked"; readonly info: TokenInfo }
  | { readonly state: "unknown" }

export class Tokens extends Context.Tag("ai-desk/gateway/Tokens")<
  Tokens,
  {
    /** The raw token is in this answer and nowhere else. */
    readonly create: (wanted: NewToken) => Effect.Effect<TokenCreated, DatabaseError | AuditUnavailable>
    /** All that were ever made, but for those that ended three months ago or earlier; oldest first. */
    readonly list: Effect.Effect<ReadonlyArray<TokenInfo>>
    /** False when it was revoked before. */
    readonly revoke: (id: TokenId) => Effect.Effect<boolean, TokenNotFound | DatabaseError | AuditUnavailable>
    /** Touches no disk. */
    readonly verify: (raw: Redacted.Redacted<string>) => Effect.Effect<Verdict>
    /** As it is now, or null when there is none. */
    readonly find: (id: string) => Effect.Effect<TokenInfo | null>
    /** Returns when the token is revoked or runs out; at once when there is none that counts. */
    readonly ended: (id: string) => Effect.Effect<void>
  }
>() {}

/** Ended ones are still told apart from ones that never were for so long, ms. */
const keptMs = 90 * 86_400_000
/** Use is written down so often, ms. */
const flushMs = 60_000

const Grants = Schema.Struct({
  label: TokenInfo.fields.label,
  scopes: TokenInfo.fields.scopes,
  allowance: TokenInfo.fields.allowance,
  models: TokenInfo.fields.models
})
const GrantsJson = Schema.parseJson(Grants)
const encodeGrants = Schema.encodeSync(GrantsJson)

const Row = Schema.Struct({
  id: TokenId,
  hash: Schema.String,
  grants: GrantsJson,
  /** As it stands, for the mac. */
  text: Schema.String,
  created_at: Schema.Finite,
  expires_at: Schema.NullOr(Schema.Finite),
  revoked_at: Schema.NullOr(Schema.Finite),
  last_used_at: Schema.NullOr(Schema.Finite),
  mac: Schema.String
})
const decodeRow = Schema.decodeUnknownEither(Row)

interface Held {
  readonly id: TokenId
  readonly hash: string
  readonly grants: typeof Grants.Type
  /** The grants as they stand in the row. */
  readonly text: string
  readonly createdAt: number
  readonly expiresAt: number | null
  revokedAt: number | null
  lastUsedAt: number | null
  readonly over: Deferred.Deferred<void>
}

const stateAt = ({ expiresAt, revokedAt }: Held, now: number): TokenInfo["state"] =>
  revokedAt !== null ? "revoked" : expiresAt !== null && expiresAt <= now ? "expired" : "active"

/** Unchecked, because it was checked when it came in, and this is done for every request. */
const infoOf = (held: Held, now: number): TokenInfo =>
  new TokenInfo(
    {
      ...held.grants,
      id: held.id,
      state: stateAt(held, now),
      createdAt: held.createdAt,
      ...(held.expiresAt === null ? {} : { expiresAt: held.expiresAt }),
      ...(held.lastUsedAt === null ? {} : { lastUsedAt: held.lastUsedAt }),
      ...(held.revokedAt === null ? {} : { revokedAt: held.revokedAt })
    },
    true
  )

const make = Effect.gen(function* () {
  const { desk } = yield* Database
  const crypto = yield* Crypto
  const audit = yield* Audit
  const turn = yield* Effect.makeSemaphore(1)
  const byHash = new Map<string, Held>()
  const byId = new Map<string, Held>()
  const uses = yield* Uses.make<Held>(
    desk,
    "tokens",
    flushMs,
    (db, { id, lastUsedAt }) => void db.run("UPDATE api_tokens SET last_used_at = ? WHERE id = ?", lastUsedAt, id)
  )
  /** Raw tokens that redaction knows. */
  const seen = new WeakSet<Held>()

  const hashOf = (raw: string) => crypto.fingerprint("token", "text", raw)
  const macOf = (row: Pick<Held, "id" | "hash" | "text" | "createdAt" | "expiresAt" | "revokedAt">) =>
    crypto.fingerprint(
      "token",
      "row",
      row.id,
      row.hash,
      row.text,
      ...[row.createdAt, row.expiresAt, row.revokedAt].map(String)
    )

  const hold = (held: Held): void => {
    byHash.set(held.hash, held)
    byId.set(held.id, held)
  }
  const forget = (held: Held): void => {
    byHash.delete(held.hash)
    byId.delete(held.id)
    uses.forget(held)
  }

  const rows = yield* desk.read((db) =>
    db.all(
      "SELECT id, hash, grants, grants AS text, created_at, expires_at, revoked_at, last_used_at, mac FROM api_tokens ORDER BY created_at, id"
    )
  )
  for (const found of rows) {
    const row = decodeRow(found)
    const held: Held | undefined =
      row._tag === "Left"
        ? undefined
        : {
            id: row.right.id,
            hash: row.right.hash,
            grants: row.right.grants,
            text: row.right.text,
            createdAt: row.right.created_at,
            expiresAt: row.right.expires_at,
            revokedAt: row.right.revoked_at,
            lastUsedAt: row.right.last_used_at,
            over: Deferred.unsafeMake(FiberId.none)
          }
    const genuine = held !== undefined && row._tag === "Right" && constantTimeEqual(yield* macOf(held), row.right.mac)
    if (held !== undefined && genuine) hold(held)
    else yield* Effect.logError("a token in desk.db was changed by someone else or is damaged; it counts no more")
  }

  const create = Effect.fn("Tokens.create")(
    function* (wanted: NewToken) {
      const caller = yield* Caller
      const now = yield* Clock.currentTimeMillis
      const token = newSecret("aidt")
      Secrets.register(token)
      const { allowance, expiresInMs, label, models, scopes } = wanted
      const grants = {
        label,
        scopes,
        ...(allowance === undefined ? {} : { allowance }),
        ...(models === undefined ? {} : { models })
      }
      const held: Held = {
        id: TokenId.make(`tok-${ulid(now, randomBytes(10))}`),
        hash: yield* hashOf(Redacted.value(token)),
        grants,
        text: encodeGrants(grants),
        createdAt: now,
        expiresAt: expiresInMs === undefined ? null : now + expiresInMs,
        revokedAt: null,
        lastUsedAt: null,
        over: Deferred.unsafeMake(FiberId.none)
      }
      seen.add(held)
      const mac = yield* macOf(held)
      yield* audit.append(
        new AuditEvent({
          type: "token.created",
          principal: caller.principal,
          data: {
            token: held.id,
            scopes: scopes.join(","),
            ...(held.expiresAt === null ? {} : { until: held.expiresAt })
          }
        })
      )
      const old = [...byId.values()].filter(
        ({ expiresAt, revokedAt }) => Math.min(expiresAt ?? now, revokedAt ?? now) < now - keptMs
      )
      yield* desk.write((db) => {
        for (const { id } of old) db.run("DELETE FROM api_tokens WHERE id = ?", id)
        db.run(
          "INSERT INTO api_tokens (id, hash, grants, created_at, expires_at, mac) VALUES (?, ?, ?, ?, ?, ?)",
          held.id,
          held.hash,
          held.text,
          now,
          held.expiresAt,
          mac
        )
      })
      old.forEach(forget)
      hold(held)
      return new TokenCreated({ info: infoOf(held, now), token })
    },
    turn.withPermits(1),
    Effect.uninterruptible
  )

  const revoke = Effect.fn("Tokens.revoke")(
    function* (id: TokenId) {
      const caller = yield* Caller
      const held = byId.get(id)
      if (held === undefined) return yield* new TokenNotFound({ id })
      if (held.revokedAt !== null) return false
      const revokedAt = yield* Clock.currentTimeMillis
      const mac = yield* macOf({ ...held, revokedAt })
      yield* audit.append(new AuditEvent({ type: "token.revoked", principal: caller.principal, data: { token: id } }))
      yield* desk.write((db) =>
        db.run("UPDATE api_tokens SET revoked_at = ?, mac = ? WHERE id = ?", revokedAt, mac, id)
      )
      held.revokedAt = revokedAt
      Deferred.unsafeDone(held.over, Effect.void)
      return true
    },
    turn.withPermits(1),
    Effect.uninterruptible
  )

  const verify = (raw: Redacted.Redacted<string>): Effect.Effect<Verdict> =>
    Effect.gen(function* () {
      const text = Redacted.value(raw)
      if (!isSecret("aidt", text)) return { state: "unknown" }
      const hash = yield* hashOf(text)
      const held = byHash.get(hash)
      if (held === undefined || !constantTimeEqual(held.hash, hash)) return { state: "unknown" }
      if (!seen.has(held)) {
        seen.add(held)
        Secrets.register(raw)
      }
      const now = yield* Clock.currentTimeMillis
      const state = stateAt(held, now)
      if (state === "active") {
        held.lastUsedAt = now
        yield* uses.add(held)
      }
      return { state, info: infoOf(held, now) }
    })

  const ended = (id: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      const held = byId.get(id)
      if (held === undefined || held.revokedAt !== null) return Effect.void
      const revoked = Deferred.await(held.over)
      return held.expiresAt === null ? revoked : Effect.race(revoked, until(held.expiresAt))
    })

  const now = Clock.currentTimeMillis
  return Tokens.of({
    create,
    revoke,
    verify,
    list: Effect.map(now, (at) => [...byId.values()].map((held) => infoOf(held, at))),
    find: (id) =>
      Effect.map(now, (at) => {
        const held = byId.get(id)
        return held === undefined ? null : infoOf(held, at)
      }),
    ended
  })
})

export const layer: Layer.Layer<Tokens, DatabaseError, Database | Crypto | Audit> = Layer.scoped(Tokens, make)
