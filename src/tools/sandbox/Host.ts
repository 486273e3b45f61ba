/**
 * What this machine offers the sandbox, found by absolute paths only: never through PATH, a
 * workspace or anything a model wrote.
 *
 * Guarantees: a bubblewrap that others than root could have replaced is not used; a missing part
 * is `SandboxUnavailable` with the line that mends it.
 */
import * as fs from "node:fs"
import { Effect } from "effect"
import { SandboxUnavailable } from "../../domain/Tool.ts"
import type { Host, Rlimit } from "./Profile.ts"
import { filter } from "./Seccomp.ts"

export const bwrapPaths: ReadonlyArray<string> = [
  "/usr/bin/bwrap",
  "/bin/bwrap",
  "/usr/local/bin/bwrap",
  "/run/current-system/sw/bin/bwrap"
]

export const installFix =
  "install bubblewrap: sudo apt-get install -y bubblewrap (elsewhere: your system's package of the same name)"

const unavailable = (reason: string, fix: string): SandboxUnavailable => new SandboxUnavailable({ reason, fix })

const lstat = (path: string): fs.Stats | undefined => fs.lstatSync(path, { throwIfNoEntry: false })

/** Only root may be able to change it: else any local program could swap the sandbox itself. */
const findBwrap = (paths: ReadonlyArray<string>): Effect.Effect<string, SandboxUnavailable> =>
  Effect.suspend(() => {
    const path = paths.find((candidate) => lstat(candidate) !== undefined)
    if (path === undefined) return Effect.fail(unavailable("bubblewrap (bwrap) is not installed", installFix))
    const stats = fs.statSync(path, { throwIfNoEntry: false })
    if (stats === undefined || !stats.isFile() || (stats.mode & 0o111) === 0) {
      return Effect.fail(unavailable(`${path} is not an executable file`, installFix))
    }
    return stats.uid !== 0 || (stats.mode & 0o022) !== 0
      ? Effect.fail(
          unavailable(`${path} can be changed by others than root`, `sudo chown root ${path} && sudo chmod 755 ${path}`)
        )
      : Effect.succeed(path)
  })

const present = (path: string, packageName: string): Effect.Effect<void, SandboxUnavailable> =>
  fs.existsSync(path)
    ? Effect.void
    : Effect.fail(unavailable(`${path} is missing`, `install it: sudo apt-get install -y ${packageName}`))

const systemFolders = () =>
  ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"].flatMap((path) => {
    const stats = lstat(path)
    if (stats === undefined) return []
    return [{ path, link: stats.isSymbolicLink() ? fs.readlinkSync(path) : undefined }]
  })

/** Not all of /etc/ssl: its `private` is readable for a root that has no capabilities but owns the file. */
const etc = [
  "/etc/alternatives",
  "/etc/ld.so.cache",
  "/etc/localtime",
  "/etc/pki/tls/certs",
  "/etc/ssl/certs",
  "/etc/ssl/openssl.cnf"
]

/**
 * `keys` lists this user's keys. The others open to whoever owns them, which root does also without
 * capabilities; kcore, kmsg, kallsyms and iomem ask for a capability and need no mask.
 */
const kernelFiles = (root: boolean) =>
  ["keys", ...(root ? ["kpagecgroup", "kpagecount", "kpageflags", "slabinfo", "timer_list", "vmallocinfo"] : [])]
    .map((name) => `/proc/${name}`)
    .filter((path) => fs.existsSync(path))

/**
 * Node closes for its children what it opened itself, and the first few of what it was given; a
 * shell or supervisor may have left more. Read once: nobody can add to them from outside later.
 */
const inherited = (): ReadonlyArray<number> => {
  try {
    return fs
      .readdirSync("/proc/self/fd")
      .map(Number)
      .filter((descriptor) => {
        if (descriptor <= 2) return false
        const info = `/proc/self/fdinfo/${descriptor}`
        const flags = fs.existsSync(info)
          ? fs.readFileSync(info, "latin1").match(/^flags:\s+([0-7]+)/m)?.[1]
          : undefined
        return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0
      })
  } catch {
    // A process that changed its user may not look at itself. The self-test looks from inside and refuses if any came through.
    return []
  }
}
/** O_CLOEXEC, the same number on both architectures. */
const closeOnExec = 0o2000000

const limitNames: Record<string, Rlimit> = {
  "Max data size": "data",
  "Max processes": "nproc",
  "Max file size": "fsize",
  "Max open files": "nofile",
  "Max cpu time": "cpu",
  "Max core file size": "core"
}

/** The hard column of /proc/self/limits, "unlimited" left out. */
export const parseHardLimits = (text: string): Host["hardLimits"] =>
  Object.fromEntries(
    text.split("\n").flatMap((line) => {
      const found = line.match(/^(Max [a-z ]+?)\s{2,}\S+\s+(\d+)\s/)
      const name = found === null ? undefined : limitNames[found[1] ?? ""]
      return found === null || name === undefined ? [] : [[name, Number(found[2])]]
    })
  )

/** Looks at the machine. Some ten file lookups; done once per layer. */
export const inspect = (options: {
  readonly bwrapPaths: ReadonlyArray<string>
}): Effect.Effect<Host, SandboxUnavailable> =>
  Effect.gen(function* () {
    const bwrap = yield* findBwrap(options.bwrapPaths)
    yield* present("/usr/bin/prlimit", "util-linux")
    yield* present("/bin/sh", "dash")
    if (process.arch !== "x64" && process.arch !== "arm64") {
      return yield* unavailable(
        `no system call filter exists for the processor architecture ${process.arch}`,
        "run on x86_64 or aarch64"
      )
    }
    const root = process.getuid?.() === 0
    return {
      bwrap,
      root,
      systemFolders: systemFolders(),
      etc: etc.filter((path) => fs.existsSync(path)),
      kernelFiles: kernelFiles(root),
      inherited: inherited(),
      hardLimits: parseHardLimits(fs.readFileSync("/proc/self/limits", "utf8")),
      seccomp: filter(process.arch)
    }
  })
