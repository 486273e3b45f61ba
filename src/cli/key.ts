/** `key`: rotate what everything is encrypted with. */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { Effect, Schema } from "effect"
import { KeyRotated, KeysApi } from "../contract/keys.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output } from "./Output.ts"
import { readSecret } from "./secrets.ts"
import { ask, config, json } from "./shared.ts"

const passphrase = Options.boolean("passphrase").pipe(
  Options.withDescription("Change the master key instead: the data keys are wrapped anew, no data is touched.")
)

const rotate = Command.make("rotate", { passphrase, config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const client = yield* ControlClient.use(KeysApi, "keys")
      const done = input.passphrase
        ? yield* Effect.flatMap(readSecret("New master key"), (newPassphrase) =>
            client.keys.rotatePassphrase({ payload: { newPassphrase } })
          )
        : yield* client.keys.rotateData()
      yield* output.result(Schema.encodeSync(KeyRotated)(done), () =>
        done.what === "passphrase"
          ? "the master key was changed; put the new one where the old one was (AI_DESK_MASTER_KEY or its file)"
          : [
              `a new data key is in use; ${done.resealed} stored values were sealed anew`,
              ...(done.damaged.length === 0
                ? []
                : [`${done.damaged.length} values could not be opened, so the old key is kept:`, ...done.damaged.map((d) => `  ${d}`)])
            ].join("\n")
      )
    })
  )
).pipe(
  Command.withDescription("Make a new data key and seal everything anew, or change the master key. Killed half-way, it goes on at the next call.")
)

export const command = Command.make("key").pipe(
  Command.withDescription("Encryption keys."),
  Command.withSubcommands([rotate])
)
