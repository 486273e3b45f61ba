/**
 * What a client sees of a run while it goes on: the stream of `agent test`, later of the chat
 * socket. Every run ends with exactly one `RunEnded`.
 */
import { Schema } from "effect"
import { AgentId, MessageKey, RunId, SessionId, ToolCallId } from "./Ids.ts"
import { FinishReason, ModelFailure, ModelRef, Usage } from "./Model.ts"
import { NanoUsd } from "./Money.ts"
import { TurnEnd } from "./SessionEvent.ts"
import { Verdict } from "./Threat.ts"
import { ApprovalRequest, ToolOutcome } from "./Tool.ts"

export class RunStarted extends Schema.TaggedClass<RunStarted>()("RunStarted", {
  run: RunId,
  session: SessionId,
  agent: AgentId
}) {}
export class MessageScanned extends Schema.TaggedClass<MessageScanned>()("MessageScanned", {
  verdict: Verdict,
  durationMs: Schema.Finite
}) {}
/**
 * How far a message with a key has come. `running`: its run goes on. `interrupted`: the gateway
 * stopped during it, and it can be resumed. `ended`: its RunEnded follows.
 */
export const MessageState = Schema.Literal("running", "interrupted", "ended")
export type MessageState = typeof MessageState.Type

/** A message with a key is durable: from here on it is never lost and never run again. `again`: it had been, before it was sent now. */
export class MessageStored extends Schema.TaggedClass<MessageStored>()("MessageStored", {
  run: RunId,
  session: SessionId,
  key: MessageKey,
  again: Schema.Boolean,
  state: MessageState
}) {}
export class CacheChecked extends Schema.TaggedClass<CacheChecked>()("CacheChecked", {
  result: Schema.Literal("hit", "miss", "off")
}) {}
export class BudgetReserved extends Schema.TaggedClass<BudgetReserved>()("BudgetReserved", {
  tokens: Schema.Int,
  cost: NanoUsd
}) {}
export class HistoryCompacted extends Schema.TaggedClass<HistoryCompacted>()("HistoryCompacted", {
  before: Schema.Int,
  after: Schema.Int
}) {}
export class ModelStarted extends Schema.TaggedClass<ModelStarted>()("ModelStarted", {
  model: ModelRef,
  attempt: Schema.Int
}) {}
export class AnswerDelta extends Schema.TaggedClass<AnswerDelta>()("AnswerDelta", { text: Schema.String }) {}
/** The attempt failed. If `discard`, the text shown since its ModelStarted is void. */
export class ModelAttemptFailed extends Schema.TaggedClass<ModelAttemptFailed>()("ModelAttemptFailed", {
  model: ModelRef,
  failure: ModelFailure,
  detail: Schema.String,
  discard: Schema.Boolean,
  next: Schema.Literal("retry", "failover", "stop"),
  afterMs: Schema.Finite
}) {}
export class ModelFinished extends Schema.TaggedClass<ModelFinished>()("ModelFinished", {
  model: ModelRef,
  finish: FinishReason,
  usage: Usage,
  cost: NanoUsd,
  durationMs: Schema.Finite
}) {}
/** `display` is the raw call with control characters escaped. */
export class ToolCalled extends Schema.TaggedClass<ToolCalled>()("ToolCalled", {
  call: ToolCallId,
  tool: Schema.String,
  display: Schema.String
}) {}
export class ApprovalNeeded extends Schema.TaggedClass<ApprovalNeeded>()("ApprovalNeeded", {
  request: ApprovalRequest
}) {}
export class ToolStarted extends Schema.TaggedClass<ToolStarted>()("ToolStarted", {
  call: ToolCallId,
  tool: Schema.String,
  permittedBy: Schema.Literal("policy", "approval", "owner"),
  confinement: Schema.Literal("sandbox", "gateway")
}) {}
export class ToolEnded extends Schema.TaggedClass<ToolEnded>()("ToolEnded", {
  call: ToolCallId,
  tool: Schema.String,
  how: Schema.Literal("ran", "denied", "unknown"),
  outcome: ToolOutcome
}) {}
export class RunEnded extends Schema.TaggedClass<RunEnded>()("RunEnded", {
  end: TurnEnd,
  /** The last answer, or why there is none. */
  text: Schema.String,
  usage: Usage,
  cost: NanoUsd,
  durationMs: Schema.Finite,
  toolCalls: Schema.Int
}) {}

export const RunEvent = Schema.Union(
  RunStarted,
  MessageScanned,
  MessageStored,
  CacheChecked,
  BudgetReserved,
  HistoryCompacted,
  ModelStarted,
  AnswerDelta,
  ModelAttemptFailed,
  ModelFinished,
  ToolCalled,
  ApprovalNeeded,
  ToolStarted,
  ToolEnded,
  RunEnded
)
export type RunEvent = typeof RunEvent.Type
