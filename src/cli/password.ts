/** `password`: the owner's, for the password mode. It is typed at a hidden prompt or read from stdin, never taken from the command line. */
import { Effect } from "effect"
import { LoginApi } from "../contract/login.ts"
import * as ControlClient from "./ControlClient.ts"
import { type Group, verb } from "./Grammar.ts"
import { Output } from "./Output.ts"
import { readPassword } from "./secrets.ts"
import { ask, config, json } from "./shared.ts"

const set = verb({
  summary: "Set the owner's password.",
  about:
    "At least 12 characters, of any kind; spaces count, nothing is cut off, and what is guessed first is refused. It is asked for twice without being shown, or read from stdin. Every log-in ends.",
  examples: ["ai-desk password set", "ai-desk password set < password.txt"],
  params: { config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const password = yield* readPassword("New password")
        const client = yield* ControlClient.use(LoginApi, "login")
        const answer = yield* client.login.password({ payload: { password } })
        const { mode } = yield* client.login.mode()
        yield* output.result({ ...answer, mode }, () =>
          mode === "password"
            ? "the password is set"
            : `the password is set; it counts once gateway.auth.mode is password (it is ${mode})`
        )
      })
    )
})

export const group: Group = { summary: "The owner's password.", verbs: { set } }
