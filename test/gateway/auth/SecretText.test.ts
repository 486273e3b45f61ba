/** The form of our secrets: enough entropy in each, and no other text passes for one. */
import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc, Redacted } from "effect"
import { isSecret, type Kind, newSecret, secretLength } from "../../../src/gateway/auth/SecretText.ts"
import { redactText } from "../../../src/kernel/Redaction.ts"

const kinds: ReadonlyArray<Kind> = ["aidt", "aids", "aidp", "aidl"]
const make = (kind: Kind = "aidt") => Redacted.value(newSecret(kind))
const body = (text: string) => text.slice(5, -6)
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
const valueOf = (text: string) => [...text].reduce((sum, digit) => sum * 62n + BigInt(digits.indexOf(digit)), 0n)

describe("a secret", () => {
  it("holds 256 random bits: every bit is one half of the time, and no two are the same", () => {
    const count = 2000
    const values = Array.from({ length: count }, () => valueOf(body(make())))
    assert.lengthOf(new Set(values), count)
    for (let bit = 0n; bit < 256n; bit++) {
      const ones = values.filter((value) => (value >> bit) & 1n).length
      // Seven standard deviations of a fair coin: one run in ten thousand million.
      assert.isBelow(Math.abs(ones - count / 2), 7 * Math.sqrt(count / 4), `bit ${bit}`)
    }
    assert.isTrue(values.every((value) => value < 1n << 256n))
  })

  it("is known by its form, and only as what it is", () => {
    for (const kind of kinds) {
      const text = make(kind)
      assert.strictEqual(text.length, secretLength)
      assert.deepStrictEqual(
        kinds.filter((each) => isSecret(each, text)),
        [kind]
      )
    }
  })

  it("is no longer one with a character changed, cut off, added or swapped", () => {
    const character = fc.constantFrom(...digits)
    fc.assert(
      fc.property(fc.nat(secretLength - 6), character, (at, other) => {
        const text = make()
        const place = at + 5
        const changed = text.slice(0, place) + other + text.slice(place + 1)
        assert.strictEqual(isSecret("aidt", changed), changed === text)
        assert.isFalse(isSecret("aidt", text.slice(0, place)))
        assert.isFalse(isSecret("aidt", text + other))
        assert.isFalse(isSecret("aidt", text.slice(0, place) + other + text.slice(place)))
      }),
      { numRuns: 300 }
    )
    // Look-alikes of other alphabets, and what a paste can bring along.
    const text = make()
    for (const near of [
      ` ${text}`,
      `${text} `,
      `${text}\n`,
      text.toUpperCase(),
      text.replace("aidt", "аidt"),
      text.normalize("NFD") + "\u200b"
    ]) {
      assert.isFalse(isSecret("aidt", near), JSON.stringify(near))
    }
  })

  it("no text that is not ours passes", () =>
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 80 }), (text) => !isSecret("aidt", text)),
      { numRuns: 100 }
    ))

  it("is redacted wherever it turns up, though nobody registered it", () => {
    for (const kind of kinds) {
      const text = make(kind)
      assert.notInclude(redactText(`before ${text}, after; #link=${text}`), body(text))
    }
  })
})
