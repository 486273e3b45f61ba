/**
 * Tool: what every tool is, built in or not. A tool states once, at registration, what it may read,
 * what it may change, how a call of it reads to a human and what it may touch; the guards decide on
 * these statements and never on what a model says.
 */
import { type Effect, Schema } from "effect"
import type { ToolLabels } from "../domain/Labels.ts"
import type { Permitted } from "../domain/Proof.ts"
import type { SandboxUnavailable, ToolOutcome } from "../domain/Tool.ts"

/** The tool itself could not do its work (not: the command exited non-zero). Shown to the model as an error result. */
export class ToolFailed extends Schema.TaggedError<ToolFailed>()("ToolFailed", {
  tool: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `tool ${this.tool} failed: ${this.detail}`
  }
}

export interface Tool {
  readonly name: string
  readonly description: string
  readonly kind: "builtin" | "mcp" | "skill" | "agent"
  readonly labels: ToolLabels
  /** High-risk tools wait for a human unless the owner's settings say otherwise. */
  readonly risk: "low" | "high"
  /** Where the work is done: inside the sandbox, or by the gateway itself under the tool's own guards. */
  readonly confinement: "sandbox" | "gateway"
  /** Arguments as the model may send them; unknown fields are refused. */
  readonly parameters: Schema.Schema.AnyNoContext
  /** The call as a human reads it, from decoded arguments; raw, before escaping. */
  readonly display: (args: unknown) => string
  /** What a call may touch outside the session: paths, hosts, the command. For approvals and the taint gate. */
  readonly sinks: (args: unknown) => ReadonlyArray<string>
  readonly run: (permitted: Permitted) => Effect.Effect<ToolOutcome, ToolFailed | SandboxUnavailable>
}
