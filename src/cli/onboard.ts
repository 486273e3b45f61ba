/**
 * `onboard`: from nothing to an agent that answers, by questions or, with --yes, by options alone.
 * Whatever can be found wrong is found before the first file is written.
 */
import { existsSync } from "node:fs"
import { dirname } from "node:path"
import { Effect, Redacted, Schema } from "effect"
import { CredentialsApi } from "../contract/credentials.ts"
import { TokensApi } from "../contract/tokens.ts"
import { NewToken } from "../domain/Access.ts"
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
import { agentName, appOptions, config, reached, json, present, settingsOptions } from "./shared.ts"

const providers: ReadonlyArray<Choice<ModelRef>> = Setup.answerers.map(({ description, model, title }) => ({
  title,
  value: model,
  description
}))

const profiles: ReadonlyArray<Choice<ToolProfile>> = Setup.profiles.map(({ description, value }) => ({
  title: value,
  value,
  description
}))

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
const askPerson = (start: Setup.Choices, keyKnown: boolean) =>
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
    const daily = yield* amountOf("At most, in USD a day", 0, Setup.mostDaily)
    const choices: Setup.Choices = { agent: name, model, workspace, profile, daily, passphrase, key: null }
    return choices
  })

/** Every wrong choice at once, in the words of the options. */
const checkChoices = (choices: Setup.Choices, place: Setup.Place) => {
  const problems = Setup.problemsOf(choices, place)
  const [first] = problems
  if (first === undefined) return Effect.void
  const options: Partial<Record<keyof Setup.Choices, string>> = {
    agent: "--agent: ",
    model: "--model: ",
    workspace: "--workspace: ",
    daily: "--daily-usd: "
  }
  return new InvalidInput({
    detail: problems.map(({ detail, field }) => `${options[field] ?? ""}${detail}`).join("; "),
    fix: first.fix
  })
}

/** The provider's key, when one is needed and none is in the environment. */
const providerKey = (model: ModelRef, before: LoadedSettings, asks: boolean) =>
  Effect.gen(function* () {
    const needs = Setup.missingKey(model, before)
    if (needs === null) return null
    return yield* readSecret(`API key for ${needs.provider}`, asks).pipe(
      Effect.mapError(
        (error) =>
          new InvalidInput({
            detail: `no key for ${needs.provider}: ${error.detail}; nothing was written`,
            fix: `set ${needs.variable}, or pipe the key in: ai-desk onboard --yes --model ${model} < key.txt`
          })
      )
    )
  })

/** The provider's key, and the owner's first token, which is the answer. */
const lastSteps = ({ key, model }: Setup.Choices) =>
  Effect.gen(function* () {
    if (key !== null) {
      const { credentials } = yield* ControlClient.use(CredentialsApi, "credentials")
      yield* credentials.set({ path: { provider: splitModelRef(model).provider }, payload: { secret: key } })
    }
    const { tokens } = yield* ControlClient.use(TokensApi, "tokens")
    const { token } = yield* tokens.create({
      payload: new NewToken({ label: Setup.firstTokenLabel, scopes: ["owner"] })
    })
    return token
  })

const curlFor = (agent: string): ReadonlyArray<string> => [
  "      curl http://127.0.0.1:18789/v1/chat/completions \\",
  '        -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\',
  `        -d '{"model":"${agent}","messages":[{"role":"user","content":"What can you do here?"}]}'`
]

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
    dailyUsd: optionOr(
      amount(0, Setup.mostDaily, "USD"),
      "USD",
      "The most that it may spend in a day; 5 otherwise.",
      5
    ),
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
        const given: Setup.Choices = {
          agent: input.agent,
          model: input.model ?? Setup.rehearsal,
          workspace: input.workspace,
          profile: input.profile,
          daily: input.dailyUsd,
          passphrase: null,
          key: null
        }
        const place: Setup.Place = { config: target, keyFile: Setup.keyFileFor(before.home, target), before }
        const answers = input.yes ? given : yield* askPerson(given, before.masterKey !== null)
        yield* checkChoices(answers, place)
        const key = yield* providerKey(answers.model, before, !input.yes)
        const choices = { ...answers, key }
        yield* checkChoices(choices, place)
        const done = yield* Setup.write(yield* Setup.plan(choices, place))
        const reach = yield* appOptions(target)
        const token = yield* lastSteps(choices).pipe(
          Effect.scoped,
          reached(reach),
          Effect.tapError(() =>
            output.note(`the settings were written to ${done.config}; what came after them failed:`)
          )
        )
        yield* output.result({ ...done, token: Redacted.value(token) }, () =>
          [
            `settings   ${done.config}`,
            `workspace  ${done.workspace}`,
            done.keyFile === null
              ? "key        the one that was already set"
              : `key        ${done.keyFile} (back it up: without it the stored data cannot be read)`,
            `token      ${Redacted.value(token)} (shown only now: keep it where you keep passwords)`,
            "",
            'next: ai-desk agent test "What can you do here?"',
            "or:   ai-desk gateway, then log in with the token in a browser, or send it from a program:",
            ...curlFor(choices.agent)
          ].join("\n")
        )
      }).pipe(
        Effect.catchTag("QuitException", () => new InvalidInput({ detail: "left before the end; nothing was written" }))
      )
    )
})

/** A command by itself. */
export const group: Group = { summary: "Set up: master key, model, agent, workspace, budget.", verbs: { "": setUp } }
