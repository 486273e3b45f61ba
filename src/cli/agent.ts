/** `agent`: run one message from the command line, and see which agents there are. */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Prompt from "@effect/cli/Prompt"
import { Effect, Option, Schema, Stream } from "effect"
import { AgentsApi } from "../contract/agents.ts"
import { ApprovalsApi } from "../contract/approvals.ts"
import { RunEventJson } from "../contract/runs.ts"
import { Agent } from "../domain/Agent.ts"
import { ModelRef, splitModelRef } from "../domain/Model.ts"
import type { RunEvent } from "../domain/RunEvent.ts"
import type { ApprovalDecision, ApprovalRequest } from "../domain/Tool.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output, table, visible } from "./Output.ts"
import * as RunClient from "./RunClient.ts"
import * as RunView from "./RunView.ts"
import { ask, config, inProcess, json, looked, optionsOf, verb } from "./shared.ts"
import * as Trial from "./Trial.ts"

type Answer = Pick<ApprovalDecision, "approve" | "scope">

const refused: Answer = { approve: false, scope: "once" }

const choices: ReadonlyArray<Prompt.Prompt.SelectChoice<Answer>> = [
  { title: "no", value: refused, description: "the agent is told that it was refused" },
  { title: "yes, this once", value: { approve: true, scope: "once" } },
  { title: "yes, this exact call for the whole session", value: { approve: true, scope: "session" } }
]

/** The exact call is shown, then asked about. A closed prompt means no. */
const askPerson = (request: ApprovalRequest) =>
  Effect.gen(function* () {
    const output = yield* Output
    const rule = output.style("yellow", "─".repeat(60))
    yield* output.note(`${rule}\n${output.style("bold", request.tool)}  ${visible(request.reason)}\n\n${visible(request.display)}\n${rule}`)
    return yield* Prompt.select({ message: `Let ${request.tool} run?`, choices }).pipe(
      Prompt.run,
      Effect.catchTag("QuitException", () => Effect.succeed(refused))
    )
  })

const answerApproval = (request: ApprovalRequest) =>
  Effect.gen(function* () {
    const decision = yield* askPerson(request)
    const client = yield* ControlClient.use(ApprovalsApi, "approvals")
    yield* client.approvals
      .answer({ payload: { id: request.id, callHash: request.callHash, ...decision } })
      // Expired while the person was reading: the run goes on and says so itself.
      .pipe(Effect.catchTag("ApprovalInvalid", (invalid) => Effect.flatMap(Output, (o) => o.note(invalid.message))))
  })

const encodeEvent = Schema.encodeSync(RunEventJson)

/** Shows a run to its end, answering approvals when a person is there. */
export const follow = <E, R>(events: Stream.Stream<RunEvent, E, R>) =>
  Effect.gen(function* () {
    const output = yield* Output
    const show = yield* RunView.make
    yield* Stream.runForEach(events, (event) =>
      Effect.gen(function* () {
        if (output.json) return yield* output.line(encodeEvent(event))
        yield* show(event)
        if (event._tag === "ApprovalNeeded" && output.interactive) yield* answerApproval(event.request)
      })
    )
  })

const message = Args.text({ name: "message" }).pipe(Args.withDescription("What to ask, in quotes."))
const agent = Options.text("agent").pipe(
  Options.withAlias("a"),
  Options.withDescription("Which agent answers; the default one otherwise."),
  Options.optional
)
const session = Options.text("session").pipe(
  Options.withDescription("Go on with this session instead of a new one."),
  Options.optional
)

/** Announces what stands in for a configuration, and where it is. */
const announceTrial = (trial: Trial.Trial) =>
  Effect.gen(function* () {
    const output = yield* Output
    const { provider } = splitModelRef(ModelRef.make(trial.model))
    const model =
      provider === "rehearsal"
        ? "the built-in rehearsal model (no provider is asked, nothing is spent)"
        : `${trial.model} with the key from your environment, capped at $0.25`
    yield* output.note(
      `${output.style("bold", "trial")}      no configuration found: a throw-away set-up with ${model}\n` +
        `           sample workspace ${trial.workspace}; all of it is removed at the end\n` +
        "           for a lasting set-up: ai-desk onboard"
    )
  })

const runMessage = (options: { readonly message: string; readonly agent: Option.Option<string>; readonly session: Option.Option<string> }) =>
  Effect.gen(function* () {
    const output = yield* Output
    yield* follow(
      RunClient.start({
        message: options.message,
        approver: output.interactive,
        ...Option.match(options.agent, { onNone: () => ({}), onSome: (name) => ({ agent: name }) }),
        ...Option.match(options.session, { onNone: () => ({}), onSome: (id) => ({ session: id }) })
      })
    )
  })

const test = Command.make("test", { message, agent, session, config, json }, (input) =>
  verb(
    input.json,
    Effect.gen(function* () {
      const loaded = yield* looked(input.config)
      // Only with neither: a key without a config, or a config without a key, is a set-up to be used or mended.
      if (loaded.path !== null || loaded.masterKey !== null) {
        return yield* inProcess(optionsOf(input.config))(runMessage(input))
      }
      const trial = yield* Trial.make(loaded)
      yield* announceTrial(trial)
      yield* inProcess(trial.options)(runMessage(input))
    }).pipe(Effect.scoped)
  )
).pipe(
  Command.withDescription(
    "Send one message to an agent and watch every step: scan, cache, budget, model, tools, sandbox, cost. Without a configuration it runs as a trial and leaves nothing behind."
  )
)

const list = Command.make("list", { config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const client = yield* ControlClient.use(AgentsApi, "agents")
      const agents = yield* client.agents.list()
      yield* output.result(Schema.encodeSync(Schema.Array(Agent))(agents), () =>
        agents.length === 0
          ? "no agents are configured"
          : table([
              ["AGENT", "MODEL", "TOOLS", "WORKSPACE"],
              ...agents.map((a) => [
                a.isDefault ? `${a.id} (default)` : a.id,
                [a.model.primary, ...a.model.failover].join(" → "),
                a.tools.profile,
                a.workspace
              ])
            ])
      )
    })
  )
).pipe(Command.withDescription("List the configured agents."))

export const command = Command.make("agent").pipe(
  Command.withDescription("Run and list agents."),
  Command.withSubcommands([test, list])
)
