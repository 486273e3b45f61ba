/** Attempts to use up the machine. Each is bounded by itself too, should its guard be missing. */
import { type Attempt, mustFail, perl } from "./case.ts"

const forks = "i=0; while [ $i -lt 120 ]; do sleep 1 & i=$((i+1)); done; sleep 0.3; echo ESCAPED"
const fill = (folder: string, most: number): string =>
  `head -c 120000000 /dev/zero > ${folder}/fill 2>/dev/null; [ "$(stat -c %s ${folder}/fill)" -le ${most} ] || echo ESCAPED`
/** mmap(MAP_SHARED|MAP_ANONYMOUS) and read zeros into it: memory that RLIMIT_DATA does not count. */
const sharedMemory = perl(
  `$a = syscall(${process.arch === "arm64" ? 222 : 9}, 0, 300000000, 3, 0x21, -1, 0); open(Z, "<", "/dev/zero"); ` +
    `for ($i = 0; $i < 300; $i++) { syscall(${process.arch === "arm64" ? 63 : 0}, fileno(Z), $a + $i * 1000000, 1000000) } sleep 1; print "ESCAPED\\n"`
)
const manyFiles = (folder: string, count: number): string =>
  perl(
    `mkdir "${folder}/many"; for ($i = 0; $i < ${count}; $i++) { open(F, ">", "${folder}/many/$i") or last } sleep 1; print "ESCAPED\\n" if $i >= ${count}`
  )

export const exhaustion: ReadonlyArray<Attempt> = [
  // An ordinary user's fork is refused, which ends the shell; root's tree is ended by the watchdog.
  { id: "E01", what: "forks without end", script: forks, limits: { maxProcesses: 32 }, ends: ["exited", "processes"] },
  {
    id: "E02",
    what: "a tree of forks",
    script: `${perl("fork for 1 .. 7; sleep 1")} & sleep 0.4; set -- /proc/[0-9]*; [ $# -le 40 ] || echo ESCAPED`,
    limits: { maxProcesses: 32 },
    ends: ["exited", "processes"]
  },
  {
    id: "E03",
    what: "memory of one process",
    script: mustFail(perl('$n = 300_000_000; $x = "x" x $n; sleep 1; exit 0')),
    limits: { maxMemoryMb: 64 },
    ends: ["memory"]
  },
  {
    id: "E04",
    what: "memory of many processes together",
    script: `for i in 1 2 3 4; do ${perl('$n = 30_000_000; $x = "x" x $n; sleep 2')} & done; wait; echo ESCAPED`,
    limits: { maxMemoryMb: 64 },
    ends: ["memory"],
    heldBy: "watchdog"
  },
  {
    id: "E05",
    what: "shared memory that no process limit counts",
    script: sharedMemory,
    limits: { maxMemoryMb: 64 },
    ends: ["memory"],
    heldBy: "watchdog"
  },
  { id: "E06", what: "/dev/shm", script: fill("/dev/shm", 33_554_432), limits: { maxDiskMb: 512 } },
  { id: "E07", what: "/tmp", script: fill("/tmp", 67_108_864), limits: { maxDiskMb: 512 } },
  { id: "E08", what: "the home folder", script: fill("$HOME", 16_777_216), limits: { maxDiskMb: 512 } },
  {
    id: "E09",
    what: "one big file",
    script: fill("/work", 16_777_216),
    limits: { maxDiskMb: 16 },
    ends: ["exited", "disk"]
  },
  {
    id: "E10",
    what: "many big files",
    script:
      "for i in 1 2 3 4 5 6 7 8 9 10; do head -c 6000000 /dev/zero > f$i; sleep 0.03; done; sleep 0.2; echo ESCAPED",
    limits: { maxDiskMb: 8 },
    ends: ["disk"],
    heldBy: "watchdog"
  },
  {
    id: "E11",
    what: "many empty files in the workspace",
    script: manyFiles("/work", 17_500),
    limits: { maxDiskMb: 1 },
    ends: ["disk"]
  },
  {
    id: "E12",
    what: "many empty files in memory",
    script: manyFiles("/tmp", 70_000),
    ends: ["disk"],
    heldBy: "watchdog"
  },
  { id: "E13", what: "a sparse file", script: mustFail("truncate -s 1T sparse"), limits: { maxDiskMb: 16 } },
  {
    id: "E14",
    what: "stdout without end",
    script: "yes; echo ESCAPED",
    limits: { maxOutputBytes: 100_000 },
    ends: ["output"]
  },
  {
    id: "E15",
    what: "stderr without end",
    script: "yes >&2; echo ESCAPED",
    limits: { maxOutputBytes: 100_000 },
    ends: ["output"]
  },
  {
    id: "E16",
    what: "one line without end",
    script: "head -c 1000000000 /dev/zero | tr '\\0' x; echo ESCAPED",
    limits: { maxOutputBytes: 100_000 },
    ends: ["output"]
  },
  { id: "E17", what: "a busy loop", script: "while :; do :; done", limits: { timeoutMs: 300 }, ends: ["timeout"] },
  {
    id: "E18",
    what: "ignored signals",
    script: "trap '' TERM INT HUP QUIT; sleep 30; sleep 30",
    limits: { timeoutMs: 300 },
    ends: ["timeout"]
  },
  { id: "E19", what: "a stopped process", script: "kill -STOP $$", limits: { timeoutMs: 300 }, ends: ["timeout"] },
  {
    id: "E20",
    what: "open files",
    script: perl(
      'for ($i = 0; $i < 400; $i++) { open($f[$i], "<", "/dev/null") or last } print "ESCAPED\\n" if $i >= 400'
    ),
    heldBy: "rlimits"
  },
  { id: "E21", what: "core dumps", script: "sh -c 'kill -SEGV $$' 2>/dev/null; ls | grep -q core && echo ESCAPED" },
  {
    id: "E22",
    what: "more processor time by many processes",
    script: "for i in 1 2 3 4; do (while :; do :; done) & done; wait",
    limits: { timeoutMs: 300 },
    ends: ["timeout"]
  }
]
