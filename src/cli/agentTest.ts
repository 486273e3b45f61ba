/** `agent test`: one message, run to its end; as a trial when there is neither a configuration nor a key. */
import { Effect } from "effect"
import { ModelRef, splitModelRef } from "../domain/Model.ts"
import type { SessionId } from "../domain/Ids.ts"
import { follow } from "./follow.ts"
import { Output } from "./Output.ts"
import * as RunClient from "./RunClient.ts"
import { appOptions, reached, looked, present } from "./shared.ts"
import * as Trial from "./Trial.ts"

/** Announces what stands in for a configuration, and where it is. */
const announceTrial = (trial: Trial.Trial) =>
  Effect.gen(function* () {
    const output = yield* Output
    const { provider } = splitModelRef(ModelRef.make(trial.model))
    const model =
      provider === "rehearsal"
        ? "the built-in rehearsal model (no provider is asked, nothing is spent)"
        : `${trial.model} with the key from your environment, capped at $${trial.cap}`
    yield* output.note(
      `${output.style("bold", "trial")}      no configuration found: a throw-away set-up with ${model}\n` +
        `           sample workspace ${trial.workspace}; all of it is removed at the end\n` +
        "           for a lasting set-up: ai-desk onboard"
    )
  })

export interface Message {
  readonly message: string
  readonly agent: string | undefined
  readonly session: SessionId | undefined
  readonly config: string | undefined
  readonly json: boolean
}

const send = ({ agent, message, session }: Message) =>
  Effect.gen(function* () {
    const output = yield* Output
    yield* follow(
      RunClient.start({
        message,
        approver: output.interactive,
        ...(agent === undefined ? {} : { agent }),
        ...(session === undefined ? {} : { session })
      })
    )
  })

export const run = (input: Message) =>
  present(
    input.json,
    Effect.gen(function* () {
      const loaded = yield* looked(input.config)
      // Only with neither: a key without a config, or a config without a key, is a set-up to be used or mended.
      if (loaded.path !== null || loaded.masterKey !== null) {
        return yield* reached(yield* appOptions(input.config))(send(input))
      }
      const trial = yield* Trial.make(loaded)
      yield* announceTrial(trial)
      yield* reached(trial.options)(send(input))
    }).pipe(Effect.scoped)
  )
