/**
 * Tls: what the server encrypts with, and which clients it shakes hands with.
 *
 * Guarantees: nothing older than TLS 1.2; in the certificate mode nobody without a client certificate
 * of our own authority gets through the handshake (who may do what is then decided by the key that
 * is pinned); a certificate or key file that is missing, readable by others, damaged or not of one
 * pair stops the start with one line about it; a renewed certificate is served without a restart.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs"
import { resolve } from "node:path"
import { Clock, Context, DateTime, Effect, Layer, Redacted, Schema, type Scope } from "effect"
import type { AuditUnavailable } from "../domain/Audit.ts"
import type { AuthorityExpired, NoAuthority } from "../domain/Certificate.ts"
import { type CertificateFacts, certificateFacts, type DecryptFailed, keyFitsCertificate } from "../kernel/Crypto.ts"
import type { DatabaseError } from "../kernel/Database.ts"
import { type FileError, fileError } from "../kernel/DurableFile.ts"
import { type LoadedSettings, Settings } from "../kernel/Settings.ts"
import { Certificates } from "./Certificates.ts"

/** The files of `gateway.tls` cannot be served with. */
export class TlsFileUnusable extends Schema.TaggedError<TlsFileUnusable>()("TlsFileUnusable", {
  setting: Schema.Literal("gateway.tls.certFile", "gateway.tls.keyFile"),
  path: Schema.String,
  found: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return `${this.setting}: ${this.path} ${this.found}`
  }
}

export type TlsError =
  | TlsFileUnusable
  | FileError
  | NoAuthority
  | AuthorityExpired
  | DatabaseError
  | DecryptFailed
  | AuditUnavailable

/** For `https.createServer` and `setSecureContext`. */
export interface TlsOptions {
  readonly key: string
  readonly cert: string
  readonly minVersion: "TLSv1.2"
  /** Only in the certificate mode. */
  readonly ca?: string
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
}

/** What of a server is needed to give it a new certificate. */
export interface Renewable {
  readonly setSecureContext: (options: TlsOptions) => void
}

export class Tls extends Context.Tag("ai-desk/gateway/Tls")<
  Tls,
  {
    /** By the settings in force now. Null: the gateway speaks plain HTTP. */
    readonly options: Effect.Effect<TlsOptions | null, TlsError>
    /** Gives the server a renewed certificate when there is one, within the hour. When there is none to be had, the old one stays and a warning is logged. */
    readonly keepFresh: (server: Renewable) => Effect.Effect<void, never, Scope.Scope>
  }
>() {}

/** The key of the client at the other end, as `Pins` knows it. Null when it showed no certificate, or one that TLS has not verified. */
export const peerPin = (socket: {
  readonly authorized: boolean
  readonly getPeerCertificate: () => { readonly raw?: Uint8Array }
}): string | null => {
  if (!socket.authorized) return null
  const { raw } = socket.getPeerCertificate()
  return raw === undefined ? null : (certificateFacts(raw)?.pin ?? null)
}

/** Chains are some kilobytes; what is larger is another file. */
const mostBytes = 1_048_576
const day = 86_400_000
/** Within this, a certificate from a file is spoken of in the log. */
const warnBefore = 14 * day

type Setting = TlsFileUnusable["setting"]

const read = (setting: Setting, path: string): Effect.Effect<string, TlsFileUnusable | FileError> =>
  Effect.try({
    try: () => {
      // Opened before it is looked at, so that what is judged is what is read. A link is followed: that is how renewed certificates are laid out.
      const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
      try {
        const stat = fstatSync(fd)
        const refuse = (found: string, fix: string) => new TlsFileUnusable({ setting, path, found, fix })
        if (!stat.isFile()) return refuse("is no regular file", "name the PEM file itself")
        if (setting === "gateway.tls.keyFile" && (stat.mode & 0o077) !== 0) {
          return refuse("can be read by other users of this machine", `chmod 600 ${path}`)
        }
        if ((stat.mode & 0o022) !== 0)
          return refuse("can be changed by other users of this machine", `chmod go-w ${path}`)
        if (stat.size > mostBytes) return refuse(`is larger than ${mostBytes} bytes`, "name a PEM file")
        const bytes = Buffer.alloc(stat.size)
        let done = 0
        for (let got = -1; got !== 0 && done < bytes.length; done += got)
          got = readSync(fd, bytes, done, bytes.length - done, done)
        return bytes.toString("utf8", 0, done)
      } finally {
        closeSync(fd)
      }
    },
    catch: (cause) => fileError(path, `read ${setting}`, cause)
  }).pipe(Effect.flatMap((result) => (typeof result === "string" ? Effect.succeed(result) : Effect.fail(result))))

const fromFiles = (dir: string, files: { readonly certFile: string; readonly keyFile: string }) =>
  Effect.gen(function* () {
    const certPath = resolve(dir, files.certFile)
    const keyPath = resolve(dir, files.keyFile)
    const cert = yield* read("gateway.tls.certFile", certPath)
    const key = yield* read("gateway.tls.keyFile", keyPath)
    const facts = certificateFacts(cert)
    if (facts === undefined) {
      return yield* new TlsFileUnusable({
        setting: "gateway.tls.certFile",
        path: certPath,
        found: "holds no certificate in PEM",
        fix: "name a file that has -----BEGIN CERTIFICATE----- in it, the server's certificate first"
      })
    }
    const fits = keyFitsCertificate(cert, key)
    if (fits !== true) {
      return yield* new TlsFileUnusable({
        setting: "gateway.tls.keyFile",
        path: keyPath,
        found:
          fits === false
            ? `is not the key of the certificate in ${certPath}`
            : "holds no private key in PEM without a passphrase",
        fix:
          fits === false
            ? "name the two files of one pair"
            : `openssl pkey -in ${keyPath} -out key.pem, then name key.pem`
      })
    }
    return { cert, key, facts }
  })

/** What to say about a certificate's dates, or null. */
export const datesProblem = (facts: CertificateFacts, now: number): string | null => {
  const on = (millis: number) => DateTime.formatIsoDateUtc(DateTime.unsafeMake(millis))
  if (facts.validFrom > now) return `the server's certificate holds only from ${on(facts.validFrom)} on`
  if (facts.validUntil <= now) return `the server's certificate ran out on ${on(facts.validUntil)}; clients refuse it`
  return facts.validUntil - now < warnBefore ? `the server's certificate runs out on ${on(facts.validUntil)}` : null
}

const plain = { minVersion: "TLSv1.2", requestCert: false, rejectUnauthorized: false } as const

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const certificates = yield* Certificates

  const filesOf = ({ config, dir }: LoadedSettings) =>
    config.gateway.tls === undefined
      ? Effect.succeed(null)
      : Effect.gen(function* () {
          const files = yield* fromFiles(dir, config.gateway.tls!)
          const problem = datesProblem(files.facts, yield* Clock.currentTimeMillis)
          if (problem !== null) yield* Effect.logWarning(problem)
          return files
        })

  const options: Effect.Effect<TlsOptions | null, TlsError> = Effect.gen(function* () {
    const current = yield* settings.current
    const files = yield* filesOf(current)
    if (current.config.gateway.auth.mode !== "certificate") {
      return files === null ? null : { ...plain, key: files.key, cert: files.cert }
    }
    const own = yield* certificates.server
    return {
      ...plain,
      key: files?.key ?? Redacted.value(own.key),
      cert: files?.cert ?? own.certificate,
      ca: own.authority,
      requestCert: true,
      rejectUnauthorized: true
    }
  }).pipe(Effect.withSpan("Tls.options"))

  const keepFresh = (server: Renewable) => {
    let served: string | undefined
    const look = Effect.gen(function* () {
      const fresh = yield* options
      if (fresh === null) return
      const now = `${fresh.cert}${fresh.ca ?? ""}`
      if (served !== undefined && served !== now) {
        yield* Effect.sync(() => server.setSecureContext(fresh))
        yield* Effect.logInfo("the server's certificate was renewed")
      }
      served = now
    }).pipe(
      Effect.catchAll((error) => Effect.logWarning(`the server's certificate could not be renewed: ${error.message}`))
    )
    return look.pipe(
      Effect.zipRight(Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sleep("1 hour"), look)))),
      Effect.asVoid
    )
  }

  return Tls.of({ options, keepFresh })
})

export const layer: Layer.Layer<Tls, never, Settings | Certificates> = Layer.effect(Tls, make)
