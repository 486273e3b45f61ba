import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, describe, expect } from "vitest"
import manifest from "../../package.json" with { type: "json" }
import { commandNames } from "../../src/cli/run.ts"
import { groups } from "../../src/cli/program.ts"
import { cli } from "./support.ts"

const cwd = mkdtempSync(join(tmpdir(), "cli-help-"))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

const verbs = Object.entries(groups).flatMap(([name, group]) =>
  Object.entries(group.verbs).map(([word, verb]) => ({ words: word === "" ? [name] : [name, word], verb }))
)

describe("help", () => {
  it("the lazily loaded commands are the whole tree, in the same order", () => {
    expect(commandNames).toEqual(Object.keys(groups))
  })

  it.live("the root lists every command, with or without --help", () =>
    Effect.gen(function* () {
      const bare = yield* cli([], { cwd })
      expect(yield* cli(["--help"], { cwd })).toEqual(bare)
      expect(bare).toMatchObject({ code: 0, stderr: "" })
      for (const [name, group] of Object.entries(groups)) {
        expect(bare.stdout).toMatch(new RegExp(`^  ${name} +\\S`, "m"))
        expect(bare.stdout).toContain(group.summary)
      }
    })
  )

  for (const [name, group] of Object.entries(groups).filter(([, { verbs: own }]) => own[""] === undefined)) {
    it.live(`${name} lists its verbs`, () =>
      Effect.gen(function* () {
        const { code, stdout } = yield* cli([name, "-h"], { cwd })
        expect(code).toBe(0)
        for (const word of Object.keys(group.verbs)) expect(stdout).toMatch(new RegExp(`^  ${word} +\\S`, "m"))
      })
    )
  }

  for (const { verb, words } of verbs) {
    it.live(`${words.join(" ")} explains itself in 80 columns, without colour codes`, () =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* cli([...words, "--help"], { cwd })
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
        expect(stdout).toContain(`Usage\n  ai-desk ${words.join(" ")} [options]`)
        for (const { label } of Object.values(verb.params)) expect(stdout).toContain(label)
        for (const line of stdout.split("\n").filter((each) => !each.startsWith("  ai-desk")))
          expect(line.length).toBeLessThanOrEqual(80)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: looking for them
        expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
      })
    )
  }

  it.live("--version says the release", () =>
    Effect.gen(function* () {
      expect(yield* cli(["--version"], { cwd })).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: "" })
    })
  )

  for (const shell of ["sh", "bash", "zsh", "fish"]) {
    it.live(`--completions ${shell} knows every command and option`, () =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* cli(["--completions", shell], { cwd })
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
        for (const word of [...Object.keys(groups), "daily-usd", "limit"]) expect(stdout).toContain(word)
      })
    )
  }
})
