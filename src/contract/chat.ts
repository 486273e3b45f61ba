/**
 * Chat: the protocol of the WebSocket at /dashboard/api/chat. One JSON object per text frame, both
 * ways; `_tag` says which. The runs that a client starts go on whoever watches; their events carry ids,
 * after which a client that lost its connection goes on without losing or repeating one.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"
import { AccessScope } from "../domain/Caller.ts"
import { ApprovalId, MessageKey, PrincipalId, RunId, SessionId } from "../domain/Ids.ts"
import { MessageState, RunEvent } from "../domain/RunEvent.ts"
import { ApprovalDecision, ApprovalInvalid, ApprovalRequest } from "../domain/Tool.ts"
import { Chats, Forbidden, TooManyRequests } from "./access.ts"
import { about, base, worded } from "./failures.ts"
import { EventId, RunFailure, SessionSnapshot, StartRun } from "./runs.ts"

/** The first that a client offers; others after it (its token among them) are never repeated to it. */
export const subprotocol = "ai-desk.chat.v1"

/** Codes with which the gateway closes a chat, beside the standard ones. */
export const closeCodes = {
  /** The gateway stops; come back soon. */
  goingAway: 1001,
  /** The credential has ended, or the door closed the connection. */
  ended: 1008,
  /** Too many frames that are not of this protocol. */
  badFrames: 4400,
  /** The client did not read what it was sent, or did not answer pings. */
  tooSlow: 4408,
  /** Too many messages, also after it was told. */
  tooMany: 4429
} as const

/** Sends a message. Answered by Accepted or Failed; the session is watched from the run's first event on. */
export const Send = Schema.TaggedStruct("Send", {
  key: MessageKey,
  agent: Schema.optional(Schema.String),
  session: Schema.optional(SessionId),
  message: StartRun.fields.message
})
/** Shows a session's events: those after `after`, or a Snapshot first. */
export const Watch = Schema.TaggedStruct("Watch", { session: SessionId, after: Schema.optional(EventId) })
export const Unwatch = Schema.TaggedStruct("Unwatch", { session: SessionId })
export const Stop = Schema.TaggedStruct("Stop", { run: RunId })
/** The owner's answer, bound to the exact call by its hash. */
export const Answer = Schema.TaggedStruct("Answer", ApprovalDecision.fields)
/** Goes on with a turn that a crash cut off. */
export const Resume = Schema.TaggedStruct("Resume", { session: SessionId })
export const Ping = Schema.TaggedStruct("Ping", {})

export const ClientFrame = Schema.Union(Send, Watch, Unwatch, Stop, Answer, Resume, Ping)
export type ClientFrame = typeof ClientFrame.Type

/** What was sent is not a frame of this protocol. */
export class FrameInvalid extends Schema.TaggedError<FrameInvalid>()("FrameInvalid", { detail: Schema.String }) {
  override get message(): string {
    return `the frame is not one of this protocol: ${this.detail}`
  }
  get fix(): string {
    return `send one JSON object per text frame, as ${subprotocol} says; after several others the connection is closed`
  }
}

export const ChatFailure = Schema.Union(
  RunFailure,
  worded(ApprovalInvalid),
  worded(Forbidden),
  worded(TooManyRequests),
  worded(FrameInvalid)
)
export type ChatFailure = typeof ChatFailure.Type

/** First of all. `epoch` is the part before the dot of every event id of this process. */
export const Hello = Schema.TaggedStruct("Hello", {
  epoch: Schema.String,
  principal: PrincipalId,
  scopes: Schema.Array(AccessScope)
})
/** The message is durable; from here on it is never lost and never run twice. `again`: it had been taken before. */
export const Accepted = Schema.TaggedStruct("Accepted", {
  key: MessageKey,
  run: RunId,
  session: SessionId,
  again: Schema.Boolean,
  state: MessageState
})
export const Event = Schema.TaggedStruct("Event", { id: EventId, session: SessionId, event: RunEvent })
/** The run ended in a failure, for everybody who watches its session. */
export const RunFailed = Schema.TaggedStruct("RunFailed", {
  id: EventId,
  session: SessionId,
  run: RunId,
  failure: RunFailure
})
export const Snapshot = Schema.TaggedStruct("Snapshot", { snapshot: SessionSnapshot })
/** What the client asked for cannot be done; says what it was. Without any of these, the frame itself was bad. */
export const Failed = Schema.TaggedStruct("Failed", {
  key: Schema.optional(MessageKey),
  session: Schema.optional(SessionId),
  run: Schema.optional(RunId),
  approval: Schema.optional(ApprovalId),
  failure: ChatFailure
})
export const Stopped = Schema.TaggedStruct("Stopped", { run: RunId, stopped: Schema.Boolean })
/** To owners: what waits for a human, with the exact call. */
export const Pending = Schema.TaggedStruct("Pending", { request: ApprovalRequest })
/** To owners: nobody needs to answer it any more. */
export const Closed = Schema.TaggedStruct("Closed", {
  approval: ApprovalId,
  how: Schema.Literal("approved", "declined", "expired")
})
/** The last frame before the gateway closes the connection, and why. */
export const Dropped = Schema.TaggedStruct("Dropped", {
  reason: Schema.Literal("slow", "bad_frames", "too_many", "stopping", "ended"),
  detail: Schema.String
})
export const Pong = Schema.TaggedStruct("Pong", {})

export const ServerFrame = Schema.Union(
  Hello,
  Accepted,
  Event,
  RunFailed,
  Snapshot,
  Failed,
  Stopped,
  Pending,
  Closed,
  Dropped,
  Pong
)
export type ServerFrame = typeof ServerFrame.Type

export const ClientFrameJson = Schema.parseJson(ClientFrame)
export const ServerFrameJson = Schema.parseJson(ServerFrame)

/** A plain request came where a WebSocket was expected. */
export class UpgradeRequired extends Schema.TaggedError<UpgradeRequired>()(
  "UpgradeRequired",
  { detail: Schema.String },
  HttpApiSchema.annotations({ status: 426 })
) {
  override get message(): string {
    return this.detail
  }
  get fix(): string {
    return `open a WebSocket and offer ${subprotocol} as its first subprotocol; plain HTTP has POST /dashboard/api/runs`
  }
}

export const ChatGroup = HttpApiGroup.make("chat")
  .annotateContext(about("Live conversations over a WebSocket."))
  .add(
    HttpApiEndpoint.get("connect", "/dashboard/api/chat")
      .middleware(Chats)
      .annotateContext(
        about(
          "Open a chat",
          `A WebSocket that speaks ${subprotocol}: one JSON object per text frame. Messages, live events, approvals, stop and resume.`
        )
      )
      .addSuccess(Schema.Void.annotations({ description: "Switching to WebSocket." }), { status: 101 })
      .addError(worded(UpgradeRequired))
  )

export const ChatApi = base.add(ChatGroup)
