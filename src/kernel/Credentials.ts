/**
 * Credentials: provider keys, sealed at rest. A stored key wins over one from the environment.
 * A value leaves only as `Redacted`, and only towards the provider adapter that needs it.
 *
 * Guarantees: no key is stored or removed without a durable audit entry before it, which names the
 * key by fingerprint only; every value that passes here is known to the redaction of logs; a row that
 * was moved or damaged is an error, never a silent fall-back to another key.
 */
import { Clock, Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { AuditEvent, type AuditUnavailable } from "../domain/Audit.ts"
import { asker } from "../domain/Caller.ts"
import { CredentialInfo, InvalidCredential, unusableKey } from "../domain/Credential.ts"
import type { ProviderName } from "../domain/Model.ts"
import { Audit } from "./Audit.ts"
import { Crypto, type DecryptFailed } from "./Crypto.ts"
import { Database, DatabaseError } from "./Database.ts"
import { Secrets } from "./Redaction.ts"
import { Settings } from "./Settings.ts"

export class Credentials extends Context.Tag("ai-desk/kernel/Credentials")<
  Credentials,
  {
    readonly set: (
      provider: ProviderName,
      secret: Redacted.Redacted<string>
    ) => Effect.Effect<CredentialInfo, InvalidCredential | DatabaseError | AuditUnavailable>
    /** False when there was none. */
    readonly remove: (provider: ProviderName) => Effect.Effect<boolean, DatabaseError | AuditUnavailable>
    /** The stored ones, then those of the environment that no stored one hides; by name. */
    readonly list: Effect.Effect<ReadonlyArray<CredentialInfo>, DatabaseError | DecryptFailed>
    readonly get: (
      provider: ProviderName
    ) => Effect.Effect<Option.Option<Redacted.Redacted<string>>, DatabaseError | DecryptFailed>
  }
>() {}

const address = (provider: ProviderName) => ({ table: "credentials", row: provider, column: "sealed" })
const utf8 = new TextEncoder()

const StoredRow = Schema.Struct({
  provider: Schema.String,
  sealed: Schema.Uint8ArrayFromSelf,
  updated_at: Schema.Number
})
const decodeRow = Schema.decodeUnknown(Schema.UndefinedOr(StoredRow))
const decodeRows = Schema.decodeUnknown(Schema.Array(StoredRow))

const make = Effect.gen(function* () {
  const { desk } = yield* Database
  const crypto = yield* Crypto
  const audit = yield* Audit
  const settings = yield* Settings

  const damaged = () =>
    new DatabaseError({ file: desk.name, reason: "corrupt", detail: "a row of credentials is damaged" })
  const openRow = (row: typeof StoredRow.Type) =>
    Effect.gen(function* () {
      const plain = yield* crypto.open("credentials", address(row.provider), row.sealed)
      const secret = Redacted.make(Buffer.from(plain).toString("utf8"))
      plain.fill(0)
      Secrets.register(secret)
      return secret
    })
  const fingerprintOf = (provider: ProviderName, secret: Redacted.Redacted<string>) =>
    Effect.map(crypto.fingerprint("fingerprint", "credential", provider, Redacted.value(secret)), (hex) =>
      hex.slice(0, 8)
    )
  const fromEnvironment = Effect.map(settings.current, (loaded) => loaded.providerKeys)

  const set = Effect.fn("Credentials.set")(function* (provider: ProviderName, given: Redacted.Redacted<string>) {
    const value = Redacted.value(given).trim()
    const secret = Redacted.make(value)
    Secrets.register(secret)
    const reason = unusableKey(value)
    if (reason !== undefined) return yield* new InvalidCredential({ provider, reason })
    const fingerprint = yield* fingerprintOf(provider, secret)
    const updatedAt = yield* Clock.currentTimeMillis
    yield* audit.append(new AuditEvent({ type: "credential.set", ...(yield* asker), data: { provider, fingerprint } }))
    const sealed = yield* crypto.seal("credentials", address(provider), utf8.encode(value))
    yield* desk.write((db) =>
      db.run(
        "INSERT INTO credentials (provider, sealed, updated_at) VALUES (?, ?, ?) ON CONFLICT (provider) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
        provider,
        sealed,
        updatedAt
      )
    )
    return new CredentialInfo({ provider, source: "stored", fingerprint, updatedAt })
  })

  const remove = Effect.fn("Credentials.remove")(function* (provider: ProviderName) {
    const there = yield* desk.read((db) => db.get("SELECT 1 FROM credentials WHERE provider = ?", provider))
    if (there === undefined) return false
    yield* audit.append(new AuditEvent({ type: "credential.removed", ...(yield* asker), data: { provider } }))
    const removed = yield* desk.write((db) => db.run("DELETE FROM credentials WHERE provider = ?", provider))
    return removed > 0
  })

  const get = Effect.fn("Credentials.get")(function* (provider: ProviderName) {
    const found = yield* desk.read((db) =>
      db.get("SELECT provider, sealed, updated_at FROM credentials WHERE provider = ?", provider)
    )
    const row = yield* Effect.mapError(decodeRow(found), damaged)
    if (row !== undefined) return Option.some(yield* openRow(row))
    const secret = Option.fromNullable((yield* fromEnvironment).get(provider))
    if (Option.isSome(secret)) Secrets.register(secret.value)
    return secret
  })

  const storedRows = Effect.gen(function* () {
    const found = yield* desk.read((db) =>
      db.all("SELECT provider, sealed, updated_at FROM credentials ORDER BY provider")
    )
    return yield* Effect.mapError(decodeRows(found), damaged)
  })

  // A key can turn up (in a file, in a log) before anyone uses it. One that cannot be opened cannot be
  // known either; whoever needs it is told why.
  yield* storedRows.pipe(
    Effect.flatMap(Effect.forEach((row) => Effect.either(openRow(row)), { discard: true })),
    Effect.catchAll((error) => Effect.logWarning(`the stored keys are not known to redaction: ${error.message}`))
  )

  const list = Effect.gen(function* () {
    const rows = yield* storedRows
    const stored = yield* Effect.forEach(rows, (row) =>
      Effect.gen(function* () {
        const fingerprint = yield* fingerprintOf(row.provider, yield* openRow(row))
        return new CredentialInfo({ provider: row.provider, source: "stored", fingerprint, updatedAt: row.updated_at })
      })
    )
    const hidden = new Set(rows.map((row) => row.provider))
    const others = [...(yield* fromEnvironment)]
      .filter(([provider]) => !hidden.has(provider))
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const inherited = yield* Effect.forEach(others, ([provider, secret]) =>
      Effect.map(
        fingerprintOf(provider, secret),
        (fingerprint) => new CredentialInfo({ provider, source: "environment", fingerprint })
      )
    )
    return [...stored, ...inherited]
  }).pipe(Effect.withSpan("Credentials.list"))

  return Credentials.of({ set, remove, get, list })
})

export const layer: Layer.Layer<Credentials, never, Database | Crypto | Audit | Settings> = Layer.effect(
  Credentials,
  make
)
