import { assert, describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import {
  type Address,
  Crypto,
  constantTimeEqual,
  decrypt,
  encrypt,
  kidOf,
  lengthPrefixed,
  newSecretKey,
  randomBytes,
  sha256Hex,
  signingKeyFrom
} from "../../src/kernel/Crypto.ts"
import { newId } from "../../src/kernel/Ids.ts"
import { Keyring } from "../../src/kernel/Keyring.ts"
import { layerCryptoMemory } from "../support/keyring.ts"

const here: Address = { table: "sessions", row: "sess-1/0", column: "event" }
const text = new TextEncoder().encode("a message that nobody else may read")

describe("Crypto", () => {
  it.effect("opens what it sealed, for any bytes", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto
      for (const bytes of fc.sample(fc.uint8Array({ maxLength: 3000 }), 50)) {
        const sealed = yield* crypto.seal("sessions", here, bytes)
        assert.deepStrictEqual(new Uint8Array(yield* crypto.open("sessions", here, sealed)), bytes)
      }
    }).pipe(Effect.provide(layerCryptoMemory))
  )

  it.effect("seals equal text differently each time and shows nothing of it", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto
      const one = Buffer.from(yield* crypto.seal("sessions", here, text))
      const two = Buffer.from(yield* crypto.seal("sessions", here, text))
      expect(one.equals(two)).toBe(false)
      expect(one.includes("message")).toBe(false)
      expect(one.length).toBe(text.length + 6 + 12 + 16)
    }).pipe(Effect.provide(layerCryptoMemory))
  )

  const elsewhere: ReadonlyArray<readonly [string, "sessions" | "credentials", Address]> = [
    ["table", "sessions", { ...here, table: "approvals" }],
    ["row", "sessions", { ...here, row: "sess-1/1" }],
    ["column", "sessions", { ...here, column: "title" }],
    ["table and column run together", "sessions", { table: "session", column: "sevent", row: here.row }],
    ["purpose", "credentials", here]
  ]
  for (const [what, purpose, address] of elsewhere) {
    it.effect(`does not open under another ${what}`, () =>
      Effect.gen(function* () {
        const crypto = yield* Crypto
        const sealed = yield* crypto.seal("sessions", here, text)
        const error = yield* Effect.flip(crypto.open(purpose, address, sealed))
        expect(error.reason).toBe("wrong_place_or_damaged")
        expect(error.message).not.toContain("message that")
      }).pipe(Effect.provide(layerCryptoMemory))
    )
  }

  it.effect("does not open when any single bit is another, or any bytes are cut", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto
      const sealed = yield* crypto.seal("sessions", here, text)
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const bad = Uint8Array.from(sealed)
        bad[bit >> 3]! ^= 1 << (bit & 7)
        yield* Effect.flip(crypto.open("sessions", here, bad))
      }
      for (let length = 0; length < sealed.length; length++) {
        const error = yield* Effect.flip(crypto.open("sessions", here, sealed.subarray(0, length)))
        expect(error.reason).toBe(length < 34 ? "truncated" : "wrong_place_or_damaged")
      }
    }).pipe(Effect.provide(layerCryptoMemory))
  )

  it("takes no tag that is shorter than 16 bytes", () => {
    const key = newSecretKey()
    const sealed = encrypt(key, text, text)
    // A cut of 12 leaves nonce, ciphertext and what would pass for a tag of 4 bytes.
    for (let cut = 1; cut <= 12; cut++)
      expect(decrypt(key, text, sealed.subarray(0, sealed.length - cut))).toBeUndefined()
    expect(decrypt(key, text, sealed)).toEqual(Buffer.from(text))
  })

  it.effect("names a key that it does not have, and opens old records after a new key became active", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto
      const keyring = yield* Keyring
      const old = yield* crypto.seal("cache", here, text)
      yield* keyring.addDataKey
      const young = yield* crypto.seal("cache", here, text)
      expect([kidOf(old), kidOf(young)]).toEqual([1, 2])
      expect(yield* crypto.open("cache", here, old)).toEqual(Buffer.from(text))
      yield* keyring.retire(1)
      expect((yield* Effect.flip(crypto.open("cache", here, old))).reason).toBe("unknown_key")
      expect(yield* crypto.open("cache", here, young)).toEqual(Buffer.from(text))
    }).pipe(Effect.provide(layerCryptoMemory))
  )

  it.effect("fingerprints equally across rotations, differently by purpose and by where the parts end", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto
      const keyring = yield* Keyring
      const before = yield* crypto.fingerprint("fingerprint", "ab", "c")
      yield* keyring.addDataKey
      expect(yield* crypto.fingerprint("fingerprint", "ab", "c")).toBe(before)
      expect(before).toMatch(/^[0-9a-f]{64}$/)
      const others = yield* Effect.all([
        crypto.fingerprint("fingerprint", "a", "bc"),
        crypto.fingerprint("fingerprint", "abc"),
        crypto.fingerprint("call-hash", "ab", "c"),
        crypto.fingerprint("cache", "ab", "c")
      ])
      expect(new Set([before, ...others]).size).toBe(5)
    }).pipe(Effect.provide(layerCryptoMemory))
  )

  it("hashes, compares and prefixes as told", () => {
    expect(sha256Hex("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    expect([constantTimeEqual("a", "a"), constantTimeEqual("a", "b"), constantTimeEqual("a", "ab")]).toEqual([
      true,
      false,
      false
    ])
    expect(Buffer.from(lengthPrefixed(["ab", ""])).toString("hex")).toBe("00000002616200000000")
    expect(randomBytes(32)).toHaveLength(32)
  })

  it("signs with Ed25519, the same key from the same seed", () => {
    const seed = newSecretKey()
    const key = signingKeyFrom(seed)
    const signature = key.sign(text)
    expect(signature).toHaveLength(64)
    expect(key.publicKey).toHaveLength(32)
    expect(signingKeyFrom(seed).verify(text, signature)).toBe(true)
    expect(signingKeyFrom(newSecretKey()).verify(text, signature)).toBe(false)
    expect(key.verify(Buffer.from("another"), signature)).toBe(false)
  })

  it("shows no bytes of a key when it is printed", () => {
    const key = newSecretKey()
    const bytes = key.export()
    expect(`${JSON.stringify(key)}${String(key)}`).not.toContain(bytes.toString("hex"))
  })
})

describe("randomBytes", () => {
  it("never gives the same bytes twice, whatever was asked for in between", () => {
    const seen = new Set<string>()
    // Several blocks long, with lengths that do not divide one; large draws come in between.
    for (let i = 0; i < 3000; i += 1) {
      const bytes = randomBytes(i % 7 === 0 ? 100 : 12)
      seen.add(Buffer.from(bytes).toString("hex"))
      // Callers own what they get: wiping it must not touch what comes next.
      bytes.fill(0)
    }
    expect(seen.size).toBe(3000)
  })
})

describe("Ids", () => {
  it.live("makes ids that their schemas take, unlike, and sorted by time", () =>
    Effect.gen(function* () {
      const ids = yield* Effect.replicateEffect(newId("run"), 200)
      expect(new Set(ids).size).toBe(200)
      const times = ids.map((id) => id.slice(4, 14))
      expect(times).toEqual([...times].sort())
      expect(yield* newId("sess")).toMatch(/^sess-0[0-9A-HJKMNP-TV-Z]{25}$/)
      expect(yield* newId("appr")).toMatch(/^appr-/)
      expect(yield* newId("lease")).toMatch(/^lease-/)
    })
  )
})
