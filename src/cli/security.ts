/** `security`: what about this set-up should be mended. */
import * as Command from "@effect/cli/Command"
import { Effect, Schema } from "effect"
import { SecurityApi } from "../contract/security.ts"
import { SecurityCheck } from "../domain/Security.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output, visible } from "./Output.ts"
import { ask, config, Exited, json } from "./shared.ts"

const audit = Command.make("audit", { config, json }, (input) =>
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
            `${c.ok ? output.style("green", "ok      ") : output.style("red", c.severity.padEnd(8))}  ${c.id}: ${c.title}`,
            `          ${output.style("dim", visible(c.detail))}`,
            ...(c.fix === undefined ? [] : [`          ${output.style("bold", "fix:")} ${visible(c.fix)}`])
          ]),
          failed.length === 0 ? "nothing to mend" : `${failed.length} of ${checks.length} checks ask for something`
        ].join("\n")
      )
      if (failed.some((c) => c.severity === "critical" || c.severity === "high")) return yield* new Exited({ code: 1 })
    })
  )
).pipe(
  Command.withDescription("Check settings, files, sandbox and audit log for weaknesses. Exit code 1 when one is high or critical.")
)

export const command = Command.make("security").pipe(
  Command.withDescription("Weaknesses of this set-up."),
  Command.withSubcommands([audit])
)
