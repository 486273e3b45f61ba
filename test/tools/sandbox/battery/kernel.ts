/** Attempts on the kernel's surface. Numbers are errno: 1 EPERM, 38 ENOSYS, 95 EOPNOTSUPP. */
import { type Attempt, mustBeSilent, mustFail, perl, systemCall } from "./case.ts"

const refused = (
  id: string,
  what: string,
  calls: ReadonlyArray<readonly [name: string, args: string, errno?: number]>
): Attempt => ({
  id,
  what,
  script: calls.map(([name, args, errno = 1]) => systemCall(name, args, errno)).join("; ")
})

const x32 =
  process.arch === "x64"
    ? perl('system("perl", "-e", "syscall(0x40000000 | 39)"); exit(($? & 127) == 31 ? 1 : 0)')
    : "false"

export const kernel: ReadonlyArray<Attempt> = [
  { id: "K01", what: "a user namespace", script: mustFail("unshare --user true"), heldBy: "seccomp" },
  refused("K02", "namespaces by clone", [
    ["clone", "0x10000000 | 17, 0, 0, 0, 0"],
    ["clone", "0x20000 | 17, 0, 0, 0, 0"],
    ["clone3", "$b, 88", 38]
  ]),
  refused("K03", "namespaces of others", [
    ["setns", "0, 0"],
    ["unshare", "0x40000000"]
  ]),
  refused("K04", "mounts", [
    ["mount", '"none", "/tmp", "tmpfs", 0, 0'],
    ["umount2", '"/work", 2'],
    ["pivot_root", '"/tmp", "/tmp"']
  ]),
  refused("K05", "the new mount calls", [
    ["fsopen", '"tmpfs", 0'],
    ["fsconfig", "0, 0, 0, 0, 0"],
    ["fsmount", "0, 0, 0"],
    ["open_tree", '-100, "/", 1'],
    ["move_mount", '-100, "/", -100, "/", 0'],
    ["mount_setattr", '-100, "/", 0, $b, 32']
  ]),
  { ...refused("K06", "BPF", [["bpf", "0, $b, 72"]]) },
  refused("K07", "performance events", [["perf_event_open", "$b, 0, -1, -1, 0"]]),
  refused("K08", "io_uring", [
    ["io_uring_setup", "8, $b", 38],
    ["io_uring_enter", "0, 0, 0, 0, 0, 0", 38],
    ["io_uring_register", "0, 0, 0, 0", 38]
  ]),
  refused("K09", "keyrings", [
    ["keyctl", "0, -3, 0"],
    ["add_key", '"user", "probe", "x", 1, -3'],
    ["request_key", '"user", "probe", 0, -3']
  ]),
  {
    id: "K10",
    what: "typing into a terminal",
    script: [0x5412, 0x541c, 0x5423].map((number) => systemCall("ioctl", `1, ${number}, $b`, 1)).join("; ")
  },
  refused("K11", "tracing and foreign memory", [
    ["ptrace", "0, 0, 0, 0"],
    ["process_vm_readv", "1, $b, 1, $b, 1, 0"],
    ["process_vm_writev", "1, $b, 1, $b, 1, 0"],
    ["kcmp", "1, 1, 0, 0, 0"],
    ["pidfd_getfd", "0, 0, 0"]
  ]),
  refused("K12", "SysV ipc and message queues", [
    ["shmget", "0, 4096, 0x3b6"],
    ["semget", "0, 1, 0x3b6"],
    ["msgget", "0, 0x3b6"],
    ["mq_open", '"probe", 0x42, 0x1ff, 0']
  ]),
  refused("K13", "user-space page faults", [["userfaultfd", "0"]]),
  refused("K14", "memory that nobody counts", [
    ["memfd_create", '"probe", 0', 38],
    ["memfd_secret", "0", 38]
  ]),
  refused("K15", "kernel modules and other kernels", [
    ["init_module", '$b, 0, ""'],
    ["finit_module", '0, "", 0'],
    ["delete_module", '"probe", 0'],
    ["kexec_load", "0, 0, $b, 0"],
    ["kexec_file_load", "0, 0, 0, 0, 0"]
  ]),
  refused("K16", "another personality", [["personality", "0x0040000"]]),
  { id: "K17", what: "the x32 interface", script: mustFail(x32) },
  refused("K18", "names and clocks of the machine", [
    ["sethostname", '"x", 1'],
    ["setdomainname", '"x", 1'],
    ["settimeofday", "$b, 0"],
    ["clock_settime", "0, $b"],
    ["adjtimex", "$b"]
  ]),
  refused("K19", "ports of the processor and its tables", [
    ["iopl", "3"],
    ["ioperm", "0, 8, 1"],
    ["modify_ldt", "0, $b, 16"]
  ]),
  refused("K20", "files by handle", [
    ["name_to_handle_at", '-100, "/", $b, $b, 0'],
    ["open_by_handle_at", "3, $b, 0"]
  ]),
  refused("K21", "watching and accounting of the machine", [
    ["fanotify_init", "0, 0"],
    ["quotactl", "0, 0, 0, 0"],
    ["acct", "0"],
    ["swapon", '"/dev/zero", 0'],
    ["syslog", "3, $b, 256"],
    ["lookup_dcookie", "0, $b, 256"]
  ]),
  refused("K22", "another root", [["chroot", '"/tmp"']]),
  refused("K23", "space without writing", [["fallocate", "1, 0, 0, 4096", 95]]),
  refused("K24", "open in its extensible form", [["openat2", '-100, "/", $b, 24', 38]]),
  {
    id: "K25",
    what: "calls newer than the filter",
    script: [463, 467, 470, 999]
      .map((number) => perl(`$r = syscall(${number}, 0, 0, 0, 0); print "ESCAPED\\n" unless $r == -1 && $!+0 == 38`))
      .join("; ")
  },
  {
    id: "K26",
    what: "becoming root",
    script: `${mustFail("su -c true || sudo -n true")}; ${mustFail(perl("$> = 0; exit($> == 0 ? 0 : 1)"))}`
  },
  {
    id: "K27",
    what: "capabilities",
    script: mustBeSilent("grep -E '^Cap(Eff|Prm|Bnd|Amb|Inh)' /proc/self/status | grep -v 0000000000000000")
  },
  {
    id: "K28",
    what: "taking the filter off",
    script: mustBeSilent("grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | grep -vE 'Seccomp:.2|NoNewPrivs:.1'"),
    heldBy: "seccomp"
  },
  { id: "K29", what: "signals to the gateway", script: mustFail('kill -0 "$GATEWAY"') },
  {
    id: "K30",
    what: "raising the own limits",
    script: mustFail("prlimit --pid $$ --nofile=4096 || prlimit --pid $$ --core=unlimited || ulimit -Hn 4096"),
    heldBy: "rlimits"
  },
  { id: "K31", what: "real-time priority", script: mustFail("chrt -f 1 true || nice -n -5 sh -c '[ $(nice) -lt 0 ]'") }
]
