/** What the threat scanner says of a text. */
import { Schema } from "effect"

export const ThreatClass = Schema.Literal(
  "injection",
  "jailbreak",
  "exfiltration",
  "command_injection",
  "social_engineering"
)
export type ThreatClass = typeof ThreatClass.Type

export const Severity = Schema.Literal("low", "medium", "high", "critical")
export type Severity = typeof Severity.Type

/** `view` names the decoding in which the rule matched: `plain`, `base64`, `leet`, … */
export class Finding extends Schema.Class<Finding>("Finding")({
  rule: Schema.String,
  class: ThreatClass,
  severity: Severity,
  view: Schema.String
}) {}

export class Verdict extends Schema.Class<Verdict>("Verdict")({
  action: Schema.Literal("allow", "block"),
  /** 0 to 1. */
  score: Schema.Finite,
  findings: Schema.Array(Finding)
}) {}

/** The message was blocked. `reply` is the canned answer that the sender sees; it names no rule. */
export class ThreatBlocked extends Schema.TaggedError<ThreatBlocked>()("ThreatBlocked", {
  verdict: Verdict,
  reply: Schema.String
}) {
  override get message(): string {
    return this.reply
  }
  get fix(): string {
    return "rephrase the message; the audit log names the rule: ai-desk audit tail"
  }
}
