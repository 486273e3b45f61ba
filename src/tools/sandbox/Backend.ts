/**
 * The seam for other systems: what a backend is asked and what it must answer. A backend only
 * confines and reports; permission, self-test and refusal stand above it, in `tools/Sandbox.ts`,
 * and hold for every backend.
 */
import { type Effect, Schema } from "effect"
import type { SandboxLimits } from "../../domain/Agent.ts"
import type { SandboxProbe } from "../../domain/Security.ts"
import type { SandboxUnavailable } from "../../domain/Tool.ts"

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

export interface Job {
  /** Absolute path on the host. */
  readonly workspace: string
  readonly limits: SandboxLimits
  readonly command: Command
}

export interface SandboxBackend {
  readonly name: string
  /** Nothing of the job is alive when this ends, however it ends. */
  readonly run: (job: Job) => Effect.Effect<SandboxResult, SandboxUnavailable>
  /** The same confinement with the terminal passed through, without wall-clock and output limits. Ends with the exit code. */
  readonly interactive: (job: Job) => Effect.Effect<number, SandboxUnavailable>
  /** Tries the walls from inside. */
  readonly check: Effect.Effect<ReadonlyArray<SandboxProbe>, SandboxUnavailable>
}
