import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { parse, rules } from "./support/architecture.ts"

const root = join(import.meta.dirname, "../src")
const sources = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((path) => /\.tsx?$/.test(path))
  .map((path) => parse(path, readFileSync(join(root, path), "utf8")))

const header = "/** What this module guarantees, in words. */\n"

/** For each rule: files that must be refused, each alone (or together where it takes two), and one that must pass. */
const samples: Record<
  keyof typeof rules,
  { bad: ReadonlyArray<Record<string, string>>; good: Record<string, string> }
> = {
  importDirections: {
    bad: [
      { "domain/X.ts": `import { a } from "../kernel/Audit.ts"` },
      { "tools/X.ts": `import type { a } from "../model/Router.ts"` },
      { "model/X.ts": `export { a } from "../tools/Sandbox.ts"` },
      { "kernel/X.ts": `const a = await import("../agent/Turn.ts")` },
      { "kernel/X.ts": `type A = import("../agent/Turn.ts").Turn` },
      { "agent/builtin/X.ts": `import "../../gateway/HttpServer.ts"` },
      { "cli/x.ts": `import { App } from "../App.ts"` },
      { "cli/x.ts": `import { Audit } from "../kernel/Audit.ts"` },
      { "contract/x.ts": `import { Audit } from "../kernel/Audit.ts"` },
      { "main.ts": `import { Audit } from "./kernel/Audit.ts"` },
      { "agent/X.ts": `import { App } from "../App.ts"` }
    ],
    good: {
      "agent/X.ts": `import { Sandbox } from "../tools/Sandbox.ts"\nimport { Y } from "./Y.ts"`,
      "cli/x.ts": `import { Settings } from "../kernel/Settings.ts"\nconst app = import("../App.ts")`,
      "main.ts": `import { cli } from "./cli/main.ts"`
    }
  },
  knownFolders: { bad: [{ "utils/X.ts": "" }, { "Helper.ts": "" }], good: { "agent/X.ts": "", "App.ts": "" } },
  noBarrels: {
    bad: [{ "agent/index.ts": "" }, { "agent/X.ts": `import { HttpApi } from "@effect/platform"` }],
    good: { "agent/X.ts": `import * as HttpApi from "@effect/platform/HttpApi"` }
  },
  fileSizes: { bad: [{ "agent/X.ts": "x\n".repeat(501) }], good: { "agent/X.ts": "x\n".repeat(500) } },
  headers: {
    bad: [{ "agent/X.ts": `import "effect"\n${header}` }, { "agent/X.ts": "/** */\n" }],
    good: { "agent/X.ts": header }
  },
  tagKeys: {
    bad: [
      { "agent/X.ts": `class X extends Context.Tag("ai-desk/tools/X")<X, {}>() {}` },
      {
        "agent/X.ts": `class X extends Context.Tag("ai-desk/agent/X")<X, {}>() {}`,
        "agent/Y.ts": `class X extends Context.Tag("ai-desk/agent/X")<X, {}>() {}`
      }
    ],
    good: { "agent/deep/X.ts": `class X extends Context.Tag("ai-desk/agent/X")<X, {}>() {}` }
  },
  errorTags: {
    bad: [
      { "agent/X.ts": `class X extends Error {}` },
      { "agent/X.ts": `class X extends Data.TaggedError("Y")<{}> {}` },
      { "agent/X.ts": `class X extends Schema.TaggedError<X>()("Y", {}) {}` },
      {
        "agent/X.ts": `class X extends Schema.TaggedError<X>()("X", {}) {}`,
        "tools/X.ts": `class X extends Schema.TaggedError<X>()("X", {}) {}`
      }
    ],
    good: { "agent/X.ts": `class X extends Schema.TaggedError<X>("X")("X", {}) {}\n// class Y extends Error {}` }
  },
  cryptoHome: {
    bad: [
      { "agent/X.ts": `import { hash } from "node:crypto"` },
      { "agent/X.ts": `crypto.randomUUID()` },
      { "agent/X.ts": `crypto.getRandomValues(bytes)` },
      { "dashboard/tab.ts": `crypto.subtle.digest("SHA-256", bytes)` },
      { "dashboard/chat.ts": `crypto.getRandomValues(bytes)` }
    ],
    good: {
      "kernel/Crypto.ts": `import { hash } from "node:crypto"`,
      "dashboard/tab.ts": `crypto.getRandomValues(bytes)`
    }
  },
  processHome: {
    bad: [
      { "agent/X.ts": `import { spawn } from "node:child_process"` },
      { "kernel/X.ts": `await import("child_process")` },
      {
        "tools/Sandbox.ts": `import { spawn } from "node:child_process"`,
        "tools/sandbox/Run.ts": `import { spawn } from "node:child_process"`
      }
    ],
    good: { "tools/sandbox/Run.ts": `import { spawn } from "node:child_process"` }
  },
  vendorHome: {
    bad: [
      { "model/Router.ts": `import OpenAI from "openai"` },
      { "agent/X.ts": `const sdk = import("@anthropic-ai/sdk")` },
      { "kernel/X.ts": `import type { GoogleGenAI } from "@google/genai"` }
    ],
    good: { "model/providers/Anthropic.ts": `const sdk = import("@anthropic-ai/sdk")` }
  },
  environmentHome: {
    bad: [
      { "agent/X.ts": `const x = process.env["HOME"]` },
      { "agent/X.ts": `const x = process["env"]` },
      { "agent/X.ts": `const { env } = process` },
      { "cli/x.ts": `const x = process.env.HOME` }
    ],
    good: {
      "kernel/Settings.ts": `const x = process.env["HOME"]`,
      "agent/X.ts": `// process.env\nconst s = "process.env"`
    }
  },
  builtinHomes: {
    bad: [{ "domain/X.ts": `import { join } from "node:path"` }, { "contract/x.ts": `import "node:fs"` }],
    good: { "kernel/DataDir.ts": `import { join } from "node:path"` }
  },
  runHome: {
    bad: [{ "agent/X.ts": `Effect.runPromise(x)` }, { "cli/x.ts": `const run = Runtime.runSync` }],
    good: { "main.ts": `NodeRuntime.runMain(x)` }
  },
  noConsole: {
    bad: [{ "agent/X.ts": `console.log(1)` }, { "main.ts": `globalThis.console.error(1)` }],
    good: { "cli/x.ts": `Console.log(1)` }
  },
  proofs: {
    bad: [
      { "agent/Turn.ts": `import { mintPermitted } from "../domain/Proof.ts"` },
      { "agent/Turn.ts": `import { mintScanned as s } from "../domain/Proof.ts"` },
      { "tools/Approvals.ts": `import { mintLease } from "../domain/Proof.ts"` },
      { "agent/Turn.ts": `import * as Proof from "../domain/Proof.ts"` },
      { "agent/Turn.ts": `export { mintScanned } from "../domain/Proof.ts"` },
      { "agent/Turn.ts": `const p = await import("../domain/Proof.ts")` }
    ],
    good: {
      "tools/Approvals.ts": `import { isGenuine, mintPermitted } from "../domain/Proof.ts"`,
      "agent/Turn.ts": `import type { Permitted } from "../domain/Proof.ts"`
    }
  },
  sqlHomes: {
    bad: [{ "agent/Turn.ts": `db.prepare("select 1")` }, { "cli/x.ts": `import Sqlite from "better-sqlite3"` }],
    good: { "model/Budget.ts": `db.prepare("select 1")` }
  }
}

describe("architecture", () => {
  it("finds the sources", () => {
    expect(sources.length).toBeGreaterThan(10)
    expect(sources.some((source) => source.path === "domain/Proof.ts")).toBe(true)
  })

  for (const [name, rule] of Object.entries(rules)) {
    describe(name, () => {
      const sample = samples[name]!
      const parsed = (files: Record<string, string>) => Object.entries(files).map(([path, text]) => parse(path, text))

      it.each(sample.bad.map((files) => [files]))("refuses %j", (files) => {
        expect(rule(parsed(files))).not.toEqual([])
      })

      it("passes what is right", () => {
        expect(rule(parsed(sample.good))).toEqual([])
      })

      it("holds in src/", () => {
        expect(rule(sources)).toEqual([])
      })
    })
  }
})
