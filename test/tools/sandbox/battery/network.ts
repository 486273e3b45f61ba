/** Attempts to reach anything beyond the sandbox. The battery listens on PORT of the machine, at sock in the workspace and on an abstract name. */
import { type Attempt, mustFail, perl, systemCall } from "./case.ts"

const connect = (family: string, address: string): string =>
  mustFail(perl(`use Socket; socket(S, ${family}, SOCK_STREAM, 0) or exit 1; exit(connect(S, ${address}) ? 0 : 1)`))
/** Socket families that must not exist at all: EAFNOSUPPORT. */
const family = (number: number, type: number): string => systemCall("socket", `${number}, ${type}, 0`, 97)

export const network: ReadonlyArray<Attempt> = [
  {
    id: "N01",
    what: "a port of the machine on loopback",
    script: connect("PF_INET", "pack_sockaddr_in($ENV{PORT}, inet_aton('127.0.0.1'))"),
    heldBy: "network"
  },
  {
    id: "N02",
    what: "the same over IPv6",
    script: connect("PF_INET6", "pack_sockaddr_in6($ENV{PORT}, inet_pton(AF_INET6, '::1'))")
  },
  {
    id: "N03",
    what: "the metadata address",
    script: connect("PF_INET", "pack_sockaddr_in(80, inet_aton('169.254.169.254'))")
  },
  {
    id: "N04",
    what: "a name server",
    script: mustFail(
      perl(
        "use Socket; socket(S, PF_INET, SOCK_DGRAM, 0) or exit 1; exit(send(S, 'x', 0, pack_sockaddr_in(53, inet_aton('192.0.2.53'))) ? 0 : 1)"
      )
    )
  },
  { id: "N05", what: "looking up a name", script: mustFail("getent hosts example.org") },
  {
    id: "N06",
    what: "a socket file in the workspace",
    script: connect("PF_UNIX", "pack_sockaddr_un('/work/sock')"),
    heldBy: "seccomp"
  },
  {
    id: "N07",
    what: "an abstract socket of the machine",
    script: connect("PF_UNIX", 'pack_sockaddr_un("\\0ai-desk-battery")')
  },
  { id: "N08", what: "a socket file through a datagram pair", script: systemCall("socketpair", "1, 2, 0, $b", 1) },
  { id: "N09", what: "virtual machine sockets", script: family(40, 1) },
  { id: "N10", what: "netlink", script: family(16, 3), heldBy: "seccomp" },
  { id: "N11", what: "packet sockets", script: family(17, 3) },
  { id: "N12", what: "kernel crypto sockets", script: family(38, 5) },
  {
    id: "N13",
    what: "bluetooth, can, tipc, xdp, qrtr sockets",
    script: [31, 29, 30, 44, 42].map((number) => family(number, 3)).join("; ")
  },
  { id: "N14", what: "raw internet sockets", script: systemCall("socket", "2, 3, 1", 1) },
  {
    id: "N15",
    what: "protocols that load a module",
    script: `${systemCall("socket", "2, 1, 132", 1)}; ${systemCall("socket", "2, 1, 262", 1)}`
  },
  { id: "N16", what: "bringing up an interface", script: mustFail("ip link add d0 type dummy || ip link set eth0 up") },
  {
    id: "N17",
    what: "interfaces of the machine",
    script: mustFail("tail -n +3 /proc/net/dev | grep -v '^ *lo:'"),
    heldBy: "network"
  }
]
