import { describe, expect, it, layer } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, Layer, Option, Schema } from "effect"
import type { ToolProfile } from "../../src/domain/Agent.ts"
import { Taint, ToolLabels, untainted, worstLabels } from "../../src/domain/Labels.ts"
import { isGenuine } from "../../src/domain/Proof.ts"
import { ToolOutcome } from "../../src/domain/Tool.ts"
import * as ToolPolicy from "../../src/tools/ToolPolicy.ts"
import * as ToolRegistry from "../../src/tools/ToolRegistry.ts"
import { layerCryptoMemory } from "../support/keyring.ts"
import { agentWith, contextOf, otherSession, toolNamed } from "../support/tools.ts"

const any = {
  parameters: Schema.Struct({ path: Schema.optionalWith(Schema.Unknown, { exact: true }) }),
  run: () => Effect.succeed(new ToolOutcome({ content: "", isError: false, truncated: false, durationMs: 0 }))
}
const reading = new ToolLabels({ source: "trusted", readsPrivate: true, effect: "none" })
const writing = new ToolLabels({ source: "trusted", readsPrivate: false, effect: "local" })
const fetching = new ToolLabels({ source: "untrusted", readsPrivate: false, effect: "external" })

const builtins = [
  toolNamed("read_file", "builtin", reading, any),
  toolNamed("list_files", "builtin", reading, any),
  toolNamed("search_files", "builtin", reading, any),
  toolNamed("write_file", "builtin", writing, { ...any, risk: "high" }),
  toolNamed("edit_file", "builtin", writing, { ...any, risk: "high" }),
  toolNamed("execute_command", "builtin", writing, { ...any, risk: "high" }),
  toolNamed("http_fetch", "builtin", fetching, { ...any, risk: "high" })
]
const others = [
  toolNamed("read_secrets", "mcp", worstLabels, { ...any, risk: "high" }),
  toolNamed("read_mail", "skill", worstLabels, any),
  toolNamed("read_agent", "agent", worstLabels, any)
]
const tools = [...builtins, ...others]
const names = tools.map(({ name }) => name)

const path = ToolPolicy.layer.pipe(Layer.provideMerge(ToolRegistry.layerOf(tools)), Layer.provide(layerCryptoMemory))

type Over = Parameters<typeof agentWith>[0]

/** `yes`, `ask` or `no`. */
const verdict = (over: Over, tool: string, context: Parameters<typeof contextOf>[3] = {}, args: unknown = {}) =>
  Effect.gen(function* () {
    const policy = yield* ToolPolicy.ToolPolicy
    const decision = yield* Effect.either(policy.decide(contextOf(agentWith(over), tool, args, context)))
    if (Either.isLeft(decision)) return "no"
    return decision.right._tag === "Permitted" ? "yes" : "ask"
  })

const allowed = (over: Over) =>
  Effect.map(
    Effect.filter(names, (name) => Effect.map(verdict(over, name), (said) => said !== "no")),
    (found) => found.sort()
  )

const patterns = fc.array(
  fc.oneof(fc.constantFrom(...names, "*", "read*", "*_file", "r*d*", "**", "*e*"), fc.string({ maxLength: 5 })),
  { maxLength: 5 }
)
const profiles = fc.constantFrom<ToolProfile>("deny-all", "readonly", "messaging", "full")

describe("ToolPolicy: who may", () => {
  it.effect("P01: deny-all denies every tool, and offers none", () =>
    Effect.gen(function* () {
      for (const name of [...names, "no_such_tool", "", "*"]) {
        const tool = name === "" ? "x" : name
        expect(yield* verdict({ profile: "deny-all", requireApproval: [] }, tool)).toBe("no")
      }
      const policy = yield* ToolPolicy.ToolPolicy
      expect(yield* policy.offered(agentWith())).toEqual([])
    }).pipe(Effect.provide(path))
  )

  it.effect("each profile allows exactly its tools", () =>
    Effect.gen(function* () {
      expect(yield* allowed({ profile: "readonly" })).toEqual(["list_files", "read_file", "search_files"])
      expect(yield* allowed({ profile: "messaging" })).toEqual([])
      expect(yield* allowed({ profile: "full" })).toEqual(builtins.map(({ name }) => name).sort())
    }).pipe(Effect.provide(path))
  )

  it.effect("P03: a wildcard speaks of built-ins only; other tools need their exact name", () =>
    Effect.gen(function* () {
      expect(yield* allowed({ allow: ["read*"] })).toEqual(["read_file"])
      expect(yield* allowed({ allow: ["*"] })).toEqual(builtins.map(({ name }) => name).sort())
      expect(yield* allowed({ profile: "full", allow: ["*", "read_*", "*secrets"] })).not.toContain("read_secrets")
      expect(yield* allowed({ allow: ["read_secrets"] })).toEqual(["read_secrets"])
      expect(yield* allowed({ allow: ["READ_FILE", "read_fil", "ead_file", " read_file"] })).toEqual([])
    }).pipe(Effect.provide(path))
  )

  it.effect("deny takes everything, other tools too, in any case", () =>
    Effect.gen(function* () {
      expect(yield* allowed({ profile: "full", allow: names, deny: ["*"] })).toEqual([])
      expect(yield* allowed({ allow: names, deny: ["Read_*"] })).toEqual(
        names.filter((name) => !name.startsWith("read_")).sort()
      )
    }).pipe(Effect.provide(path))
  )

  it.prop("wildcards match as a regular expression would, without its cost", [fc.string(), fc.string()], ([a, b]) => {
    expect(ToolPolicy.matches(a, b)).toBe(exact(a, b))
  })

  it("a hostile pattern is matched in linear time", () => {
    expect(ToolPolicy.matches(`${"*a".repeat(2000)}b`, "a".repeat(100_000))).toBe(false)
  })
})

layer(path)((it) => {
  it.effect.prop(
    "deny wins over every profile and allow list, and nothing is allowed that none of them names",
    [profiles, patterns, patterns, fc.constantFrom(...tools)],
    ([profile, allow, deny, tool]) =>
      Effect.gen(function* () {
        const said = yield* verdict({ profile, allow, deny }, tool.name)
        const hit = (list: ReadonlyArray<string>) => list.some((pattern) => naive(pattern, tool.name))
        if (hit(deny)) expect(said).toBe("no")
        if (profile === "deny-all" && !hit(allow)) expect(said).toBe("no")
        if (tool.kind !== "builtin" && !allow.includes(tool.name)) expect(said).toBe("no")
        const policy = yield* ToolPolicy.ToolPolicy
        const offered = yield* policy.offered(agentWith({ profile, allow, deny }))
        expect(offered.some(({ name }) => name === tool.name)).toBe(said !== "no")
      })
  )
})

const exact = (pattern: string, name: string): boolean =>
  new RegExp(
    `^${pattern
      .split("*")
      .map((part) => part.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"))
      .join("[^]*")}$`
  ).test(name)
const naive = (pattern: string, name: string): boolean => exact(pattern.trim().toLowerCase(), name)

describe("ToolPolicy: when a human must decide", () => {
  it.effect("as the settings say, by name or wildcard; high-risk tools that are not built in always", () =>
    Effect.gen(function* () {
      const full = { profile: "full", allow: names } as const
      expect(yield* verdict({ ...full, requireApproval: ["write_file"] }, "write_file")).toBe("ask")
      expect(yield* verdict({ ...full, requireApproval: ["*"] }, "read_file")).toBe("ask")
      expect(yield* verdict({ ...full, requireApproval: ["*_MAIL"] }, "read_mail")).toBe("ask")
      expect(yield* verdict({ ...full, requireApproval: [] }, "write_file")).toBe("yes")
      expect(yield* verdict({ ...full, requireApproval: [] }, "read_secrets")).toBe("ask")
      expect(yield* verdict({ ...full, requireApproval: [] }, "read_mail")).toBe("yes")
    }).pipe(Effect.provide(path))
  )

  it.effect("labels × state: a tainted session asks for every tool with an effect, and for no other", () =>
    Effect.gen(function* () {
      const tainted = new Taint({ sources: ["http_fetch:evil.example"], privateSeen: false })
      for (const privateSeen of [false, true]) {
        for (const sources of [[], tainted.sources]) {
          const taint = new Taint({ sources, privateSeen })
          for (const tool of builtins) {
            const expected = sources.length > 0 && tool.labels.effect !== "none" ? "ask" : "yes"
            expect(yield* verdict({ profile: "full" }, tool.name, { taint }), tool.name).toBe(expected)
          }
        }
      }
    }).pipe(Effect.provide(path))
  )

  it("names the sources, bounded, with nothing hidden in them", () => {
    const sources = Array.from({ length: 20 }, (_, i) => `http_fetch:a${i}\u202e.example`)
    const reason = ToolPolicy.approvalReason(agentWith(), builtins[3]!, new Taint({ sources, privateSeen: false }))
    expect(reason).toContain("http_fetch:a0\\u{202e}.example")
    expect(reason).toContain("and 15 more")
    expect(ToolPolicy.approvalReason(agentWith(), builtins[3]!, untainted)).toBeUndefined()
  })
})

describe("ToolPolicy: what is permitted", () => {
  const hashOf = (over: Over, tool: string, args: unknown, session = contextOf(agentWith(), "x", {}).session) =>
    Effect.gen(function* () {
      const policy = yield* ToolPolicy.ToolPolicy
      const decision = yield* policy.decide(contextOf(agentWith({ profile: "full", ...over }), tool, args, { session }))
      return decision._tag === "Permitted" ? decision.permitted.callHash : decision.callHash
    })

  it.effect("P05: the hash stands for tool, arguments, agent, workspace and session, whatever the order of keys", () =>
    Effect.gen(function* () {
      const base = yield* hashOf({}, "read_file", { path: { a: 1, b: [1, 2] } })
      expect(base).toMatch(/^[0-9a-f]{64}$/)
      expect(yield* hashOf({}, "read_file", { path: { b: [1, 2], a: 1 } })).toBe(base)
      const changed = yield* Effect.all([
        hashOf({}, "read_file", { path: { a: 1, b: [2, 1] } }),
        hashOf({}, "read_file", { path: { a: "1", b: [1, 2] } }),
        hashOf({}, "read_file", {}),
        hashOf({}, "list_files", { path: { a: 1, b: [1, 2] } }),
        hashOf({ id: "other" }, "read_file", { path: { a: 1, b: [1, 2] } }),
        hashOf({ workspace: "/else" }, "read_file", { path: { a: 1, b: [1, 2] } }),
        hashOf({}, "read_file", { path: { a: 1, b: [1, 2] } }, otherSession)
      ])
      expect(new Set([base, ...changed]).size).toBe(8)
    }).pipe(Effect.provide(path))
  )

  it.effect("arguments are a frozen copy; the permission is genuine", () =>
    Effect.gen(function* () {
      const policy = yield* ToolPolicy.ToolPolicy
      const sent = { path: { deep: ["x"] } }
      const decision = yield* policy.decide(contextOf(agentWith({ profile: "full" }), "read_file", sent))
      if (decision._tag !== "Permitted") return expect.fail("not permitted")
      sent.path.deep[0] = "changed after the decision"
      expect(decision.permitted.arguments).toEqual({ path: { deep: ["x"] } })
      const { path: inner } = Schema.decodeUnknownSync(Schema.Struct({ path: Schema.Object }))(
        decision.permitted.arguments
      )
      expect(Object.isFrozen(decision.permitted.arguments) && Object.isFrozen(inner)).toBe(true)
      expect(isGenuine(decision.permitted)).toBe(true)
      expect(isGenuine({ ...decision.permitted })).toBe(false)
      expect(decision.permitted.by).toBe("policy")
    }).pipe(Effect.provide(path))
  )
})

describe("ToolRegistry", () => {
  it.effect("a name is taken once, and free again when its owner is gone", () =>
    Effect.gen(function* () {
      const registry = yield* ToolRegistry.ToolRegistry
      const extra = toolNamed("extra", "mcp", worstLabels, any)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* registry.register(extra)
          expect(Option.isSome(yield* registry.get("extra"))).toBe(true)
          expect((yield* registry.all).map(({ name }) => name)).toEqual([...names, "extra"].sort())
          const again = yield* Effect.flip(registry.register({ ...extra, labels: reading }))
          expect(again.message).toContain("extra is already registered")
          const builtin = yield* Effect.flip(registry.register(toolNamed("read_file", "mcp", worstLabels, any)))
          expect(builtin._tag).toBe("ToolNameTaken")
        })
      )
      expect(Option.isNone(yield* registry.get("extra"))).toBe(true)
      expect(Option.isSome(yield* registry.get("read_file"))).toBe(true)
    }).pipe(Effect.provide(path))
  )

  it.effect("what a tool stated at registration cannot be changed later", () =>
    Effect.gen(function* () {
      const registry = yield* ToolRegistry.ToolRegistry
      const mine = { ...toolNamed("mine", "mcp", worstLabels, any) }
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* registry.register(mine)
          Object.assign(mine, { kind: "builtin", labels: reading })
          const kept = yield* Effect.flatten(registry.get("mine"))
          expect([kept.kind, kept.labels.effect]).toEqual(["mcp", "external"])
          expect(Object.isFrozen(kept) && Object.isFrozen(kept.labels)).toBe(true)
        })
      )
    }).pipe(Effect.provide(path))
  )
})
