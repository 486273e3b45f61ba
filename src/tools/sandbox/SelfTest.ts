/**
 * The sandbox tried from inside before anything is trusted to it: can a command read outside, reach
 * a network, keep power, change kernel settings or protected names, fork or take memory without end?
 *
 * Guarantees: a probe counts as confined only on a positive word; a script that was cut off, a
 * missing line or a tool that is not there is not confinement. How busy machine and process are does
 * not decide: what exhausts holds until the watchdog, which lives in the same event loop, has had its
 * looks. Works in a folder of its own.
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
import { intervalMs } from "./Watchdog.ts"

const limits = (over: Partial<SandboxLimits>): SandboxLimits =>
  new SandboxLimits({
    // Ends a probe that hangs. A good one takes a tenth of a second, and on a crowded machine some.
    timeoutMs: 30_000,
    maxMemoryMb: 64,
    maxProcesses: 32,
    // No probe tries it, and what others write into the same file system meanwhile must not reach it.
    maxDiskMb: 1024,
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
( chmod 755 .git; mkdir -p .git/hooks ) 2>/dev/null; say protected $? ".git/hooks"
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

/** Each of the two waits, with all it took, until the file it is named after is taken away. */
const exhausting = ["forks", "hoard"] as const

/** Against 16 tasks: the shell is refused a fork and says so, or the watchdog ends it. */
const sleepers = 40
const forks = `exec 2> forks.said; i=0; while [ $i -lt ${sleepers} ]; do sleep 60 & i=$((i+1)); done; : > forks.full-1
while [ -e forks ]; do sleep 0.1; done`
/** tail holds what it is given until its reader takes it, and this one does not: each 30 MB, well within the limit. */
const hoarders = 3
const hoard = `i=0; while [ $i -lt ${hoarders} ]; do i=$((i+1))
head -c 30000000 /dev/zero | tail -c 30000000 | { head -c 1 > /dev/null; : > hoard.full-$i; while [ -e hoard ]; do sleep 0.1; done; } &
done; wait`

type Run = (job: Job) => Effect.Effect<SandboxResult, SandboxUnavailable>

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const probe = (id: string, what: string, confined: boolean, detail: string): SandboxProbe =>
  new SandboxProbe({ id, what, confined, detail })

/** How a probe's command ended, for people: printable, one line. */
const ending = ({ stopped, exitCode, stderr }: SandboxResult): string => {
  const said = (text(stderr).split("\n")[0] ?? "").replace(/[^\x20-\x7e]/g, "?").slice(0, 120)
  return `${stopped === "exited" ? `exit code ${exitCode}` : `stopped by limit: ${stopped}`}${said === "" ? "" : `, ${said}`}`
}

const judgeWalls = (result: SandboxResult): ReadonlyArray<SandboxProbe> => {
  const lines = new Map(
    text(result.stdout)
      .split("\n")
      .map((line) => line.split("\t"))
      .map(([id = "", verdict = "", detail = ""]) => [id, { verdict, detail }] as const)
  )
  return walls.map(([id, what]) => {
    const line = lines.get(id)
    return probe(id, what, line?.verdict === "confined", line?.detail ?? `the probe did not answer: ${ending(result)}`)
  })
}

interface Verdict {
  readonly confined: boolean
  readonly detail: string
}

/** As many rounds of the event loop's timers as surely hold a whole look of the watchdog, which is one of them. */
const looks = 6

/** A real timer of the watchdog's kind in the watchdog's event loop: a process too busy to look does not count its own absence. */
const round: Effect.Effect<void> = Effect.async((resume) => {
  const timer = setTimeout(() => resume(Effect.void), intervalMs)
  return Effect.sync(() => clearTimeout(timer))
})

const broken = (doing: string) => (error: unknown) =>
  new SandboxUnavailable({
    reason: `the self-test cannot ${doing} (${error instanceof Error ? error.message : "unknown"})`,
    fix: "free space there, or point TMPDIR to a writable folder"
  })

/**
 * Lets a command go on that went as far as it wanted and survived the watchdog's looks. One that the
 * watchdog has ended stays ended, however long its processes take to die.
 */
const releaseWhenFull = (workspace: string, name: string, parts: number): Effect.Effect<never, SandboxUnavailable> => {
  const full = Array.from({ length: parts }, (_, at) => path.join(workspace, `${name}.full-${at + 1}`))
  return round.pipe(
    Effect.repeat({ until: () => full.every((file) => fs.existsSync(file)) }),
    Effect.zipRight(Effect.repeatN(round, looks)),
    Effect.zipRight(
      Effect.try({
        try: () => fs.rmSync(path.join(workspace, name), { force: true }),
        catch: broken(`clear its folder in ${os.tmpdir()}`)
      })
    ),
    Effect.zipRight(Effect.never)
  )
}

const scratch = Effect.acquireRelease(
  Effect.try({
    try: () => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ai-desk-self-test-"))
      fs.mkdirSync(path.join(folder, "workspace"))
      for (const name of exhausting) fs.writeFileSync(path.join(folder, "workspace", name), "")
      fs.writeFileSync(path.join(folder, "outside"), "canary", { mode: 0o600 })
      return folder
    },
    catch: broken(`make its folder in ${os.tmpdir()}`)
  }),
  (folder) =>
    Effect.try(() => fs.rmSync(folder, { recursive: true, force: true })).pipe(
      Effect.catchAll(() => Effect.logWarning(`the folder of the sandbox self-test could not be removed: ${folder}`))
    )
)

/** Runs all probes through the given backend, side by side. */
export const selfTest = (run: Run): Effect.Effect<ReadonlyArray<SandboxProbe>, SandboxUnavailable> =>
  Effect.scoped(
    Effect.gen(function* () {
      const folder = yield* scratch
      const workspace = path.join(folder, "workspace")
      const sh = (script: string, over: Partial<SandboxLimits>): Effect.Effect<SandboxResult, SandboxUnavailable> =>
        run({
          workspace,
          limits: limits(over),
          command: { argv: ["/bin/sh", "-c", script, "sh", path.join(folder, "outside")], workspace: "read-write" }
        })
      const said = path.join(workspace, "forks.said")
      const refusedFork = (): boolean => fs.existsSync(said) && /fork/i.test(fs.readFileSync(said, "latin1"))
      const refused: Verdict = { confined: true, detail: "refused a fork" }
      const forking = sh(forks, { maxProcesses: 16 }).pipe(
        Effect.map(
          (result): Verdict =>
            refusedFork() ? refused : { confined: result.stopped === "processes", detail: ending(result) }
        ),
        Effect.raceFirst(releaseWhenFull(workspace, "forks", 1)),
        // Bash tries again for 15 s before it gives up: its first word is enough.
        Effect.raceFirst(Effect.as(Effect.repeat(round, { until: refusedFork }), refused))
      )
      const hoarding = sh(hoard, {}).pipe(
        Effect.map((result): Verdict => ({ confined: result.stopped === "memory", detail: ending(result) })),
        Effect.raceFirst(releaseWhenFull(workspace, "hoard", hoarders))
      )
      const [answers, processes, memory] = yield* Effect.all(
        [Effect.map(sh(script, {}), judgeWalls), forking, hoarding],
        { concurrency: "unbounded" }
      )
      return [
        ...answers,
        probe("processes", `forking without end (${sleepers} where 16 may live)`, processes.confined, processes.detail),
        probe(
          "memory",
          "many processes taking more memory than the whole may (90 MB where 64 MiB may)",
          memory.confined,
          memory.detail
        )
      ]
    })
  )
