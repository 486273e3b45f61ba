/**
 * Setup: writes what a first run needs: workspace, master key file, `.env`, `ai-desk.json`.
 *
 * Guarantees: never overwrites a config, a key or data; the config is written last, so a set-up that
 * was cut off is not mistaken for a finished one and can be run again; the key is in no file but its
 * own (mode 0600), and in no message.
 */
import { existsSync, mkdirSync } from "node:fs"
import { basename, dirname, join, relative, resolve } from "node:path"
import { Effect, Redacted, Schema } from "effect"
import type { ToolProfile } from "../domain/Agent.ts"
import { AgentId } from "../domain/Ids.ts"
import type { ModelRef } from "../domain/Model.ts"
import { appendLine, type FileError, fileError, replaceFile } from "./DurableFile.ts"

import { generateMasterKey } from "./keyring/KeyringFile.ts"
import { type Choices, type Place, workspaceOf } from "./setup/Choices.ts"

export { generateMasterKey } from "./keyring/KeyringFile.ts"
export {
  type Answerer,
  answerers,
  type ChoiceProblem,
  type Choices,
  missingKey,
  mostDaily,
  type Place,
  problemsOf,
  profiles,
  rehearsal,
  workspaceOf
} from "./setup/Choices.ts"

/** Names the owner's first token in lists. */
export const firstTokenLabel = "first token, made at set-up"

export interface SetupChoices {
  /** Absolute path of the ai-desk.json to write. */
  readonly config: string
  readonly agent: AgentId
  /** Absolute, or relative to the config's folder. */
  readonly workspace: string
  readonly model: ModelRef
  readonly profile: ToolProfile
  /** USD. */
  readonly dailyCost: number
  /** How people will prove who they are; absent: by token. */
  readonly auth?: "token" | "password"
  /** Absent when one is already known, from the environment or a file. */
  readonly masterKey?: { readonly file: string; readonly secret: Redacted.Redacted<string> }
}

export interface SetupDone {
  readonly config: string
  readonly workspace: string
  readonly keyFile: string | null
}

export class AlreadySetUp extends Schema.TaggedError<AlreadySetUp>()("AlreadySetUp", { path: Schema.String }) {
  override get message(): string {
    return `${this.path} is already there, so nothing was changed`
  }
  get fix(): string {
    return "edit it and run: ai-desk config check; or choose another place with --config"
  }
}

const makeFolder = (path: string) =>
  Effect.try({
    try: () => mkdirSync(path, { recursive: true, mode: 0o700 }),
    catch: (cause) => fileError(path, "create", cause)
  })

/** What is written for choices in which nothing is wrong. A master key is made where none is known and none was typed. */
export const plan = (
  choices: Choices,
  place: Place,
  auth: "token" | "password" = "token"
): Effect.Effect<SetupChoices> =>
  Effect.gen(function* () {
    return {
      config: place.config,
      agent: AgentId.make(choices.agent),
      workspace: workspaceOf(choices.workspace, place),
      model: choices.model,
      profile: choices.profile,
      dailyCost: choices.daily,
      auth,
      ...(place.before.masterKey === null
        ? { masterKey: { file: place.keyFile, secret: choices.passphrase ?? (yield* generateMasterKey) } }
        : {})
    }
  })

/** Fails before anything is written when something would be overwritten. */
export const write = (choices: SetupChoices): Effect.Effect<SetupDone, AlreadySetUp | FileError> =>
  Effect.gen(function* () {
    const dir = dirname(choices.config)
    const workspace = resolve(dir, choices.workspace)
    const key = choices.masterKey
    const taken = [choices.config, ...(key === undefined ? [] : [key.file])].find((path) => existsSync(path))
    if (taken !== undefined) return yield* new AlreadySetUp({ path: taken })

    yield* makeFolder(dir)
    yield* makeFolder(workspace)
    if (key !== undefined) {
      yield* makeFolder(dirname(key.file))
      yield* replaceFile(key.file, `${Redacted.value(key.secret)}\n`, 0o600)
      yield* appendLine(join(dir, ".env"), `AI_DESK_MASTER_KEY_FILE=${key.file}`, 0o600)
    }
    const inside = relative(dir, workspace)
    const settings = {
      ...(choices.auth === undefined || choices.auth === "token" ? {} : { gateway: { auth: { mode: choices.auth } } }),
      agents: {
        defaults: {
          model: { primary: choices.model },
          tools: { profile: choices.profile },
          budget: { daily: { cost: choices.dailyCost, action: "pause" } }
        },
        list: [
          {
            id: choices.agent,
            default: true,
            workspace: inside.startsWith("..") ? workspace : `./${inside}`
          }
        ]
      }
    }
    yield* replaceFile(choices.config, `${JSON.stringify(settings, null, 2)}\n`, 0o600)
    return { config: choices.config, workspace, keyFile: key?.file ?? null }
  })

/**
 * Outside the config's folder, so that a copy of that folder alone opens nothing. A name that is not
 * taken: the key of another set-up, or of one that was cut off, is left as it is.
 */
export const keyFileFor = (home: string, config: string): string => {
  const name = basename(dirname(config)) || "root"
  const file = (n: number) => join(home, ".config", "ai-desk", `${name}${n === 1 ? "" : `-${n}`}.key`)
  let n = 1
  while (existsSync(file(n))) n += 1
  return file(n)
}
