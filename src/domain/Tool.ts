/** Tool calls on their way from the model to the operating system, and the ways they end. */
import { Schema } from "effect"
import { AgentId, ApprovalId, RunId, SessionId, ToolCallId } from "./Ids.ts"

/** How a finished call looks to the model and to a person. `content` is capped, decoded as UTF-8, without control bytes. */
export class ToolOutcome extends Schema.Class<ToolOutcome>("ToolOutcome")({
  content: Schema.String,
  isError: Schema.Boolean,
  truncated: Schema.Boolean,
  /** Milliseconds. */
  durationMs: Schema.Finite,
  exitCode: Schema.optional(Schema.Int)
}) {}

export class ToolDenied extends Schema.TaggedError<ToolDenied>()("ToolDenied", {
  agent: AgentId,
  tool: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `tool ${this.tool} is not allowed for agent ${this.agent}: ${this.reason}`
  }
  get fix(): string {
    return `allow it in ai-desk.json: agents.list[id=${this.agent}].tools.allow, or choose a wider tools.profile`
  }
}

export class InvalidToolArguments extends Schema.TaggedError<InvalidToolArguments>()("InvalidToolArguments", {
  tool: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `tool ${this.tool} was called with unusable arguments: ${this.detail}`
  }
}

/** The sandbox cannot confine, so nothing runs. Never confusable with a tool's own output. */
export class SandboxUnavailable extends Schema.TaggedError<SandboxUnavailable>()("SandboxUnavailable", {
  reason: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return `the sandbox is unavailable, so no tool can run: ${this.reason}`
  }
}

export const ApprovalScope = Schema.Literal("once", "session")
export type ApprovalScope = typeof ApprovalScope.Type

/** What a human is asked. `display` is built from the raw call, control characters escaped: what you see is what runs. */
export class ApprovalRequest extends Schema.Class<ApprovalRequest>("ApprovalRequest")({
  id: ApprovalId,
  agent: AgentId,
  session: SessionId,
  run: RunId,
  call: ToolCallId,
  tool: Schema.String,
  /** HMAC of tool, arguments, agent and session, hex. An answer must repeat it. */
  callHash: Schema.String,
  display: Schema.String,
  reason: Schema.String,
  /** Epoch milliseconds. */
  askedAt: Schema.Finite,
  expiresAt: Schema.Finite
}) {}

export const ApprovalDecision = Schema.Struct({
  id: ApprovalId,
  callHash: Schema.String,
  approve: Schema.Boolean,
  scope: ApprovalScope
})
export type ApprovalDecision = typeof ApprovalDecision.Type

/** The answer names no pending approval, another call than the one asked, or came too late. */
export class ApprovalInvalid extends Schema.TaggedError<ApprovalInvalid>()("ApprovalInvalid", {
  id: ApprovalId,
  reason: Schema.Literal("unknown", "expired", "other_call", "already_answered")
}) {
  override get message(): string {
    switch (this.reason) {
      case "unknown":
        return `no approval ${this.id} is pending`
      case "expired":
        return `approval ${this.id} expired before it was answered`
      case "other_call":
        return `approval ${this.id} was asked for another call than the one answered`
      case "already_answered":
        return `approval ${this.id} was already answered; an approval is used once`
    }
  }
}
