/**
 * Daemon: the one place of the command line that starts other programs. Words are handed over as they
 * are, never through a shell; a program that is not there is a failure that says so.
 */
import { spawn } from "node:child_process"
import { realpathSync } from "node:fs"
import { homedir } from "node:os"
import { Effect, Schema } from "effect"

/** A program of the system that is needed and cannot be started. */
export class ProgramMissing extends Schema.TaggedError<ProgramMissing>()("ProgramMissing", {
  program: Schema.String,
  code: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return `${this.program} cannot be started (${this.code})`
  }
}

export interface Ended {
  /** The exit code; 128 when a signal ended it. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface ToolOptions {
  /** Instead of this process's own. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Gets what the program prints as it comes, instead of `stdout`. */
  readonly onOutput?: (text: string) => void
}

/** What a tool says for itself is some lines; more is not kept. Characters. */
const mostKept = 65_536

/** Runs a program of the system to its end; interruption ends it. */
export const runTool = (
  program: string,
  words: ReadonlyArray<string>,
  { env, onOutput }: ToolOptions = {}
): Effect.Effect<Ended, ProgramMissing> =>
  Effect.async((resume) => {
    const child = spawn(program, words, {
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      ...(env === undefined ? {} : { env: { ...env } })
    })
    const kept = { stdout: "", stderr: "" }
    const keep = (name: "stdout" | "stderr") => (text: string) => {
      kept[name] = `${kept[name]}${text}`.slice(-mostKept)
    }
    child.stdout.setEncoding("utf8").on("data", onOutput ?? keep("stdout"))
    child.stderr.setEncoding("utf8").on("data", keep("stderr"))
    child.once("error", (error: NodeJS.ErrnoException) => {
      const code = error.code ?? "unknown"
      resume(new ProgramMissing({ program, code, fix: `install ${program}, or see that it is on the PATH` }))
    })
    child.once("close", (code) => resume(Effect.succeed({ code: code ?? 128, ...kept })))
    return Effect.sync(() => child.kill())
  })

/** How this very program is started again: Node, and the script behind it, as absolute paths without links. */
export const self: Effect.Effect<readonly [string, string]> = Effect.sync(() => [
  realpathSync(process.execPath),
  realpathSync(process.argv[1] ?? "")
])

export interface Machine {
  readonly platform: NodeJS.Platform
  /** Null where users have no numbers. */
  readonly uid: number | null
  readonly home: string
}

export const machine = (env: Readonly<Record<string, string | undefined>> | undefined): Effect.Effect<Machine> =>
  Effect.sync(() => ({
    platform: process.platform,
    uid: process.geteuid?.() ?? null,
    home: env?.["HOME"] ?? homedir()
  }))
