/**
 * `onboard`: from nothing to an agent that answers, by questions or, with --yes, by options alone.
 * Whatever can be found wrong is found before the first file is written.
 */
import { existsSync } from "node:fs"
import { dirname, isAbsolute, relative, resolve } from "node:path"
import { Effect, Redacted, Schema } from "effect"
import { CredentialsApi } from "../contract/credentials.ts"
import { ToolProfile } from "../domain/Agent.ts"
import { AgentId } from "../domain/Ids.ts"
import { ModelRef, splitModelRef } from "../domain/Model.ts"
import { configPath, type LoadedSettings, withoutConfig } from "../kernel/Settings.ts"
import * as Setup from "../kernel/Setup.ts"
import * as ControlClient from "./ControlClient.ts"
import { amount, flag, folder, type Group, matching, oneOf, option, optionOr, verb } from "./Grammar.ts"
import { Output } from "./Output.ts"
import { amountOf, type Choice, hidden, line, select } from "./prompts.ts"
import { InvalidInput, readSecret } from "./secrets.ts"
import { agentName, appOptions, config, inProcess, json, present, settingsOptions } from "./shared.ts"

const rehearsal = ModelRef.make("rehearsal/rehearsal-1")

const providers: ReadonlyArray<Choice<ModelRef>> = [
  { title: "rehearsal", value: rehearsal, description: "built in, no key, no network: to look around" },
  { title: "Anthropic", value: ModelRef.make("anthropic/claude-sonnet-4-6"), description: "needs an API key" },
  { title: "Google", value: ModelRef.make("google/gemini-2.5-flash"), description: "needs an API key" },
  {
    title: "OpenRouter",
    value: ModelRef.make("openrouter/anthropic/claude-sonnet-4.6"),
    description: "needs an API key"
  }
]

/** With the variable that may hold its key. A new settings file knows no other provider. */
const known: Readonly<Record<string, string | null>> = {
  rehearsal: null,
  anthropic: "ANTHROPIC_API_KEY",
  google: "GOOGLE_AI_API_KEY",
  openrouter: "OPENROUTER_API_KEY"
}

const profiles: ReadonlyArray<Choice<ToolProfile>> = [
  { title: "readonly", value: "readonly", description: "may list, read and search files in its workspace" },
  { title: "deny-all", value: "deny-all", description: "may only talk" },
  { title: "full", value: "full", description: "may also write and run commands, each after asking you" }
]

interface Choices {
  readonly agent: AgentId
  readonly model: ModelRef
  readonly workspace: string
  readonly profile: ToolProfile
  readonly daily: number
  /** Typed by the person; null: one is made, or is known already. */
  readonly passphrase: Redacted.Redacted<string> | null
}

const askPassphrase = Effect.gen(function* () {
  const how = yield* select("Everything is stored encrypted. Master key:", [
    { title: "make a random one and keep it in a file of mine", value: "random" as const },
    { title: "let me type a passphrase", value: "typed" as const }
  ])
  if (how === "random") return null
  const typed = yield* hidden("Passphrase")
  const again = yield* hidden("The same once more")
  if (Redacted.value(typed) !== Redacted.value(again)) {
    return yield* new InvalidInput({
      detail: "the two passphrases differ; nothing was written",
      fix: "ai-desk onboard"
    })
  }
  return typed
})

/** The questions, each with the option's value to start from. */
const askPerson = (start: Choices, keyKnown: boolean) =>
  Effect.gen(function* () {
    const passphrase = keyKnown ? null : yield* askPassphrase
    const model = yield* select("Who answers?", providers)
    const name = yield* line("Name of the agent", start.agent)
    if (!Schema.is(AgentId)(name)) {
      return yield* new InvalidInput({
        detail: `"${name}" cannot be an agent's name`,
        fix: `use ${agentName.expected}`
      })
    }
    const workspace = yield* line("Its workspace (the only folder it sees)", start.workspace)
    const profile = yield* select("What may it do?", profiles)
    const daily = yield* amountOf("At most, in USD a day", 0, 10_000)
    const choices: Choices = { agent: name, model, workspace, profile, daily, passphrase }
    return choices
  })

const contains = (outer: string, inner: string): boolean => {
  const way = relative(outer, inner)
  return way === "" || !(way.startsWith("..") || isAbsolute(way))
}

interface Place {
  readonly config: string
  readonly keyFile: string
  readonly before: LoadedSettings
}

/** Whether the choices can become a set-up that works. */
const checkChoices = (choices: Choices, place: Place) =>
  Effect.gen(function* () {
    const { provider } = splitModelRef(choices.model)
    if (!Object.hasOwn(known, provider)) {
      return yield* new InvalidInput({
        detail: `--model: there is no provider "${provider}"; expected one of ${Object.keys(known).join(", ")}`,
        fix: "choose one of these; others can be added later under `providers` in ai-desk.json"
      })
    }
    const workspace = resolve(dirname(place.config), choices.workspace)
    const inside = [place.config, place.before.dataDir, place.keyFile].find((path) => contains(workspace, path))
    if (inside !== undefined) {
      return yield* new InvalidInput({
        detail: `--workspace: ${workspace} contains ${inside}, which no agent may see`,
        fix: "choose a folder that holds nothing else, for example ./workspace"
      })
    }
    const weak =
      choices.passphrase === null
        ? place.before.masterKey === null
          ? undefined
          : Setup.weakness(Redacted.value(place.before.masterKey))
        : Setup.weakness(Redacted.value(choices.passphrase))
    if (weak !== undefined) {
      return yield* new InvalidInput({ detail: weak, fix: "choose a longer passphrase, or let one be made" })
    }
  })

/** The provider's key, when one is needed and none is in the environment. */
const providerKey = (model: ModelRef, before: LoadedSettings, asks: boolean) =>
  Effect.gen(function* () {
    const { provider } = splitModelRef(model)
    const variable = known[provider] ?? null
    if (variable === null || before.providerKeys.has(provider)) return null
    const secret = yield* readSecret(`API key for ${provider}`, asks).pipe(
      Effect.mapError(
        (error) =>
          new InvalidInput({
            detail: `no key for ${provider}: ${error.detail}; nothing was written`,
            fix: `set ${variable}, or pipe the key in: ai-desk onboard --yes --model ${model} < key.txt`
          })
      )
    )
    if (/[^\x21-\x7e]/.test(Redacted.value(secret))) {
      return yield* new InvalidInput({
        detail: `the key for ${provider} has spaces or unusual characters; nothing was written`,
        fix: "copy it again, on one line"
      })
    }
    return { provider, secret }
  })

const storeKey = ({ provider, secret }: { readonly provider: string; readonly secret: Redacted.Redacted<string> }) =>
  Effect.gen(function* () {
    const client = yield* ControlClient.use(CredentialsApi, "credentials")
    yield* client.credentials.set({ path: { provider }, payload: { secret } })
  })

const setUp = verb({
  summary: "Set up: master key, model, agent, workspace, budget.",
  about:
    "Asks on a terminal; with --yes the options and defaults count, and a provider's key is read from the environment or stdin. Secrets are never taken from the command line.",
  examples: [
    "ai-desk onboard",
    "ai-desk onboard --yes",
    "ai-desk onboard --yes --model anthropic/claude-sonnet-4-6 < key.txt"
  ],
  params: {
    yes: flag("Ask nothing.", { short: "y" }),
    agent: optionOr(agentName, "NAME", "The agent's name; main otherwise.", AgentId.make("main")),
    model: option(
      matching(Schema.is(ModelRef), "provider/model, such as anthropic/claude-sonnet-4-6"),
      "MODEL",
      "provider/model; the rehearsal model otherwise."
    ),
    workspace: optionOr(
      folder,
      "FOLDER",
      "The only folder that the agent's tools see; ./workspace otherwise.",
      "./workspace"
    ),
    profile: optionOr(
      oneOf(ToolProfile.literals),
      "PROFILE",
      "Which tools it may use; readonly otherwise.",
      "readonly" as const
    ),
    dailyUsd: optionOr(amount(0, 10_000, "USD"), "USD", "The most that it may spend in a day; 5 otherwise.", 5),
    config,
    json
  },
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const options = yield* settingsOptions(input.config)
        const target = yield* configPath(options)
        if (existsSync(target)) return yield* new Setup.AlreadySetUp({ path: target })
        const before = yield* withoutConfig(options, dirname(target))
        if (!input.yes && !output.interactive) {
          return yield* new InvalidInput({
            detail: "there is no terminal to ask questions on",
            fix: "ai-desk onboard --yes"
          })
        }
        const given: Choices = {
          agent: input.agent,
          model: input.model ?? rehearsal,
          workspace: input.workspace,
          profile: input.profile,
          daily: input.dailyUsd,
          passphrase: null
        }
        const keyKnown = before.masterKey !== null
        const choices = input.yes ? given : yield* askPerson(given, keyKnown)
        const keyFile = Setup.keyFileFor(before.home, target)
        yield* checkChoices(choices, { config: target, keyFile, before })
        const key = yield* providerKey(choices.model, before, !input.yes)
        const done = yield* Setup.write({
          config: target,
          agent: choices.agent,
          workspace: choices.workspace,
          model: choices.model,
          profile: choices.profile,
          dailyCost: choices.daily,
          ...(keyKnown
            ? {}
            : { masterKey: { file: keyFile, secret: choices.passphrase ?? (yield* Setup.generateMasterKey) } })
        })
        const reach = yield* appOptions(target)
        if (key !== null) yield* storeKey(key).pipe(Effect.scoped, inProcess(reach))
        yield* output.result(done, () =>
          [
            `settings   ${done.config}`,
            `workspace  ${done.workspace}`,
            done.keyFile === null
              ? "key        the one that was already set"
              : `key        ${done.keyFile} (back it up: without it the stored data cannot be read)`,
            "",
            'next: ai-desk agent test "What can you do here?"'
          ].join("\n")
        )
      }).pipe(
        Effect.catchTag("QuitException", () => new InvalidInput({ detail: "left before the end; nothing was written" }))
      )
    )
})

/** A command by itself. */
export const group: Group = { summary: "Set up: master key, model, agent, workspace, budget.", verbs: { "": setUp } }
