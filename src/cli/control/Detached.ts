/**
 * Detached: this very program as a process that outlives the command that started it. It gets a log
 * instead of a terminal, a session of its own, and nothing else that is open here.
 */
import { spawn } from "node:child_process"
import { closeSync, constants, fchmodSync, fstatSync, openSync } from "node:fs"
import { Deferred, Effect, Schema } from "effect"

/** The system did not start it, or its log cannot be written. */
export class ProcessNotStarted extends Schema.TaggedError<ProcessNotStarted>()("ProcessNotStarted", {
  log: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `the process with the log ${this.log} cannot be started (${this.code})`
  }
}

export interface Detached {
  readonly pid: number
  /** Bytes that the log had before. */
  readonly logged: number
  /** Returns when it has ended, with its exit code, or the signal that ended it. */
  readonly ended: Effect.Effect<number | string>
}

export interface DetachedOptions {
  readonly cwd: string | undefined
  /** Absent: as this process's. */
  readonly env: Readonly<Record<string, string | undefined>> | undefined
  /** What it writes to stderr is appended here (0600). */
  readonly log: string
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"

const openLog = (path: string): number => {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants
  const fd = openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600)
  fchmodSync(fd, 0o600)
  return fd
}

/** Runs this program with other words. */
export const start = (
  words: ReadonlyArray<string>,
  { cwd, env, log }: DetachedOptions
): Effect.Effect<Detached, ProcessNotStarted> =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number | string>()
    const fd = yield* Effect.try({
      try: () => openLog(log),
      catch: (cause) => new ProcessNotStarted({ log, code: codeOf(cause) })
    })
    return yield* Effect.async<Detached, ProcessNotStarted>((resume) => {
      const logged = fstatSync(fd).size
      const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? "", ...words], {
        cwd,
        ...(env === undefined ? {} : { env: { ...env } }),
        detached: true,
        stdio: ["ignore", "ignore", fd]
      })
      child.once("error", (cause) => resume(new ProcessNotStarted({ log, code: codeOf(cause) })))
      child.once("exit", (code, signal) => Deferred.unsafeDone(ended, Effect.succeed(code ?? signal ?? "unknown")))
      child.once("spawn", () => {
        child.unref()
        resume(Effect.succeed({ pid: child.pid ?? 0, logged, ended: Deferred.await(ended) }))
      })
    }).pipe(Effect.ensuring(Effect.sync(() => closeSync(fd))))
  })
