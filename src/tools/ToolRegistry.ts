/**
 * ToolRegistry: the tools there are. Built-ins are registered by the layer; other subsystems
 * (sub-agents, MCP, skills) register theirs for as long as their scope lives. A name can be taken
 * once; a tool's labels are fixed at registration.
 */
import { Context, type Effect, type Option, Schema, type Scope } from "effect"
import type { ToolLabels } from "../domain/Labels.ts"
import type { ToolSpec } from "../domain/Model.ts"
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

export class ToolNameTaken extends Schema.TaggedError<ToolNameTaken>()("ToolNameTaken", { name: Schema.String }) {
  override get message(): string {
    return `a tool named ${this.name} is already registered`
  }
}

export class ToolRegistry extends Context.Tag("ai-desk/tools/ToolRegistry")<
  ToolRegistry,
  {
    /** Gone again when the scope closes. */
    readonly register: (tool: Tool) => Effect.Effect<void, ToolNameTaken, Scope.Scope>
    readonly get: (name: string) => Effect.Effect<Option.Option<Tool>>
    /** Sorted by name, so that prompts stay cacheable. */
    readonly all: Effect.Effect<ReadonlyArray<Tool>>
    /** A tool as offered to a model. */
    readonly spec: (tool: Tool) => ToolSpec
  }
>() {}
