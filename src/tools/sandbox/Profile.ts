/**
 * The profile: what one command may see and use, as bubblewrap's arguments. Pure: the same host,
 * workspace, masks and limits give the same arguments, and nothing in them comes from a model
 * except the argv behind the last `--`.
 *
 * Guarantees: own user, pid, network, ipc, uts and cgroup namespaces; no capabilities; a root built
 * from /usr and a few files of /etc; kernel files masked and read-only; every writable place except
 * the workspace is a small tmpfs; environment by allow-list; rlimits set before the command's exec.
 */
import type { SandboxLimits } from "../../domain/Agent.ts"

/** What was found on this machine; see Host.ts. */
export interface Host {
  /** Absolute path of bubblewrap. */
  readonly bwrap: string
  readonly root: boolean
  /** `/bin` and its like: a link into /usr, or a folder of its own. */
  readonly systemFolders: ReadonlyArray<{ readonly path: string; readonly link: string | undefined }>
  /** Files and folders of /etc that hold no secret and exist here. */
  readonly etc: ReadonlyArray<string>
  /** Files of /proc that tell about the whole machine and are readable for us. */
  readonly kernelFiles: ReadonlyArray<string>
  /** Descriptors of this process that its parent left open across exec; a command must not have them. */
  readonly inherited: ReadonlyArray<number>
  /** Ceilings that this process itself was given; asking for more would fail. Absent means none. */
  readonly hardLimits: Readonly<Partial<Record<Rlimit, number>>>
  readonly seccomp: Uint8Array
}

export type Rlimit = "data" | "nproc" | "fsize" | "nofile" | "cpu" | "core"

/** The guards that tests take away one by one. No setting, argument or environment variable reaches this. */
export type Guard = "seccomp" | "masks" | "watchdog" | "rlimits" | "network"

export type Mask =
  | {
      readonly kind: "read-only"
      readonly source: string
      readonly path: string
      /** Lets every process see that a running sandbox needs the stand-in. */
      readonly lock: boolean
    }
  | { readonly kind: "hidden-folder"; readonly path: string }
  | { readonly kind: "hidden-file"; readonly path: string }

export interface ProfileInput {
  readonly host: Host
  /** Real path on the host. */
  readonly workspace: string
  readonly writable: boolean
  /** Paths are below /work. */
  readonly masks: ReadonlyArray<Mask>
  readonly limits: SandboxLimits
  readonly without: ReadonlySet<Guard>
}

/** Descriptors handed to bubblewrap; all are closed before the command starts. The shell can only close 3 to 9. */
export const fd = { started: 3, info: 4, args: 5, seccomp: 6, passwd: 7, hosts: 8 } as const

export interface Profile {
  /** For `--args FD`: never in the process list, where other users could read environment and paths. */
  readonly args: ReadonlyArray<string>
  /** Stands before the command: sets the limits, then says on descriptor 3 that the command is next. */
  readonly prefix: ReadonlyArray<string>
  readonly files: ReadonlyArray<{ readonly fd: number; readonly data: Uint8Array }>
}

export const mountPoint = "/work"
const home = "/home/agent"
const MiB = 1024 * 1024

/** Small enough that memory held in tmpfs cannot matter beside the memory limit. MiB. */
export const tmpfs = [
  { path: "/dev/shm", size: 32 },
  { path: "/tmp", size: 64 },
  { path: home, size: 16 }
] as const

/** An account for programs that ask who they are; the machine's own accounts are nobody's business. */
const passwd = `agent:x:1000:1000:agent:${home}:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n`
const hosts = "127.0.0.1 localhost sandbox\n::1 localhost\n"

const minimumEnvironment: Readonly<Record<string, string>> = {
  PATH: "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
  HOME: home,
  LANG: "C.UTF-8",
  TERM: "xterm",
  TMPDIR: "/tmp"
}

const environment = (limits: SandboxLimits): ReadonlyArray<string> => [
  "--clearenv",
  ...Object.entries({ ...minimumEnvironment, ...limits.env }).flatMap(([name, value]) => ["--setenv", name, value])
]

const namespaces = (without: ReadonlySet<Guard>): ReadonlyArray<string> => [
  ...["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"],
  ...(without.has("network") ? [] : ["--unshare-net"]),
  ...["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"],
  ...["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
]

const system = (host: Host): ReadonlyArray<string> => [
  ...["--ro-bind", "/usr", "/usr"],
  ...host.systemFolders.flatMap(({ path, link }) =>
    link === undefined ? ["--ro-bind", path, path] : ["--symlink", link, path]
  ),
  ...host.etc.flatMap((path) => ["--ro-bind", path, path]),
  ...["--ro-bind-data", String(fd.passwd), "/etc/passwd", "--ro-bind-data", String(fd.hosts), "/etc/hosts"],
  ...["--dir", "/var", "--symlink", "/tmp", "/var/tmp"]
]

const kernel = (host: Host, without: ReadonlySet<Guard>): ReadonlyArray<string> => [
  ...["--proc", "/proc", "--dev", "/dev"],
  ...(without.has("masks")
    ? []
    : [
        ...["--ro-bind", "/proc/sys", "/proc/sys"],
        ...host.kernelFiles.flatMap((path) => ["--ro-bind", "/dev/null", path]),
        ...["--remount-ro", "/proc"]
      ])
]

const maskArguments = (mask: Mask): ReadonlyArray<string> => {
  switch (mask.kind) {
    case "read-only":
      return ["--ro-bind", mask.source, mask.path, ...(mask.lock ? ["--lock-file", mask.path] : [])]
    case "hidden-folder":
      return ["--perms", "0555", "--size", "4096", "--tmpfs", mask.path, "--remount-ro", mask.path]
    case "hidden-file":
      // Bound without device access: neither readable nor writable.
      return ["--ro-bind", "/dev/null", mask.path]
  }
}

/**
 * Bytes of RLIMIT_DATA: what stops a single allocation far beyond the limit at once; the limit itself
 * is the watchdog's. The room on top is what V8 reserves, without using it, for its code: 512 MiB in
 * the main thread and as much in each worker. Address space (RLIMIT_AS) would stop Node altogether.
 */
export const dataLimit = (limits: SandboxLimits): number => (limits.maxMemoryMb + 2048) * MiB

const limitArguments = ({ hardLimits }: Host, limits: SandboxLimits): ReadonlyArray<string> => {
  const wanted: Record<Rlimit, number> = {
    data: dataLimit(limits),
    // Counted per user namespace, where bubblewrap's own init is one.
    nproc: limits.maxProcesses + 1,
    fsize: limits.maxDiskMb * MiB,
    nofile: 256,
    cpu: Math.ceil(limits.timeoutMs / 1000) + 1,
    core: 0
  }
  return Object.entries(wanted).map(([name, value]) => {
    const ceiling = hardLimits[name as Rlimit]
    return `--${name}=${ceiling === undefined ? value : Math.min(value, ceiling)}`
  })
}

/**
 * Another process that takes a stand-in away while we set up takes its mount along. bubblewrap's init
 * holds the locks by the time this shell has started, so what still stands then stays. The names are
 * ours and need no quoting beyond this. $0 is "sandbox", so a missing command reads
 * `sandbox: 1: exec: nosuch: not found`.
 */
const announce = (standIns: ReadonlyArray<string>): ReadonlyArray<string> => {
  const check = standIns
    .map((file) => `[ -e '${file}' ] || { echo "Can't find source path ${file}: No such file" >&2; exit 1; }; `)
    .join("")
  return ["/bin/sh", "-c", `${check}printf . >&${fd.started}; exec ${fd.started}>&-; exec "$@"`, "sandbox"]
}

export const profile = ({ host, workspace, writable, masks, limits, without }: ProfileInput): Profile => ({
  args: [
    ...namespaces(without),
    ...environment(limits),
    ...system(host),
    ...kernel(host, without),
    ...tmpfs.flatMap(({ path, size }) => [
      ...["--perms", path === home ? "0700" : "1777", "--size", String(size * MiB)],
      ...["--tmpfs", path]
    ]),
    ...[writable ? "--bind" : "--ro-bind", workspace, mountPoint],
    ...(without.has("masks") ? [] : masks.flatMap(maskArguments)),
    ...["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", mountPoint],
    ...["--info-fd", String(fd.info)],
    ...(without.has("seccomp") ? [] : ["--seccomp", String(fd.seccomp)])
  ],
  prefix: [
    ...(without.has("rlimits") ? [] : ["/usr/bin/prlimit", ...limitArguments(host, limits), "--"]),
    ...announce(
      without.has("masks") ? [] : masks.flatMap((mask) => (mask.kind === "read-only" && mask.lock ? [mask.path] : []))
    )
  ],
  files: [
    { fd: fd.passwd, data: new TextEncoder().encode(passwd) },
    { fd: fd.hosts, data: new TextEncoder().encode(hosts) },
    ...(without.has("seccomp") ? [] : [{ fd: fd.seccomp, data: host.seccomp }])
  ]
})
