/**
 * The one place where the sandbox starts a process: bubblewrap, with an empty environment, from a
 * fixed path.
 *
 * Guarantees: a result is only ever the command's own, because the last thing before its exec says
 * so on a descriptor that the command never has; without that word the attempt is `NotStarted` with
 * what went wrong. When the effect ends, by result, failure or interruption, init of the command's
 * pid namespace is dead, and with it everything the command left behind. Timers are real ones: a
 * test clock does not hold up real processes.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import type { Readable, Writable } from "node:stream"
import { Data, Effect } from "effect"
import type { SandboxResult, Stopped } from "./Backend.ts"
import { fd, type Profile } from "./Profile.ts"
import { type Breach, parseStat } from "./Watchdog.ts"

/** Set-up failed, so the command did not run. `detail` is bubblewrap's own message or the system's. */
export class NotStarted extends Data.TaggedError("NotStarted")<{ readonly detail: string }> {}

export interface Launch {
  readonly bwrap: string
  readonly profile: Profile
  readonly inherited: ReadonlyArray<number>
  readonly argv: ReadonlyArray<string>
  readonly stdin: Uint8Array | undefined
  /** Passes the terminal through; then neither time nor output is limited. */
  readonly interactive: boolean
  readonly timeoutMs: number
  readonly maxOutputBytes: number
  readonly watch: (tree: {
    readonly outer: number
    readonly init: number
    readonly breached: (what: Breach) => void
    readonly blind: (reason: string) => void
  }) => () => void
}

/** How long a killed tree may take to go. Only uninterruptible waits in the kernel (a dead network mount) outlast it. */
const goneWithinMs = 5000
const signals: Record<string, number> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15
}

/** Only bubblewrap's own init counts: a number that was given to another process meanwhile is not touched. */
const startTimeOf = (pid: number): string | undefined => {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    const stat = parseStat(text)
    // A zombie init has reaped its whole namespace; on machines without a reaping init it may stay one.
    return stat.state === "Z" || !text.includes("(bwrap)") ? undefined : stat.startTime
  } catch {
    // No such file, or a process that ended while it was read: either way it is gone.
    return undefined
  }
}

/** False when there is nothing of ours to kill: it is gone, or the number is another user's by now. */
const killed = (pid: number): boolean => {
  try {
    return process.kill(pid, "SIGKILL")
  } catch {
    return false
  }
}

/** Calls back when the process with this number and start time is gone. */
const whenGone = (pid: number, startTime: string, done: () => void): void => {
  const deadline = performance.now() + goneWithinMs
  const look = (): void => {
    if (startTimeOf(pid) !== startTime || performance.now() > deadline || !killed(pid)) return done()
    setTimeout(look, 1)
  }
  look()
}

const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(chunks))

/** Printable first line, so that it can be shown: bubblewrap writes paths of the workspace into it. */
const firstLine = (text: string): string =>
  (text.split("\n").find((line) => line.trim() !== "") ?? "")
    .replace(/[^\x20-\x7e]/g, "?")
    .replace(/^bwrap: /, "")
    .slice(0, 300)

interface Running {
  readonly child: ChildProcess
  init: { readonly pid: number; readonly startTime: string } | undefined
  /** bubblewrap told init's number, also when that was gone before it could be looked at. */
  named: boolean
  started: boolean
  stopped: Exclude<Stopped, "exited"> | undefined
  blind: string | undefined
  unwatch: (() => void) | undefined
}

type Stdio = "pipe" | "ignore" | "inherit" | number

/** Where this process was left a descriptor by its parent, the command gets /dev/null in its place. */
const stdioOf = (order: Launch, nothing: number): Array<Stdio> => {
  const own: Array<Stdio> = order.interactive
    ? ["inherit", "inherit", "inherit"]
    : [order.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"]
  const pipes = new Set([fd.started, fd.info, fd.args, ...order.profile.files.map((file) => file.fd)])
  const covered = new Set(order.inherited)
  const highest = Math.max(...pipes, ...covered)
  return Array.from(
    { length: highest + 1 },
    (_, at) => own[at] ?? (pipes.has(at) ? "pipe" : covered.has(at) ? nothing : "ignore")
  )
}

/** A reader that went away early is its own affair: a command need not read its input, a failed set-up not its files. */
const feed = (stream: Writable, data: Uint8Array): void => {
  stream.on("error", () => undefined)
  stream.end(data)
}

const start = (order: Launch): ChildProcess => {
  const nothing = fs.openSync("/dev/null", "r")
  try {
    return spawn(order.bwrap, ["--args", String(fd.args), "--", ...order.profile.prefix, ...order.argv], {
      cwd: "/",
      env: {},
      stdio: stdioOf(order, nothing)
    })
  } finally {
    fs.closeSync(nothing)
  }
}

const watch = (running: Running, order: Launch, init: number): (() => void) =>
  order.watch({
    outer: running.child.pid ?? 0,
    init,
    breached: (what) => end(running, what),
    blind: (reason) => {
      running.blind = reason
      running.child.kill("SIGKILL")
    }
  })

/** Gives each descriptor its content, and listens for init's number and for the word that the command is next. */
const connect = (running: Running, launch: Launch): void => {
  const streams = running.child.stdio as ReadonlyArray<Readable | Writable | null | undefined>
  // The stream of a "pipe" entry beyond the first three is a duplex socket, typed as either half.
  const duplex = (descriptor: number) => streams[descriptor] as (Readable & Writable) | null | undefined
  const { args, files } = launch.profile
  const contents = [{ fd: fd.args, data: new TextEncoder().encode(args.map((arg) => `${arg}\0`).join("")) }, ...files]
  for (const { fd: descriptor, data } of contents) {
    const stream = duplex(descriptor)
    if (stream) feed(stream, data)
  }
  const observe = (): void => {
    if (running.started && running.init !== undefined) running.unwatch ??= watch(running, launch, running.init.pid)
  }
  let info = ""
  duplex(fd.info)?.on("data", (chunk: Buffer) => {
    info += chunk.toString("latin1")
    // It arrives in pieces: only with what follows is the number whole.
    const pid = Number(info.match(/"child-pid": (\d+)\D/)?.[1])
    if (running.named || !(pid > 1)) return
    running.named = true
    const startTime = startTimeOf(pid)
    if (startTime !== undefined) running.init = { pid, startTime }
    observe()
  })
  duplex(fd.started)?.on("data", () => {
    running.started = true
    observe()
  })
  for (const descriptor of [fd.info, fd.started]) duplex(descriptor)?.on("error", () => undefined)
}

const end = (running: Running, why: Exclude<Stopped, "exited">): void => {
  running.stopped ??= why
  running.child.kill("SIGKILL")
}

interface Collected {
  readonly stdout: Array<Uint8Array>
  readonly stderr: Array<Uint8Array>
  bytes: number
  truncated: boolean
}

const collect = (running: Running, launch: Launch): Collected => {
  const collected: Collected = { stdout: [], stderr: [], bytes: 0, truncated: false }
  const into = (chunks: Array<Uint8Array>) => (chunk: Buffer) => {
    const room = launch.maxOutputBytes - collected.bytes
    if (room > 0) chunks.push(chunk.subarray(0, room))
    collected.bytes += Math.min(chunk.length, room)
    if (chunk.length <= room) return
    collected.truncated = true
    end(running, "output")
  }
  running.child.stdout?.on("data", into(collected.stdout))
  running.child.stderr?.on("data", into(collected.stderr))
  return collected
}

/** Calls back once when process, descriptors and the inner init are all gone. */
const whenOver = (running: Running, order: Launch, done: (code: number) => void): void => {
  const { child } = running
  let over = false
  const finish = (code: number | null, signal: NodeJS.Signals | null): void => {
    if (over) return
    over = true
    // A command too short to be watched still gets the look that the watchdog takes at the end.
    const unwatch = running.unwatch ?? watch(running, order, 0)
    unwatch()
    const exitCode = code ?? 128 + (signals[signal ?? "SIGKILL"] ?? 9)
    if (running.init === undefined) done(exitCode)
    else whenGone(running.init.pid, running.init.startTime, () => done(exitCode))
  }
  child.on("close", finish)
  // A process stuck in the kernel could hold a descriptor beyond its death sentence.
  child.on("exit", (code, signal) => setTimeout(() => finish(code, signal), goneWithinMs).unref())
}

export const launch = (order: Launch): Effect.Effect<SandboxResult, NotStarted> =>
  Effect.async<SandboxResult, NotStarted>((resume) => {
    const begun = performance.now()
    let child: ChildProcess
    try {
      child = start(order)
    } catch (error) {
      return resume(Effect.fail(new NotStarted({ detail: firstLine(String(error)) })))
    }
    const running: Running = {
      child,
      init: undefined,
      named: false,
      started: false,
      stopped: undefined,
      blind: undefined,
      unwatch: undefined
    }
    let problem = ""
    child.on("error", (error) => {
      problem = firstLine(error.message)
      if (child.pid === undefined) resume(Effect.fail(new NotStarted({ detail: problem })))
    })
    if (child.pid === undefined) return
    const collected = collect(running, order)
    connect(running, order)
    if (order.stdin !== undefined && child.stdin !== null) feed(child.stdin, order.stdin)
    const timer = order.interactive ? undefined : setTimeout(() => end(running, "timeout"), order.timeoutMs)
    let afterwards: (() => void) | undefined
    let over = false
    whenOver(running, order, (exitCode) => {
      clearTimeout(timer)
      over = true
      afterwards?.()
      const stderr = concat(collected.stderr)
      if (running.blind !== undefined || (running.started && !running.named)) {
        return resume(Effect.fail(new NotStarted({ detail: running.blind ?? "bubblewrap did not name its process" })))
      }
      if (!running.started && running.stopped === undefined) {
        const said = problem || firstLine(Buffer.from(stderr).toString("latin1"))
        return resume(Effect.fail(new NotStarted({ detail: said || `bubblewrap ended with ${exitCode}` })))
      }
      resume(
        Effect.succeed({
          stdout: concat(collected.stdout),
          stderr,
          exitCode,
          stopped: running.stopped ?? "exited",
          truncated: collected.truncated,
          durationMs: performance.now() - begun
        })
      )
    })
    return Effect.async<void>((gone) => {
      if (over) return gone(Effect.void)
      afterwards = () => gone(Effect.void)
      child.kill("SIGKILL")
    })
  })
