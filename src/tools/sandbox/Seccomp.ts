/**
 * The seccomp filter, built as BPF bytes for x86_64 and aarch64 without native code.
 *
 * Guarantees: no new namespaces, mounts, tracing, kernel modules, BPF, perf, io_uring, keyrings,
 * SysV ipc, unaccounted memory (memfd), terminal injection or setuid bits; sockets only of the
 * internet families (whose namespace holds nothing but loopback) and connected unix pairs; a call
 * by a foreign or x32 ABI kills; calls newer than the newest one known here do not exist.
 */
export type Architecture = "x64" | "arm64"

const ENOSYS = 38
const EPERM = 1
const EAFNOSUPPORT = 97
const EOPNOTSUPP = 95

/** AUDIT_ARCH_* of linux/audit.h. */
const auditArch: Record<Architecture, number> = { x64: 0xc000003e, arm64: 0xc00000b7 }
/** mseal, Linux 6.10: shared by both tables. */
const newestKnown = 462

/** Numbers of asm/unistd_64.h and asm-generic/unistd.h; `undefined` where the architecture has no such call. */
const numbers: Record<string, readonly [x64: number | undefined, arm64: number | undefined]> = {
  open: [2, undefined],
  ioctl: [16, 29],
  shmget: [29, 194],
  shmat: [30, 196],
  shmctl: [31, 195],
  socket: [41, 198],
  socketpair: [53, 199],
  clone: [56, 220],
  semget: [64, 190],
  semop: [65, 193],
  semctl: [66, 191],
  msgget: [68, 186],
  msgsnd: [69, 189],
  msgrcv: [70, 188],
  msgctl: [71, 187],
  creat: [85, undefined],
  chmod: [90, undefined],
  fchmod: [91, 52],
  ptrace: [101, 117],
  syslog: [103, 116],
  mknod: [133, undefined],
  uselib: [134, undefined],
  personality: [135, 92],
  ustat: [136, undefined],
  vhangup: [153, 58],
  modify_ldt: [154, undefined],
  pivot_root: [155, 41],
  _sysctl: [156, undefined],
  adjtimex: [159, 171],
  chroot: [161, 51],
  acct: [163, 89],
  settimeofday: [164, 170],
  mount: [165, 40],
  umount2: [166, 39],
  swapon: [167, 224],
  swapoff: [168, 225],
  reboot: [169, 142],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  iopl: [172, undefined],
  ioperm: [173, undefined],
  create_module: [174, undefined],
  init_module: [175, 105],
  delete_module: [176, 106],
  get_kernel_syms: [177, undefined],
  query_module: [178, undefined],
  quotactl: [179, 60],
  nfsservctl: [180, 42],
  lookup_dcookie: [212, 18],
  semtimedop: [220, 192],
  clock_settime: [227, 112],
  mbind: [237, 235],
  set_mempolicy: [238, 237],
  mq_open: [240, 180],
  kexec_load: [246, 104],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  migrate_pages: [256, 238],
  openat: [257, 56],
  mknodat: [259, 33],
  fchmodat: [268, 53],
  unshare: [272, 97],
  vmsplice: [278, 75],
  move_pages: [279, 239],
  fallocate: [285, 47],
  perf_event_open: [298, 241],
  fanotify_init: [300, 262],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  clock_adjtime: [305, 266],
  setns: [308, 268],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  kcmp: [312, 272],
  finit_module: [313, 273],
  memfd_create: [319, 279],
  kexec_file_load: [320, 294],
  bpf: [321, 280],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  clone3: [435, 435],
  openat2: [437, 437],
  pidfd_getfd: [438, 438],
  process_madvise: [440, 440],
  mount_setattr: [442, 442],
  quotactl_fd: [443, 443],
  memfd_secret: [447, 447],
  process_mrelease: [448, 448],
  set_mempolicy_home_node: [450, 450],
  fchmodat2: [452, 452],
  map_shadow_stack: [453, 453],
  statmount: [457, 457],
  listmount: [458, 458],
  lsm_set_self_attr: [460, 460]
}

/** The library falls back to an older call when told that this one does not exist. */
const absent = [
  "clone3",
  "openat2",
  "memfd_create",
  "memfd_secret",
  "io_uring_setup",
  "io_uring_enter",
  "io_uring_register"
]

/** Refused whatever the arguments. */
const refused = [
  ...["shmget", "shmat", "shmctl", "semget", "semop", "semctl", "semtimedop", "msgget", "msgsnd", "msgrcv", "msgctl"],
  ...[
    "mq_open",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "pidfd_getfd"
  ],
  ...[
    "kcmp",
    "syslog",
    "uselib",
    "ustat",
    "vhangup",
    "modify_ldt",
    "pivot_root",
    "_sysctl",
    "adjtimex",
    "chroot",
    "acct"
  ],
  ...["settimeofday", "clock_settime", "clock_adjtime", "mount", "umount2", "swapon", "swapoff", "reboot"],
  ...[
    "sethostname",
    "setdomainname",
    "iopl",
    "ioperm",
    "create_module",
    "init_module",
    "finit_module",
    "delete_module"
  ],
  ...["get_kernel_syms", "query_module", "quotactl", "quotactl_fd", "nfsservctl", "lookup_dcookie", "mbind"],
  ...["set_mempolicy", "set_mempolicy_home_node", "migrate_pages", "move_pages", "kexec_load", "kexec_file_load"],
  ...["add_key", "request_key", "keyctl", "unshare", "setns", "vmsplice", "perf_event_open", "fanotify_init"],
  ...["name_to_handle_at", "open_by_handle_at", "bpf", "userfaultfd", "open_tree", "move_mount", "fsopen", "fsconfig"],
  ...["fsmount", "fspick", "mount_setattr", "map_shadow_stack", "statmount", "listmount", "lsm_set_self_attr"]
]

type Instruction = readonly [code: number, jt: number, jf: number, k: number]

const ld = (offset: number): Instruction => [0x20, 0, 0, offset]
const and = (k: number): Instruction => [0x54, 0, 0, k]
const jeq = (k: number, jt: number, jf: number): Instruction => [0x15, jt, jf, k]
const jgt = (k: number, jt: number, jf: number): Instruction => [0x25, jt, jf, k]
const jset = (k: number, jt: number, jf: number): Instruction => [0x45, jt, jf, k]
const ret = (k: number): Instruction => [0x06, 0, 0, k]

const allow = ret(0x7fff0000)
const kill = ret(0x80000000)
const fail = (errno: number): Instruction => ret(0x00050000 | errno)
/** Offsets in struct seccomp_data; both architectures are little-endian, so the low word comes first. */
const nr = 0
const arch = 4
const arg = (index: number): number => 16 + 8 * index

/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}. */
const newNamespaces = 0x7e020000
const setIdBits = 0o6000
/** O_CREAT and __O_TMPFILE: only then does open read its mode. */
const creates = 0x400040
const TIOCSTI = 0x5412
const TIOCLINUX = 0x541c
const TIOCSETD = 0x5423

/** Bodies end in a return on every way, so a call's number is matched once and never reloaded. */
const modeWithoutSetId = (index: number): ReadonlyArray<Instruction> => [
  ld(arg(index)),
  jset(setIdBits, 0, 1),
  fail(EPERM),
  allow
]
const openWithoutSetId = (flags: number): ReadonlyArray<Instruction> => [
  ld(arg(flags)),
  jset(creates, 1, 0),
  allow,
  ...modeWithoutSetId(flags + 1)
]

const conditional: Record<string, ReadonlyArray<Instruction>> = {
  clone: [ld(arg(0)), jset(newNamespaces, 0, 1), fail(EPERM), allow],
  // IPv4 and IPv6, stream or datagram, plain TCP or UDP: nothing that would load a protocol module.
  socket: [
    ld(arg(0)),
    jeq(2, 2, 0),
    jeq(10, 1, 0),
    fail(EAFNOSUPPORT),
    ld(arg(1)),
    and(0xf),
    jeq(1, 2, 0),
    jeq(2, 1, 0),
    fail(EPERM),
    ld(arg(2)),
    jeq(0, 3, 0),
    jeq(6, 2, 0),
    jeq(17, 1, 0),
    fail(EPERM),
    allow
  ],
  // A datagram pair can still send to any socket file; stream and seqpacket pairs are bound to each other.
  socketpair: [
    ld(arg(0)),
    jeq(1, 1, 0),
    fail(EAFNOSUPPORT),
    ld(arg(1)),
    and(0xf),
    jeq(1, 2, 0),
    jeq(5, 1, 0),
    fail(EPERM),
    allow
  ],
  ioctl: [ld(arg(1)), jeq(TIOCSTI, 2, 0), jeq(TIOCLINUX, 1, 0), jeq(TIOCSETD, 0, 1), fail(EPERM), allow],
  personality: [ld(arg(0)), jeq(0, 2, 0), jeq(0xffffffff, 1, 0), fail(EPERM), allow],
  // Space without bytes written would be invisible to the watchdog; libraries fall back to writing.
  fallocate: [fail(EOPNOTSUPP)],
  open: openWithoutSetId(1),
  openat: openWithoutSetId(2),
  creat: modeWithoutSetId(1),
  mknod: modeWithoutSetId(1),
  mknodat: modeWithoutSetId(2),
  chmod: modeWithoutSetId(1),
  fchmod: modeWithoutSetId(1),
  fchmodat: modeWithoutSetId(2),
  fchmodat2: modeWithoutSetId(2)
}

const numberOf = (architecture: Architecture, name: string): number | undefined => {
  const pair = numbers[name]
  return pair === undefined ? undefined : pair[architecture === "x64" ? 0 : 1]
}

const rule = (
  architecture: Architecture,
  name: string,
  body: ReadonlyArray<Instruction>
): ReadonlyArray<Instruction> => {
  const number = numberOf(architecture, name)
  return number === undefined ? [] : [jeq(number, 0, body.length), ...body]
}

/** The program as instructions; exported so that tests can run it in an interpreter for both architectures. */
export const program = (architecture: Architecture): ReadonlyArray<Instruction> => [
  ld(arch),
  jeq(auditArch[architecture], 1, 0),
  kill,
  ld(nr),
  // x32 calls carry bit 30 on x86_64; on aarch64 no number has it.
  jset(0x40000000, 0, 1),
  kill,
  jgt(newestKnown, 0, 1),
  fail(ENOSYS),
  ...Object.entries(conditional).flatMap(([name, body]) => rule(architecture, name, body)),
  ...absent.flatMap((name) => rule(architecture, name, [fail(ENOSYS)])),
  ...refused.flatMap((name) => rule(architecture, name, [fail(EPERM)])),
  allow
]

/** Every call named by the filter with its number, for tests. */
export const table = (architecture: Architecture): ReadonlyMap<string, number> =>
  new Map(
    Object.keys(numbers).flatMap((name) => {
      const number = numberOf(architecture, name)
      return number === undefined ? [] : [[name, number] as const]
    })
  )

/** The filter as `struct sock_filter[]`, what `bwrap --seccomp FD` reads. */
export const filter = (architecture: Architecture): Uint8Array => {
  const instructions = program(architecture)
  const view = new DataView(new ArrayBuffer(instructions.length * 8))
  instructions.forEach(([code, jt, jf, k], index) => {
    view.setUint16(index * 8, code, true)
    view.setUint8(index * 8 + 2, jt)
    view.setUint8(index * 8 + 3, jf)
    view.setUint32(index * 8 + 4, k >>> 0, true)
  })
  return new Uint8Array(view.buffer)
}
