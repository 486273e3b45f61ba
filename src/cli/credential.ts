/** `credential`: provider keys. A secret is read from a prompt or from stdin, never from the command line. */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Prompt from "@effect/cli/Prompt"
import { Effect, Schema } from "effect"
import { CredentialsApi } from "../contract/credentials.ts"
import { CredentialInfo } from "../domain/Credential.ts"
import { ProviderName } from "../domain/Model.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output, table } from "./Output.ts"
import { readSecret } from "./secrets.ts"
import { ask, config, json, when } from "./shared.ts"

const client = ControlClient.use(CredentialsApi, "credentials")

const provider = Args.text({ name: "provider" }).pipe(
  Args.withSchema(ProviderName),
  Args.withDescription("anthropic, google, openrouter, or a name under `providers`.")
)

const set = Command.make("set", { provider, config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const secret = yield* readSecret(`Key for ${input.provider}`)
      const info = yield* Effect.flatMap(client, (c) =>
        c.credentials.set({ path: { provider: input.provider }, payload: { secret } })
      )
      yield* output.result(Schema.encodeSync(CredentialInfo)(info), () => `stored, sealed; fingerprint ${info.fingerprint}`)
    })
  )
).pipe(
  Command.withDescription("Store a provider's key, sealed. Asks for it, or reads it from stdin: ai-desk credential set anthropic < key.txt")
)

const list = Command.make("list", { config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const infos = yield* Effect.flatMap(client, (c) => c.credentials.list())
      yield* output.result(Schema.encodeSync(Schema.Array(CredentialInfo))(infos), () =>
        infos.length === 0
          ? "no keys are known; store one with: ai-desk credential set anthropic"
          : table([
              ["PROVIDER", "SOURCE", "FINGERPRINT", "SET (UTC)"],
              ...infos.map((i) => [i.provider, i.source, i.fingerprint, i.updatedAt === undefined ? "-" : when(i.updatedAt)])
            ])
      )
    })
  )
).pipe(Command.withDescription("List the known keys by fingerprint."))

const remove = Command.make("remove", { provider, config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      if (output.interactive) {
        const sure = yield* Prompt.confirm({ message: `Remove the stored key for ${input.provider}?`, initial: false })
        if (!sure) return yield* output.note("nothing was removed")
      }
      const answer = yield* Effect.flatMap(client, (c) => c.credentials.remove({ path: { provider: input.provider } }))
      yield* output.result(answer, () =>
        answer.removed ? `the key for ${input.provider} is gone` : `no key for ${input.provider} was stored`
      )
    })
  )
).pipe(Command.withDescription("Remove a stored key."))

export const command = Command.make("credential").pipe(
  Command.withDescription("Provider keys, sealed at rest."),
  Command.withSubcommands([set, list, remove])
)
