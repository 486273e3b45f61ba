/**
 * Runs: send a message to an agent, watch, stop, go on after a crash. A run is a stream of
 * Server-Sent Events: `run` frames carry a RunEvent, one `failed` frame a RunFailure; the id counts from 1.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"
import { AgentNotFound } from "../domain/Agent.ts"
import { AuditUnavailable } from "../domain/Audit.ts"
import { AgentPaused, BudgetExceeded } from "../domain/Budget.ts"
import { RunId, SessionId } from "../domain/Ids.ts"
import { ModelUnavailable, UnknownPrice } from "../domain/Model.ts"
import { RunEvent } from "../domain/RunEvent.ts"
import {
  MessageKeyTaken,
  NothingToResume,
  SessionCorrupt,
  SessionNotFound,
  SessionOfOtherAgent
} from "../domain/Session.ts"
import { ThreatBlocked } from "../domain/Threat.ts"
import { Chats } from "./access.ts"
import { about, base, GroundFailed, InternalFailure, worded } from "./failures.ts"

/** A message of one person: long enough for a pasted file, short enough to scan and to keep. Characters. */
export const maxMessageLength = 200_000

export class StartRun extends Schema.Class<StartRun>("StartRun")({
  agent: Schema.optional(Schema.String),
  session: Schema.optional(SessionId),
  /** The client will show and answer approvals for as long as it reads the stream. Without one, calls that need a human are declined at once. */
  approver: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  message: Schema.String.pipe(
    Schema.filter((text) => text.trim() !== "" || "expected a message, found an empty one"),
    Schema.maxLength(maxMessageLength, {
      message: () => `expected a message of at most ${maxMessageLength} characters`
    })
  )
}) {}

/** All ways in which a run can fail once it was asked for. */
export const RunFailure = Schema.Union(
  worded(AgentNotFound),
  worded(SessionNotFound),
  worded(SessionCorrupt),
  worded(SessionOfOtherAgent),
  worded(MessageKeyTaken),
  worded(NothingToResume),
  worded(ThreatBlocked),
  worded(ModelUnavailable),
  worded(UnknownPrice),
  worded(BudgetExceeded),
  worded(AgentPaused),
  worded(AuditUnavailable),
  worded(GroundFailed),
  worded(InternalFailure)
)
export type RunFailure = typeof RunFailure.Type

export const RunEventJson = Schema.parseJson(RunEvent)
export const RunFailureJson = Schema.parseJson(RunFailure)

const EventStream = HttpApiSchema.Text({ contentType: "text/event-stream" })

export const RunsGroup = HttpApiGroup.make("runs")
  .annotateContext(about("Messages to agents."))
  .add(
    HttpApiEndpoint.post("start", "/dashboard/api/runs")
      .middleware(Chats)
      .annotateContext(
        about(
          "Send a message",
          "Answers with a stream of events that ends with the run. A client that goes away stops the run."
        )
      )
      .setPayload(StartRun)
      .addSuccess(EventStream)
  )
  .add(
    HttpApiEndpoint.post("resume", "/dashboard/api/runs/resume")
      .middleware(Chats)
      .annotateContext(
        about(
          "Go on with an interrupted turn",
          "What ran when the gateway stopped is reported as unknown, and not run again."
        )
      )
      .setPayload(
        Schema.Struct({
          session: SessionId,
          approver: Schema.optionalWith(Schema.Boolean, { default: () => false })
        })
      )
      .addSuccess(EventStream)
  )
  .add(
    HttpApiEndpoint.post("stop", "/dashboard/api/runs/:run/stop")
      .middleware(Chats)
      .annotateContext(about("Stop a run", "Answers when the run has ended; false when no such run goes on."))
      .setPath(Schema.Struct({ run: RunId }))
      .addSuccess(Schema.Struct({ stopped: Schema.Boolean }))
  )

export const RunsApi = base.add(RunsGroup)
