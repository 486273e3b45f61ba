/**
 * Settings: the owner's `ai-desk.json`, the environment and the config folder's `.env`, decoded
 * once at the door. The only reader of `process.env`.
 *
 * Guarantees: a bad file at start is one clear message and nothing starts; a bad file on reload
 * keeps the last good settings; `.env` is read from the config's folder only, never from a
 * workspace; a workspace that contains the data folder or the config is refused.
 */
import { Context, type Effect, type Redacted, Schema, type Stream } from "effect"
import type { Agent } from "../domain/Agent.ts"
import type { Config } from "../domain/Config.ts"

/** One thing wrong with the settings. `at` is a path such as `agents.list[0].tools.profile`. */
export class SettingsProblem extends Schema.Class<SettingsProblem>("SettingsProblem")({
  at: Schema.String,
  expected: Schema.String,
  /** The kind of what was found, never its value: it may be a secret. */
  found: Schema.String,
  /** For an unknown key: the nearest known one. */
  nearest: Schema.optional(Schema.String),
  fix: Schema.optional(Schema.String)
}) {}

export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  /** The file, or `environment`. */
  source: Schema.String,
  problems: Schema.NonEmptyArray(SettingsProblem)
}) {
  override get message(): string {
    const lines = this.problems.map((p) => {
      const hint = p.nearest === undefined ? "" : ` (did you mean "${p.nearest}"?)`
      return `${p.at}: expected ${p.expected}, found ${p.found}${hint}`
    })
    return lines.length === 1 ? `${this.source}: ${lines[0]}` : `${this.source}:\n${lines.map((l) => `  ${l}`).join("\n")}`
  }
  get fix(): string {
    return this.problems.find((p) => p.fix !== undefined)?.fix ?? "correct the file, then run: ai-desk config check"
  }
}

export interface LoadedSettings {
  readonly config: Config
  /** Absolute path of the file, or null when the defaults are in force. */
  readonly path: string | null
  /** Absolute; the config's folder, or the folder the command was started in. */
  readonly dir: string
  /** Absolute. */
  readonly dataDir: string
  /** `agents.list` with `agents.defaults` merged in and paths made absolute; the default agent first. */
  readonly agents: ReadonlyArray<Agent>
  readonly masterKey: Redacted.Redacted<string> | null
  /** From ANTHROPIC_API_KEY, GOOGLE_AI_API_KEY, OPENROUTER_API_KEY and `providers.<name>.apiKeyEnv`, by provider name. */
  readonly providerKeys: ReadonlyMap<string, Redacted.Redacted<string>>
  /** Home folder, for Claude Code's OAuth file. */
  readonly home: string
  /** Things that are allowed but deserve a word, such as a quarantined unknown key of a newer release. */
  readonly warnings: ReadonlyArray<string>
}

export class Settings extends Context.Tag("ai-desk/kernel/Settings")<
  Settings,
  {
    readonly current: Effect.Effect<LoadedSettings>
    /** Reads again. On failure the last good settings stay in force. */
    readonly reload: Effect.Effect<LoadedSettings, SettingsInvalid>
    /** Every settings that came into force after the first. */
    readonly changes: Stream.Stream<LoadedSettings>
  }
>() {}
