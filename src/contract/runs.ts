/**
 * Runs: send a message to an agent, watch, stop, go on after a crash. A run is a stream of
 * Server-Sent Events: `run` frames carry a RunEvent, one `failed` frame a RunFailure. The id of an
 * attached run's frames counts from 1; that of a detached run's is an EventId, after which a dropped
 * connection goes on. Where that is too long ago, one `snapshot` frame comes first.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"
import { AgentNotFound } from "../domain/Agent.ts"
import { AuditUnavailable } from "../domain/Audit.ts"
import { AgentPaused, BudgetExceeded } from "../domain/Budget.ts"
import { MessageKey, RunId, SessionId } from "../domain/Ids.ts"
import { ModelUnavailable, UnknownPrice } from "../domain/Model.ts"
import { RunEvent } from "../domain/RunEvent.ts"
import {
  MessageKeyTaken,
  NothingToResume,
  SessionCorrupt,
  SessionNotFound,
  SessionOfOtherAgent,
  SessionSummary
} from "../domain/Session.ts"
import { Logged } from "../domain/SessionEvent.ts"
import { ThreatBlocked } from "../domain/Threat.ts"
import { Chats, Sees } from "./access.ts"
import { about, base, GroundFailed, InternalFailure, worded } from "./failures.ts"

/** A message of one person: long enough for a pasted file, short enough to scan and to keep. Characters. */
export const maxMessageLength = 200_000

/**
 * Place of an event in what a session's watchers are told: which process of the gateway told it, and
 * a number that grows within that process. Of one session, or of all; never compared across processes.
 */
export const EventId = Schema.String.pipe(
  Schema.pattern(/^[0-9a-z]{1,32}\.[0-9]{1,15}$/, { message: () => "an event id, as the gateway gave it" })
)

/**
 * What a watcher must know before the events after `id` make sense: the session's log up to there, and
 * what of a running answer is not in the log yet. Together with those events nothing is missing or told twice.
 */
export class SessionSnapshot extends Schema.Class<SessionSnapshot>("SessionSnapshot")({
  id: EventId,
  session: SessionId,
  /** Null: nothing of this session was accepted so far. */
  summary: Schema.NullOr(SessionSummary),
  /** The latest part of it; so many events before that are left out. */
  log: Schema.Array(Logged),
  skipped: Schema.Int,
  /** The run that goes on, and the text of its answer that was shown since its last ModelStarted. */
  live: Schema.NullOr(Schema.Struct({ run: RunId, text: Schema.String }))
}) {}

/** One principal has as many runs going on without a client as it may. */
export class TooManyRuns extends Schema.TaggedError<TooManyRuns>()(
  "TooManyRuns",
  { limit: Schema.Int },
  HttpApiSchema.annotations({ status: 429 })
) {
  override get message(): string {
    return `${this.limit} runs go on already, which is the most for one credential`
  }
  get fix(): string {
    return "wait for one to end, or stop one"
  }
}

/** No such run goes on, and none ended of late. */
export class RunNotFound extends Schema.TaggedError<RunNotFound>()(
  "RunNotFound",
  { run: RunId },
  HttpApiSchema.annotations({ status: 404 })
) {
  override get message(): string {
    return `no run ${this.run} goes on here, and none has ended of late`
  }
  get fix(): string {
    return "its session's log tells how it ended; send the message again with its key to learn the session"
  }
}

export class StartRun extends Schema.Class<StartRun>("StartRun")({
  agent: Schema.optional(Schema.String),
  session: Schema.optional(SessionId),
  /** The client will show and answer approvals for as long as it reads the stream. Without one, calls that need a human are declined at once. */
  approver: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /** The run goes on when the client goes away. */
  detached: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /** The message is stored before anything is done with it, and is taken once, however often it is sent. */
  key: Schema.optional(MessageKey),
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
  worded(TooManyRuns),
  worded(RunNotFound),
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
export const SessionSnapshotJson = Schema.parseJson(SessionSnapshot)

const EventStream = HttpApiSchema.Text({ contentType: "text/event-stream" })

export const RunsGroup = HttpApiGroup.make("runs")
  .annotateContext(about("Messages to agents."))
  .add(
    HttpApiEndpoint.post("start", "/dashboard/api/runs")
      .middleware(Chats)
      .annotateContext(
        about(
          "Send a message",
          "Answers with a stream of events that ends with the run. A client that goes away stops the run, unless it is detached. A message with a key that was taken before is not run again: its run is shown, or how it ended."
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
          approver: Schema.optionalWith(Schema.Boolean, { default: () => false }),
          detached: Schema.optionalWith(Schema.Boolean, { default: () => false })
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
  .add(
    HttpApiEndpoint.get("events", "/dashboard/api/runs/:run/events")
      .middleware(Sees)
      .annotateContext(
        about(
          "Watch a run",
          "Its events from the beginning, or after the one that the Last-Event-ID header names, up to its end. Going away stops nothing."
        )
      )
      .setPath(Schema.Struct({ run: RunId }))
      .setHeaders(Schema.Struct({ "last-event-id": Schema.optional(Schema.String.pipe(Schema.maxLength(64))) }))
      .addSuccess(EventStream)
      .addError(worded(RunNotFound))
  )

export const RunsApi = base.add(RunsGroup)
