/** `credential`: provider keys. A secret is read from a prompt or from stdin, never from the command line. */
import { Effect, Schema } from "effect"
import { CredentialsApi } from "../contract/credentials.ts"
import { CredentialInfo } from "../domain/Credential.ts"
import { ProviderName } from "../domain/Model.ts"
import * as ControlClient from "./ControlClient.ts"
import { argument, type Group, matching, verb } from "./Grammar.ts"
import { Output, table } from "./Output.ts"
import { confirm } from "./prompts.ts"
import { readSecret } from "./secrets.ts"
import { ask, asIs, config, json, shown, when } from "./shared.ts"

const client = ControlClient.use(CredentialsApi, "credentials")

const provider = argument(
  matching(Schema.is(ProviderName), "a provider's name (a-z, 0-9, _ and -)"),
  "PROVIDER",
  "anthropic, google, openrouter, or a name under `providers`."
)

const set = verb({
  summary: "Store a provider's key, sealed.",
  about: "It is asked for without being shown, or read from stdin; never taken from the command line.",
  examples: ["ai-desk credential set anthropic", "ai-desk credential set anthropic < key.txt"],
  params: { provider, config, json },
  run: (input) =>
    ask(
      input,
      shown(
        Effect.flatMap(readSecret(`Key for ${input.provider}`), (secret) =>
          Effect.flatMap(client, (c) => c.credentials.set({ path: { provider: input.provider }, payload: { secret } }))
        ),
        Schema.encodeSync(CredentialInfo),
        ({ fingerprint }) => `stored, sealed; fingerprint ${fingerprint}`
      )
    )
})

const list = verb({
  summary: "List the known keys by fingerprint.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      shown(
        Effect.flatMap(client, (c) => c.credentials.list()),
        Schema.encodeSync(Schema.Array(CredentialInfo)),
        (infos) =>
          infos.length === 0
            ? "no keys are known; store one with: ai-desk credential set anthropic"
            : table([
                ["PROVIDER", "SOURCE", "FINGERPRINT", "SET (UTC)"],
                ...infos.map((i) => [
                  i.provider,
                  i.source,
                  i.fingerprint,
                  i.updatedAt === undefined ? "-" : when(i.updatedAt)
                ])
              ])
      )
    )
})

const remove = verb({
  summary: "Remove a stored key.",
  params: { provider, config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        if (output.interactive) {
          const sure = yield* confirm(`Remove the stored key for ${input.provider}?`).pipe(
            Effect.catchTag("QuitException", () => Effect.succeed(false))
          )
          if (!sure) return yield* output.note("nothing was removed")
        }
        yield* shown(
          Effect.flatMap(client, (c) => c.credentials.remove({ path: { provider: input.provider } })),
          asIs,
          ({ removed }) =>
            removed ? `the key for ${input.provider} is gone` : `no key for ${input.provider} was stored`
        )
      })
    )
})

export const group: Group = { summary: "Provider keys, sealed at rest.", verbs: { set, list, remove } }
