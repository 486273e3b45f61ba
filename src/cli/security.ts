/** `security`: what about this set-up should be mended. */
import { Effect, Schema } from "effect"
import { SecurityApi } from "../contract/security.ts"
import { SecurityCheck } from "../domain/Security.ts"
import * as ControlClient from "./ControlClient.ts"
import { Exited } from "./failure.ts"
import { type Group, verb } from "./Grammar.ts"
import { Output, visible } from "./Output.ts"
import { ask, config, json } from "./shared.ts"

const audit = verb({
  summary: "Check settings, files, sandbox and audit log for weaknesses.",
  about: "Exit code 1 when one is high or critical. Each has an id that stays, and a fix.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const client = yield* ControlClient.use(SecurityApi, "security")
        const checks = yield* client.security.audit()
        const failed = checks.filter((c) => !c.ok)
        yield* output.result(Schema.encodeSync(Schema.Array(SecurityCheck))(checks), () =>
          [
            ...checks.flatMap((c) => [
              `${c.ok ? output.paint("green", "ok      ") : output.paint("red", c.severity.padEnd(8))}  ${c.id}: ${c.title}`,
              `          ${output.paint("dim", visible(c.detail))}`,
              ...(c.fix === undefined ? [] : [`          ${output.paint("bold", "fix:")} ${visible(c.fix)}`])
            ]),
            failed.length === 0 ? "nothing to mend" : `${failed.length} of ${checks.length} checks ask for something`
          ].join("\n")
        )
        if (failed.some((c) => c.severity === "critical" || c.severity === "high"))
          return yield* new Exited({ code: 1 })
      })
    )
})

export const group: Group = { summary: "Weaknesses of this set-up.", verbs: { audit } }
