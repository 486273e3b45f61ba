/**
 * ToolPolicy: may this agent make this call? Deny-all unless the profile or the allow list says
 * otherwise; deny wins over everything; wildcards match built-ins only. Decides on the decoded
 * arguments, which it freezes; what a model calls `sandbox`, `cwd`, `env` or `timeout` is not an
 * argument of any tool and has no power.
 */
import { Context, type Effect } from "effect"
import type { Agent } from "../domain/Agent.ts"
import type { RunId, SessionId } from "../domain/Ids.ts"
import type { Taint } from "../domain/Labels.ts"
import type { ToolCallPart } from "../domain/Message.ts"
import type { ToolSpec } from "../domain/Model.ts"
import type { Permitted } from "../domain/Proof.ts"
import type { InvalidToolArguments, ToolDenied } from "../domain/Tool.ts"
import type { Tool } from "./ToolRegistry.ts"

export interface CallContext {
  readonly agent: Agent
  readonly session: SessionId
  readonly run: RunId
  /** What the session has taken in before this call. */
  readonly taint: Taint
  readonly call: ToolCallPart
}

/** A call that only a human can let through. Handed to Approvals, which alone can turn it into `Permitted`. */
export interface NeedsApproval {
  readonly _tag: "NeedsApproval"
  readonly tool: Tool
  readonly context: CallContext
  /** Decoded and frozen. */
  readonly arguments: unknown
  readonly callHash: string
  /** Why, for the human: high risk, tainted sources, … */
  readonly reason: string
}

export type Decision =
  | { readonly _tag: "Permitted"; readonly tool: Tool; readonly permitted: Permitted }
  | NeedsApproval

export class ToolPolicy extends Context.Tag("ai-desk/tools/ToolPolicy")<
  ToolPolicy,
  {
    readonly decide: (context: CallContext) => Effect.Effect<Decision, ToolDenied | InvalidToolArguments>
    /** The tools to offer a model: those that `decide` would not deny, sorted by name. */
    readonly offered: (agent: Agent) => Effect.Effect<ReadonlyArray<ToolSpec>>
  }
>() {}
