/**
 * Choices: what a first set-up asks, on a terminal and in a browser alike, and what is wrong with an
 * answer.
 *
 * Guarantees: whatever can be found wrong without writing is found here, every wrong field at once and
 * each with one message; no message repeats a secret.
 */
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { Redacted, Schema } from "effect"
import type { ToolProfile } from "../../domain/Agent.ts"
import { unusableKey } from "../../domain/Credential.ts"
import { AgentId } from "../../domain/Ids.ts"
import { ModelRef, type ProviderName, splitModelRef } from "../../domain/Model.ts"
import { weakness } from "../keyring/KeyringFile.ts"
import type { LoadedSettings } from "../Settings.ts"
import { absolute, contains, refusal } from "../settings/Workspace.ts"

export interface Answerer {
  readonly title: string
  readonly provider: ProviderName
  readonly model: ModelRef
  readonly description: string
  /** May hold its key; null: it needs none. */
  readonly variable: string | null
}

/** Who can answer in a new set-up; the first is the default. Others can be added to the settings later. */
export const answerers: ReadonlyArray<Answerer> = [
  {
    title: "rehearsal",
    provider: "rehearsal",
    model: ModelRef.make("rehearsal/rehearsal-1"),
    description: "built in, no key, no network: to look around",
    variable: null
  },
  {
    title: "Anthropic",
    provider: "anthropic",
    model: ModelRef.make("anthropic/claude-sonnet-4-6"),
    description: "needs an API key",
    variable: "ANTHROPIC_API_KEY"
  },
  {
    title: "Google",
    provider: "google",
    model: ModelRef.make("google/gemini-2.5-flash"),
    description: "needs an API key",
    variable: "GOOGLE_AI_API_KEY"
  },
  {
    title: "OpenRouter",
    provider: "openrouter",
    model: ModelRef.make("openrouter/anthropic/claude-sonnet-4.6"),
    description: "needs an API key",
    variable: "OPENROUTER_API_KEY"
  }
]

export const rehearsal: ModelRef = ModelRef.make("rehearsal/rehearsal-1")

export const profiles: ReadonlyArray<{ readonly value: ToolProfile; readonly description: string }> = [
  { value: "readonly", description: "may list, read and search files in its workspace" },
  { value: "deny-all", description: "may only talk" },
  { value: "full", description: "may also write and run commands, each after asking you" }
]

/** The most that a set-up lets an agent spend in a day, USD; the settings file takes more. */
export const mostDaily = 10_000

export interface Choices {
  readonly agent: string
  readonly model: ModelRef
  /** As typed: absolute, from the home folder (~), or relative to the config's folder. */
  readonly workspace: string
  readonly profile: ToolProfile
  /** USD. */
  readonly daily: number
  /** Typed by the person; null: one is made, or is known already. */
  readonly passphrase: Redacted.Redacted<string> | null
  /** Typed by the person; null: none, or it comes later. */
  readonly key: Redacted.Redacted<string> | null
}

/** Where it is to be written, and what is there already. */
export interface Place {
  /** Absolute path of the ai-desk.json to write. */
  readonly config: string
  readonly keyFile: string
  /** What the environment alone says. */
  readonly before: LoadedSettings
}

export interface ChoiceProblem {
  readonly field: keyof Choices
  readonly detail: string
  readonly fix: string
}

/** Absolute. */
export const workspaceOf = (workspace: string, { before, config }: Place): string =>
  absolute(workspace, { dir: dirname(config), configPath: config, dataDir: before.dataDir, home: before.home })

/** The name of the provider, when it needs a key that the environment does not hold. */
export const missingKey = (model: ModelRef, before: LoadedSettings): Answerer | null => {
  const { provider } = splitModelRef(model)
  const answerer = answerers.find((each) => each.provider === provider)
  return answerer === undefined || answerer.variable === null || before.providerKeys.has(provider) ? null : answerer
}

const modelProblem = ({ model }: Choices): Omit<ChoiceProblem, "field"> | null => {
  const { provider } = splitModelRef(model)
  return answerers.some((each) => each.provider === provider)
    ? null
    : {
        detail: `there is no provider "${provider}"; expected one of ${answerers.map((each) => each.provider).join(", ")}`,
        fix: "choose one of these; others can be added later under `providers` in ai-desk.json"
      }
}

const workspaceProblem = (choices: Choices, place: Place): Omit<ChoiceProblem, "field"> | null => {
  const fix = "choose a folder that holds nothing else, for example ./workspace"
  if (choices.workspace.trim() === "" || choices.workspace.includes("\0")) {
    return { detail: "a workspace has to be named", fix }
  }
  const { before, config, keyFile } = place
  const workspace = workspaceOf(choices.workspace, place)
  const inside = [config, before.dataDir, keyFile].find((path) => contains(workspace, path))
  if (inside !== undefined) return { detail: `${workspace} contains ${inside}, which no agent may see`, fix }
  const around = { dir: dirname(config), configPath: config, dataDir: before.dataDir, home: before.home }
  const refused = refusal(workspace, around)
  return refused === null ? null : { detail: `${workspace} is ${refused.found}`, fix }
}

const passphraseProblem = ({ passphrase }: Choices, { before }: Place): Omit<ChoiceProblem, "field"> | null => {
  const given = before.masterKey ?? passphrase
  if (given === null) {
    return existsSync(join(before.dataDir, "keyring.json"))
      ? {
          detail: `${before.dataDir} holds data of before, which only its own master key opens`,
          fix: "type that one, or move the folder away"
        }
      : null
  }
  const weak = weakness(Redacted.value(given))
  return weak === undefined ? null : { detail: weak, fix: "choose a longer passphrase, or let one be made" }
}

const keyProblem = ({ key, model }: Choices): Omit<ChoiceProblem, "field"> | null => {
  const reason = key === null ? undefined : unusableKey(Redacted.value(key).trim())
  return reason === undefined
    ? null
    : {
        detail: `the key for ${splitModelRef(model).provider} cannot be used: ${reason}`,
        fix: "copy it again, on one line"
      }
}

/** Everything that keeps the choices from becoming a set-up that works, in the order of the questions. */
export const problemsOf = (choices: Choices, place: Place): ReadonlyArray<ChoiceProblem> => {
  const found: ReadonlyArray<readonly [ChoiceProblem["field"], Omit<ChoiceProblem, "field"> | null]> = [
    [
      "agent",
      Schema.is(AgentId)(choices.agent)
        ? null
        : { detail: `"${choices.agent}" cannot be an agent's name`, fix: "use a-z, 0-9, _ and -" }
    ],
    ["model", modelProblem(choices)],
    ["key", keyProblem(choices)],
    ["workspace", workspaceProblem(choices, place)],
    [
      "daily",
      choices.daily >= 0 && choices.daily <= mostDaily
        ? null
        : { detail: "that is no amount of US dollars", fix: `use a number from 0 to ${mostDaily}, such as 5` }
    ],
    ["passphrase", passphraseProblem(choices, place)]
  ]
  return found.flatMap(([field, problem]) => (problem === null ? [] : [{ field, ...problem }]))
}
