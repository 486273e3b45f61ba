/** `open`: a link that logs the owner in, once, within a minute. Only a running gateway has one to give. */
import { Effect, Redacted } from "effect"
import { LoginApi } from "../contract/login.ts"
import { NoGateway } from "../domain/Access.ts"
import * as ControlClient from "./ControlClient.ts"
import { find } from "./control/Running.ts"
import { type Group, verb } from "./Grammar.ts"
import { Output } from "./Output.ts"
import { appOptions, ask, config, json } from "./shared.ts"

const open = verb({
  summary: "Print a link that logs a browser in.",
  about: "It counts once, for a minute. The link alone goes to stdout. The gateway must be running.",
  examples: ["ai-desk open", 'xdg-open "$(ai-desk open)"'],
  params: { config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const gateway = yield* Effect.flatMap(appOptions(input.config), find)
        if (gateway === null) return yield* new NoGateway()
        const client = yield* ControlClient.use(LoginApi, "login")
        const { code, expiresAt, publicUrl } = yield* client.login.link()
        // Behind the #, where browsers keep it to themselves: no server and no proxy logs it.
        const url = `${publicUrl ?? gateway.url}/login#link=${Redacted.value(code)}`
        yield* output.note("open this in a browser within a minute; it counts once:")
        yield* output.result({ url, expiresAt }, () => url)
      })
    )
})

export const group: Group = { summary: "A link that logs a browser in.", verbs: { "": open } }
