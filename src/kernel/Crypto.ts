/**
 * Crypto: the only file that touches node:crypto. Everything at rest is AES-256-GCM with 16-byte
 * tags under a key that has one purpose, bound to the table, row and column it stands in, so that
 * a value moved elsewhere does not decrypt.
 *
 * Nonces are random 96-bit, so one key must not seal more than 2^32 values (NIST SP 800-38D). Nothing
 * here counts or refuses: `Rotation.sealedEstimate` says how many it may be, taking the purposes
 * together although each has a key of its own, and `ai-desk key rotate --data` starts a new key. At
 * one value a second the limit of 2^31 is 68 years away, at a thousand 24 days.
 */
import nodeCrypto from "node:crypto"
import { Context, Effect, Schema } from "effect"

/** One key each, derived by HKDF from the active data key; no key has two uses. */
export const Purpose = Schema.Literal(
  "credentials",
  "sessions",
  "cache",
  "approvals",
  "certificates",
  "audit-mac",
  "audit-signing",
  "fingerprint",
  "call-hash",
  "token",
  "web-session",
  "password"
)
export type Purpose = typeof Purpose.Type

/** Where a sealed value stands; authenticated with it. */
export interface Address {
  readonly table: string
  /** The row's key; of several key columns the values joined by `/`, in the order the migration names them. */
  readonly row: string
  readonly column: string
}

export class DecryptFailed extends Schema.TaggedError<DecryptFailed>()("DecryptFailed", {
  table: Schema.String,
  row: Schema.String,
  column: Schema.String,
  reason: Schema.Literal("truncated", "unknown_key", "wrong_place_or_damaged")
}) {
  override get message(): string {
    return `${this.table}.${this.column} of row ${this.row} cannot be decrypted (${this.reason})`
  }
  get fix(): string {
    return "restore the data folder from a backup; nothing was overwritten"
  }
}

export class Crypto extends Context.Tag("ai-desk/kernel/Crypto")<
  Crypto,
  {
    readonly seal: (purpose: Purpose, address: Address, plaintext: Uint8Array) => Effect.Effect<Uint8Array>
    readonly open: (purpose: Purpose, address: Address, sealed: Uint8Array) => Effect.Effect<Uint8Array, DecryptFailed>
    /** HMAC-SHA-256 over the parts, each length-prefixed; lowercase hex. Equal input gives equal output for as long as the keyring lives, across rotations. */
    readonly fingerprint: (
      purpose: "fingerprint" | "call-hash" | "cache" | "token" | "web-session" | "password",
      ...parts: ReadonlyArray<string>
    ) => Effect.Effect<string>
  }
>() {}

/** A key whose bytes no log or inspection shows. */
export type SecretKey = nodeCrypto.KeyObject

/** Number of a data key; written into every record it sealed. */
export type Kid = number

export interface KeySet {
  /** Seals; the others only open. */
  readonly active: Kid
  readonly data: ReadonlyMap<Kid, SecretKey>
  /** Never rotated: what must come out equal for as long as the folder lives. */
  readonly stable: SecretKey
}

const utf8 = new TextEncoder()
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16

// --- Plain helpers, usable without a keyring ---

/** Nonces and ids are drawn from blocks: asking for each alone takes twenty times as long. Keys are not. */
const block = new Uint8Array(4096)
const mostFromBlock = 64
let drawn = block.length

export const randomBytes = (count: number): Uint8Array => {
  if (count > mostFromBlock) return nodeCrypto.randomBytes(count)
  if (drawn + count > block.length) {
    nodeCrypto.randomFillSync(block)
    drawn = 0
  }
  const bytes = block.slice(drawn, drawn + count)
  // What was given out is not kept: a later look into memory finds no nonce here.
  block.fill(0, drawn, drawn + count)
  drawn += count
  return bytes
}

export const sha256 = (data: Uint8Array | string): Uint8Array => nodeCrypto.hash("sha256", data, "buffer")

/** Hex SHA-256 of text (as UTF-8) or bytes. For content that is public or long; a short secret needs `fingerprint`. */
export const sha256Hex = (data: Uint8Array | string): string => nodeCrypto.hash("sha256", data, "hex")

/** Takes the same time for all inputs of equal length. Lengths are not hidden. */
export const constantTimeEqual = (a: Uint8Array | string, b: Uint8Array | string): boolean => {
  const left = typeof a === "string" ? utf8.encode(a) : a
  const right = typeof b === "string" ? utf8.encode(b) : b
  return left.length === right.length && nodeCrypto.timingSafeEqual(left, right)
}

/** Parts with a 4-byte length before each, so that no two lists of parts give the same bytes. */
export const lengthPrefixed = (parts: ReadonlyArray<Uint8Array | string>): Uint8Array => {
  const chunks: Array<Uint8Array> = []
  for (const part of parts) {
    const bytes = typeof part === "string" ? utf8.encode(part) : part
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    chunks.push(length, bytes)
  }
  return Buffer.concat(chunks)
}

export const newSecretKey = (): SecretKey => nodeCrypto.createSecretKey(nodeCrypto.randomBytes(keyBytes))

/** Takes the bytes over: the caller's copy is zeroed. */
export const secretKeyFrom = (bytes: Uint8Array): SecretKey => {
  const key = nodeCrypto.createSecretKey(bytes)
  bytes.fill(0)
  return key
}

/** HKDF-SHA-256 to a 32-byte key for `info`. */
export const deriveKey = (key: SecretKey, info: string, salt: Uint8Array = new Uint8Array(0)): SecretKey =>
  secretKeyFrom(new Uint8Array(nodeCrypto.hkdfSync("sha256", key, salt, info, keyBytes)))

export const hmac = (key: SecretKey, data: Uint8Array): Uint8Array =>
  nodeCrypto.createHmac("sha256", key).update(data).digest()

/** nonce ‖ ciphertext ‖ tag. */
export const encrypt = (key: SecretKey, associated: Uint8Array, plaintext: Uint8Array): Uint8Array => {
  const nonce = randomBytes(nonceBytes)
  const cipher = nodeCrypto.createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(associated)
  const body = cipher.update(plaintext)
  cipher.final()
  return Buffer.concat([nonce, body, cipher.getAuthTag()])
}

/** Undefined when the key, the associated data or any byte is not what it was. */
export const decrypt = (key: SecretKey, associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined => {
  if (sealed.length < nonceBytes + tagBytes) return undefined
  const end = sealed.length - tagBytes
  // Without authTagLength Node takes a tag of 4 bytes for a good one.
  const decipher = nodeCrypto.createDecipheriv("aes-256-gcm", key, sealed.subarray(0, nonceBytes), {
    authTagLength: tagBytes
  })
  decipher.setAAD(associated)
  decipher.setAuthTag(sealed.subarray(end))
  const body = decipher.update(sealed.subarray(nonceBytes, end))
  try {
    decipher.final()
    return body
  } catch {
    // OpenSSL says no more than that the tag does not fit.
    body.fill(0)
    return undefined
  }
}

// --- Certificates ---

/** For the library that makes certificates, which takes the web's interface. */
export const webCrypto = nodeCrypto.webcrypto

/** What stands in a PEM certificate; the first one of a chain. */
export interface CertificateFacts {
  /** Hex SHA-256 of the public key (SPKI). */
  readonly pin: string
  /** Hex SHA-256 of the whole certificate. */
  readonly fingerprint: string
  /** Epoch milliseconds. */
  readonly validFrom: number
  readonly validUntil: number
  /** As OpenSSL prints them: `DNS:desk.example.org, IP Address:127.0.0.1`. */
  readonly alternativeNames: string
}

const parsed = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch {
    // OpenSSL's words for it are of no use to anyone; the caller names the file.
    return undefined
  }
}

/** Of PEM or DER. Undefined for what is no certificate. */
export const certificateFacts = (given: string | Uint8Array): CertificateFacts | undefined =>
  parsed(() => {
    const certificate = new nodeCrypto.X509Certificate(given)
    return {
      pin: sha256Hex(certificate.publicKey.export({ type: "spki", format: "der" })),
      fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
      validFrom: certificate.validFromDate.getTime(),
      validUntil: certificate.validToDate.getTime(),
      alternativeNames: certificate.subjectAltName ?? ""
    }
  })

/** Whether a PEM private key is the certificate's; undefined when it cannot be read as one without a passphrase. */
export const keyFitsCertificate = (certificate: string, key: string): boolean | undefined =>
  parsed(() => new nodeCrypto.X509Certificate(certificate).checkPrivateKey(nodeCrypto.createPrivateKey(key)))

// --- Key from a passphrase ---

/** How the master key becomes the key that wraps the others. Bounded, so that a hostile keyring cannot exhaust the machine. */
export const Kdf = Schema.Union(
  Schema.Struct({
    id: Schema.Literal("scrypt"),
    N: Schema.Literal(16_384, 32_768, 65_536, 131_072, 262_144, 524_288),
    r: Schema.Literal(8),
    p: Schema.Int.pipe(Schema.between(1, 4)),
    salt: Schema.Uint8ArrayFromBase64
  }),
  Schema.Struct({
    id: Schema.Literal("argon2id"),
    /** KiB. */
    memory: Schema.Int.pipe(Schema.between(19_456, 524_288)),
    passes: Schema.Int.pipe(Schema.between(1, 10)),
    parallelism: Schema.Int.pipe(Schema.between(1, 8)),
    salt: Schema.Uint8ArrayFromBase64
  }),
  Schema.Struct({ id: Schema.Literal("hkdf"), salt: Schema.Uint8ArrayFromBase64 })
)
export type Kdf = typeof Kdf.Type

export const hasArgon2 = typeof nodeCrypto.argon2 === "function"

/** Runs in libuv's pool, off the event loop. Undefined when this Node does not offer the algorithm. */
export const deriveFromPassphrase = (
  passphrase: Uint8Array,
  kdf: Exclude<Kdf, { id: "hkdf" }>
): Effect.Effect<SecretKey | undefined> =>
  Effect.async<SecretKey | undefined>((resume) => {
    const done = (error: Error | null, key?: Uint8Array): void =>
      resume(error === null && key !== undefined ? Effect.succeed(secretKeyFrom(key)) : Effect.die(error))
    if (kdf.id === "scrypt") {
      const { N, p, r } = kdf
      nodeCrypto.scrypt(passphrase, kdf.salt, keyBytes, { N, r, p, maxmem: 256 * N * r }, done)
    } else if (hasArgon2) {
      const { memory, parallelism, passes } = kdf
      const parameters = { message: passphrase, nonce: kdf.salt, parallelism, tagLength: keyBytes, memory, passes }
      nodeCrypto.argon2("argon2id", parameters, done)
    } else {
      resume(Effect.succeed(undefined))
    }
  })

// --- Signatures ---

export interface SigningKey {
  /** 64 bytes, Ed25519. */
  readonly sign: (data: Uint8Array) => Uint8Array
  readonly verify: (data: Uint8Array, signature: Uint8Array) => boolean
  /** 32 bytes. */
  readonly publicKey: Uint8Array
}

/** PKCS #8 header of an Ed25519 private key (RFC 8410); the 32-byte seed follows. */
const ed25519Header = Buffer.from("302e020100300506032b657004220420", "hex")

/** Deterministic: the same key gives the same signing key. */
export const signingKeyFrom = (seed: SecretKey): SigningKey => {
  const der = Buffer.concat([ed25519Header, seed.export()])
  const privateKey = nodeCrypto.createPrivateKey({ key: der, format: "der", type: "pkcs8" })
  der.fill(0)
  const publicKey = nodeCrypto.createPublicKey(privateKey)
  return {
    sign: (data) => nodeCrypto.sign(null, data, privateKey),
    verify: (data, signature) => nodeCrypto.verify(null, data, publicKey, signature),
    publicKey: publicKey.export({ format: "der", type: "spki" }).subarray(-32)
  }
}

// --- Sealed records: ver(1) ‖ alg(1) ‖ kid(4) ‖ nonce(12) ‖ ciphertext ‖ tag(16) ---

const recordVersion = 1
const aes256Gcm = 1
const headBytes = 6

/** The number of the data key that sealed a record, or undefined for what is no record. */
export const kidOf = (sealed: Uint8Array): Kid | undefined =>
  sealed.length < headBytes + nonceBytes + tagBytes || sealed[0] !== recordVersion || sealed[1] !== aes256Gcm
    ? undefined
    : new DataView(sealed.buffer, sealed.byteOffset).getUint32(2)

/** The service over a source of keys; `refresh` is asked once for a key number that is not known. */
export const make = (
  keys: Effect.Effect<KeySet>,
  refresh: Effect.Effect<KeySet>
): Context.Tag.Service<typeof Crypto> => {
  const derived = new WeakMap<SecretKey, Map<string, SecretKey>>()
  const subkey = (key: SecretKey, info: string): SecretKey => {
    let ofKey = derived.get(key)
    if (ofKey === undefined) derived.set(key, (ofKey = new Map()))
    let sub = ofKey.get(info)
    if (sub === undefined) ofKey.set(info, (sub = deriveKey(key, `ai-desk v1 ${info}`)))
    return sub
  }
  const associated = (head: Uint8Array, address: Address): Uint8Array =>
    lengthPrefixed([address.table, address.column, address.row, head])

  const openWith = (
    set: KeySet,
    kid: Kid,
    purpose: Purpose,
    address: Address,
    sealed: Uint8Array
  ): Effect.Effect<Uint8Array, DecryptFailed> => {
    const key = set.data.get(kid)
    if (key === undefined) return Effect.fail(new DecryptFailed({ ...place(address), reason: "unknown_key" }))
    const head = sealed.subarray(0, headBytes)
    const plaintext = decrypt(subkey(key, `seal ${purpose}`), associated(head, address), sealed.subarray(headBytes))
    return plaintext === undefined
      ? Effect.fail(new DecryptFailed({ ...place(address), reason: "wrong_place_or_damaged" }))
      : Effect.succeed(plaintext)
  }

  return {
    seal: (purpose, address, plaintext) =>
      Effect.map(keys, (set) => {
        const key = set.data.get(set.active)
        if (key === undefined) throw new TypeError("the active data key is not in the key set")
        const head = Buffer.alloc(headBytes)
        head[0] = recordVersion
        head[1] = aes256Gcm
        head.writeUInt32BE(set.active, 2)
        return Buffer.concat([head, encrypt(subkey(key, `seal ${purpose}`), associated(head, address), plaintext)])
      }),
    open: (purpose, address, sealed) =>
      Effect.flatMap(keys, (set) => {
        if (sealed.length < headBytes + nonceBytes + tagBytes) {
          return Effect.fail(new DecryptFailed({ ...place(address), reason: "truncated" }))
        }
        const kid = kidOf(sealed)
        if (kid === undefined) {
          return Effect.fail(new DecryptFailed({ ...place(address), reason: "wrong_place_or_damaged" }))
        }
        return set.data.has(kid)
          ? openWith(set, kid, purpose, address, sealed)
          : Effect.flatMap(refresh, (fresh) => openWith(fresh, kid, purpose, address, sealed))
      }),
    fingerprint: (purpose, ...parts) =>
      Effect.map(keys, (set) =>
        Buffer.from(hmac(subkey(set.stable, `fingerprint ${purpose}`), lengthPrefixed(parts))).toString("hex")
      )
  }
}

const place = ({ column, row, table }: Address) => ({ table, row, column })
