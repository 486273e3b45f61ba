/** A secret in a text that comes in pieces is never shown, wherever the text is cut; all else is shown as it is. */
import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc, Redacted } from "effect"
import { Secrets, streamRedactor } from "../../src/kernel/Redaction.ts"

const secret = "zq-canary-7f3d91-in-pieces"
Secrets.register(Redacted.make(secret))

const through = (pieces: ReadonlyArray<string>) => {
  const redactor = streamRedactor()
  return pieces.map(redactor.next).join("") + redactor.rest()
}
const cutAt = (text: string, places: ReadonlyArray<number>) => {
  const sorted = [0, ...places.map((n) => n % (text.length + 1)), text.length].sort((a, b) => a - b)
  return sorted.slice(1).map((to, i) => text.slice(sorted[i], to))
}

describe("a text in pieces", () => {
  it("shows no secret, however it is cut", () =>
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.array(fc.nat(), { maxLength: 20 }), (before, after, places) => {
        assert.strictEqual(through(cutAt(`${before}${secret}${after}`, places)), `${before}[redacted]${after}`)
      })
    ))

  it("shows all else, also what began like a secret", () => {
    const text = `${secret.slice(0, -1)}! ${secret.slice(0, 6)} end ${secret.slice(0, 9)}`
    for (let at = 0; at <= text.length; at++) assert.strictEqual(through([text.slice(0, at), text.slice(at)]), text)
    assert.strictEqual(streamRedactor().next("nothing to hide."), "nothing to hide.", "and nothing of it waits")
  })
})
