/** What happens in the gateway, for whoever listens: the dashboard, the chats. Facts and ids; a page that wants more asks for it. */
import { Schema } from "effect"
import { AgentId, ApprovalId, PrincipalId, RunId, SessionId } from "./Ids.ts"
import { ApprovalRequest } from "./Tool.ts"

export class RunChanged extends Schema.TaggedClass<RunChanged>()("RunChanged", {
  agent: AgentId,
  session: SessionId,
  run: RunId,
  state: Schema.Literal("started", "ended")
}) {}
export class MessageBlocked extends Schema.TaggedClass<MessageBlocked>()("MessageBlocked", {
  agent: AgentId,
  principal: PrincipalId,
  /** 0 to 1. */
  score: Schema.Finite
}) {}
export class BudgetWarned extends Schema.TaggedClass<BudgetWarned>()("BudgetWarned", {
  agent: AgentId,
  detail: Schema.String
}) {}
/** Refuses new calls until it is resumed, or the period ends. */
export class BudgetPaused extends Schema.TaggedClass<BudgetPaused>()("BudgetPaused", {
  agent: AgentId,
  detail: Schema.String
}) {}
export class ApprovalPending extends Schema.TaggedClass<ApprovalPending>()("ApprovalPending", {
  request: ApprovalRequest
}) {}
/** Nobody needs to answer it any more; `expired` is whatever ended it without an answer. */
export class ApprovalClosed extends Schema.TaggedClass<ApprovalClosed>()("ApprovalClosed", {
  approval: ApprovalId,
  session: SessionId,
  run: RunId,
  how: Schema.Literal("approved", "declined", "expired")
}) {}
export class ConfigReloaded extends Schema.TaggedClass<ConfigReloaded>()("ConfigReloaded", {}) {}
export class ConfigRejected extends Schema.TaggedClass<ConfigRejected>()("ConfigRejected", { detail: Schema.String }) {}
/** By its id; whatever it held open is being closed. */
export class TokenRevoked extends Schema.TaggedClass<TokenRevoked>()("TokenRevoked", { credential: Schema.String }) {}
/** The gateway stops; what listens ends, and may come back to the next one. */
export class GatewayDraining extends Schema.TaggedClass<GatewayDraining>()("GatewayDraining", {}) {}

export const GatewayEvent = Schema.Union(
  RunChanged,
  MessageBlocked,
  BudgetWarned,
  BudgetPaused,
  ApprovalPending,
  ApprovalClosed,
  ConfigReloaded,
  ConfigRejected,
  TokenRevoked,
  GatewayDraining
)
export type GatewayEvent = typeof GatewayEvent.Type
