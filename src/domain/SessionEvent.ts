/**
 * The session log's vocabulary. One append-only list of these per session is the only truth:
 * view, history, replay, trace and resume are folds over it. An intent stands before its effect.
 */
import { Schema } from "effect"
import { AgentId, ApprovalId, LeaseId, MessageKey, PrincipalId, RunId, ToolCallId } from "./Ids.ts"
import { Taint } from "./Labels.ts"
import { AssistantMessage, Message, UserMessage } from "./Message.ts"
import { FinishReason, ModelFailure, ModelRef, Usage } from "./Model.ts"
import { NanoUsd } from "./Money.ts"
import { ToolOutcome } from "./Tool.ts"

const inRun = { run: RunId }

/**
 * What a client carries of a conversation that was not held here: the first event of the session
 * that it opens. Only the person's own texts in it are trusted, and only after a scan.
 */
export class HistoryGiven extends Schema.TaggedClass<HistoryGiven>()("HistoryGiven", {
  ...inRun,
  /** The client's own system prompt; stands after the owner's, never in its place. Empty: none. */
  instructions: Schema.String,
  messages: Schema.Array(Message),
  taint: Taint
}) {}

export class MessageAccepted extends Schema.TaggedClass<MessageAccepted>()("MessageAccepted", {
  ...inRun,
  agent: AgentId,
  principal: PrincipalId,
  message: UserMessage,
  /** Stored in the same commit as a row of its own, so that no message is ever accepted twice. */
  key: Schema.optional(MessageKey)
}) {}

export class AnsweredFromCache extends Schema.TaggedClass<AnsweredFromCache>()("AnsweredFromCache", {
  ...inRun,
  model: ModelRef,
  message: AssistantMessage
}) {}

/** Written in the same commit as the reservation, before the provider is called. */
export class ModelAsked extends Schema.TaggedClass<ModelAsked>()("ModelAsked", {
  ...inRun,
  model: ModelRef,
  lease: LeaseId,
  attempt: Schema.Int
}) {}

export class ModelFailed extends Schema.TaggedClass<ModelFailed>()("ModelFailed", {
  ...inRun,
  model: ModelRef,
  lease: LeaseId,
  failure: ModelFailure,
  detail: Schema.String,
  cost: NanoUsd
}) {}

/** Written in the same commit as the settlement. */
export class ModelAnswered extends Schema.TaggedClass<ModelAnswered>()("ModelAnswered", {
  ...inRun,
  model: ModelRef,
  lease: LeaseId,
  message: AssistantMessage,
  finish: FinishReason,
  usage: Usage,
  cost: NanoUsd
}) {}

export class ApprovalAsked extends Schema.TaggedClass<ApprovalAsked>()("ApprovalAsked", {
  ...inRun,
  call: ToolCallId,
  approval: ApprovalId
}) {}

export class ApprovalGiven extends Schema.TaggedClass<ApprovalGiven>()("ApprovalGiven", {
  ...inRun,
  call: ToolCallId,
  approval: ApprovalId,
  approved: Schema.Boolean
}) {}

/** The call is about to run. Without a matching ToolFinished after a crash its outcome is unknown, and it is never run again by itself. */
export class ToolIntended extends Schema.TaggedClass<ToolIntended>()("ToolIntended", {
  ...inRun,
  call: ToolCallId,
  tool: Schema.String,
  callHash: Schema.String
}) {}

/** `denied` calls have no ToolIntended: nothing ran. `unknown` closes an intent that a crash left open. */
export class ToolFinished extends Schema.TaggedClass<ToolFinished>()("ToolFinished", {
  ...inRun,
  call: ToolCallId,
  tool: Schema.String,
  how: Schema.Literal("ran", "denied", "unknown"),
  outcome: ToolOutcome,
  taint: Taint
}) {}

/** A view was computed: the first `upTo` messages of the fold are represented by `view`. The log keeps them all. */
export class Compacted extends Schema.TaggedClass<Compacted>()("Compacted", {
  ...inRun,
  upTo: Schema.Int,
  view: Schema.Array(Message)
}) {}

export const TurnEnd = Schema.Literal("answered", "stopped", "loop", "failed", "interrupted")
export type TurnEnd = typeof TurnEnd.Type

export class TurnEnded extends Schema.TaggedClass<TurnEnded>()("TurnEnded", {
  ...inRun,
  end: TurnEnd,
  report: Schema.String
}) {}

export const SessionEvent = Schema.Union(
  HistoryGiven,
  MessageAccepted,
  AnsweredFromCache,
  ModelAsked,
  ModelFailed,
  ModelAnswered,
  ApprovalAsked,
  ApprovalGiven,
  ToolIntended,
  ToolFinished,
  Compacted,
  TurnEnded
)
export type SessionEvent = typeof SessionEvent.Type

/** A stored event: `seq` counts from 0 without gaps; `at` is epoch milliseconds. */
export class Logged extends Schema.Class<Logged>("Logged")({
  seq: Schema.Int,
  at: Schema.Finite,
  event: SessionEvent
}) {}
