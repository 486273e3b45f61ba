/**
 * The Linux backend: workspace guarded, profile built, bubblewrap started, tree watched.
 *
 * Guarantees: bubblewrap and the machine are looked at anew until they were found fit once; when
 * they are not, or a set-up fails, the answer is `SandboxUnavailable` with reason and fix, never a
 * command's output and never a plain process.
 */
import { Effect, Ref } from "effect"
import { SandboxUnavailable } from "../../domain/Tool.ts"
import type { Job, SandboxBackend, SandboxResult } from "./Backend.ts"
import { inspect, installFix } from "./Host.ts"
import { type Guard, type Host, profile } from "./Profile.ts"
import { selfTest } from "./SelfTest.ts"
import { launch, type NotStarted } from "./Spawn.ts"
import { makeWatchdog } from "./Watchdog.ts"
import { prepare } from "./Workspace.ts"

export interface BubblewrapOptions {
  /** Ai_DESK's own absolute paths (data, configuration): hidden when a workspace holds them. */
  readonly hidden: ReadonlyArray<string>
  readonly bwrapPaths: ReadonlyArray<string>
  /** Empty outside of tests. */
  readonly without: ReadonlySet<Guard>
}

const namespaceFix =
  "allow unprivileged user namespaces: sudo sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1 " +
  "(on Ubuntu 24.04 and later also kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap)"

const fixFor = (detail: string): string => {
  if (/source path.*Permission denied/.test(detail)) {
    return "inside the sandbox not even root has power over other users' folders: choose a workspace that the gateway's user owns, below folders it may enter"
  }
  if (/namespace|uid map|clone|Operation not permitted|RTM_NEWADDR|setgroups/i.test(detail)) return namespaceFix
  if (/seccomp/i.test(detail)) return "use a kernel built with CONFIG_SECCOMP_FILTER"
  if (/ENOENT|EACCES/.test(detail)) return installFix
  if (/EAGAIN|EMFILE|ENFILE|ENOMEM/.test(detail))
    return "the machine is out of processes, files or memory: try again later"
  return "see: ai-desk sandbox check"
}

/**
 * bubblewrap's word that something to mount went away between our look and its own, as stand-ins do
 * when another process's call ends. It says so before the command exists, so further looks are safe.
 */
const mountVanished = ({ detail }: NotStarted): boolean =>
  /^(Can't (find source path|get type of source|bind mount)|Unable to open lock file)/.test(detail) &&
  /No such file|in mount table/.test(detail)

const asUnavailable = ({ detail }: NotStarted): SandboxUnavailable =>
  new SandboxUnavailable({ reason: `bubblewrap could not start the command (${detail})`, fix: fixFor(detail) })

/** Linux takes no single argument beyond 128 KiB; the sum is kept well below its 2 MiB. */
const maxArgument = 131_000
const maxArguments = 1_500_000

/** Why the system would refuse to exec this at all, in the words and the exit code a shell would use. */
const impossible = (argv: ReadonlyArray<string>): SandboxResult | undefined => {
  const sizes = argv.map((arg) => Buffer.byteLength(arg) + 9)
  const reason = argv.some((arg) => arg.includes("\0"))
    ? "an argument holds a NUL byte"
    : sizes.some((size) => size > maxArgument) || sizes.reduce((sum, size) => sum + size, 0) > maxArguments
      ? "argument list too long"
      : undefined
  if (reason === undefined) return undefined
  const stderr = new TextEncoder().encode(`sandbox: ${reason}\n`)
  return { stdout: new Uint8Array(), stderr, exitCode: 126, stopped: "exited", truncated: false, durationMs: 0 }
}

const badVariable = (job: Job): SandboxUnavailable | undefined => {
  const bad = Object.entries(job.limits.env).find(
    ([name, value]) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || value.includes("\0")
  )
  if (bad === undefined) return undefined
  return new SandboxUnavailable({
    reason: `sandbox.env holds ${JSON.stringify(bad[0])}, which cannot be an environment variable`,
    fix: "use letters, digits and underscores for the name, and no NUL byte in the value"
  })
}

export const makeBubblewrap = (options: BubblewrapOptions): Effect.Effect<SandboxBackend> =>
  Effect.gen(function* () {
    const known = yield* Ref.make<Host | undefined>(undefined)
    const watchdog = makeWatchdog(process.getuid?.() === 0)
    const host = Effect.gen(function* () {
      const found = (yield* Ref.get(known)) ?? (yield* inspect(options))
      yield* Ref.set(known, found)
      return found
    })
    const execute = (job: Job, interactive: boolean): Effect.Effect<SandboxResult, SandboxUnavailable> =>
      Effect.scoped(
        Effect.gen(function* () {
          const found = yield* host
          const refused = badVariable(job)
          if (refused !== undefined) return yield* refused
          const { argv, stdin } = job.command
          const answer = impossible(argv)
          if (answer !== undefined) return answer
          const writable = job.command.workspace === "read-write"
          const { workspace, masks } = yield* prepare(job.workspace, writable, options.hidden)
          const { limits } = job
          const { without } = options
          return yield* launch({
            bwrap: found.bwrap,
            inherited: found.inherited,
            profile: profile({ host: found, workspace, writable, masks, limits, without }),
            argv,
            stdin,
            interactive,
            timeoutMs: limits.timeoutMs,
            maxOutputBytes: limits.maxOutputBytes,
            watch: (tree) =>
              without.has("watchdog") ? () => undefined : watchdog.watch({ ...tree, workspace, limits })
          })
        })
      ).pipe(
        Effect.retry({ times: 10, while: (error) => error._tag === "NotStarted" && mountVanished(error) }),
        Effect.catchTag("NotStarted", asUnavailable)
      )
    const run = (job: Job) => execute(job, false)
    return {
      name: "bubblewrap",
      run,
      interactive: (job) => Effect.map(execute(job, true), ({ exitCode }) => exitCode),
      check: selfTest(run)
    }
  })
