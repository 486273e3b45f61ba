import { readFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Option } from "effect"
import { decodeBytes, decodeText } from "../../../src/kernel/settings/Decode.ts"

/** Values that a file may hold where they do not belong, and that no message may repeat. */
const canary = "sk-ant-CANARY-0123456789"

/** Text, where, what is expected, what is found; then the nearest known word. */
const bad: ReadonlyArray<readonly [string, string, RegExp, string, string?]> = [
  ["", "line 1, column 1", /^JSON/, "value expected"],
  ["{", "line 1, column 2", /^JSON/, "close brace expected"],
  ['{\n  "gateway": {,}\n}', "line 2, column 15", /^JSON/, "value expected"],
  ["[]", "the file", /^an object$/, "an empty list"],
  ["null", "the file", /^an object$/, "null"],
  ['"x"', "the file", /^an object$/, "a text"],
  ['{"version": 2}', "version", /^1$/, "a whole number"],
  ['{"gateway": []}', "gateway", /^an object$/, "an empty list"],
  ['{"gateway": {"port": "80"}}', "gateway.port", /^a whole number from 0 to 65535$/, "a text"],
  ['{"gateway": {"port": 70000}}', "gateway.port", /^a whole number from 0 to 65535$/, "a whole number"],
  ['{"gateway": {"port": 80.5}}', "gateway.port", /^a whole number/, "a number with a fraction"],
  ['{"gateway": {"port": 1e999}}', "gateway.port", /^a whole number/, "a number with a fraction"],
  ['{"gateway": {"bind": "a b"}}', "gateway.bind", /^an IP address or host name/, "a text"],
  [
    '{"gateway": {"auth": {"mode": "none"}}}',
    "gateway.auth.mode",
    /^one of "token", "password", "certificate"$/,
    "a text"
  ],
  ['{"gateway": {"auth": {"mode": "tokn"}}}', "gateway.auth.mode", /^one of/, "a text", "token"],
  [
    '{"gateway": {"auth": {"maxFailedAttempt": 3}}}',
    "gateway.auth.maxFailedAttempt",
    /known key/,
    "an unknown key",
    "maxFailedAttempts"
  ],
  ['{"gatway": {}}', "gatway", /known key/, "an unknown key", "gateway"],
  ['{"agents": {"default": {}}}', "agents.default", /known key/, "an unknown key", "defaults"],
  [
    '{"agents": {"defaults": {"tools": {"denny": []}}}}',
    "agents.defaults.tools.denny",
    /known key/,
    "an unknown key",
    "deny"
  ],
  [
    '{"agents": {"defaults": {"tools": {"profile": "deny_all"}}}}',
    "agents.defaults.tools.profile",
    /^one of "deny-all"/,
    "a text",
    "deny-all"
  ],
  [
    '{"agents": {"defaults": {"tools": {"egress": ["HTTP://x"]}}}}',
    "agents.defaults.tools.egress[0]",
    /^a host such as/,
    "a text"
  ],
  [
    '{"agents": {"defaults": {"sandbox": {"timeout": 5}}}}',
    "agents.defaults.sandbox.timeout",
    /known key/,
    "an unknown key",
    "timeoutMs"
  ],
  [
    '{"agents": {"defaults": {"sandbox": {"maxMemoryMb": 1}}}}',
    "agents.defaults.sandbox.maxMemoryMb",
    /^a whole number from 64 to 65536$/,
    "a whole number"
  ],
  [
    '{"agents": {"defaults": {"budget": {"dayly": {}}}}}',
    "agents.defaults.budget.dayly",
    /known key/,
    "an unknown key",
    "daily"
  ],
  [
    '{"agents": {"defaults": {"budget": {"daily": {"cost": "5"}}}}}',
    "agents.defaults.budget.daily.cost",
    /^a number from 0 to 1000000$/,
    "a text"
  ],
  [
    '{"agents": {"defaults": {"budget": {"daily": {"cost": -1}}}}}',
    "agents.defaults.budget.daily.cost",
    /^a number from 0 to 1000000$/,
    "a whole number"
  ],
  [
    '{"agents": {"defaults": {"budget": {"daily": {"action": "stop"}}}}}',
    "agents.defaults.budget.daily.action",
    /^one of "warn", "pause", "block"$/,
    "a text"
  ],
  [
    '{"agents": {"defaults": {"model": {"primary": "gpt"}}}}',
    "agents.defaults.model.primary",
    /^a model as provider\/model/,
    "a text"
  ],
  ['{"agents": {"list": {}}}', "agents.list", /^a list of at most 1000 entries$/, "an object"],
  ['{"agents": {"list": [{}]}}', "agents.list[0].id", /^an agent id/, "nothing"],
  ['{"agents": {"list": [{"id": "../x"}]}}', "agents.list[0].id", /^an agent id/, "a text"],
  ['{"agents": {"list": [{"id": "a", "tool": {}}]}}', "agents.list[0].tool", /known key/, "an unknown key", "tools"],
  [
    '{"agents": {"list": [{"id": "a", "deny": ["x"]}]}}',
    "agents.list[0].deny",
    /known key/,
    "an unknown key",
    "agents.defaults.tools.deny"
  ],
  ['{"budget": {}}', "budget", /known key/, "an unknown key", "agents.defaults.budget"],
  [
    '{"messaging": {"telegram": {"allowedChats": []}}}',
    "messaging.telegram.allowedChats",
    /known key/,
    "an unknown key",
    "allowedChatIds"
  ],
  [
    '{"messaging": {"telegram": {"allowedChatIds": [true]}}}',
    "messaging.telegram.allowedChatIds[0]",
    /^a text from 1 to 64 characters or a whole number$/,
    "true or false"
  ],
  ['{"cache": {"backend": "redis"}}', "cache.backend", /^"sqlite"$/, "a text"],
  ['{"cache": {"enabled": true, "enabled": false}}', "cache.enabled", /^each key once$/, "the same key again"],
  ['{"providers": {"My Own": {}}}', 'providers["My Own"]', /^a provider name/, "another name"],
  ['{"providers": {"own": {"baseUrl": "ftp://x"}}}', "providers.own.baseUrl", /^a URL that starts with http/, "a text"],
  [
    '{"providers": {"own": {"baseUrl": "https://me:pw@x"}}}',
    "providers.own.baseUrl",
    /no user name or password/,
    "a text"
  ],
  [
    '{"providers": {"own": {"apiKeyEnv": "AI_DESK_MASTER_KEY"}}}',
    "providers.own.apiKeyEnv",
    /other than Ai_DESK's own/,
    "a text"
  ],
  ['{"prices": {"a/b": {}}}', 'prices["a/b"].inputPerMillion', /^a number from 0 to 1000000$/, "nothing"],
  ['{"webhooks": {"h": {"prompt": "x"}}}', "webhooks.h.secretEnv", /environment variable/, "nothing"],
  ['{"__proto__": {"a": 1}}', "__proto__", /not reserved/, "a reserved name"],
  ['{"gateway": {"constructor": {"prototype": {"a": 1}}}}', "gateway.constructor", /not reserved/, "a reserved name"],
  ['{"providers": {"prototype": {}}}', "providers.prototype", /not reserved/, "a reserved name"],
  [`${"[".repeat(100_000)}`, "the file", /levels of nesting/, "a deeper one"],
  [`{"gateway": ${'{"a":'.repeat(100)}1${"}".repeat(100)}}`, "the file", /levels of nesting/, "a deeper one"],
  [`{"x": "${"y".repeat(1_100_000)}"}`, "the file", /^at most 1 MiB$/, "a larger one"]
]

describe("decodeText", () => {
  it.each(bad.map((row) => ({ name: row[0].slice(0, 90), row })))("refuses $name", ({ row }) => {
    const [text, at, expected, found, nearest] = row
    const { config, errors } = decodeText(text)
    expect(Option.isNone(config)).toBe(true)
    const problem = errors.find((one) => one.at === at)
    expect(problem, `a problem at ${at}, not only at ${errors.map((one) => one.at).join(", ")}`).toBeDefined()
    expect(problem?.expected).toMatch(expected)
    expect(problem?.found).toBe(found)
    expect(problem?.nearest).toBe(nearest)
    expect(Object.prototype).not.toHaveProperty("a")
  })

  it("takes the documented sample unchanged", () => {
    const sample = readFileSync(new URL("../../support/ai-desk.sample.jsonc", import.meta.url), "utf8")
    const { config, errors, unknown } = decodeText(sample)
    expect([errors, unknown]).toEqual([[], []])
    const agents = Option.getOrThrow(config).agents
    expect(agents.list[0]).toMatchObject({
      id: "main",
      default: true,
      workspace: ".",
      skills: ["security-code-review"]
    })
    expect(agents.defaults.budget.monthly).toEqual({ tokens: 5_000_000, cost: 50_000_000_000, action: "warn" })
  })

  it("takes comments, trailing commas and a byte order mark", () => {
    const text = '\uFEFF{ // one\n /* two */ "gateway": { "port": 1, }, }'
    const { config } = decodeBytes(new TextEncoder().encode(text))
    expect(Option.getOrThrow(config).gateway.port).toBe(1)
  })

  it("refuses bytes that are not UTF-8", () => {
    expect(decodeBytes(new Uint8Array([0x7b, 0xff, 0x7d])).errors[0]?.expected).toBe("text in UTF-8")
  })

  it.each([
    ['{"future": {"x": 1}}', "future", undefined],
    ['{"cach": {"enabled": false}}', "cach", "cache"],
    ['{"router": {"idelTimeoutMs": 5}}', "router.idelTimeoutMs", "idleTimeoutMs"],
    ['{"agents": {"list": [{"id": "a", "colour": "red"}]}}', "agents.list[0].colour", undefined]
  ])("sets aside a key that guards nothing: %s", (text, at, nearest) => {
    const { config, errors, unknown } = decodeText(text)
    expect(errors).toEqual([])
    expect(unknown.map((one) => [one.at, one.nearest])).toEqual([[at, nearest]])
    expect(Option.isSome(config)).toBe(true)
    expect(JSON.stringify(config)).not.toContain(`"${at.split(".").at(-1)}"`)
  })

  it("never repeats a value", () => {
    const json = (value: unknown) => JSON.stringify(value)
    const paths = [
      { gateway: { port: canary, bind: canary, auth: { mode: canary }, rateLimit: canary } },
      { agents: { defaults: { model: { primary: canary }, tools: { allow: canary } }, list: [{ id: canary }] } },
      {
        agents: { defaults: { budget: { daily: { cost: canary, action: canary } } } },
        providers: { own: { baseUrl: canary } }
      },
      { claudeOAuth: canary, cache: { ttlSeconds: canary, apiKey: canary }, version: canary }
    ]
    for (const value of paths) {
      const { errors, unknown } = decodeText(json(value))
      expect(errors.length).toBeGreaterThan(0)
      expect(json([...errors, ...unknown].map((one) => [one.line, one.fix]))).not.toContain("CANARY")
    }
  })

  it("answers for any JSON and any text", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.oneof(FastCheck.json(), FastCheck.string(), FastCheck.fullUnicodeString()),
        (text) => {
          const { config, errors } = decodeText(text)
          expect(Option.isSome(config)).toBe(errors.length === 0)
        }
      ),
      { numRuns: 300 }
    )
  })

  it("escapes keys that could forge a line", () => {
    const { unknown } = decodeText(JSON.stringify({ "a\n[info] fine\u001b[2J": 1, [`k${"x".repeat(500)}`]: 1 }))
    for (const one of unknown) {
      expect(one.line).not.toMatch(/[\n\u001b]/)
      expect(one.line.length).toBeLessThan(200)
    }
    expect(unknown).toHaveLength(2)
  })
})
