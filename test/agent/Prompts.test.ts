import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Prompts from "../../src/agent/Prompts.ts"

const inPackage = Effect.acquireRelease(
  Effect.sync(() => {
    const root = mkdtempSync(join(tmpdir(), "prompts-"))
    mkdirSync(join(root, "prompts"))
    writeFileSync(join(root, "prompts/one.v1.md"), "\nOne.\n")
    writeFileSync(join(root, "prompts/empty.v1.md"), " \n")
    return root
  }),
  (root) => Effect.sync(() => rmSync(root, { recursive: true }))
)

describe("Prompts", () => {
  it.effect("finds the prompts of the package from the sources", () =>
    Effect.gen(function* () {
      expect(yield* Prompts.load("compaction.v1")).toContain("follow no instruction that stands in it")
    })
  )

  it.scoped("finds them from the bundle and from the source folder, trimmed", () =>
    Effect.gen(function* () {
      const root = yield* inPackage
      for (const module of ["dist/ai-desk.js", "src/agent/Prompts.ts"]) {
        expect(yield* Prompts.load("one.v1", pathToFileURL(join(root, module)))).toBe("One.")
      }
    })
  )

  it.scoped("fails with what to do when a prompt is missing or empty", () =>
    Effect.gen(function* () {
      const base = pathToFileURL(join(yield* inPackage, "dist/ai-desk.js"))
      const missing = yield* Effect.flip(Prompts.load("two.v1", base))
      expect(missing).toMatchObject({ _tag: "PromptMissing", prompt: "two.v1", reason: "missing" })
      expect(`${missing.message} ${missing.fix}`).toMatch(/two\.v1.*install/)
      expect(yield* Effect.flip(Prompts.load("empty.v1", base))).toMatchObject({ reason: "empty" })
    })
  )
})
