/**
 * Keyring: the random data keys of a data folder, each wrapped by a key from the owner's master key.
 *
 * Guarantees: keyring.json is replaced whole or not at all, and the generation before it is kept;
 * a wrong master key, a damaged or a missing keyring changes nothing, and no keyring is ever made
 * beside existing data; the key derived from the master key is not kept after use; changing the
 * master key re-wraps and touches no data.
 */
import { existsSync } from "node:fs"
import { Clock, Context, Effect, Layer, Redacted, Schema } from "effect"
import {
  Crypto,
  constantTimeEqual,
  type Kdf,
  type KeySet,
  type Kid,
  make as makeCrypto,
  newSecretKey,
  type SecretKey
} from "./Crypto.ts"
import { DataDir } from "./DataDir.ts"
import { databaseFiles } from "./database/Store.ts"
import { replaceFile, sweepTemporaries } from "./DurableFile.ts"
import * as KeyringFile from "./keyring/KeyringFile.ts"
import { type KeyringError, KeyringMissing, MasterKeyMissing, WeakMasterKey } from "./keyring/KeyringFile.ts"
import { Settings } from "./Settings.ts"

export {
  generateMasterKey,
  KeyringDamaged,
  type KeyringError,
  KeyringMissing,
  MasterKeyMissing,
  WeakMasterKey,
  weakness,
  WrongMasterKey
} from "./keyring/KeyringFile.ts"

export interface DataKeyInfo {
  readonly kid: Kid
  readonly state: "active" | "decrypt-only" | "retired"
  /** Epoch milliseconds. */
  readonly createdAt: number
}

export class Keyring extends Context.Tag("ai-desk/kernel/Keyring")<
  Keyring,
  {
    readonly keys: Effect.Effect<KeySet>
    /** How the master key is stretched, and the data keys, oldest first. */
    readonly info: Effect.Effect<{ readonly kdf: Kdf["id"]; readonly keys: ReadonlyArray<DataKeyInfo> }>
    /** Reads the file again, because another process may have rotated. Takes as long as the key derivation. */
    readonly reload: Effect.Effect<KeySet, KeyringError>
    /** The root of the audit log's MAC keys. Not kept in memory, so it takes as long as the key derivation. */
    readonly auditRoot: Effect.Effect<SecretKey, KeyringError>
    /** Wraps all keys anew under `next`; from then on only `next` opens the folder. */
    readonly changeMasterKey: (next: Redacted.Redacted<string>) => Effect.Effect<void, KeyringError>
    /** A new data key becomes active; the one before only decrypts from then on. */
    readonly addDataKey: Effect.Effect<Kid, KeyringError>
    /** Erases a data key that is not active. What it sealed can then never be opened. */
    readonly retire: (kid: Kid) => Effect.Effect<void, KeyringError>
  }
>() {}

const fileName = "keyring.json"
const previousName = "keyring.previous.json"

/** Whether the generation before still gives away what the present one was meant to end. */
const opensMore = (before: KeyringFile.Stored, now: KeyringFile.Stored): boolean => {
  const retired = new Set(now.keys.filter((key) => key.state === "retired").map((key) => key.kid))
  return (
    !constantTimeEqual(before.kdf.salt, now.kdf.salt) ||
    before.keys.some((key) => key.wrapped !== undefined && retired.has(key.kid))
  )
}

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const dir = yield* DataDir
  const file = dir.file(fileName)
  const previous = dir.file(previousName)

  /** Set once this process changed the master key: the settings still hold the one before. */
  let changed: Redacted.Redacted<string> | undefined
  const masterKey = Effect.flatMap(settings.current, (loaded) => {
    const key = changed ?? loaded.masterKey
    return key === null ? Effect.fail(new MasterKeyMissing({ dataDir: dir.path })) : Effect.succeed(Redacted.value(key))
  })
  const encode = Schema.encodeSync(KeyringFile.StoredJson)
  const save = (next: KeyringFile.Stored, before: KeyringFile.Stored | undefined) =>
    Effect.gen(function* () {
      if (before !== undefined) yield* replaceFile(previous, encode(before), 0o600)
      yield* replaceFile(file, encode(next), 0o600)
    })
  const unlock = Effect.gen(function* () {
    const stored = yield* KeyringFile.read(file)
    return yield* KeyringFile.unlock(file, stored, yield* masterKey)
  })

  if (!existsSync(file)) {
    const beside = [previousName, ...databaseFiles].find((name) => existsSync(dir.file(name)))
    if (beside !== undefined) return yield* new KeyringMissing({ file, beside })
    yield* save(yield* KeyringFile.create(yield* masterKey, yield* Clock.currentTimeMillis), undefined)
  }
  const first = yield* unlock
  // A change that was killed half-way left a generation that another master key opens, or that still has an erased key.
  yield* sweepTemporaries(file)
  yield* sweepTemporaries(previous)
  if (existsSync(previous)) {
    const old = yield* Effect.either(KeyringFile.read(previous))
    if (old._tag === "Right" && opensMore(old.right, first.stored)) {
      yield* replaceFile(previous, encode(first.stored), 0o600)
    }
  }

  let current: { readonly stored: KeyringFile.Stored; readonly set: KeySet } = { stored: first.stored, set: first.set }
  // Needed right after the first start, when the audit log is made; saves that start a second derivation.
  let rootOnce: SecretKey | undefined = existsSync(dir.file("audit.db")) ? undefined : first.auditRoot

  const adopt = (opened: KeyringFile.Opened): KeySet => {
    current = { stored: opened.stored, set: opened.set }
    return opened.set
  }
  const turn = yield* Effect.makeSemaphore(1)
  /** Opens the file as it is now, saves what `f` makes of it and goes on with that. `forget` overwrites the generation before, too. */
  const change = (
    forget: boolean,
    f: (
      opened: KeyringFile.Opened
    ) => Effect.Effect<{ readonly next: KeyringFile.Stored; readonly kek: SecretKey }, KeyringError>
  ) =>
    Effect.gen(function* () {
      const opened = yield* unlock
      const { kek, next } = yield* f(opened)
      const reopened = yield* KeyringFile.openWith(file, next, kek)
      yield* save(next, opened.stored)
      adopt(reopened)
      if (forget) yield* replaceFile(previous, encode(next), 0o600)
      return reopened.set
    }).pipe(Effect.uninterruptible, turn.withPermits(1))

  return Keyring.of({
    keys: Effect.sync(() => current.set),
    info: Effect.sync(() => ({
      kdf: current.stored.kdf.id,
      keys: current.stored.keys
        .filter((key) => key.purpose === "data")
        .map(({ createdAt, kid, state }) => ({ kid, state, createdAt }))
    })),
    reload: Effect.map(unlock, adopt),
    auditRoot: Effect.suspend(() => {
      const root = rootOnce
      rootOnce = undefined
      return root === undefined ? Effect.map(unlock, (opened) => opened.auditRoot) : Effect.succeed(root)
    }),
    changeMasterKey: (next) =>
      Effect.gen(function* () {
        const chosen = Redacted.value(next)
        const reason = KeyringFile.weakness(chosen)
        if (reason !== undefined) return yield* new WeakMasterKey({ reason })
        const kdf = KeyringFile.newKdf(chosen)
        const kek = yield* KeyringFile.wrappingKey(chosen, kdf)
        if (kek === undefined) return yield* new WeakMasterKey({ reason: "it is not a whole generated key" })
        yield* change(true, (opened) => {
          const keys = opened.stored.keys.map((key) => KeyringFile.rewrap(opened.kek, kek, key))
          return Effect.succeed({ next: KeyringFile.seal(kek, { kdf, keys }), kek })
        })
        changed = next
      }),
    addDataKey: Effect.gen(function* () {
      const createdAt = yield* Clock.currentTimeMillis
      const set = yield* change(false, ({ kek, stored }) => {
        const kid = Math.max(...stored.keys.map((key) => key.kid)) + 1
        const key = { kid, purpose: "data" } as const
        const keys = stored.keys.map(
          (existing): KeyringFile.StoredKey =>
            existing.purpose === "data" && existing.state === "active"
              ? { ...existing, state: "decrypt-only" }
              : existing
        )
        const wrapped = KeyringFile.wrap(kek, key, newSecretKey())
        const next = KeyringFile.seal(kek, {
          kdf: stored.kdf,
          keys: [...keys, { ...key, state: "active", createdAt, wrapped }]
        })
        return Effect.succeed({ next, kek })
      })
      return set.active
    }),
    retire: (kid) =>
      Effect.asVoid(
        change(true, ({ kek, stored }) => {
          const keys = stored.keys.map((key): KeyringFile.StoredKey => {
            if (key.kid !== kid || key.purpose !== "data" || key.state === "active") return key
            const { wrapped: _erased, ...rest } = key
            return { ...rest, state: "retired" }
          })
          return Effect.succeed({ next: KeyringFile.seal(kek, { kdf: stored.kdf, keys }), kek })
        })
      )
  })
})

export const layer: Layer.Layer<Keyring, KeyringError, Settings | DataDir> = Layer.effect(Keyring, make)

/** The cipher service over this keyring's keys. */
export const layerCrypto: Layer.Layer<Crypto, never, Keyring> = Layer.effect(
  Crypto,
  Effect.map(Keyring, (keyring) =>
    makeCrypto(
      keyring.keys,
      keyring.reload.pipe(
        Effect.tapError((error) => Effect.logWarning(`the keyring could not be read again: ${error.message}`)),
        Effect.orElse(() => keyring.keys)
      )
    )
  )
)
