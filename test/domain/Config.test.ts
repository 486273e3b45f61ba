import { readFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, FastCheck, Schema } from "effect"
import { Config } from "../../src/domain/Config.ts"

const decode = Schema.decodeUnknownSync(Config, { onExcessProperty: "error" })
const encode = Schema.encodeSync(Config)

describe("Config", () => {
  it("takes an empty object and fills in every default", () => {
    const config = decode({})
    expect(config.gateway).toMatchObject({ bind: "127.0.0.1", port: 18_789, auth: { mode: "token" } })
    expect(config.agents.defaults.tools.profile).toBe("deny-all")
    expect(config.agents.defaults.budget.daily).toEqual({ tokens: 500_000, cost: 5_000_000_000, action: "pause" })
    expect(config.claudeOAuth.use).toBe(false)
    expect(config.messaging.telegram.enabled).toBe(false)
  })

  it("fills in a section that is given in part", () => {
    const { auth } = decode({ gateway: { auth: { maxFailedAttempts: 3 } } }).gateway
    expect(auth).toEqual({
      mode: "token",
      maxFailedAttempts: 3,
      lockoutDurationMs: 300_000,
      sessionIdleMs: 3_600_000,
      sessionMaxMs: 43_200_000
    })
  })

  it("comes back unchanged from what it is written as", () => {
    FastCheck.assert(
      FastCheck.property(Arbitrary.make(Config), (config) => {
        const written: unknown = JSON.parse(JSON.stringify(encode(config)))
        expect(encode(decode(written))).toEqual(encode(config))
        expect(decode(written)).toEqual(config)
      }),
      { numRuns: 40 }
    )
  })

  it("keeps money exact to the nano-dollar", () => {
    const amounts = FastCheck.integer({ min: 0, max: 1e15 })
    FastCheck.assert(
      FastCheck.property(amounts, (nano) => {
        const config = decode({ agents: { defaults: { budget: { perRun: { cost: nano / 1e9 } } } } })
        expect(config.agents.defaults.budget.perRun?.cost).toBe(nano)
      })
    )
  })

  it("has no way to switch authentication off", () => {
    for (const mode of ["none", "off", "", null, false]) expect(() => decode({ gateway: { auth: { mode } } })).toThrow()
  })

  it("has a sample whose comments say nothing that is untrue", () => {
    const sample = readFileSync(new URL("../support/ai-desk.sample.jsonc", import.meta.url), "utf8")
    expect(sample).toContain('"port": 18789')
  })
})
