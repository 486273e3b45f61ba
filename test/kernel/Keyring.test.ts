import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Crypto } from "../../src/kernel/Crypto.ts"
import { generateMasterKey, Keyring, layer as keyringLayer, layerCrypto, weakness } from "../../src/kernel/Keyring.ts"
import { dataDirAt, temporaryFolder } from "../support/database.ts"
import { masterKey, settingsWith } from "../support/keyring.ts"

const at = (folder: string, key: Redacted.Redacted<string> | null = masterKey) =>
  layerCrypto.pipe(Layer.provideMerge(keyringLayer), Layer.provide(Layer.merge(dataDirAt(folder), settingsWith(key))))
const opens = (folder: string, key?: Redacted.Redacted<string> | null) =>
  Effect.flip(Effect.asVoid(Layer.build(at(folder, key))).pipe(Effect.scoped))

const place = { table: "t", row: "1", column: "c" }
const text = new TextEncoder().encode("kept")
const sealOne = (folder: string, key = masterKey) =>
  Effect.flatMap(Crypto, (crypto) => crypto.seal("sessions", place, text)).pipe(Effect.provide(at(folder, key)))
const openOne = (folder: string, sealed: Uint8Array, key = masterKey) =>
  Effect.flatMap(Crypto, (crypto) => crypto.open("sessions", place, sealed)).pipe(
    Effect.map((bytes) => Buffer.from(bytes).toString()),
    Effect.provide(at(folder, key))
  )

/** Every byte of the folder, to show that nothing was touched. */
const snapshot = (folder: string) =>
  readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString("base64")])

const passphrase = Redacted.make("seven crimson otters juggle")

describe("Keyring", () => {
  it.scoped("is made once, 0600 under any umask, and opened again with the same key", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const before = process.umask(0)
      const sealed = yield* sealOne(folder).pipe(Effect.ensuring(Effect.sync(() => process.umask(before))))
      expect(statSync(join(folder, "keyring.json")).mode & 0o777).toBe(0o600)
      expect(yield* openOne(folder, sealed)).toBe("kept")
    })
  )

  it.scoped("holds neither the master key nor any data key in clear", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const key = Redacted.value(masterKey)
      yield* Effect.flatMap(Keyring, (keyring) =>
        Effect.map(keyring.keys, (set) => {
          const bytes = readFileSync(join(folder, "keyring.json"), "utf8")
          for (const secret of [set.stable, ...set.data.values()]) {
            expect(bytes).not.toContain(secret.export().toString("base64").slice(0, 20))
          }
          expect(bytes).not.toContain(key.slice(5, 25))
        })
      ).pipe(Effect.provide(at(folder)))
    })
  )

  it.scoped("a passphrase is stretched by scrypt and opens again; another one does not, and changes nothing", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const sealed = yield* sealOne(folder, passphrase)
      expect(JSON.parse(readFileSync(join(folder, "keyring.json"), "utf8")).kdf).toMatchObject({
        id: "scrypt",
        N: 131_072
      })
      expect(yield* openOne(folder, sealed, passphrase)).toBe("kept")
      const files = snapshot(folder)
      for (const wrong of ["seven crimson otters jugglf", Redacted.value(masterKey)]) {
        const error = yield* opens(folder, Redacted.make(wrong))
        expect(error._tag).toBe("WrongMasterKey")
        expect(error.message).not.toContain(wrong)
      }
      expect(snapshot(folder)).toEqual(files)
    })
  )

  it.scoped("without a master key nothing is opened and nothing is made", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      expect((yield* opens(folder, null))._tag).toBe("MasterKeyMissing")
      expect(readdirSync(folder)).toEqual([])
      yield* sealOne(folder)
      expect((yield* opens(folder, null))._tag).toBe("MasterKeyMissing")
    })
  )

  it.scoped("is never made beside existing data", () =>
    Effect.gen(function* () {
      for (const name of ["desk.db", "audit.db", "cache.db", "keyring.previous.json"]) {
        const folder = yield* temporaryFolder
        writeFileSync(join(folder, name), "")
        const error = yield* opens(folder)
        expect(error._tag).toBe("KeyringMissing")
        expect(error.message).toContain(name)
        expect(readdirSync(folder)).toEqual([name])
      }
    })
  )

  it("tells a passphrase that is easy to guess", () => {
    for (const bad of [
      "",
      "short",
      "aaaaaaaaaaaaaaaaaaaaaaaa",
      "abcdefghijklmnopqr",
      "12345678901234567890",
      "abc1abc1abc1abc1abc1",
      "MyPassword2026!",
      "aidk_short"
    ]) {
      expect([bad, typeof weakness(bad)]).toEqual([bad, "string"])
    }
    for (const good of [
      Redacted.value(masterKey),
      Redacted.value(passphrase),
      "f00dbabe".repeat(2) + "9c1e77a4b2d0",
      "Kx9#vLq2!mTz7$Rw"
    ]) {
      expect([good, weakness(good)]).toEqual([good, undefined])
    }
  })

  it.scoped("makes nothing with a weak master key", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const error = yield* opens(folder, Redacted.make("hunter2hunter2"))
      expect(error._tag).toBe("WeakMasterKey")
      expect(error.message).not.toContain("hunter2")
      expect(readdirSync(folder)).toEqual([])
    })
  )

  it.effect("generates strong keys, never the same", () =>
    Effect.gen(function* () {
      const [one, two] = yield* Effect.all([generateMasterKey, generateMasterKey])
      expect(Redacted.value(one)).not.toBe(Redacted.value(two))
      expect(weakness(Redacted.value(one))).toBeUndefined()
    })
  )

  describe("refuses, unchanged,", () => {
    type Json = Record<string, unknown> & { keys: Array<Record<string, unknown>>; kdf: Record<string, unknown> }
    const edit = (f: (json: Json) => void) => (file: string) => {
      const json = JSON.parse(readFileSync(file, "utf8"))
      f(json)
      writeFileSync(file, JSON.stringify(json))
    }
    const cases: ReadonlyArray<readonly [string, (file: string) => void, string]> = [
      ["an empty file", (file) => writeFileSync(file, ""), "KeyringDamaged"],
      ["a cut file", (file) => writeFileSync(file, readFileSync(file).subarray(0, 200)), "KeyringDamaged"],
      ["no JSON", (file) => writeFileSync(file, "nonsense"), "KeyringDamaged"],
      ["JSON that is no keyring", (file) => writeFileSync(file, "[]"), "KeyringDamaged"],
      ["a huge file", (file) => writeFileSync(file, " ".repeat(300_000)), "KeyringDamaged"],
      ["a later version", edit((json) => void (json.version = 2)), "KeyringDamaged"],
      ["a dropped key", edit((json) => void json.keys.splice(1, 1)), "KeyringDamaged"],
      ["a key in another state", edit((json) => void (json.keys[2]!.state = "decrypt-only")), "KeyringDamaged"],
      [
        "two keys swapped",
        edit(
          (json) =>
            void ([json.keys[0]!.wrapped, json.keys[1]!.wrapped] = [json.keys[1]!.wrapped, json.keys[0]!.wrapped])
        ),
        "KeyringDamaged"
      ],
      ["one damaged key", edit((json) => void (json.keys[0]!.wrapped = "AAAA")), "KeyringDamaged"],
      ["a wrong mac", edit((json) => void (json.mac = "AAAA")), "KeyringDamaged"],
      [
        "a derivation that would take all memory",
        edit((json) => void (json.kdf = { id: "scrypt", N: 2 ** 30, r: 8, p: 1, salt: "AAAA" })),
        "KeyringDamaged"
      ],
      [
        "a derivation that would take for ever",
        edit((json) => void (json.kdf = { id: "argon2id", memory: 65_536, passes: 1e9, parallelism: 1, salt: "AAAA" })),
        "KeyringDamaged"
      ],
      ["another salt", edit((json) => void (json.kdf.salt = "AAAAAAAAAAAAAAAAAAAAAA==")), "WrongMasterKey"],
      [
        "a folder in its place",
        (file) => {
          rmSync(file)
          mkdirSync(file)
        },
        "KeyringDamaged"
      ],
      [
        "a symbolic link in its place",
        (file) => {
          writeFileSync(`${file}.real`, readFileSync(file))
          rmSync(file)
          symlinkSync(`${file}.real`, file)
        },
        "KeyringDamaged"
      ]
    ]
    for (const [what, damage, tag] of cases) {
      it.scoped(what, () =>
        Effect.gen(function* () {
          const folder = yield* temporaryFolder
          yield* sealOne(folder)
          const file = join(folder, "keyring.json")
          damage(file)
          const before = statSync(file).isFile() ? readFileSync(file, "utf8") : ""
          const error = yield* opens(folder)
          expect(error._tag).toBe(tag)
          expect(error.message).toContain("keyring.json")
          expect(error.fix).not.toBe("")
          if (before !== "") expect(readFileSync(file, "utf8")).toBe(before)
          chmodSync(folder, 0o700)
        })
      )
    }
  })

  it.scoped("a change of the master key keeps the data, and only the new key opens from then on", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const sealed = yield* sealOne(folder)
      const next = yield* generateMasterKey
      yield* Effect.flatMap(Keyring, (keyring) => keyring.changeMasterKey(next)).pipe(Effect.provide(at(folder)))
      expect(yield* openOne(folder, sealed, next)).toBe("kept")
      expect((yield* opens(folder))._tag).toBe("WrongMasterKey")
      // The generation before must not be the old key's way in.
      writeFileSync(join(folder, "keyring.json"), readFileSync(join(folder, "keyring.previous.json")))
      expect((yield* opens(folder))._tag).toBe("WrongMasterKey")
      expect(yield* openOne(folder, sealed, next)).toBe("kept")
    })
  )

  it.scoped("closes the old key's way in when such a change was killed half-way", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* sealOne(folder)
      const old = readFileSync(join(folder, "keyring.json"))
      const next = yield* generateMasterKey
      yield* Effect.flatMap(Keyring, (keyring) => keyring.changeMasterKey(next)).pipe(Effect.provide(at(folder)))
      writeFileSync(join(folder, "keyring.previous.json"), old)
      yield* sealOne(folder, next)
      expect(readFileSync(join(folder, "keyring.previous.json")).equals(old)).toBe(false)
    })
  )

  it.scoped("refuses to change to a weak master key, and the old one stays good", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const sealed = yield* sealOne(folder)
      const error = yield* Effect.flatMap(Keyring, (keyring) =>
        Effect.flip(keyring.changeMasterKey(Redacted.make("weak")))
      ).pipe(Effect.provide(at(folder)))
      expect(error._tag).toBe("WeakMasterKey")
      expect(yield* openOne(folder, sealed)).toBe("kept")
    })
  )

  it.scoped("a new data key seals, the old one still opens until it is retired, and is then in no file", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const old = yield* sealOne(folder)
      const wrapped = JSON.parse(readFileSync(join(folder, "keyring.json"), "utf8")).keys[2].wrapped
      yield* Effect.gen(function* () {
        const keyring = yield* Keyring
        const kid = (yield* keyring.keys).active
        expect(yield* keyring.addDataKey).toBe(kid + 1)
        expect(existsSync(join(folder, "keyring.previous.json"))).toBe(true)
        expect(yield* openOne(folder, old)).toBe("kept")
        yield* keyring.retire(kid)
        expect((yield* keyring.info).keys.map((key) => key.state)).toEqual(["retired", "active"])
        yield* keyring.retire(kid + 1)
        expect((yield* keyring.keys).active).toBe(kid + 1)
      }).pipe(Effect.provide(at(folder)))
      expect((yield* Effect.flip(openOne(folder, old)))._tag).toBe("DecryptFailed")
      for (const name of readdirSync(folder)) expect(readFileSync(join(folder, name), "utf8")).not.toContain(wrapped)
    })
  )

  it.scoped("finds a key that another process added", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const crypto = yield* Crypto
        const sealed = yield* Effect.gen(function* () {
          yield* (yield* Keyring).addDataKey
          return yield* (yield* Crypto).seal("sessions", place, text)
        }).pipe(Effect.provide(Layer.fresh(at(folder))))
        expect(Buffer.from(yield* crypto.open("sessions", place, sealed)).toString()).toBe("kept")
      }).pipe(Effect.provide(at(folder)))
    })
  )
})
