/**
 * Answers the runs group: a run as Server-Sent Events. The stream ends with the run; a client that
 * goes away stops it. A failure is a frame of its own, so that it arrives typed also after the start.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Cause, Effect, Option, Schema, Stream } from "effect"
import { AgentRuntime, type RunError } from "../../agent/AgentRuntime.ts"
import { InternalFailure } from "../../contract/failures.ts"
import { type RunFailure, RunEventJson, RunFailureJson, RunsApi } from "../../contract/runs.ts"
import { owner } from "../../domain/Ids.ts"
import type { RunEvent } from "../../domain/RunEvent.ts"
import type { NothingToResume } from "../../domain/Session.ts"
import { Approvals } from "../../tools/Approvals.ts"
import { isGround, toGroundFailed } from "./ground.ts"

const encodeEvent = Schema.encodeSync(RunEventJson)
const encodeFailure = Schema.encodeSync(RunFailureJson)

const toFailure = (error: RunError | NothingToResume): RunFailure => {
  if (error._tag === "AuditUnavailable") return error
  return isGround(error) ? toGroundFailed(error) : error
}

/** Defects are named to the client as what they are, an internal error; what is inside goes to the log. */
const failureOf = (cause: Cause.Cause<RunError | NothingToResume>): Effect.Effect<RunFailure> =>
  Option.match(Cause.failureOption(cause), {
    onSome: (error) => Effect.succeed(toFailure(error)),
    onNone: () => Effect.as(Effect.logError("a run broke", cause), new InternalFailure())
  })

interface Frame {
  readonly event: "run" | "failed"
  readonly data: string
}

/** JSON has no raw line breaks, so one data line holds a whole frame. */
const frameText = (frame: Frame, index: number): string =>
  `id: ${index + 1}\nevent: ${frame.event}\ndata: ${frame.data}\n\n`

const encoder = new TextEncoder()

const respond = (events: Stream.Stream<RunEvent, RunError | NothingToResume>) =>
  HttpServerResponse.stream(
    events.pipe(
      Stream.map((event): Frame => ({ event: "run", data: encodeEvent(event) })),
      Stream.catchAllCause((cause) =>
        Stream.unwrap(
          Effect.map(failureOf(cause), (failure) =>
            Stream.succeed<Frame>({ event: "failed", data: encodeFailure(failure) })
          )
        )
      ),
      Stream.zipWithIndex,
      Stream.map(([frame, index]) => encoder.encode(frameText(frame, index)))
    ),
    { contentType: "text/event-stream", headers: { "cache-control": "no-store" } }
  )

export const layer = HttpApiBuilder.group(RunsApi, "runs", (handlers) =>
  Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const approvals = yield* Approvals
    /** The client counts as somebody who can answer for exactly as long as it reads. */
    const attended = <A, E>(approver: boolean, events: Stream.Stream<A, E>) =>
      approver ? Stream.unwrapScoped(Effect.as(approvals.attach, events)) : events
    return handlers
      .handle("start", ({ payload: { agent, approver, message, session } }) =>
        Effect.succeed(
          respond(
            attended(
              approver,
              runtime.run({
                principal: owner,
                message,
                ...(agent === undefined ? {} : { agent }),
                ...(session === undefined ? {} : { session })
              })
            )
          )
        )
      )
      .handle("resume", ({ payload }) =>
        Effect.succeed(respond(attended(payload.approver, runtime.resume(payload.session, owner))))
      )
      .handle("stop", ({ path }) => Effect.map(runtime.stop(path.run), (stopped) => ({ stopped })))
  })
)
