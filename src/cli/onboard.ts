/** `onboard`: from nothing to an agent that answers, by questions or, with --yes, by options alone. */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Prompt from "@effect/cli/Prompt"
import { Effect, Option, Redacted, Schema } from "effect"
import { CredentialsApi } from "../contract/credentials.ts"
import { ToolProfile } from "../domain/Agent.ts"
import { AgentId } from "../domain/Ids.ts"
import { ModelRef, splitModelRef } from "../domain/Model.ts"
import { configPath } from "../kernel/Settings.ts"
import * as Setup from "../kernel/Setup.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output } from "./Output.ts"
import { InvalidInput, readSecret } from "./secrets.ts"
import { config, inProcess, json, looked, verb } from "./shared.ts"

const rehearsal = ModelRef.make("rehearsal/rehearsal-1")

const providers = [
  { title: "rehearsal", value: rehearsal, description: "built in, no key, no network: to look around" },
  { title: "Anthropic", value: ModelRef.make("anthropic/claude-sonnet-4-6"), description: "needs an API key" },
  { title: "Google", value: ModelRef.make("google/gemini-2.5-flash"), description: "needs an API key" },
  { title: "OpenRouter", value: ModelRef.make("openrouter/anthropic/claude-sonnet-4.6"), description: "needs an API key" }
]

const profiles: ReadonlyArray<Prompt.Prompt.SelectChoice<ToolProfile>> = [
  { title: "readonly", value: "readonly", description: "may list, read and search files in its workspace" },
  { title: "deny-all", value: "deny-all", description: "may only talk" },
  { title: "full", value: "full", description: "may also write and run commands, each after asking you" }
]

const yes = Options.boolean("yes").pipe(
  Options.withAlias("y"),
  Options.withDescription("Ask nothing: take the options and, for the rest, the defaults.")
)
const agent = Options.text("agent").pipe(
  Options.withSchema(AgentId),
  Options.withDefault(AgentId.make("main")),
  Options.withDescription("The agent's name.")
)
const model = Options.text("model").pipe(
  Options.withSchema(ModelRef),
  Options.withDescription("provider/model; the rehearsal model otherwise."),
  Options.optional
)
const workspace = Options.text("workspace").pipe(
  Options.withDefault("./workspace"),
  Options.withDescription("The only folder that the agent's tools see.")
)
const profile = Options.choice("profile", ToolProfile.literals).pipe(
  Options.withDefault("readonly"),
  Options.withDescription("Which tools it may use.")
)
const daily = Options.float("daily-usd").pipe(
  Options.withSchema(
    Schema.Number.pipe(Schema.between(0, 10_000, { message: () => "an amount in USD from 0 to 10000" }))
  ),
  Options.withDefault(5),
  Options.withDescription("The most that the agent may spend in a day, in USD.")
)

interface Choices {
  readonly agent: AgentId
  readonly model: ModelRef
  readonly workspace: string
  readonly profile: ToolProfile
  readonly daily: number
  readonly passphrase: Redacted.Redacted<string> | null
}

/** The questions, each with the option's value to start from. */
const askPerson = (start: Choices, keyKnown: boolean) =>
  Effect.gen(function* () {
    const passphrase = keyKnown
      ? null
      : yield* Prompt.run(
          Prompt.select({
            message: "Everything is stored encrypted. Master key:",
            choices: [
              { title: "make a random one and keep it in a file of mine", value: "random" as const },
              { title: "let me type a passphrase", value: "typed" as const }
            ]
          })
        ).pipe(
          Effect.flatMap((how) => (how === "random" ? Effect.succeed(null) : Prompt.run(Prompt.password({ message: "Passphrase" }))))
        )
    const chosenModel = yield* Prompt.run(Prompt.select({ message: "Who answers?", choices: providers }))
    const id = yield* Prompt.run(Prompt.text({ message: "Name of the agent", default: start.agent }))
    const folder = yield* Prompt.run(Prompt.text({ message: "Its workspace (the only folder it sees)", default: start.workspace }))
    const chosenProfile = yield* Prompt.run(Prompt.select({ message: "What may it do?", choices: profiles }))
    const cost = yield* Prompt.run(Prompt.float({ message: "At most, in USD a day", min: 0, max: 10_000 }))
    const decoded = Schema.decodeUnknownEither(AgentId)(id)
    if (decoded._tag === "Left") return yield* new InvalidInput({ detail: `"${id}" cannot be an agent's name`, fix: "use a-z, 0-9, _ and -" })
    const choices: Choices = { agent: decoded.right, model: chosenModel, workspace: folder, profile: chosenProfile, daily: cost, passphrase }
    return choices
  })

const masterKeyFor = (choices: Choices, keyFile: string) =>
  Effect.gen(function* () {
    if (choices.passphrase === null) return { file: keyFile, secret: yield* Setup.generateMasterKey }
    const weak = Setup.weakness(Redacted.value(choices.passphrase))
    if (weak !== undefined) return yield* new InvalidInput({ detail: weak, fix: "choose a longer passphrase, or let one be made" })
    return { file: keyFile, secret: choices.passphrase }
  })

const storeKey = (model: ModelRef, config: string) =>
  Effect.gen(function* () {
    const { provider } = splitModelRef(model)
    if (provider === "rehearsal") return
    const loaded = yield* looked(Option.some(config))
    if (loaded.providerKeys.has(provider)) return
    const secret = yield* readSecret(`API key for ${provider}`)
    const client = yield* ControlClient.use(CredentialsApi, "credentials")
    yield* client.credentials.set({ path: { provider }, payload: { secret } })
  }).pipe(Effect.scoped, inProcess({ config }))

export const command = Command.make("onboard", { yes, agent, model, workspace, profile, daily, config, json }, (input) =>
  verb(
    input.json,
    Effect.gen(function* () {
      const output = yield* Output
      const file = yield* configPath({ configPath: Option.getOrUndefined(input.config) })
      const before = yield* looked(Option.none())
      if (!input.yes && !output.interactive) {
        return yield* new InvalidInput({ detail: "there is no terminal to ask questions on", fix: "ai-desk onboard --yes" })
      }
      const given: Choices = {
        agent: input.agent,
        model: Option.getOrElse(input.model, () => rehearsal),
        workspace: input.workspace,
        profile: input.profile,
        daily: input.daily,
        passphrase: null
      }
      const keyKnown = before.masterKey !== null
      const choices = input.yes ? given : yield* askPerson(given, keyKnown)
      const masterKey = keyKnown ? undefined : yield* masterKeyFor(choices, Setup.keyFileFor(before.home, file))
      const done = yield* Setup.write({
        config: file,
        agent: choices.agent,
        workspace: choices.workspace,
        model: choices.model,
        profile: choices.profile,
        dailyCost: choices.daily,
        ...(masterKey === undefined ? {} : { masterKey })
      })
      yield* storeKey(choices.model, file)
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
).pipe(
  Command.withDescription(
    "Set up: master key, model, agent, workspace, budget. With a provider's model and --yes, its key is read from the environment or stdin."
  )
)
