/** `sandbox`: does it confine, and what can an agent reach? */
import { Effect, Schema } from "effect"
import { SecurityApi } from "../contract/security.ts"
import { SandboxProbe } from "../domain/Security.ts"
import * as ControlClient from "./ControlClient.ts"
import { Exited } from "./failure.ts"
import { type Group, option, rest, verb } from "./Grammar.ts"
import { Output, table, visible } from "./Output.ts"
import { agentName, appOptions, ask, config, json, present } from "./shared.ts"

const check = verb({
  summary: "Try to break out of the sandbox and report what held.",
  about: "Exit code 5 when something did not.",
  params: { config, json },
  run: (input) =>
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
                p.confined ? output.paint("green", "confined") : output.paint("red", "OPEN"),
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
})

const agent = option(agentName, "NAME", "Whose profile; the default agent's otherwise.", { short: "a" })
const words = rest("COMMAND", "The command and its arguments, after --.")

/** The one verb that does not go through the contract: a terminal cannot be handed over HTTP. */
const run = verb({
  summary: "Run a command as confined as an agent's tools are.",
  about: "It gets exactly the profile that the agent's tools get, so anyone can see what an agent can reach.",
  examples: ["ai-desk sandbox run -- ls -la /", "ai-desk sandbox run --agent main -- sh"],
  params: { agent, config, words },
  run: (input) =>
    present(
      false,
      Effect.gen(function* () {
        const { sandboxed } = yield* Effect.promise(() => import("../App.ts"))
        const code = yield* sandboxed(yield* appOptions(input.config), input.agent, input.words)
        if (code !== 0) return yield* new Exited({ code })
      }).pipe(Effect.scoped)
    )
})

export const group: Group = { summary: "The sandbox in which tools run.", verbs: { check, run } }
