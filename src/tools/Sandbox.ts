/**
 * Sandbox: runs a command so that it can reach its workspace and nothing else.
 *
 * Guarantees: no run without a genuine `Permitted`; no run outside the profile (a missing or failing
 * backend is `SandboxUnavailable`, never a plain child process); limits come from settings, never
 * from a model; nothing of the call is alive once `run` has returned, also when it is interrupted.
 */
import { Context, type Effect, Schema } from "effect"
import type { Agent } from "../domain/Agent.ts"
import type { Permitted } from "../domain/Proof.ts"
import type { SandboxUnavailable } from "../domain/Tool.ts"

/** What runs inside. `argv[0]` is resolved inside the sandbox, never on the host. */
export interface Command {
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  readonly stdin?: Uint8Array
  /** The file tools' helper scripts read but never change the workspace: mounted read-only then. */
  readonly workspace: "read-only" | "read-write"
}

export const Stopped = Schema.Literal("exited", "timeout", "memory", "processes", "disk", "output")
export type Stopped = typeof Stopped.Type

export interface SandboxResult {
  /** Raw bytes, together at most the agent's maxOutputBytes. */
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  /** Exit code, or 128 + signal. */
  readonly exitCode: number
  /** `exited`, or the limit that ended it. */
  readonly stopped: Stopped
  readonly truncated: boolean
  /** Milliseconds. */
  readonly durationMs: number
}

/** One line of `sandbox check`: a probe that must be confined, and whether it was. */
export class SandboxProbe extends Schema.Class<SandboxProbe>("SandboxProbe")({
  id: Schema.String,
  what: Schema.String,
  confined: Schema.Boolean,
  detail: Schema.String
}) {}

export class Sandbox extends Context.Tag("ai-desk/tools/Sandbox")<
  Sandbox,
  {
    /** `bubblewrap` on Linux; the seam for other systems' backends. */
    readonly backend: string
    /** Runs the command under the profile of the permitted call's agent. Interruption kills the whole tree. */
    readonly run: (permitted: Permitted, command: Command) => Effect.Effect<SandboxResult, SandboxUnavailable>
    /** The profile as argv for a person's own command with the terminal passed through (`sandbox run`); ends with its exit code. */
    readonly runInteractive: (
      agent: Agent,
      argv: readonly [string, ...ReadonlyArray<string>]
    ) => Effect.Effect<number, SandboxUnavailable>
    /** Runs the self-test now. All confined means usable. */
    readonly check: Effect.Effect<ReadonlyArray<SandboxProbe>, SandboxUnavailable>
  }
>() {}
