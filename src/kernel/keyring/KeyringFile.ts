/**
 * The form of keyring.json: how the master key is stretched, how keys are wrapped, and how a file is
 * judged. Guarantees: nothing read from the file sets the cost of opening it beyond fixed bounds; a
 * key that was altered, dropped or given another state is noticed; a weak master key is refused
 * before anything is made with it.
 */
import { lstatSync, readFileSync } from "node:fs"
import { Effect, ParseResult, Redacted, Schema } from "effect"
import {
  constantTimeEqual,
  decrypt,
  deriveFromPassphrase,
  deriveKey,
  encrypt,
  hmac,
  Kdf,
  type KeySet,
  lengthPrefixed,
  newSecretKey,
  randomBytes,
  type SecretKey,
  secretKeyFrom
} from "../Crypto.ts"
import { type FileError, fileError } from "../DurableFile.ts"

export class MasterKeyMissing extends Schema.TaggedError<MasterKeyMissing>()("MasterKeyMissing", {
  dataDir: Schema.String
}) {
  override get message(): string {
    return `no master key is given for the data in ${this.dataDir}`
  }
  get fix(): string {
    return "set AI_DESK_MASTER_KEY_FILE (a file of mode 0600) or AI_DESK_MASTER_KEY, in the environment or in the .env beside ai-desk.json"
  }
}

export class WrongMasterKey extends Schema.TaggedError<WrongMasterKey>()("WrongMasterKey", { file: Schema.String }) {
  override get message(): string {
    return `the master key does not open ${this.file}`
  }
  get fix(): string {
    return "set AI_DESK_MASTER_KEY to the key this data was made with; nothing was changed"
  }
}

export class WeakMasterKey extends Schema.TaggedError<WeakMasterKey>()("WeakMasterKey", { reason: Schema.String }) {
  override get message(): string {
    return `the master key is too easy to guess: ${this.reason}`
  }
  get fix(): string {
    return "use a generated key (ai-desk onboard makes one), or a passphrase of five or more unrelated words"
  }
}

export class KeyringMissing extends Schema.TaggedError<KeyringMissing>()("KeyringMissing", {
  file: Schema.String,
  /** The data that could then never be read again. */
  beside: Schema.String
}) {
  override get message(): string {
    return `${this.file} is missing although ${this.beside} is there; without it the data cannot be decrypted`
  }
  get fix(): string {
    return "restore keyring.json from a backup, or copy keyring.previous.json to its name; nothing was changed"
  }
}

export class KeyringDamaged extends Schema.TaggedError<KeyringDamaged>()("KeyringDamaged", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.file} cannot be used: ${this.detail}`
  }
  get fix(): string {
    return "restore it from a backup, or copy keyring.previous.json to its name; nothing was changed"
  }
}

export type KeyringError =
  | MasterKeyMissing
  | WrongMasterKey
  | WeakMasterKey
  | KeyringMissing
  | KeyringDamaged
  | FileError

/** A keyring of 100 keys has about 20 KiB. */
const maxFileBytes = 262_144

const StoredKey = Schema.Struct({
  kid: Schema.Int.pipe(Schema.between(1, 0xffff_ffff)),
  purpose: Schema.Literal("data", "stable", "audit-root"),
  state: Schema.Literal("active", "decrypt-only", "retired"),
  createdAt: Schema.Number,
  /** Absent once retired. */
  wrapped: Schema.optional(Schema.Uint8ArrayFromBase64)
})
export type StoredKey = typeof StoredKey.Type

const Stored = Schema.Struct({
  format: Schema.Literal("ai-desk-keyring"),
  version: Schema.Literal(1),
  kdf: Kdf,
  keys: Schema.Array(StoredKey).pipe(Schema.maxItems(1000)),
  /** Over all of the above, so that no key can be dropped or change its state unnoticed. */
  mac: Schema.Uint8ArrayFromBase64
})
export type Stored = typeof Stored.Type
export const StoredJson = Schema.parseJson(Stored, { space: 2 })

const generatedPattern = /^aidk_[A-Za-z0-9_-]{43}$/

/** A key of 256 random bits, which needs no slow derivation. */
export const generateMasterKey: Effect.Effect<Redacted.Redacted<string>> = Effect.sync(() =>
  Redacted.make(`aidk_${Buffer.from(randomBytes(32)).toString("base64url")}`)
)

/** What makes a chosen passphrase too easy to guess, or undefined. */
export const weakness = (masterKey: string): string | undefined => {
  if (masterKey.startsWith("aidk_")) {
    return generatedPattern.test(masterKey)
      ? undefined
      : "it begins like a generated key (aidk_) but is not a whole one"
  }
  const points = Array.from(masterKey)
  if (points.length < 14) return `it has ${points.length} characters; at least 14 are needed`
  if (new Set(points).size < 7) return "it repeats a few characters"
  if (/^\d+$/.test(masterKey) && points.length < 30) return "it has digits only"
  const steps = points
    .slice(1)
    .filter((c, i) => Math.abs((c.codePointAt(0) ?? 0) - (points[i]?.codePointAt(0) ?? 0)) <= 1)
  if (steps.length > points.length / 2) return "it is a run of neighbouring characters"
  if (/^(.{1,10})\1+.{0,9}$/su.test(masterKey)) return "it is one short piece repeated"
  if (/password|passphrase|master.?key|changeme|qwerty|letmein|ai.?desk/i.test(masterKey) && points.length < 24) {
    return "it contains a common word"
  }
  return undefined
}

export const newKdf = (masterKey: string): Kdf => {
  const salt = randomBytes(16)
  return generatedPattern.test(masterKey) ? { id: "hkdf", salt } : { id: "scrypt", N: 131_072, r: 8, p: 1, salt }
}

/** The wrapping key, or undefined when this master key cannot belong to this keyring. */
export const wrappingKey = (masterKey: string, kdf: Kdf): Effect.Effect<SecretKey | undefined> => {
  if (kdf.id !== "hkdf") return deriveFromPassphrase(new TextEncoder().encode(masterKey.normalize("NFC")), kdf)
  if (!generatedPattern.test(masterKey)) return Effect.succeed(undefined)
  return Effect.sync(() => {
    const secret = secretKeyFrom(Buffer.from(masterKey.slice(5), "base64url"))
    return deriveKey(secret, "ai-desk v1 keyring", kdf.salt)
  })
}

const wrapPlace = (key: Pick<StoredKey, "kid" | "purpose">) =>
  lengthPrefixed(["ai-desk v1 wrapped key", String(key.kid), key.purpose])

export const rewrap = (kek: SecretKey, next: SecretKey, key: StoredKey): StoredKey => {
  const bytes = key.wrapped === undefined ? undefined : decrypt(kek, wrapPlace(key), key.wrapped)
  return bytes === undefined ? key : { ...key, wrapped: wrap(next, key, secretKeyFrom(bytes)) }
}

export const wrap = (kek: SecretKey, key: Pick<StoredKey, "kid" | "purpose">, secret: SecretKey): Uint8Array => {
  const bytes = secret.export()
  const wrapped = encrypt(kek, wrapPlace(key), bytes)
  bytes.fill(0)
  return wrapped
}

const macOf = (kek: SecretKey, stored: Omit<Stored, "mac">): Uint8Array =>
  hmac(
    deriveKey(kek, "ai-desk v1 keyring mac"),
    lengthPrefixed([
      JSON.stringify({ ...stored.kdf, salt: Buffer.from(stored.kdf.salt).toString("hex") }),
      ...stored.keys.map((key) =>
        lengthPrefixed([String(key.kid), key.purpose, key.state, String(key.createdAt), key.wrapped ?? ""])
      )
    ])
  )

export interface Opened {
  readonly stored: Stored
  readonly set: KeySet
  readonly auditRoot: SecretKey
  readonly kek: SecretKey
}

const damaged = (file: string, detail: string) => new KeyringDamaged({ file, detail })

/** Decodes the file, still locked. */
export const read = (file: string): Effect.Effect<Stored, KeyringDamaged | FileError> =>
  Effect.gen(function* () {
    const text = yield* Effect.try({
      try: () => {
        const stat = lstatSync(file)
        return stat.isFile() && stat.size <= maxFileBytes ? readFileSync(file, "utf8") : undefined
      },
      catch: (cause) => fileError(file, "read", cause)
    })
    if (text === undefined) return yield* damaged(file, "it is not a regular file of a plausible size")
    if (text.trim() === "") return yield* damaged(file, "it is empty")
    return yield* Schema.decode(StoredJson)(text).pipe(
      Effect.mapError((error) => {
        const issue = ParseResult.ArrayFormatter.formatErrorSync(error)[0]
        const at = issue === undefined || issue.path.length === 0 ? "the whole" : issue.path.join(".")
        return damaged(file, `${at} is not what a keyring of this release has`)
      })
    )
  })

/** Opens a keyring whose wrapping key is at hand. */
export const openWith = (
  file: string,
  stored: Stored,
  kek: SecretKey
): Effect.Effect<Opened, WrongMasterKey | KeyringDamaged> =>
  Effect.gen(function* () {
    const present = stored.keys.filter((key) => key.wrapped !== undefined)
    const opened = present.map((key) => {
      const bytes = decrypt(kek, wrapPlace(key), key.wrapped ?? new Uint8Array(0))
      return bytes === undefined ? undefined : ([key, secretKeyFrom(bytes)] as const)
    })
    if (opened.every((entry) => entry === undefined)) return yield* new WrongMasterKey({ file })
    const whole = opened.filter((entry) => entry !== undefined)
    if (whole.length < opened.length || !constantTimeEqual(macOf(kek, stored), stored.mac)) {
      return yield* damaged(file, "it was changed by something else than ai-desk")
    }
    const data = whole.filter(([key]) => key.purpose === "data")
    const active = data.find(([key]) => key.state === "active")?.[0].kid
    const stable = whole.find(([key]) => key.purpose === "stable")?.[1]
    const auditRoot = whole.find(([key]) => key.purpose === "audit-root")?.[1]
    if (active === undefined || stable === undefined || auditRoot === undefined) {
      return yield* damaged(file, "one of its keys is missing")
    }
    const set: KeySet = { active, stable, data: new Map(data.map(([key, secret]) => [key.kid, secret])) }
    return { stored, set, auditRoot, kek }
  })

/** Derives the wrapping key, which may take a second, and opens. */
export const unlock = (
  file: string,
  stored: Stored,
  masterKey: string
): Effect.Effect<Opened, WrongMasterKey | KeyringDamaged> =>
  Effect.gen(function* () {
    const kek = yield* wrappingKey(masterKey, stored.kdf)
    if (kek !== undefined) return yield* openWith(file, stored, kek)
    return yield* stored.kdf.id === "argon2id"
      ? damaged(file, "its key derivation (argon2id) needs Node 24.7 or newer")
      : new WrongMasterKey({ file })
  })

/** Completes a keyring by its MAC. */
export const seal = (kek: SecretKey, content: Pick<Stored, "kdf" | "keys">): Stored => {
  const unsigned = { format: "ai-desk-keyring", version: 1, ...content } as const
  return { ...unsigned, mac: macOf(kek, unsigned) }
}

/** A new keyring under this master key. */
export const create = (masterKey: string, now: number) =>
  Effect.gen(function* () {
    const reason = weakness(masterKey)
    if (reason !== undefined) return yield* new WeakMasterKey({ reason })
    const kdf = newKdf(masterKey)
    const kek = yield* wrappingKey(masterKey, kdf)
    if (kek === undefined) return yield* new WeakMasterKey({ reason: "it is not a whole generated key" })
    const keys = (["stable", "audit-root", "data"] as const).map((purpose, index): StoredKey => {
      const key = { kid: index + 1, purpose }
      return { ...key, state: "active", createdAt: now, wrapped: wrap(kek, key, newSecretKey()) }
    })
    return seal(kek, { kdf, keys })
  })
