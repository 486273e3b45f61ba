/**
 * follow: shows a run to its end and answers its approvals when a person is there. Interrupted
 * (Ctrl-C), it stops the run and still shows how the run ended.
 */
import { Deferred, Duration, Effect, Fiber, Option, Ref, Schema, Stream } from "effect"
import { ApprovalsApi } from "../contract/approvals.ts"
import { RunEventJson, RunsApi } from "../contract/runs.ts"
import type { RunId } from "../domain/Ids.ts"
import type { RunEvent } from "../domain/RunEvent.ts"
import type { ApprovalDecision, ApprovalRequest } from "../domain/Tool.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output, visible } from "./Output.ts"
import { type Choice, select } from "./prompts.ts"
import * as RunView from "./RunView.ts"

type Answer = Pick<ApprovalDecision, "approve" | "scope">

const refused: Answer = { approve: false, scope: "once" }

const choices: ReadonlyArray<Choice<Answer>> = [
  { title: "no", value: refused, description: "the agent is told that it was refused" },
  { title: "yes, this once", value: { approve: true, scope: "once" } },
  { title: "yes, this exact call for the whole session", value: { approve: true, scope: "session" } }
]

/** The exact call is shown, then asked about. A closed prompt means no. */
const askPerson = (request: ApprovalRequest) =>
  Effect.gen(function* () {
    const output = yield* Output
    const rule = output.style("yellow", "─".repeat(60))
    yield* output.note(
      `${rule}\n${output.style("bold", request.tool)}  ${visible(request.reason)}\n\n${visible(request.display)}\n${rule}`
    )
    return yield* select(`Let ${request.tool} run?`, choices).pipe(
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

/** A run that was told to stop ends at once; one that has not by then is not waited for. */
const patience = Duration.seconds(3)

export const follow = <E, R>(events: Stream.Stream<RunEvent, E, R>) =>
  Effect.gen(function* () {
    const output = yield* Output
    const show = yield* RunView.make
    const current = yield* Ref.make(Option.none<RunId>())
    const shown = Stream.runForEach(events, (event) =>
      Effect.gen(function* () {
        if (event._tag === "RunStarted") yield* Ref.set(current, Option.some(event.run))
        if (output.json) return yield* output.line(encodeEvent(event))
        yield* show(event)
        if (event._tag === "ApprovalNeeded" && output.interactive) yield* answerApproval(event.request)
      })
    )
    const stop = (run: RunId) =>
      Effect.gen(function* () {
        const client = yield* ControlClient.use(RunsApi, "runs")
        yield* client.runs.stop({ path: { run } })
      })
    const fiber = yield* Effect.forkScoped(shown)
    // By the time this runs the program is being interrupted, so a timeout of its own would wait too:
    // both the stop and the clock run beside it, and the first to be done decides.
    const stopped = Effect.gen(function* () {
      const run = yield* Ref.get(current)
      if (Option.isNone(run)) return
      const inTime = yield* Deferred.make<boolean>()
      yield* stop(run.value).pipe(
        Effect.scoped,
        Effect.zipRight(Fiber.await(fiber)),
        Effect.as(true),
        Effect.catchAllCause((cause) => Effect.as(Effect.logDebug("the stop was not confirmed", cause), false)),
        Effect.flatMap((confirmed) => Deferred.succeed(inTime, confirmed)),
        Effect.forkDaemon
      )
      yield* Effect.forkDaemon(Effect.delay(Deferred.succeed(inTime, false), patience))
      if (!(yield* Deferred.await(inTime))) yield* output.error("the run was cut off; how it ended is not known")
    })
    yield* Effect.onInterrupt(Fiber.join(fiber), () => stopped)
  })
