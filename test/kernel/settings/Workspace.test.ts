import { mkdirSync, symlinkSync } from "node:fs"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { layer, Settings } from "../../../src/kernel/Settings.ts"
import { project, writeConfig } from "../../support/settings.ts"

interface Place {
  readonly dir: string
  readonly home: string
}

/** A workspace as written, what makes it reachable, and what is said; null where it is fine. */
const matrix: ReadonlyArray<readonly [string, (place: Place) => string, RegExp | null, ((place: Place) => void)?]> = [
  ["./workspace", () => "./workspace", null],
  ["a folder beside the project", ({ dir }) => join(dir, "..", "elsewhere"), null],
  ["a folder in home", () => "~/agent", null],
  ["a folder whose name begins like the data folder's", () => ".ai-desk-data-not", null],
  ["a folder whose name begins with two dots", () => "..workspace", null],
  ["the config's folder", () => ".", /contains the data folder/],
  ["the folder above", () => "..", /home folder or one that contains it/],
  ["the root", () => "/", /the root of the file system/],
  ["a system folder", () => "/etc", /a folder of the operating system/],
  ["a folder below one", () => "/usr/local/share", /a folder of the operating system/],
  ["the root, written otherwise", () => "/../.", /the root of the file system/],
  ["home", () => "~", /the home folder/],
  ["home by path", ({ home }) => `${home}/x/..`, /the home folder/],
  ["the data folder", () => ".ai-desk-data", /contains the data folder/],
  ["inside the data folder", () => "./.ai-desk-data/ws", /inside the data folder/],
  ["the skills", () => "./skills", /the skills/],
  ["inside the skills", () => "./skills/mine", /the skills/],
  [
    "a link to the config's folder",
    () => "./link",
    /contains the data folder, by a symbolic link/,
    ({ dir }) => symlinkSync(dir, join(dir, "link"))
  ],
  [
    "a link to the root",
    () => "./link",
    /root of the file system, by a symbolic link/,
    ({ dir }) => symlinkSync("/", join(dir, "link"))
  ],
  [
    "a link to home",
    () => "./link",
    /home folder.*by a symbolic link/,
    ({ dir, home }) => symlinkSync(home, join(dir, "link"))
  ],
  [
    "a new folder behind a link into the data folder",
    () => "./link/deep/new",
    /inside the data folder, by a symbolic link/,
    ({ dir }) => {
      mkdirSync(join(dir, ".ai-desk-data"))
      symlinkSync(join(dir, ".ai-desk-data"), join(dir, "link"))
    }
  ],
  [
    "a folder that the data folder is a link into",
    () => "./workspace",
    /contains the data folder/,
    ({ dir }) => {
      mkdirSync(join(dir, "workspace", "data"), { recursive: true })
      symlinkSync(join(dir, "workspace", "data"), join(dir, ".ai-desk-data"))
    }
  ],
  [
    "a link that leads nowhere yet",
    () => "./link",
    /cannot be followed/,
    ({ dir }) => symlinkSync(join(dir, "later"), join(dir, "link"))
  ],
  ["a link to itself", () => "./link", /cannot be followed/, ({ dir }) => symlinkSync("link", join(dir, "link"))],
  ["a path through a file", () => "./ai-desk.json/x", /cannot be followed/]
]

describe("workspace", () => {
  for (const [name, workspace, said, prepare] of matrix) {
    it.scoped(`${said === null ? "takes" : "refuses"} ${name}`, () =>
      Effect.gen(function* () {
        const made = yield* project({})
        prepare?.(made)
        writeConfig(made.path, { agents: { list: [{ id: "a", workspace: workspace(made) }] } })
        const result = yield* Effect.either(
          Effect.flatMap(Settings, (service) => service.current).pipe(Effect.provide(layer(made.options)))
        )
        if (said === null) {
          expect(result._tag).toBe("Right")
        } else {
          const failure = yield* Effect.flip(result)
          expect(failure.message).toMatch(said)
          expect(failure.message).toContain("agents.list[0].workspace")
          expect(failure.fix).toContain('"workspace": "./workspace"')
        }
      })
    )
  }

  it.scoped("refuses the documented sample, whose workspace is the config's own folder, with a one-line fix", () =>
    Effect.gen(function* () {
      const sample = readFileSync(new URL("../../support/ai-desk.sample.jsonc", import.meta.url), "utf8")
      const start = (config: string) =>
        Effect.gen(function* () {
          const made = yield* project({ config })
          return yield* Effect.flatMap(Settings, (service) => service.current).pipe(Effect.provide(layer(made.options)))
        })
      const failure = yield* Effect.flip(start(sample))
      expect(failure.problems.map((one) => one.at)).toEqual(["agents.list[0].workspace"])
      expect(failure.fix).toBe('use a folder of its own, for example "workspace": "./workspace"')
      const settings = yield* start(sample.replace('"workspace": "."', '"workspace": "./workspace"'))
      expect(settings.agents[0]?.skills).toEqual(["security-code-review"])
    })
  )
})
