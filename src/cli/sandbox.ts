/** `sandbox`: does it confine, and what can an agent reach? */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { Effect, Option, Schema } from "effect"
import { SecurityApi } from "../contract/security.ts"
import { SandboxProbe } from "../domain/Security.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output, table, visible } from "./Output.ts"
import { ask, config, Exited, json, optionsOf, verb } from "./shared.ts"

const check = Command.make("check", { config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const client = yield* ControlClient.use(SecurityApi, "security")
      const { backend, probes } = yield* client.security.sandboxCheck()
      const open = probes.filter((p) => !p.confined)
      const encoded = Schema.encodeSync(Schema.Array(SandboxProbe))(probes)
      yield* output.result({ backend, probes: encoded }, () =>
        [
          table(
            probes.map((p) => [
              p.confined ? output.style("green", "confined") : output.style("red", "OPEN"),
              p.id,
              p.what,
              visible(p.detail)
            ])
          ),
          open.length === 0
            ? `${backend}: all ${probes.length} probes are confined`
            : `${backend}: ${open.length} of ${probes.length} probes got out; no tool will run`
        ].join("\n")
      )
      if (open.length > 0) return yield* new Exited({ code: 5 })
    })
  )
).pipe(Command.withDescription("Try to break out of the sandbox and report what held. Exit code 5 when something did not."))

const agent = Options.text("agent").pipe(
  Options.withAlias("a"),
  Options.withDescription("Whose profile; the default agent's otherwise."),
  Options.optional
)
const words = Args.text({ name: "command" }).pipe(
  Args.atLeast(1),
  Args.withDescription("The command and its arguments, after --.")
)

/** The one verb that does not go through the contract: a terminal cannot be handed over HTTP. */
const run = Command.make("run", { agent, config, words }, (input) =>
  verb(
    false,
    Effect.gen(function* () {
      const { sandboxed } = yield* Effect.promise(() => import("../App.ts"))
      const code = yield* sandboxed(optionsOf(input.config), Option.getOrUndefined(input.agent), input.words)
      if (code !== 0) return yield* new Exited({ code })
    }).pipe(Effect.scoped)
  )
).pipe(
  Command.withDescription(
    "Run a command under exactly the profile that the agent's tools get, to see what an agent can reach: ai-desk sandbox run -- ls -la /"
  )
)

export const command = Command.make("sandbox").pipe(
  Command.withDescription("The sandbox in which tools run."),
  Command.withSubcommands([check, run])
)
