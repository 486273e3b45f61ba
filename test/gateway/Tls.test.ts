/** The files of `gateway.tls`: what is served, and what is said about files that cannot be. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as tls from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Certificates, layer as certificatesLayer } from "../../src/gateway/Certificates.ts"
import * as Issue from "../../src/gateway/certificates/Issue.ts"
import * as Tls from "../../src/gateway/Tls.ts"
import { layer as auditLayer } from "../../src/kernel/Audit.ts"
import { certificateFacts } from "../../src/kernel/Crypto.ts"
import { layer as settingsLayer } from "../../src/kernel/Settings.ts"
import { layerTemporary } from "../support/database.ts"
import { project, writeConfig } from "../support/settings.ts"
import { certificate, privateKey } from "../support/tls.ts"

const files = { certFile: "tls/cert.pem", keyFile: "tls/key.pem" }

/** A project with the pair of files in it, changed by `change`; and what `Tls` makes of it. */
const optionsOf = (change: (dir: string) => void, gateway: object = {}) =>
  Effect.gen(function* () {
    const made = yield* project()
    mkdirSync(join(made.dir, "tls"))
    writeConfig(made.path, { gateway: { tls: files, ...gateway } })
    writeFileSync(join(made.dir, files.certFile), certificate)
    writeFileSync(join(made.dir, files.keyFile), privateKey, { mode: 0o600 })
    change(made.dir)
    const ground = Layer.merge(layerTemporary, settingsLayer(made.options))
    const all = Tls.layer.pipe(Layer.provideMerge(certificatesLayer), Layer.provide(auditLayer), Layer.provide(ground))
    return yield* Effect.gen(function* () {
      yield* (yield* Certificates).init({ replace: false })
      return yield* (yield* Tls.Tls).options
    }).pipe(Effect.provide(all))
  }).pipe(Effect.scoped)

const unchanged = () => undefined

describe("gateway.tls", () => {
  it.effect("absent means plain HTTP; present, the files are served and nobody is asked for a certificate", () =>
    Effect.gen(function* () {
      assert.isNull(yield* optionsOf(unchanged, { tls: undefined }))
      const options = yield* optionsOf(unchanged)
      assert.deepStrictEqual(options, {
        key: privateKey,
        cert: certificate,
        minVersion: "TLSv1.2",
        requestCert: false,
        rejectUnauthorized: false
      })
      assert.doesNotThrow(() => tls.createSecureContext({ ...options }))
    })
  )

  it.effect("may be a link, as programs that renew certificates lay them out", () =>
    Effect.gen(function* () {
      const options = yield* optionsOf(
        (dir) => {
          writeFileSync(join(dir, "real.pem"), privateKey, { mode: 0o600 })
          symlinkSync(join(dir, "real.pem"), join(dir, "tls/link.pem"))
        },
        { tls: { ...files, keyFile: "tls/link.pem" } }
      )
      assert.strictEqual(options?.key, privateKey)
    })
  )

  it.effect("serves these in the certificate mode too, and asks for certificates of the own authority", () =>
    Effect.gen(function* () {
      const options = yield* optionsOf(unchanged, { auth: { mode: "certificate" } })
      assert.strictEqual(options?.cert, certificate)
      assert.isTrue(options?.requestCert)
      assert.isTrue(options?.rejectUnauthorized)
      assert.notStrictEqual(options?.ca, certificate)
      assert.isDefined(certificateFacts(options?.ca ?? ""))
    })
  )

  const refused: ReadonlyArray<readonly [what: string, change: (dir: string) => void, says: RegExp]> = [
    [
      "a missing file",
      (dir) => chmodSync(join(dir, "tls"), 0o700),
      /read gateway\.tls\.certFile .*missing\.pem: it does not exist/
    ],
    [
      "a key that others can read",
      (dir) => chmodSync(join(dir, files.keyFile), 0o644),
      /gateway\.tls\.keyFile: .*key\.pem can be read by other users/
    ],
    [
      "a key that the group can read",
      (dir) => chmodSync(join(dir, files.keyFile), 0o640),
      /can be read by other users/
    ],
    [
      "a certificate that others can change",
      (dir) => chmodSync(join(dir, files.certFile), 0o666),
      /certFile: .*can be changed by other users/
    ],
    [
      "no certificate",
      (dir) => writeFileSync(join(dir, files.certFile), "hello"),
      /certFile: .* holds no certificate in PEM/
    ],
    [
      "an empty certificate",
      (dir) => writeFileSync(join(dir, files.certFile), ""),
      /certFile: .* holds no certificate in PEM/
    ],
    [
      "no key",
      (dir) => writeFileSync(join(dir, files.keyFile), certificate),
      /keyFile: .* holds no private key in PEM/
    ],
    ["a folder", (dir) => mkdirSync(join(dir, "tls/folder")), /is no regular file/],
    [
      "a file too large",
      (dir) => writeFileSync(join(dir, files.certFile), certificate + "#".repeat(1_048_576)),
      /is larger than 1048576 bytes/
    ]
  ]
  for (const [what, change, says] of refused) {
    it.effect(`refuses ${what} in one line that names the file`, () =>
      Effect.gen(function* () {
        const named =
          what === "a missing file" ? "tls/missing.pem" : what === "a folder" ? "tls/folder" : files.certFile
        const error = yield* Effect.flip(optionsOf(change, { tls: { ...files, certFile: named } }))
        assert.match(error.message, says)
        assert.notInclude(error.message, "\n")
        assert.notInclude(error.message, privateKey.slice(60, 100))
        assert.isAbove("fix" in error ? error.fix.length : 0, 0)
      })
    )
  }

  it.effect("refuses a key that is another certificate's", () =>
    Effect.gen(function* () {
      const other = yield* Issue.authority("another", { from: 0, until: 86_400_000 })
      const error = yield* Effect.flip(optionsOf((dir) => writeFileSync(join(dir, files.certFile), other.certificate)))
      assert.match(error.message, /key\.pem is not the key of the certificate in .*cert\.pem/)
    })
  )
})

describe("a certificate's dates", () => {
  const day = 86_400_000
  const facts = { pin: "", fingerprint: "", alternativeNames: "", validFrom: 10 * day, validUntil: 100 * day }
  it("are spoken of when it holds not yet, no longer, or not for long", () => {
    assert.match(Tls.datesProblem(facts, 9 * day) ?? "", /only from 1970-01-11 on/)
    assert.isNull(Tls.datesProblem(facts, 10 * day))
    assert.isNull(Tls.datesProblem(facts, 86 * day))
    assert.match(Tls.datesProblem(facts, 86 * day + 1) ?? "", /runs out on 1970-04-11/)
    assert.match(Tls.datesProblem(facts, 100 * day) ?? "", /ran out on 1970-04-11/)
  })
})

describe("a client's key", () => {
  it("counts only when TLS has verified its certificate", () => {
    const raw = Buffer.from(certificate.replaceAll(/-----[^-]+-----|\s/g, ""), "base64")
    const pin = certificateFacts(certificate)?.pin ?? ""
    assert.match(pin, /^[0-9a-f]{64}$/)
    assert.strictEqual(Tls.peerPin({ authorized: true, getPeerCertificate: () => ({ raw }) }), pin)
    assert.isNull(Tls.peerPin({ authorized: false, getPeerCertificate: () => ({ raw }) }))
    assert.isNull(Tls.peerPin({ authorized: true, getPeerCertificate: () => ({}) }))
  })
})
