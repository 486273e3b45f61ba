/** `key`: rotate what everything is encrypted with. */
import { Effect, Schema } from "effect"
import { KeyRotated, KeysApi } from "../contract/keys.ts"
import * as ControlClient from "./ControlClient.ts"
import { flag, type Group, verb } from "./Grammar.ts"
import { Output } from "./Output.ts"
import { readSecret } from "./secrets.ts"
import { ask, config, json } from "./shared.ts"

const passphrase = flag("Change the master key instead: the data keys are wrapped anew, no data is touched.")

const rotate = verb({
  summary: "Make a new data key and seal everything anew, or change the master key.",
  about: "Killed half-way, it goes on at the next call.",
  examples: ["ai-desk key rotate", "ai-desk key rotate --passphrase < new-key.txt"],
  params: { passphrase, config, json },
  run: (input) =>
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
                  : [
                      `${done.damaged.length} values could not be opened, so the old key is kept:`,
                      ...done.damaged.map((d) => `  ${d}`)
                    ])
              ].join("\n")
        )
      })
    )
})

export const group: Group = { summary: "The keys that everything is encrypted with.", verbs: { rotate } }
