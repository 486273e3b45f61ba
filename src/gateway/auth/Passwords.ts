/**
 * Passwords: the owner's password, and how it is checked.
 *
 * Guarantees: kept only as the keyed hash of a slow derivation (argon2id, or scrypt where this Node has
 * none) whose parameters stand beside it, so that a copy of the database alone cannot even be guessed
 * at; nothing is derived on the event loop; at most two derivations run at once, also when those who
 * asked have gone, ten wait, and the rest is told to come back; a password is never cut off.
 */
import { Clock, Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { TooManyRequests } from "../../contract/access.ts"
import { PasswordNotSet, PasswordRefused } from "../../domain/Access.ts"
import { AuditEvent, type AuditUnavailable } from "../../domain/Audit.ts"
import { Caller } from "../../domain/Caller.ts"
import { Audit } from "../../kernel/Audit.ts"
import { constantTimeEqual, Crypto, deriveFromPassphrase, hasArgon2, Kdf, randomBytes } from "../../kernel/Crypto.ts"
import { Database, DatabaseError } from "../../kernel/Database.ts"
import { type LoadedSettings, Settings } from "../../kernel/Settings.ts"
import { isPossible, normal, problemWith } from "./PasswordPolicy.ts"

export class Passwords extends Context.Tag("ai-desk/gateway/Passwords")<
  Passwords,
  {
    /** Replaces the one that was there. */
    readonly set: (
      password: Redacted.Redacted<string>
    ) => Effect.Effect<void, PasswordRefused | TooManyRequests | DatabaseError | AuditUnavailable>
    /** Whether it is the password. */
    readonly verify: (
      password: Redacted.Redacted<string>
    ) => Effect.Effect<boolean, PasswordNotSet | TooManyRequests | DatabaseError>
    readonly isSet: Effect.Effect<boolean, DatabaseError>
  }
>() {}

type SlowKdf = Exclude<Kdf, { id: "hkdf" }>

/** OWASP's least for argon2id (19 MiB, two passes), and as slow for scrypt in as little memory (32 MiB). */
const freshKdf = (): SlowKdf => {
  const salt = randomBytes(16)
  return hasArgon2
    ? { id: "argon2id", memory: 19_456, passes: 2, parallelism: 1, salt }
    : { id: "scrypt", N: 32_768, r: 8, p: 3, salt }
}

const mostAtOnce = 2
const mostWaiting = 10
/** What twelve derivations take on a slow machine, ms. */
const busyMs = 2000

const KdfJson = Schema.parseJson(Kdf)
const encodeKdf = Schema.encodeSync(KdfJson)
const Row = Schema.Struct({ kdf: KdfJson, hash: Schema.String })
const decodeRow = Schema.decodeUnknown(Schema.UndefinedOr(Row))

/** Names that a guesser who has seen the gateway would try. */
const ownNames = ({ agents, config: { gateway }, dir }: LoadedSettings): ReadonlyArray<string> => [
  ...agents.map((agent) => String(agent.id)),
  ...gateway.allowedHosts,
  ...(gateway.reverseProxy === undefined ? [] : [new URL(gateway.reverseProxy.publicUrl).hostname]),
  ...dir.split("/").slice(-3)
]

const utf8 = new TextEncoder()

const make = Effect.gen(function* () {
  const { desk } = yield* Database
  const crypto = yield* Crypto
  const audit = yield* Audit
  const settings = yield* Settings
  const running = yield* Effect.makeSemaphore(mostAtOnce)
  let asked = 0

  const damaged = (detail: string) => new DatabaseError({ file: desk.name, reason: "corrupt", detail })
  const stored = desk
    .read((db) => db.get("SELECT kdf, hash FROM access_password WHERE name = 'owner'"))
    .pipe(Effect.flatMap((row) => Effect.mapError(decodeRow(row), () => damaged("the stored password is damaged"))))

  /** Node cannot stop a derivation, so neither can whoever asked for it: its place is free when it is done. */
  const derived = (password: string, kdf: SlowKdf) =>
    Effect.acquireUseRelease(
      Effect.suspend(() => {
        if (asked >= mostAtOnce + mostWaiting) {
          return Effect.fail(new TooManyRequests({ reason: "busy", retryAfterMs: busyMs }))
        }
        asked += 1
        return Effect.void
      }),
      () => running.withPermits(1)(Effect.uninterruptible(deriveFromPassphrase(utf8.encode(password), kdf))),
      () =>
        Effect.sync(() => {
          asked -= 1
        })
    ).pipe(
      Effect.flatMap((key) =>
        key === undefined
          ? Effect.fail(damaged(`the password was stored with ${kdf.id}, which this version of Node does not have`))
          : crypto.fingerprint("password", encodeKdf(kdf), Buffer.from(key.export()).toString("hex"))
      )
    )

  const set = Effect.fn("Passwords.set")(function* (given: Redacted.Redacted<string>) {
    const caller = yield* Caller
    const text = Redacted.value(given)
    const reason = problemWith(text, ownNames(yield* settings.current))
    if (reason !== undefined) return yield* new PasswordRefused({ reason })
    const kdf = freshKdf()
    const hash = yield* derived(normal(text), kdf)
    const now = yield* Clock.currentTimeMillis
    yield* audit.append(
      new AuditEvent({ type: "password.set", principal: caller.principal, data: { kdf: kdf.id, by: caller.by } })
    )
    yield* desk.write((db) =>
      db.run(
        "INSERT INTO access_password (name, kdf, hash, set_at) VALUES ('owner', ?, ?, ?) ON CONFLICT (name) DO UPDATE SET kdf = excluded.kdf, hash = excluded.hash, set_at = excluded.set_at",
        encodeKdf(kdf),
        hash,
        now
      )
    )
  })

  const verify = Effect.fn("Passwords.verify")(function* (given: Redacted.Redacted<string>) {
    const row = yield* stored
    if (row === undefined) return yield* new PasswordNotSet()
    if (row.kdf.id === "hkdf") return yield* damaged("the stored password is damaged")
    const text = Redacted.value(given)
    // Costs as much as any other wrong one, and never more.
    const hash = yield* derived(isPossible(text) ? normal(text) : "", row.kdf)
    return isPossible(text) && constantTimeEqual(hash, row.hash)
  })

  return Passwords.of({
    set,
    verify,
    isSet: Effect.map(stored, (row) => Option.isSome(Option.fromNullable(row)))
  })
})

export const layer: Layer.Layer<Passwords, never, Database | Crypto | Audit | Settings> = Layer.effect(Passwords, make)
