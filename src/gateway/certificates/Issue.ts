/**
 * Issue: makes X.509 certificates, and nothing else: an authority that may sign leaves only, server
 * certificates and client certificates, each good for its one use. Keys are EC P-256, made by the
 * system's randomness. Loaded only when one is made: the library takes longer to load than a start.
 */
import { isIP } from "node:net"
import { DateTime, Effect } from "effect"
import * as Crypto from "../../kernel/Crypto.ts"

export interface Made {
  /** PEM. */
  readonly certificate: string
  /** PKCS #8, DER. Whoever gets it zeroes it after use. */
  readonly key: Uint8Array
}

/** Epoch milliseconds; certificates hold whole seconds. */
export interface Validity {
  readonly from: number
  readonly until: number
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const

// The library's registry of extensions is built on the first; it has to be there before.
const library = Effect.promise(() => import("reflect-metadata")).pipe(
  Effect.zipRight(Effect.promise(() => import("@peculiar/x509"))),
  Effect.tap((x509) => Effect.sync(() => x509.cryptoProvider.set(Crypto.webCrypto)))
)

const dates = ({ from, until }: Validity) => ({
  notBefore: DateTime.toDate(DateTime.unsafeMake(from)),
  notAfter: DateTime.toDate(DateTime.unsafeMake(until))
})

/** 128 bits, positive and of full length, as RFC 5280 asks. */
const serialNumber = (): string => {
  const bytes = Crypto.randomBytes(16)
  bytes[0] = (bytes[0]! & 0x3f) | 0x40
  return Buffer.from(bytes).toString("hex")
}

const newKeys = Effect.promise(() => Crypto.webCrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]))

type PrivateKey = Awaited<ReturnType<typeof Crypto.webCrypto.subtle.importKey>>

const exported = (key: PrivateKey) =>
  Effect.map(
    Effect.promise(() => Crypto.webCrypto.subtle.exportKey("pkcs8", key)),
    (bytes) => new Uint8Array(bytes)
  )

// As an object, because a bare text that begins with # would be taken for hexadecimal.
const named = (x509: Effect.Effect.Success<typeof library>, commonName: string) =>
  new x509.Name([{ CN: [{ utf8String: commonName }] }])

/** Good for ten years; it may sign certificates of servers and clients and no further authority. */
export const authority = (commonName: string, validity: Validity): Effect.Effect<Made> =>
  Effect.gen(function* () {
    const x509 = yield* library
    const keys = yield* newKeys
    const identifier = yield* Effect.promise(() => x509.SubjectKeyIdentifierExtension.create(keys.publicKey))
    const certificate = yield* Effect.promise(() =>
      x509.X509CertificateGenerator.create({
        serialNumber: serialNumber(),
        subject: named(x509, commonName),
        issuer: named(x509, commonName),
        ...dates(validity),
        signingAlgorithm: algorithm,
        publicKey: keys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.BasicConstraintsExtension(true, 0, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
          identifier
        ]
      })
    )
    return { certificate: `${certificate.toString("pem")}\n`, key: yield* exported(keys.privateKey) }
  })

const leaf = (
  signer: Made,
  validity: Validity,
  commonName: string,
  usage: "serverAuth" | "clientAuth",
  names: ReadonlyArray<string>
): Effect.Effect<Made> =>
  Effect.gen(function* () {
    const x509 = yield* library
    const keys = yield* newKeys
    const clear = new Uint8Array(signer.key)
    const signingKey = yield* Effect.promise(() =>
      Crypto.webCrypto.subtle.importKey("pkcs8", clear, algorithm, false, ["sign"])
    ).pipe(Effect.ensuring(Effect.sync(() => clear.fill(0))))
    const issuer = new x509.X509Certificate(signer.certificate)
    const own = yield* Effect.promise(() => x509.SubjectKeyIdentifierExtension.create(keys.publicKey))
    const of = yield* Effect.promise(() => x509.AuthorityKeyIdentifierExtension.create(issuer))
    const alternative = names.map((name) => ({
      type: isIP(name) === 0 ? ("dns" as const) : ("ip" as const),
      value: name
    }))
    const certificate = yield* Effect.promise(() =>
      x509.X509CertificateGenerator.create({
        serialNumber: serialNumber(),
        subject: named(x509, commonName),
        issuer: issuer.subjectName,
        ...dates(validity),
        signingAlgorithm: algorithm,
        publicKey: keys.publicKey,
        signingKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[usage]], true),
          ...(alternative.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(alternative)]),
          own,
          of
        ]
      })
    )
    return { certificate: `${certificate.toString("pem")}\n`, key: yield* exported(keys.privateKey) }
  })

/** For the names and addresses under which clients reach the server; at least one. */
export const server = (
  signer: Made,
  validity: Validity,
  names: readonly [string, ...ReadonlyArray<string>]
): Effect.Effect<Made> => leaf(signer, validity, names[0].slice(0, 64), "serverAuth", names)

/** For one client. */
export const client = (signer: Made, validity: Validity, label: string): Effect.Effect<Made> =>
  leaf(signer, validity, label, "clientAuth", [])
