/**
 * Certificates: a small authority of our own, by which the certificate mode knows its clients.
 *
 * Guarantees: a client is known by the key that was issued to it (pinned), not by the authority's
 * word alone; one that was revoked, has run out or was never issued here is nobody from the next
 * request on, and is told to those who serve it; the authority's and the server's keys are sealed
 * at rest, a client's is in the one answer that issues it and kept nowhere; nothing is issued or
 * revoked without a durable audit entry before it.
 */
import { isIP } from "node:net"
import { Clock, Context, DateTime, Deferred, Effect, FiberId, Layer, Redacted, Schema } from "effect"
import { AuditEvent, type AuditUnavailable } from "../domain/Audit.ts"
import type { AccessScope } from "../domain/Caller.ts"
import {
  AuthorityExpired,
  AuthorityInfo,
  AuthorityMade,
  CertificateId,
  CertificateInfo,
  CertificateList,
  type CertificateLabel,
  CertificateNotFound,
  IssuedCertificate,
  NoAuthority
} from "../domain/Certificate.ts"
import type { Config } from "../domain/Config.ts"
import { Audit } from "../kernel/Audit.ts"
import { Crypto, certificateFacts, type DecryptFailed, randomBytes } from "../kernel/Crypto.ts"
import { Database, DatabaseError, type Statements } from "../kernel/Database.ts"
import { ulid } from "../kernel/Ids.ts"
import { Settings } from "../kernel/Settings.ts"
import type { Made, Validity } from "./certificates/Issue.ts"
import { ground } from "./handlers/ground.ts"
import { Pins } from "./Pins.ts"

type StorageError = DatabaseError | DecryptFailed

/** What TLS needs to serve; everything as PEM. */
export interface ServerCertificate {
  readonly certificate: string
  readonly key: Redacted.Redacted<string>
  /** Of the authority whose clients are let in. */
  readonly authority: string
  /** Epoch milliseconds. */
  readonly expiresAt: number
}

export class Certificates extends Context.Tag("ai-desk/gateway/Certificates")<
  Certificates,
  {
    /** Leaves an authority that is there as it is, unless it is to be replaced; then all that it issued ends. */
    readonly init: (options: {
      readonly replace: boolean
    }) => Effect.Effect<AuthorityMade, DatabaseError | AuditUnavailable>
    readonly issue: (options: {
      readonly label: CertificateLabel
      readonly scope: AccessScope
      readonly days: number
    }) => Effect.Effect<IssuedCertificate, NoAuthority | AuthorityExpired | StorageError | AuditUnavailable>
    /** False when it was revoked before. */
    readonly revoke: (
      id: CertificateId
    ) => Effect.Effect<boolean, CertificateNotFound | DatabaseError | AuditUnavailable>
    readonly list: Effect.Effect<CertificateList, DatabaseError>
    /** The client certificate in force that has this public key (lowercase hex SHA-256 of its SPKI), or null. */
    readonly byPin: (pin: string) => Effect.Effect<CertificateInfo | null, DatabaseError>
    /** Returns when the certificate counts no more: revoked here, or run out. */
    readonly ended: (id: CertificateId) => Effect.Effect<void, DatabaseError>
    /** For the configured names; made when there is none, and anew when it runs out soon or the names have changed. */
    readonly server: Effect.Effect<ServerCertificate, NoAuthority | AuthorityExpired | StorageError | AuditUnavailable>
  }
>() {}

const day = 86_400_000
/** Ten years: to change it means to visit every client. */
const authorityDays = 3650
/** What browsers accept of a server (398), less a day of clocks that differ. */
const serverDays = 397
/** A server's certificate with less than this left is made anew. */
const renewBefore = 30 * day
/** So that a client whose clock is behind does not refuse what was just made. */
const clockSkew = 5 * 60_000

const loopbackNames: readonly [string, ...ReadonlyArray<string>] = ["localhost", "127.0.0.1", "::1"]

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[(.*)\]$/, "$1")

/** Every name and address under which the settings let requests come; the loopback ones first. */
export const serverNames = (gateway: Config["gateway"]): readonly [string, ...ReadonlyArray<string>] => {
  // 0.0.0.0 and :: mean all addresses of the machine, and are the name of none.
  const bind = /^(0\.0\.0\.0|[0:]+)$/.test(gateway.bind) ? [] : [gateway.bind]
  const proxy = gateway.reverseProxy === undefined ? [] : [hostOf(gateway.reverseProxy.publicUrl)]
  const others = [...bind, ...gateway.allowedHosts, ...proxy]
    .map((name) => name.toLowerCase().replace(/\.$/, ""))
    .filter((name) => isIP(name) !== 0 || /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name))
    .filter((name) => !loopbackNames.includes(name))
  return [...loopbackNames, ...new Set(others.sort())]
}

const pemOf = (der: Uint8Array): string => {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`
}

const KeyRow = Schema.Struct({
  certificate: Schema.String,
  names: Schema.String,
  sealed: Schema.Uint8ArrayFromSelf,
  created_at: Schema.Number,
  expires_at: Schema.Number
})
type KeyRow = typeof KeyRow.Type
const decodeKeyRow = Schema.decodeUnknown(Schema.UndefinedOr(KeyRow))

const ClientRow = Schema.Struct({
  ...CertificateInfo.fields,
  revokedAt: Schema.NullOr(Schema.Finite)
})
const decodeClients = Schema.decodeUnknown(Schema.Array(ClientRow))
const clientColumns = "id, label, scope, pin, created_at AS createdAt, expires_at AS expiresAt, revoked_at AS revokedAt"

const infoOf = ({ revokedAt, ...row }: typeof ClientRow.Type): CertificateInfo =>
  new CertificateInfo({ ...row, ...(revokedAt === null ? {} : { revokedAt }) })

const authorityInfo = (row: Omit<KeyRow, "sealed" | "names">): AuthorityInfo =>
  new AuthorityInfo({
    certificate: row.certificate,
    fingerprint: certificateFacts(row.certificate)?.fingerprint ?? "",
    createdAt: row.created_at,
    expiresAt: row.expires_at
  })

type KeyName = "authority" | "server"
const address = (row: KeyName) => ({ table: "certificate_keys", row, column: "sealed" })

const storeKey = (db: Statements, name: KeyName, row: KeyRow): void => {
  db.run(
    "INSERT INTO certificate_keys (name, certificate, names, sealed, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET certificate = excluded.certificate, names = excluded.names, sealed = excluded.sealed, created_at = excluded.created_at, expires_at = excluded.expires_at",
    name,
    row.certificate,
    row.names,
    row.sealed,
    row.created_at,
    row.expires_at
  )
}

const importIssue = Effect.promise(() => import("./certificates/Issue.ts"))

const wholeSeconds = (millis: number): number => Math.floor(millis / 1000) * 1000

const make = Effect.gen(function* () {
  const { desk } = yield* Database
  const crypto = yield* Crypto
  const audit = yield* Audit
  const settings = yield* Settings
  const turn = yield* Effect.makeSemaphore(1)
  /** Those who wait for an end, by certificate. */
  const waiting = new Map<string, { readonly signal: Deferred.Deferred<void>; listeners: number }>()

  const damaged = (table: string) => () =>
    new DatabaseError({ file: desk.name, reason: "corrupt", detail: `a row of ${table} is damaged` })

  const keyRow = (name: KeyName) =>
    desk
      .read((db) =>
        db.get("SELECT certificate, names, sealed, created_at, expires_at FROM certificate_keys WHERE name = ?", name)
      )
      .pipe(Effect.flatMap((row) => Effect.mapError(decodeKeyRow(row), damaged("certificate_keys"))))

  const clients = (where: string, ...params: ReadonlyArray<string | number>) =>
    desk
      .read((db) => db.all(`SELECT ${clientColumns} FROM client_certificates ${where}`, ...params))
      .pipe(
        Effect.flatMap((rows) => Effect.mapError(decodeClients(rows), damaged("client_certificates"))),
        Effect.map((rows) => rows.map(infoOf))
      )

  /** Seals the key and zeroes the clear one. */
  const sealedRow = (name: KeyName, made: Made, names: ReadonlyArray<string>, now: number, validity: Validity) =>
    Effect.map(crypto.seal("certificates", address(name), made.key), (sealed): KeyRow => {
      made.key.fill(0)
      return {
        certificate: made.certificate,
        names: names.join("\n"),
        sealed,
        created_at: now,
        expires_at: validity.until
      }
    })

  /** The authority with its key in clear, for as long as `use` takes. */
  const withAuthority = <A, E, R>(use: (signer: Made, row: KeyRow, now: number) => Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const row = yield* keyRow("authority")
      if (row === undefined) return yield* new NoAuthority()
      const now = yield* Clock.currentTimeMillis
      if (row.expires_at <= now + day) {
        const expiresAt = DateTime.formatIsoDateUtc(DateTime.unsafeMake(row.expires_at))
        return yield* new AuthorityExpired({ expiresAt })
      }
      const key = yield* crypto.open("certificates", address("authority"), row.sealed)
      return yield* Effect.ensuring(
        use({ certificate: row.certificate, key }, row, now),
        Effect.sync(() => key.fill(0))
      )
    })

  const validFor = (now: number, days: number, limit = Number.MAX_SAFE_INTEGER): Validity => ({
    from: wholeSeconds(now - clockSkew),
    until: wholeSeconds(Math.min(now + days * day, limit))
  })

  const tell = (id: string): Effect.Effect<void> => {
    const one = waiting.get(id)
    return one === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(one.signal, undefined))
  }

  const init = Effect.fn("Certificates.init")(function* ({ replace }: { readonly replace: boolean }) {
    const existing = yield* keyRow("authority")
    if (existing !== undefined && !replace) {
      return new AuthorityMade({ created: false, authority: authorityInfo(existing), revoked: 0 })
    }
    const now = yield* Clock.currentTimeMillis
    const validity = validFor(now, authorityDays)
    const issue = yield* importIssue
    const made = yield* issue.authority(`Ai_DESK ${Buffer.from(randomBytes(4)).toString("hex")}`, validity)
    const row = yield* sealedRow("authority", made, [], now, validity)
    const authority = authorityInfo(row)
    const ending = yield* clients("WHERE revoked_at IS NULL")
    yield* audit.append(
      new AuditEvent({
        type: "certificate.issued",
        data: { what: "authority", fingerprint: authority.fingerprint, revokes: ending.length }
      })
    )
    yield* desk.write((db) => {
      storeKey(db, "authority", row)
      db.run("DELETE FROM certificate_keys WHERE name = 'server'")
      db.run("UPDATE client_certificates SET revoked_at = ? WHERE revoked_at IS NULL", now)
    })
    yield* Effect.forEach(ending, ({ id }) => tell(id), { discard: true })
    return new AuthorityMade({ created: true, authority, revoked: ending.length })
  }, turn.withPermits(1))

  const issue = Effect.fn("Certificates.issue")(function* ({
    days,
    label,
    scope
  }: {
    label: CertificateLabel
    scope: AccessScope
    days: number
  }) {
    return yield* withAuthority((signer, row, now) =>
      Effect.gen(function* () {
        const validity = validFor(now, days, row.expires_at)
        const { client } = yield* importIssue
        const made = yield* client(signer, validity, label)
        const pin = certificateFacts(made.certificate)?.pin
        if (pin === undefined) return yield* Effect.dieMessage("the certificate that was made cannot be read")
        const id = CertificateId.make(`cert-${ulid(now, randomBytes(10))}`)
        const info = new CertificateInfo({ id, label, scope, pin, createdAt: now, expiresAt: validity.until })
        yield* audit.append(
          new AuditEvent({
            type: "certificate.issued",
            data: { what: "client", id, scope, pin, until: validity.until }
          })
        )
        yield* desk.write((db) =>
          db.run(
            "INSERT INTO client_certificates (id, label, scope, pin, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
            id,
            label,
            scope,
            pin,
            now,
            validity.until
          )
        )
        const key = Redacted.make(pemOf(made.key))
        made.key.fill(0)
        return new IssuedCertificate({ info, certificate: made.certificate, key, authority: authorityInfo(row) })
      })
    )
  }, turn.withPermits(1))

  const revoke = Effect.fn("Certificates.revoke")(function* (id: CertificateId) {
    const [found] = yield* clients("WHERE id = ?", id)
    if (found === undefined) return yield* new CertificateNotFound({ id })
    if (found.revokedAt !== undefined) return false
    const now = yield* Clock.currentTimeMillis
    yield* audit.append(new AuditEvent({ type: "certificate.revoked", data: { id, pin: found.pin } }))
    yield* desk.write((db) =>
      db.run("UPDATE client_certificates SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", now, id)
    )
    yield* tell(id)
    return true
  }, turn.withPermits(1))

  const list = Effect.gen(function* () {
    const row = yield* keyRow("authority")
    const certificates = yield* clients("ORDER BY created_at, id")
    return new CertificateList({ authority: row === undefined ? null : authorityInfo(row), certificates })
  }).pipe(Effect.withSpan("Certificates.list"))

  const inForce = (info: CertificateInfo | undefined, now: number): info is CertificateInfo =>
    info !== undefined && info.revokedAt === undefined && info.expiresAt > now

  const byPin = (pin: string) =>
    Effect.gen(function* () {
      const [found] = yield* clients("WHERE pin = ?", pin)
      return inForce(found, yield* Clock.currentTimeMillis) ? found : null
    })

  /** Until it ends. No timer runs for longer than 24 days, so a far end is waited for piece by piece. */
  const untilEnd = (id: CertificateId, signal: Deferred.Deferred<void>): Effect.Effect<void, DatabaseError> =>
    Effect.gen(function* () {
      const [found] = yield* clients("WHERE id = ?", id)
      const now = yield* Clock.currentTimeMillis
      if (!inForce(found, now) || (yield* Deferred.isDone(signal))) return
      yield* Effect.raceFirst(Deferred.await(signal), Effect.sleep(Math.min(found.expiresAt - now, day)))
      yield* untilEnd(id, signal)
    })

  const ended = (id: CertificateId): Effect.Effect<void, DatabaseError> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const one = waiting.get(id) ?? { signal: Deferred.unsafeMake<void>(FiberId.none), listeners: 0 }
        one.listeners += 1
        waiting.set(id, one)
        return one
      }),
      // Looked up after the signal is listened to, so that no revocation falls in between.
      ({ signal }) => untilEnd(id, signal),
      (one) =>
        Effect.sync(() => {
          one.listeners -= 1
          if (one.listeners === 0 && waiting.get(id) === one) waiting.delete(id)
        })
    )

  const freshServer = (names: readonly [string, ...ReadonlyArray<string>]) =>
    withAuthority((signer, authority, now) =>
      Effect.gen(function* () {
        const validity = validFor(now, serverDays, authority.expires_at)
        const { server } = yield* importIssue
        const made = yield* server(signer, validity, names)
        const key = Redacted.make(pemOf(made.key))
        const row = yield* sealedRow("server", made, names, now, validity)
        const fingerprint = certificateFacts(row.certificate)?.fingerprint ?? ""
        yield* audit.append(
          new AuditEvent({ type: "certificate.issued", data: { what: "server", fingerprint, until: validity.until } })
        )
        yield* desk.write((db) => storeKey(db, "server", row))
        return { certificate: row.certificate, key, authority: authority.certificate, expiresAt: row.expires_at }
      })
    )

  const server = Effect.gen(function* () {
    const { config } = yield* settings.current
    const names = serverNames(config.gateway)
    const authority = yield* keyRow("authority")
    if (authority === undefined) return yield* new NoAuthority()
    const row = yield* keyRow("server")
    const now = yield* Clock.currentTimeMillis
    // Towards the authority's own end there is nothing to win by making it anew.
    const soon = row !== undefined && row.expires_at < authority.expires_at && row.expires_at - renewBefore <= now
    if (row === undefined || soon || row.expires_at <= now || row.names !== names.join("\n")) {
      return yield* freshServer(names)
    }
    const clear = yield* crypto.open("certificates", address("server"), row.sealed)
    const key = Redacted.make(pemOf(clear))
    clear.fill(0)
    return { certificate: row.certificate, key, authority: authority.certificate, expiresAt: row.expires_at }
  }).pipe(turn.withPermits(1), Effect.withSpan("Certificates.server"))

  return Certificates.of({ init, issue, revoke, list, byPin, ended, server })
})

export const layer: Layer.Layer<Certificates, never, Database | Crypto | Audit | Settings> = Layer.effect(
  Certificates,
  make
)

/** Whoever asks for an end that cannot be known is told that it has come. */
export const layerPins: Layer.Layer<Pins, never, Certificates> = Layer.effect(
  Pins,
  Effect.map(Certificates, ({ byPin, ended }) =>
    Pins.of({
      lookup: (spkiHex) =>
        ground(
          Effect.map(byPin(spkiHex), (found) =>
            found === null ? null : { id: found.id, scopes: [found.scope], label: found.label }
          )
        ),
      ended: (id) =>
        Schema.is(CertificateId)(id)
          ? Effect.catchAll(ended(id), (error) =>
              Effect.logError(`a certificate's end cannot be watched, so it is taken for ended: ${error.message}`)
            )
          : Effect.void
    })
  )
)
