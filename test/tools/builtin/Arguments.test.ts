import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, layer } from "@effect/vitest"
import { Effect, Either, Layer } from "effect"
import { InvalidToolArguments } from "../../../src/domain/Tool.ts"
import * as Egress from "../../../src/tools/Egress.ts"
import * as Sandbox from "../../../src/tools/Sandbox.ts"
import * as ToolPolicy from "../../../src/tools/ToolPolicy.ts"
import * as ToolRegistry from "../../../src/tools/ToolRegistry.ts"
import { layerCryptoMemory } from "../../support/keyring.ts"
import { agentWith, contextOf, workspaceFolder } from "../../support/tools.ts"

const path = ToolPolicy.layer.pipe(
  Layer.provideMerge(ToolRegistry.layer),
  Layer.provideMerge(Layer.merge(Sandbox.layer, Egress.layer)),
  Layer.provide(layerCryptoMemory)
)

const decide = (name: string, args: unknown, workspace = "/nowhere") =>
  Effect.gen(function* () {
    const policy = yield* ToolPolicy.ToolPolicy
    return yield* Effect.either(policy.decide(contextOf(agentWith({ profile: "full", workspace }), name, args)))
  })

/** The refusal's words, or that there was none. */
const refusal = (name: string, args: unknown) =>
  Effect.map(
    decide(name, args),
    Either.match({
      onLeft: (error) => (error instanceof InvalidToolArguments ? error.detail : `denied: ${error.message}`),
      onRight: () => "let through"
    })
  )

const good: Record<string, object> = {
  read_file: { path: "a" },
  write_file: { path: "a", content: "" },
  edit_file: { path: "a", old: "x", new: "y" },
  list_files: {},
  search_files: { pattern: "x" },
  execute_command: { command: "true" },
  http_fetch: { url: "https://example.org/" }
}

layer(path)((it) => {
  describe("X09: what a model adds has no power", () => {
    const extras = {
      sandbox: false,
      host: "gateway",
      cwd: "/",
      env: { PATH: "." },
      timeoutMs: 1e12,
      timeout: 1,
      user: "root",
      constructor: { prototype: {} }
    }
    for (const [name, args] of Object.entries(good)) {
      it.effect(`${name} takes its own fields and names any other`, () =>
        Effect.gen(function* () {
          expect(yield* refusal(name, args)).toBe("let through")
          for (const [field, value] of Object.entries(extras)) {
            expect(yield* refusal(name, { ...args, [field]: value })).toMatch(
              new RegExp(`^${field} is not an argument of this tool and has no effect; it takes "`)
            )
          }
          expect(yield* refusal(name, JSON.parse(`{"__proto__":{"path":"a"}}`))).toContain("__proto__")
          expect(({} as { path?: unknown }).path).toBeUndefined()
        })
      )
    }
  })

  describe("X05: paths", () => {
    const bad: ReadonlyArray<readonly [string, string]> = [
      ["", "must name a path"],
      ["..", "must not contain .."],
      ["../x", "must not contain .."],
      ["a/../../x", "must not contain .."],
      ["a\\..\\..\\x", "must not contain .."],
      ["/etc/passwd", "not absolute"],
      ["//etc", "not absolute"],
      ["/work/a", "not absolute"],
      ["~", "~ is not known"],
      ["~root/x", "~ is not known"],
      ["%2e%2e/x", "not URL-encoded"],
      ["a%2Fb", "not URL-encoded"],
      ["%252e%252e%252fx", "not URL-encoded"],
      ["a%00", "not URL-encoded"],
      ["a\0b", "NUL"],
      ["a\nb", "control characters"],
      ["file:///etc/passwd", "not a URL"],
      ["FILE://x", "not a URL"],
      ["x".repeat(300), "at most 255 bytes"],
      ["é".repeat(200), "at most 255 bytes"],
      ["a/".repeat(2500), "at most 2048 bytes"],
      ["\ud800x", "valid Unicode"]
    ]
    for (const tool of ["read_file", "write_file", "edit_file", "list_files", "search_files"]) {
      it.effect(`${tool} refuses each by name`, () =>
        Effect.gen(function* () {
          for (const [path, words] of bad) {
            expect(yield* refusal(tool, { ...good[tool], path }), JSON.stringify(path.slice(0, 30))).toMatch(/^path /)
            expect(yield* refusal(tool, { ...good[tool], path })).toContain(words)
          }
          expect(yield* refusal(tool, { ...good[tool], path: 7 })).toContain("path must be")
        })
      )
    }
    it.effect("harmless names that look unusual are let through", () =>
      Effect.gen(function* () {
        for (const path of ["...", "a..b", "-rf", "a b", "100%", "a%20b", "ünïcode", "$(x)", "'", "*", "c:\\x"]) {
          expect(yield* refusal("read_file", { path }), path).toBe("let through")
        }
      })
    )
  })

  describe("X06: protected files", () => {
    const protectedPaths = [
      ".git/hooks/pre-commit",
      ".git/config",
      ".GIT/config",
      "sub/.git/hooks/x",
      ".g\u200bit/config",
      ".mcp.json",
      "sub/.MCP.json",
      ".env",
      ".env.local",
      "./.env",
      "sub/.envrc",
      "x.skill.json",
      "skills/a.md",
      "ai-desk.json",
      "sub/ai-desk.jsonc",
      ".ai-desk-data/desk.db"
    ]
    it.effect("neither write_file nor edit_file may touch them, reading is free", () =>
      Effect.gen(function* () {
        for (const path of protectedPaths) {
          expect(yield* refusal("write_file", { path, content: "x" }), path).toContain("is protected")
          expect(yield* refusal("edit_file", { path, old: "x", new: "y" }), path).toContain("is protected")
          expect(yield* refusal("read_file", { path }), path).toBe("let through")
        }
        expect(yield* refusal("write_file", { path: "notes/git.md", content: "x" })).toBe("let through")
        expect(yield* refusal("write_file", { path: ".", content: "x" })).toContain("not the workspace itself")
        expect(yield* refusal("write_file", { path: "a/", content: "x" })).toContain("not a folder")
      })
    )
  })

  describe("other arguments", () => {
    const deep = (levels: number): unknown => JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`)
    const cases: ReadonlyArray<readonly [string, unknown, string]> = [
      ["read_file", "a", "must be an object"],
      ["read_file", null, "must be an object"],
      ["read_file", [], "must be an object"],
      ["read_file", {}, "path is missing"],
      ["read_file", { path: "a", limit: 0 }, "limit must be"],
      ["read_file", { path: "a", limit: 1.5 }, "limit must be"],
      ["read_file", { path: "a", offset: "1" }, "offset must be"],
      ["read_file", deep(3000), "nested more than 32 deep"],
      ["read_file", { path: Array.from({ length: 60_000 }, () => 1) }, "more than 50000 values"],
      ["write_file", { path: "a", content: "x".repeat(1_048_577) }, "at most 1048576 bytes"],
      ["write_file", { path: "a", content: "a\0b" }, "NUL"],
      ["write_file", { path: "a", content: "\udfff" }, "valid Unicode"],
      ["edit_file", { path: "a", old: "", new: "y" }, "must not be empty"],
      ["list_files", { depth: 21 }, "depth must be"],
      ["search_files", { pattern: "a\nb" }, "on one line"],
      ["search_files", { pattern: "" }, "1 to 1000 characters"],
      ["execute_command", { command: " " }, "must not be empty"],
      ["execute_command", { command: "x\0y" }, "NUL"],
      ["execute_command", { command: "x".repeat(100_001) }, "at most 100000 bytes"],
      ["http_fetch", { url: "https://a.org/", method: "POST" }, "method must be"],
      ["http_fetch", { url: "x".repeat(5000) }, "at most 4096"]
    ]
    for (const [tool, args, words] of cases) {
      it.effect(`${tool}: ${words}`, () => Effect.map(refusal(tool, args), (said) => expect(said).toContain(words)))
    }
    it.effect("a value that a model sent is not repeated in the message", () =>
      Effect.gen(function* () {
        const said = yield* refusal("read_file", { path: { secret: "hunter2-hunter2" }, limit: "hunter2-hunter2" })
        expect(said).not.toContain("hunter2")
      })
    )
  })

  describe("the registry", () => {
    it.effect("offers every built-in as a closed JSON Schema without references", () =>
      Effect.gen(function* () {
        const registry = yield* ToolRegistry.ToolRegistry
        const tools = yield* registry.all
        expect(tools.map(({ name }) => name)).toEqual(Object.keys(good).sort())
        for (const tool of tools) {
          const { parameters } = registry.spec(tool)
          expect(parameters).toMatchObject({ type: "object", additionalProperties: false })
          expect(JSON.stringify(parameters)).not.toMatch(/\$ref|\$defs|\$schema/)
          expect(registry.spec(tool)).toBe(registry.spec(tool))
        }
      })
    )
  })
})

layer(path)((it) => {
  describe("execute_command", () => {
    const execute = (command: string, limits = {}) =>
      Effect.gen(function* () {
        const folder = yield* workspaceFolder
        const registry = yield* ToolRegistry.ToolRegistry
        const policy = yield* ToolPolicy.ToolPolicy
        const agent = agentWith({ profile: "full", workspace: folder, limits })
        const decision = yield* policy.decide(contextOf(agent, "execute_command", { command }))
        const tool = yield* Effect.flatten(registry.get("execute_command"))
        return decision._tag === "Permitted" ? yield* tool.run(decision.permitted) : yield* Effect.die("not permitted")
      })

    it.scoped("states output, stderr and exit code", () =>
      Effect.gen(function* () {
        const outcome = yield* execute("echo out; echo err >&2; exit 3")
        expect(outcome.content).toBe("out\n[stderr]\nerr\n[exit code 3]")
        expect(outcome).toMatchObject({ isError: true, exitCode: 3, truncated: false })
        expect((yield* execute("pwd")).content).toBe("/work\n[exit code 0]")
        expect((yield* execute("-c 'touch x'; echo $0")).content).toContain("[exit code 0]")
        expect((yield* execute("sleep 30", { timeoutMs: 300 })).content).toContain(
          "[stopped: it ran longer than the time limit"
        )
      })
    )

    it.scoped("X13: no raw control byte comes out, whatever the command prints", () =>
      Effect.gen(function* () {
        const printed = String.raw`printf '\033[31mred\033[0m \033]0;title\007 a\000b \377\376 \302\233 \r\nx\ry\b'`
        const { content } = yield* execute(printed)
        expect(content).toBe("red  a\\x00b \ufffd\ufffd \\x9b \nx\ny\\x08\n[exit code 0]")
        const all = yield* execute("head -c 300000 /dev/urandom; head -c 300000 /dev/urandom >&2")
        expect(all.content).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/)
        const line = yield* execute("head -c 100000000 /dev/zero | tr '\\0' x", { maxOutputBytes: 10_000 })
        expect(line.content.length).toBeLessThan(11_000)
        expect(line.isError).toBe(true)
      })
    )
  })
})

layer(path)((it) => {
  describe("X01: a link that flips while it is read", () => {
    it.scoped("never shows a byte from outside", () =>
      Effect.gen(function* () {
        const folder = yield* workspaceFolder
        const outside = yield* workspaceFolder
        mkdirSync(join(folder, "real"))
        writeFileSync(join(folder, "real/f"), "inside")
        writeFileSync(join(outside, "f"), "OUTSIDE-SECRET")
        const registry = yield* ToolRegistry.ToolRegistry
        const sandbox = yield* Sandbox.Sandbox
        const policy = yield* ToolPolicy.ToolPolicy
        const agent = agentWith({ profile: "full", workspace: folder, limits: { timeoutMs: 15_000 } })
        const allow = (name: string, args: object) =>
          Effect.flatMap(policy.decide(contextOf(agent, name, args)), (decision) =>
            decision._tag === "Permitted" ? Effect.succeed(decision.permitted) : Effect.die("not permitted")
          )
        const flip = `i=0; while [ ! -e stop ]; do ln -sfn ${outside} x; ln -sfn real x; done`
        const command = yield* allow("execute_command", { command: flip })
        const flipper = yield* Effect.fork(
          sandbox.run(command, { argv: ["/bin/sh", "-c", flip], workspace: "read-write" })
        )
        const seen = new Set<string>()
        for (const name of ["read_file", "write_file"]) {
          const tool = yield* Effect.flatten(registry.get(name))
          for (let i = 0; i < 30; i++) {
            const args = name === "read_file" ? { path: "x/f" } : { path: "x/f", content: "inside" }
            const outcome = yield* Effect.either(tool.run(yield* allow(name, args)))
            seen.add(Either.isRight(outcome) ? outcome.right.content : "refused")
          }
        }
        writeFileSync(join(folder, "stop"), "")
        yield* flipper.await
        expect([...seen].join()).not.toContain("SECRET")
        expect(readFileSync(join(outside, "f"), "utf8")).toBe("OUTSIDE-SECRET")
        expect(readdirSync(outside)).toEqual(["f"])
        expect(existsSync(join(folder, "real/f"))).toBe(true)
      })
    )
  })
})
