/**
 * The sandbox tried from inside before anything is trusted to it: can a command read outside, reach
 * a network, keep power, change kernel settings or protected names, fork or take memory without end?
 *
 * Guarantees: a probe counts as confined only on its own positive word; a script that was cut off,
 * a missing line or a tool that is not there is not confinement. Works in a folder of its own.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { SandboxLimits } from "../../domain/Agent.ts"
import { SandboxProbe } from "../../domain/Security.ts"
import { SandboxUnavailable } from "../../domain/Tool.ts"
import type { Job, SandboxResult } from "./Backend.ts"
import { dataLimit } from "./Profile.ts"

const limits = (over: Partial<SandboxLimits>): SandboxLimits =>
  new SandboxLimits({
    timeoutMs: 5000,
    maxMemoryMb: 64,
    maxProcesses: 32,
    maxDiskMb: 8,
    maxOutputBytes: 16_384,
    env: {},
    ...over
  })

/** `id<TAB>what` of each line the script below must answer with `id<TAB>confined`. */
const walls: ReadonlyArray<readonly [id: string, what: string]> = [
  ["read", "reading a file outside the workspace"],
  ["write", "writing outside the workspace"],
  ["protected", "creating a git hook in the workspace"],
  ["kernel", "changing kernel settings"],
  ["network", "any network interface besides loopback"],
  ["filter", "the system call filter: giving a file the setuid bit"],
  ["namespace", "making a user namespace"],
  ["power", "capabilities, or gaining any by exec"],
  ["pids", "seeing processes of the machine"],
  ["descriptors", "descriptors inherited from the gateway"],
  ["environment", "variables inherited from the gateway"],
  ["limits", "core files, memory and open files without limit"]
]

/** $1: a file outside. Only the shell, coreutils, grep and util-linux. */
const script = `
say() { if [ "$2" = 0 ]; then printf '%s\\tescaped\\t%s\\n' "$1" "$3"; else printf '%s\\tconfined\\t%s\\n' "$1" "$3"; fi; }
[ -e "$1" ] || ( read -r line < "$1" ) 2>/dev/null; say read $? "planted file"
( : > /usr/.ai-desk-probe || : > /etc/.ai-desk-probe || : > /.ai-desk-probe ) 2>/dev/null; say write $? "/usr, /etc, /"
mkdir -p .git/hooks 2>/dev/null; say protected $? ".git/hooks"
( : >> /proc/sys/kernel/core_pattern ) 2>/dev/null; say kernel $? core_pattern
tail -n +3 /proc/net/dev | grep -qv '^ *lo:'; say network $? "$(tail -n +3 /proc/net/dev | grep -c .) interface"
: > probe && chmod 4755 probe 2>/dev/null; say filter $? "chmod 4755"
! command -v unshare >/dev/null || unshare --user true 2>/dev/null; say namespace $? "unshare --user"
grep -q '^CapEff:.0000000000000000$' /proc/self/status && grep -q '^CapBnd:.0000000000000000$' /proc/self/status && grep -q '^NoNewPrivs:.1$' /proc/self/status && grep -q '^Seccomp:.2$' /proc/self/status
[ $? = 0 ]; say power $((! $?)) "/proc/self/status"
[ "$(cat /proc/1/comm)" = bwrap ] && [ "$(ls -d /proc/[0-9]* | wc -l)" -lt 8 ]; say pids $((! $?)) "$(ls -d /proc/[0-9]* | wc -l) processes"
ls -l /proc/self/fd | grep -q ' 0 -> ' && ! ls -l /proc/self/fd | grep -- ' -> ' | grep -vE ' [012] -> | -> (/dev/null|/proc/[0-9]+/fd)$' >/dev/null
say descriptors $((! $?)) "/proc/self/fd"
[ "$(env | grep -cEv '^(PATH|HOME|LANG|TERM|TMPDIR|PWD|OLDPWD|SHLVL|_)=')" = 0 ]; say environment $((! $?)) "allow-list"
grep -Eq '^Max core file size +0 +0 ' /proc/self/limits && grep -Eq '^Max data size +${dataLimit(limits({}))} +${dataLimit(limits({}))} ' /proc/self/limits && grep -Eq '^Max open files +[0-9]{1,3} +[0-9]{1,3} ' /proc/self/limits
say limits $((! $?)) "/proc/self/limits"
`

/** 40 sleepers against 16 tasks: the shell is refused a fork, or the watchdog ends it. */
const forks = "i=0; while [ $i -lt 40 ]; do sleep 2 & i=$((i+1)); done; sleep 0.3; printf all"
/** tail holds what it is given until its reader takes it, and sleep never does: 3 × 40 MB, each within the limit of one process. */
const hoard = "for i in 1 2 3; do head -c 40000000 /dev/zero | tail -c 40000000 | sleep 3 & done; wait; printf all"

type Run = (job: Job) => Effect.Effect<SandboxResult, SandboxUnavailable>

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const probe = (id: string, what: string, confined: boolean, detail: string): SandboxProbe =>
  new SandboxProbe({ id, what, confined, detail })

const judgeWalls = (result: SandboxResult): ReadonlyArray<SandboxProbe> => {
  const lines = new Map(
    text(result.stdout)
      .split("\n")
      .map((line) => line.split("\t"))
      .map(([id = "", verdict = "", detail = ""]) => [id, { verdict, detail }] as const)
  )
  return walls.map(([id, what]) => {
    const line = lines.get(id)
    return probe(id, what, line?.verdict === "confined", line?.detail ?? "the probe did not answer")
  })
}

const judgeExhaustion =
  (id: string, what: string) =>
  (result: SandboxResult): SandboxProbe =>
    probe(
      id,
      what,
      // The clock is not the wall that is tried here.
      result.stopped !== "timeout" && !text(result.stdout).includes("all"),
      result.stopped === "exited" ? `refused, exit code ${result.exitCode}` : `stopped: ${result.stopped}`
    )

const scratch = Effect.acquireRelease(
  Effect.try({
    try: () => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ai-desk-self-test-"))
      fs.mkdirSync(path.join(folder, "workspace"))
      fs.writeFileSync(path.join(folder, "outside"), "canary", { mode: 0o600 })
      return folder
    },
    catch: (error) =>
      new SandboxUnavailable({
        reason: `the self-test cannot make its folder in ${os.tmpdir()} (${error instanceof Error ? error.message : "unknown"})`,
        fix: "free space there, or point TMPDIR to a writable folder"
      })
  }),
  (folder) =>
    Effect.try(() => fs.rmSync(folder, { recursive: true, force: true })).pipe(
      Effect.catchAll(() => Effect.logWarning(`the folder of the sandbox self-test could not be removed: ${folder}`))
    )
)

/** Runs all probes through the given backend. About 150 ms. */
export const selfTest = (run: Run): Effect.Effect<ReadonlyArray<SandboxProbe>, SandboxUnavailable> =>
  Effect.scoped(
    Effect.gen(function* () {
      const folder = yield* scratch
      const sh = (script: string, over: Partial<SandboxLimits>): Effect.Effect<SandboxResult, SandboxUnavailable> =>
        run({
          workspace: path.join(folder, "workspace"),
          limits: limits(over),
          command: { argv: ["/bin/sh", "-c", script, "sh", path.join(folder, "outside")], workspace: "read-write" }
        })
      const [walls, processes, memory] = yield* Effect.all(
        [
          Effect.map(sh(script, {}), judgeWalls),
          Effect.map(sh(forks, { maxProcesses: 16 }), judgeExhaustion("processes", "forking without end")),
          Effect.map(sh(hoard, {}), judgeExhaustion("memory", "many processes taking more memory than the whole may"))
        ],
        { concurrency: "unbounded" }
      )
      return [...walls, processes, memory]
    })
  )
