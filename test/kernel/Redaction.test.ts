import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Option, Redacted } from "effect"
import { redactText, redactValue, Secrets } from "../../src/kernel/Redaction.ts"

const planted = "pl4nted/secret+with=odd chars&ünicode"
Secrets.register(Redacted.make(planted))
/** Every encoding writes it differently: quotes, backslash, control character, and +/ in its base64. */
const awkward = 'quo"te\\back\ttab??>>~~ü'
Secrets.register(Redacted.make(awkward))

const base64 = (text: string) => Buffer.from(text).toString("base64")

describe("registered secrets", () => {
  const formsOf = (secret: string): ReadonlyArray<readonly [string, string]> => [
    ["as it is", secret],
    ["base64", base64(secret).replaceAll("=", "")],
    ["base64url", Buffer.from(secret).toString("base64url")],
    ["base64url, one byte further", Buffer.from(`x${secret}`).toString("base64url").slice(2)],
    ["hex", Buffer.from(secret).toString("hex")],
    ["upper-case hex", Buffer.from(secret).toString("hex").toUpperCase()],
    ["URL-encoded", encodeURIComponent(secret)],
    ["URL-encoded as a whole address", encodeURI(secret)],
    ["form-encoded", encodeURIComponent(secret).replaceAll("%20", "+")],
    ["JSON-escaped", JSON.stringify(secret).slice(1, -1)]
  ]
  for (const secret of [planted, awkward]) {
    for (const [name, form] of formsOf(secret)) {
      it(`are replaced ${name}: ${secret.slice(0, 5)}`, () => {
        const said = redactText(`before ${form} after`)
        expect(said).toMatch(/^before .{0,2}\[redacted\].{0,2} after$/)
      })
    }
  }

  it("are replaced at any offset within longer base64", () => {
    for (const lead of ["", "a", "ab", "abc"]) {
      const text = base64(`${lead}${planted}tail`)
      expect(Buffer.from(redactText(text).replace("[redacted]", ""), "base64").toString()).not.toContain("secret")
    }
  })

  it("are replaced wherever they stand", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string(), FastCheck.string(), (before, after) => {
        expect(redactText(`${before}${planted}${after}`)).not.toContain(planted)
      })
    )
  })

  it("are too short to be replaced below six characters, where they would garble ordinary text", () => {
    Secrets.register(Redacted.make("the"))
    expect(redactText("the other")).toBe("the other")
  })
})

describe("known forms of keys", () => {
  const x = (n: number) => "Ab1".repeat(n).slice(0, n)
  const secrets: ReadonlyArray<readonly [string, string]> = [
    [`sk-ant-api03-${x(40)}`, x(40)],
    [`sk-or-v1-${x(40)}`, x(40)],
    [`AIza${x(35)}`, x(35)],
    [`ghp_${x(36)}`, x(36)],
    [`xoxb-${x(30)}`, x(30)],
    ["AKIAABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOP"],
    [`1234567890:${x(35)}`, x(35)],
    [`eyJ${x(20)}.${x(30)}.${x(20)}`, x(20)],
    [`Authorization: Bearer ${x(24)}`, x(24)],
    [`{"x-api-key":"${x(20)}"}`, x(20)],
    ["postgres://me:hunter2pass@host/db", "hunter2pass"],
    [`password=${x(12)}`, x(12)],
    [`-----BEGIN RSA PRIVATE KEY-----\n${x(64)}\n-----END RSA PRIVATE KEY-----`, x(64)]
  ]
  for (const [text, secret] of secrets) {
    it(`are replaced: ${text.slice(0, 24)}`, () => {
      expect(redactText(`log ${text} end`)).not.toContain(secret)
      expect(redactText(`log ${text} end`)).toMatch(/^log [\s\S]* end$/)
    })
  }

  it("leave ordinary text alone", () => {
    const plain =
      "agent main asked anthropic/claude-sonnet-4-6 for 1200 tokens; run-01JDABCDEFGHJKMNPQRSTVWXYZ took 12 ms"
    expect(redactText(plain)).toBe(plain)
  })

  it("take time that grows with the text only", () => {
    for (const part of [
      "sk-",
      "eyJ.",
      "a://b:",
      "Bearer ",
      "-----BEGIN PRIVATE KEY-----",
      "password=",
      "x_api-key: "
    ]) {
      expect(typeof redactText(part.repeat(30_000))).toBe("string")
    }
  })
})

describe("redactValue", () => {
  it("reaches into everything that can be logged", () => {
    const secret = Redacted.make(planted)
    const value = {
      [planted]: [planted],
      error: new Error(`failed with ${planted}`, { cause: new Error(planted) }),
      map: new Map([[planted, new Set([planted])]]),
      option: Option.some(planted),
      exit: Effect.runSyncExit(Effect.die(planted)),
      secret
    }
    const text = JSON.stringify(redactValue(value))
    expect(text).not.toContain("pl4nted")
    expect(text).toContain("<redacted>")
  })

  it("answers for cycles, throwing getters and what JSON cannot say", () => {
    const cycle: Record<string, unknown> = { big: 1n, call: () => planted, sym: Symbol(planted) }
    cycle.self = cycle
    expect(JSON.stringify(redactValue(cycle))).not.toContain("pl4nted")
    const trap = {
      get boom(): string {
        throw new Error(planted)
      }
    }
    expect(redactValue(trap)).toBe("<unprintable>")
  })
})
