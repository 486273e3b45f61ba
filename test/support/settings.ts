/**
 * Settings for tests, through the real door: a config file in a folder of its own, read by the real
 * layer with an environment that holds nothing but what the test gives.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import { type SettingsOptions, Settings, layer } from "../../src/kernel/Settings.ts"
import { tempDir } from "./tempdir.ts"

export interface Project {
  /** Holds `ai-desk.json`. Absolute. */
  readonly dir: string
  /** Absolute. */
  readonly home: string
  /** Absolute path of `ai-desk.json`. */
  readonly path: string
  readonly options: SettingsOptions
}

export interface ProjectOptions {
  /** What `ai-desk.json` says: an object, or the text itself. Null for no file. */
  readonly config?: unknown
  readonly env?: Readonly<Record<string, string>>
  readonly dotEnv?: string
}

export const writeConfig = (path: string, config: unknown): void => {
  writeFileSync(path, typeof config === "string" ? config : JSON.stringify(config))
  chmodSync(path, 0o600)
}

/** A project folder and an empty home, gone when the scope closes. */
export const project = (options: ProjectOptions = {}) =>
  Effect.map(tempDir, (root): Project => {
    const dir = join(root, "project")
    const home = join(root, "home")
    const path = join(dir, "ai-desk.json")
    mkdirSync(dir, { mode: 0o700 })
    mkdirSync(home, { mode: 0o700 })
    if (options.config !== null) writeConfig(path, options.config ?? {})
    if (options.dotEnv !== undefined) writeFileSync(join(dir, ".env"), options.dotEnv, { mode: 0o600 })
    return { dir, home, path, options: { cwd: dir, env: { HOME: home, ...options.env } } }
  })

/** The real Settings over such a project. */
export const settingsLayer = (options: ProjectOptions = {}) =>
  Layer.unwrapScoped(Effect.map(project(options), (made) => Layer.orDie(layer(made.options))))

/** What a project's settings come to. */
export const loadProject = (options: ProjectOptions = {}) =>
  Effect.gen(function* () {
    const made = yield* project(options)
    const settings = yield* Effect.provide(
      Effect.flatMap(Settings, (service) => service.current),
      layer(made.options)
    )
    return { ...made, settings }
  })
