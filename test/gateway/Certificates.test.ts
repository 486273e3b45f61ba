/** The certificate mode as clients meet it: real TLS on this machine, with certificates of every wrong kind. */
import { readdirSync, readFileSync } from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import { join } from "node:path"
import * as tls from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Clock, Deferred, Effect, Exit, FastCheck as fc, Fiber, Layer, Redacted, Schema, TestClock } from "effect"
import { CertificateLabel, type IssuedCertificate } from "../../src/domain/Certificate.ts"
import { Certificates, layer, layerPins, serverNames } from "../../src/gateway/Certificates.ts"
import * as Issue from "../../src/gateway/certificates/Issue.ts"
import { Pins } from "../../src/gateway/Pins.ts"
import * as Tls from "../../src/gateway/Tls.ts"
import { Audit, layer as auditLayer } from "../../src/kernel/Audit.ts"
import { certificateFacts, Crypto } from "../../src/kernel/Crypto.ts"
import { Database } from "../../src/kernel/Database.ts"
import { DataDir } from "../../src/kernel/DataDir.ts"
import { layerTemporary } from "../support/database.ts"
import { settingsLayer } from "../support/settings.ts"

const label = Schema.decodeSync(CertificateLabel)
const mode = { gateway: { auth: { mode: "certificate" }, allowedHosts: ["desk.example.org", "10.1.2.3"] } }
const groundOf = (config: object) =>
  Layer.merge(layerPins, Tls.layer).pipe(
    Layer.provideMerge(layer),
    // By the real clock: it looks after itself every minute, which no test of years is to wait for.
    Layer.provideMerge(Layer.scopedContext(Layer.build(auditLayer).pipe(Effect.withClock(Clock.make())))),
    Layer.provideMerge(Layer.merge(layerTemporary, settingsLayer({ config })))
  )
const ground = groundOf(mode)
const day = 86_400_000

interface Client {
  readonly cert?: string
  readonly key?: string
}
interface Answer {
  readonly status: number
  readonly body: string
}

const pem = (key: Uint8Array) =>
  `-----BEGIN PRIVATE KEY-----\n${Buffer.from(key).toString("base64")}\n-----END PRIVATE KEY-----\n`
const clientOf = (issued: IssuedCertificate): Client => ({ cert: issued.certificate, key: Redacted.value(issued.key) })

/** Serves with what `Tls` says; answers 200 to a pinned key and 403 to any other that TLS lets through. */
const serve = Effect.gen(function* () {
  const options = yield* Effect.flatMap(Tls.Tls, (service) => service.options)
  assert(options !== null)
  const pins = yield* Pins
  const runtime = yield* Effect.runtime<never>()
  const { runPromise } = yield* Effect.promise(() => import("effect/Runtime"))
  let reached = 0
  const server = https.createServer({ ...options }, (request, response) => {
    reached += 1
    const pin = Tls.peerPin(request.socket as tls.TLSSocket)
    void runPromise(runtime)(pin === null ? Effect.succeed(null) : pins.lookup(pin)).then((found) => {
      response.writeHead(found === null ? 403 : 200).end(found === null ? "" : `${found.label} ${found.scopes.join()}`)
    })
  })
  server.on("tlsClientError", () => undefined)
  yield* Effect.acquireRelease(
    Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () => Effect.sync(() => (server.close(), server.closeAllConnections()))
  )
  const at = server.address()
  assert(at !== null && typeof at === "object")
  return { port: at.port, ca: options.ca ?? options.cert, server, reached: () => reached }
})
type Served = Effect.Effect.Success<typeof serve>

const ask = ({ ca, port }: Served, client: Client, more: https.RequestOptions = {}) =>
  Effect.async<Answer, string>((resume) => {
    const request = https.request(
      { host: "localhost", port, ca, ...client, agent: false, lookup: loopback, ...more },
      (response) => {
        let body = ""
        response.on("data", (chunk: Buffer) => (body += chunk.toString("utf8")))
        response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, body })))
        response.on("error", () => resume(Effect.fail("broken")))
      }
    )
    request.on("error", (error: NodeJS.ErrnoException) => resume(Effect.fail(error.code ?? error.message)))
    request.end()
  })
const loopback: http.RequestOptions["lookup"] = (_name, options, done) =>
  options.all === true ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)

/** The authority's own signature, as only somebody with its key can make it. */
const signer = Effect.gen(function* () {
  const { desk } = yield* Database
  const crypto = yield* Crypto
  const row = (yield* desk.read((db) =>
    db.get("SELECT certificate, sealed FROM certificate_keys WHERE name = 'authority'")
  )) as { certificate: string; sealed: Uint8Array }
  const address = { table: "certificate_keys", row: "authority", column: "sealed" }
  return { certificate: row.certificate, key: yield* crypto.open("certificates", address, row.sealed) }
})

const issued = (name: string, scope: "owner" | "read" = "owner") =>
  Effect.gen(function* () {
    const certificates = yield* Certificates
    yield* certificates.init({ replace: false })
    return yield* certificates.issue({ label: label(name), scope, days: 30 })
  })

describe("the certificate mode", () => {
  it.live("lets in who has a pinned key, and knows them by it", () =>
    Effect.gen(function* () {
      const one = yield* issued("laptop", "read")
      const served = yield* serve
      assert.deepStrictEqual(yield* ask(served, clientOf(one)), { status: 200, body: "laptop read" })
      // The second request of a resumed session is judged like the first.
      const agent = new https.Agent({ keepAlive: false, maxCachedSessions: 10 })
      yield* ask(served, clientOf(one), { agent })
      assert.strictEqual((yield* ask(served, clientOf(one), { agent })).status, 200)
      yield* (yield* Certificates).revoke(one.info.id)
      assert.strictEqual((yield* ask(served, clientOf(one), { agent })).status, 403)
    }).pipe(Effect.scoped, Effect.provide(ground))
  )

  it.live("ends the handshake of everybody else: no certificate, another authority, run out, for another use", () =>
    Effect.gen(function* () {
      yield* issued("laptop")
      const served = yield* serve
      const own = yield* signer
      const now = yield* Clock.currentTimeMillis
      const good = { from: now - day, until: now + day }
      const other = yield* Issue.authority("Ai_DESK other", good)
      const wrong: Readonly<Record<string, Client>> = {
        "no certificate": {},
        "another authority": yield* Effect.map(Issue.client(other, good, "laptop"), inPem),
        "run out": yield* Effect.map(Issue.client(own, { from: now - 2 * day, until: now - day }, "laptop"), inPem),
        "not yet in force": yield* Effect.map(
          Issue.client(own, { from: now + day, until: now + 2 * day }, "laptop"),
          inPem
        ),
        "for another use": yield* Effect.map(Issue.server(own, good, ["localhost"]), inPem),
        "the authority's certificate of another": inPem(other)
      }
      for (const [what, client] of Object.entries(wrong)) {
        const exit = yield* Effect.exit(ask(served, client))
        assert.isTrue(Exit.isFailure(exit), what)
      }
      assert.strictEqual(served.reached(), 0)
      // The same server and the same kind of certificate, with nothing wrong but that it was never pinned.
      const unpinned = yield* Effect.map(Issue.client(own, good, "laptop"), inPem)
      assert.deepStrictEqual(yield* ask(served, unpinned), { status: 403, body: "" })
    }).pipe(Effect.scoped, Effect.provide(ground))
  )

  it.live("speaks TLS 1.2 and 1.3, nothing older, and no plain HTTP", () =>
    Effect.gen(function* () {
      const one = yield* issued("laptop")
      const served = yield* serve
      for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
        const answer = yield* ask(served, clientOf(one), { minVersion: version, maxVersion: version })
        assert.strictEqual(answer.status, 200, version)
      }
      for (const version of ["TLSv1", "TLSv1.1"] as const) {
        const old = { minVersion: version, maxVersion: version, ciphers: "DEFAULT@SECLEVEL=0" }
        assert.isTrue(Exit.isFailure(yield* Effect.exit(ask(served, clientOf(one), old))), version)
      }
      const plain = yield* Effect.async<string>((resume) => {
        const request = http.get({ host: "127.0.0.1", port: served.port }, () => resume(Effect.succeed("answered")))
        request.on("error", () => resume(Effect.succeed("refused")))
      })
      assert.strictEqual(plain, "refused")
      assert.strictEqual((yield* (yield* Tls.Tls).options)?.minVersion, "TLSv1.2")
    }).pipe(Effect.scoped, Effect.provide(ground))
  )

  it.live("shows clients a certificate for every configured name, which they can verify", () =>
    Effect.gen(function* () {
      const one = yield* issued("laptop")
      const served = yield* serve
      for (const servername of ["localhost", "desk.example.org"]) {
        assert.strictEqual((yield* ask(served, clientOf(one), { servername })).status, 200, servername)
      }
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ask(served, clientOf(one), { servername: "other.example.org" }))))
      const { certificate } = yield* (yield* Certificates).server
      const names = certificateFacts(certificate)?.alternativeNames ?? ""
      for (const name of [
        "DNS:localhost",
        "IP Address:127.0.0.1",
        "IP Address:0:0:0:0:0:0:0:1",
        "IP Address:10.1.2.3"
      ]) {
        assert.include(names, name)
      }
    }).pipe(Effect.scoped, Effect.provide(ground))
  )

  it.effect("refuses to serve before there is an authority", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.flip((yield* Tls.Tls).options)
      assert.strictEqual(exit._tag, "NoAuthority")
      assert.strictEqual(
        (yield* Effect.flip((yield* Certificates).issue({ label: label("a"), scope: "owner", days: 1 })))._tag,
        "NoAuthority"
      )
    }).pipe(Effect.provide(ground))
  )
})

const inPem = (made: Issue.Made): Client => ({ cert: made.certificate, key: pem(made.key) })

describe("a pin", () => {
  it.effect("ends with the revocation, at once and for all who hold something open by it", () =>
    Effect.gen(function* () {
      const certificates = yield* Certificates
      const pins = yield* Pins
      const one = yield* issued("laptop")
      const two = yield* issued("phone")
      const ending = yield* Effect.fork(
        Effect.all([pins.ended(one.info.id), pins.ended(one.info.id)], { concurrency: 2 })
      )
      const other = yield* Effect.fork(pins.ended(two.info.id))
      yield* Effect.yieldNow()
      assert.strictEqual((yield* pins.lookup(one.info.pin))?.id, one.info.id)
      assert.isTrue(yield* certificates.revoke(one.info.id))
      yield* Fiber.join(ending)
      assert.isNull(yield* pins.lookup(one.info.pin))
      assert.isFalse(yield* certificates.revoke(one.info.id))
      assert.isNull(yield* Fiber.poll(other).pipe(Effect.map((exit) => (exit._tag === "None" ? null : exit))))
      yield* pins.ended(one.info.id)
      yield* pins.ended("cert-00000000000000000000000000")
      yield* pins.ended("what is no id")
      assert.isNull(yield* pins.lookup("00".repeat(32)))
      yield* Fiber.interrupt(other)
    }).pipe(Effect.provide(ground))
  )

  it.effect("ends when the certificate runs out, and not before", () =>
    Effect.gen(function* () {
      const pins = yield* Pins
      const { info } = yield* issued("laptop")
      const done = yield* Deferred.make<void>()
      yield* Effect.fork(Effect.zipRight(pins.ended(info.id), Deferred.succeed(done, undefined)))
      yield* TestClock.adjust("29 days")
      assert.isFalse(yield* Deferred.isDone(done))
      assert.isNotNull(yield* pins.lookup(info.pin))
      yield* TestClock.adjust("1 days")
      yield* Deferred.await(done)
      assert.isNull(yield* pins.lookup(info.pin))
    }).pipe(Effect.provide(ground))
  )

  it.effect("of a replaced authority ends with it", () =>
    Effect.gen(function* () {
      const certificates = yield* Certificates
      const pins = yield* Pins
      const one = yield* issued("laptop")
      const ending = yield* Effect.fork(pins.ended(one.info.id))
      yield* Effect.yieldNow()
      const again = yield* certificates.init({ replace: false })
      assert.isFalse(again.created)
      assert.strictEqual(again.authority.fingerprint, one.authority.fingerprint)
      const replaced = yield* certificates.init({ replace: true })
      assert.isTrue(replaced.created)
      assert.strictEqual(replaced.revoked, 1)
      assert.notStrictEqual(replaced.authority.fingerprint, one.authority.fingerprint)
      yield* Fiber.join(ending)
      assert.isNull(yield* pins.lookup(one.info.pin))
    }).pipe(Effect.provide(ground))
  )
})

describe("keys", () => {
  it.live("of the authority and the server lie sealed; a client's is kept nowhere", () =>
    Effect.gen(function* () {
      const one = yield* issued("laptop")
      const certificates = yield* Certificates
      const { key } = yield* certificates.server
      const { key: authority } = yield* signer
      const { path } = yield* DataDir
      yield* (yield* Audit).checkpoint
      const raw = (text: string) => Buffer.from(text.replaceAll(/-----[^-]+-----|\s/g, ""), "base64")
      // The 32 secret bytes stand at offset 36 of a P-256 key in PKCS #8.
      const secrets = [Buffer.from(authority), raw(Redacted.value(key)), raw(Redacted.value(one.key))].map((der) =>
        der.subarray(36, 68)
      )
      for (const name of readdirSync(path)) {
        const bytes = readFileSync(join(path, name))
        for (const secret of secrets) {
          assert.isFalse(bytes.includes(secret), name)
          assert.isFalse(bytes.includes(secret.toString("base64").slice(2, 40)), name)
        }
        assert.isFalse(bytes.includes("PRIVATE KEY"), name)
      }
      const told = JSON.stringify(yield* certificates.list)
      assert.notInclude(told, "PRIVATE")
      assert.notInclude(String(one.key), "PRIVATE")
    }).pipe(Effect.provide(ground))
  )

  it.effect("are not issued, and nothing is revoked, when it cannot be recorded", () =>
    Effect.gen(function* () {
      const certificates = yield* Certificates
      const one = yield* issued("laptop")
      const { file } = yield* DataDir
      const other = new Sqlite(file("audit.db"))
      other.exec("CREATE TRIGGER refuse BEFORE INSERT ON audit_rows BEGIN SELECT RAISE(ABORT, 'no room'); END")
      other.close()
      const again = certificates.issue({ label: label("b"), scope: "owner", days: 1 })
      assert.strictEqual((yield* Effect.flip(certificates.init({ replace: true })))._tag, "AuditUnavailable")
      assert.strictEqual((yield* Effect.flip(again))._tag, "AuditUnavailable")
      assert.strictEqual((yield* Effect.flip(certificates.revoke(one.info.id)))._tag, "AuditUnavailable")
      const { authority, certificates: all } = yield* certificates.list
      assert.strictEqual(authority?.fingerprint, one.authority.fingerprint)
      assert.lengthOf(all, 1)
      assert.isNotNull(yield* certificates.byPin(one.info.pin))
    }).pipe(Effect.provide(ground))
  )
})

describe("the server's certificate", () => {
  it.effect("stays while it is good, is made anew before it runs out, and is given to the server", () =>
    Effect.gen(function* () {
      const certificates = yield* Certificates
      const { keepFresh } = yield* Tls.Tls
      yield* certificates.init({ replace: false })
      const first = yield* certificates.server
      assert.strictEqual((yield* certificates.server).certificate, first.certificate)
      yield* TestClock.adjust("366 days")
      assert.strictEqual((yield* certificates.server).certificate, first.certificate)
      const given = yield* Deferred.make<string>()
      yield* keepFresh({ setSecureContext: ({ cert }) => void Deferred.unsafeDone(given, Effect.succeed(cert)) })
      yield* TestClock.adjust("30 minutes")
      assert.isFalse(yield* Deferred.isDone(given))
      yield* TestClock.adjust("2 days")
      const fresh = yield* Deferred.await(given)
      assert.notStrictEqual(fresh, first.certificate)
      const second = yield* certificates.server
      assert.strictEqual(second.certificate, fresh)
      assert.isAbove(second.expiresAt, first.expiresAt)
    }).pipe(Effect.scoped, Effect.provide(ground))
  )

  it.effect("is refused with a word about it once the authority has run out", () =>
    Effect.gen(function* () {
      const certificates = yield* Certificates
      yield* certificates.init({ replace: false })
      yield* TestClock.adjust("3650 days")
      const error = yield* Effect.flip(certificates.server)
      assert.strictEqual(error._tag, "AuthorityExpired")
      assert.include(error.message, "1979-12-30")
    }).pipe(Effect.provide(ground))
  )

  it("has loopback names first, and neither wildcards nor doubles", () => {
    const gateway = (more: object) =>
      ({ bind: "127.0.0.1", allowedHosts: [], ...more }) as unknown as Parameters<typeof serverNames>[0]
    assert.deepStrictEqual(serverNames(gateway({})), ["localhost", "127.0.0.1", "::1"])
    for (const bind of ["0.0.0.0", "::", "0:0:0:0:0:0:0:0"]) {
      assert.deepStrictEqual(serverNames(gateway({ bind })), ["localhost", "127.0.0.1", "::1"], bind)
    }
    const many = gateway({
      bind: "192.168.1.9",
      allowedHosts: ["Desk.Example.org", "desk.example.org.", "localhost"],
      reverseProxy: { trusted: [], publicUrl: "https://[fd00::7]:8443/desk" }
    })
    assert.deepStrictEqual(serverNames(many), [
      "localhost",
      "127.0.0.1",
      "::1",
      "192.168.1.9",
      "desk.example.org",
      "fd00::7"
    ])
  })
})

describe("labels", () => {
  it.live("of any kind stand on the certificate as they were given", () =>
    Effect.gen(function* () {
      const now = 1_800_000_000_000
      const validity = { from: now, until: now + day }
      const authority = yield* Issue.authority("a", validity)
      const samples = fc.sample(
        fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).filter(Schema.is(CertificateLabel)),
        {
          numRuns: 40,
          seed: 7
        }
      )
      const { X509Certificate } = yield* Effect.promise(() => import("@peculiar/x509"))
      for (const text of ["#deadbeef", 'a, CN=b+OU="c"', "ключ", ...samples]) {
        const made = yield* Issue.client(authority, validity, text)
        const { subjectName } = new X509Certificate(made.certificate)
        assert.deepStrictEqual(subjectName.getField("CN"), [text])
        assert.isDefined(certificateFacts(made.certificate))
      }
    })
  )

  it("that nobody could read are refused", () => {
    for (const text of ["", " a", "a ", "a\nb", "a\u202eb", "a\u0000", "x".repeat(65)]) {
      assert.isFalse(Schema.is(CertificateLabel)(text), JSON.stringify(text))
    }
  })
})
