/** The filter run in an interpreter of classic BPF, for both architectures, whatever this machine is. */
import { describe, expect, it } from "@effect/vitest"
import * as fc from "effect/FastCheck"
import { type Architecture, filter, program, table } from "../../../src/tools/sandbox/Seccomp.ts"

const allow = 0x7fff0000
const kill = 0x80000000
const errno = (number: number): number => 0x00050000 | number
const auditArch: Record<Architecture, number> = { x64: 0xc000003e, arm64: 0xc00000b7 }

/** What the kernel would decide. Throws where the kernel would have refused to load the program. */
const decide = (
  architecture: Architecture,
  nr: number,
  args: ReadonlyArray<number> = [],
  arch = auditArch[architecture]
): number => {
  const instructions = program(architecture)
  const data = new DataView(new ArrayBuffer(64))
  data.setUint32(0, nr >>> 0, true)
  data.setUint32(4, arch >>> 0, true)
  args.forEach((value, index) => {
    data.setUint32(16 + index * 8, value >>> 0, true)
  })
  let accumulator = 0
  for (let at = 0; at < instructions.length; at += 1) {
    const [code, jt, jf, k] = instructions[at] ?? [0, 0, 0, 0]
    if (code === 0x06) return k >>> 0
    if (code === 0x20) accumulator = data.getUint32(k, true)
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0
    else if (code === 0x15) at += accumulator === k >>> 0 ? jt : jf
    else if (code === 0x25) at += accumulator > k >>> 0 ? jt : jf
    else if (code === 0x45) at += (accumulator & k) !== 0 ? jt : jf
    else throw new Error(`instruction ${code} at ${at}`)
  }
  throw new Error("ran off the end")
}

describe.each(["x64", "arm64"] as const)("%s", (architecture) => {
  const nr = (name: string): number => table(architecture).get(name) ?? -1
  const calls = (name: string, ...args: ReadonlyArray<number>): number => decide(architecture, nr(name), args)

  it("is what bubblewrap reads, within the kernel's bounds", () => {
    const bytes = filter(architecture)
    expect(bytes.length % 8).toBe(0)
    expect(bytes.length / 8).toBeLessThanOrEqual(4096)
    expect([...bytes.slice(0, 8)]).toEqual([0x20, 0, 0, 0, 4, 0, 0, 0])
    program(architecture).forEach(([code, jt, jf], at) => {
      for (const jump of [0x15, 0x25, 0x45].includes(code) ? [jt, jf] : []) {
        expect(jump).toBeLessThan(256)
        expect(at + 1 + jump).toBeLessThan(program(architecture).length)
      }
    })
  })
  it("names no call twice", () => {
    const numbers = [...table(architecture).values()]
    expect(new Set(numbers).size).toBe(numbers.length)
  })
  it("kills other architectures and x32", () => {
    expect(decide(architecture, 0, [], 0x40000003)).toBe(kill)
    expect(decide(architecture, 0, [], auditArch[architecture === "x64" ? "arm64" : "x64"])).toBe(kill)
    expect(decide(architecture, 0x40000000 | 39)).toBe(kill)
  })
  it("ends on every call and never allows what it does not know", () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.array(fc.nat(0xffffffff), { maxLength: 6 }), (number, args) => {
        const decision = decide(architecture, number, args)
        if (number > 462) expect([kill, errno(38)]).toContain(decision)
      })
    )
  })
  it("refuses the surface of the kernel", () => {
    for (const name of [
      "mount",
      "bpf",
      "ptrace",
      "keyctl",
      "perf_event_open",
      "setns",
      "unshare",
      "userfaultfd",
      "shmget",
      "open_tree"
    ]) {
      expect(calls(name), name).toBe(errno(1))
    }
    for (const name of ["clone3", "openat2", "memfd_create", "io_uring_setup"])
      expect(calls(name), name).toBe(errno(38))
  })
  it("lets a fork pass, and no namespace with it", () => {
    expect(calls("clone", 17)).toBe(allow)
    expect(calls("clone", 0x3d0f00)).toBe(allow)
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
      expect(calls("clone", flag | 17)).toBe(errno(1))
    }
  })
  it("knows only TCP and UDP sockets, and pairs that cannot be redirected", () => {
    for (const family of [2, 10]) {
      for (const type of [1, 2, 1 | 0o2000000, 2 | 0o4000]) expect(calls("socket", family, type, 0)).toBe(allow)
      expect(calls("socket", family, 3, 1)).toBe(errno(1))
      expect(calls("socket", family, 1, 132)).toBe(errno(1))
    }
    for (const family of [0, 1, 16, 17, 29, 31, 38, 40, 44]) expect(calls("socket", family, 1, 0)).toBe(errno(97))
    expect(calls("socketpair", 1, 1 | 0o2000000, 0)).toBe(allow)
    expect(calls("socketpair", 1, 5, 0)).toBe(allow)
    expect(calls("socketpair", 1, 2, 0)).toBe(errno(1))
    expect(calls("socketpair", 2, 1, 0)).toBe(errno(97))
  })
  it("gives no file a setuid or setgid bit, whichever way", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0o7777 }), (mode) => {
        const expected = (mode & 0o6000) === 0 ? allow : errno(1)
        expect(calls("fchmod", 0, mode)).toBe(expected)
        expect(calls("fchmodat", 0, 0, mode)).toBe(expected)
        expect(calls("fchmodat2", 0, 0, mode)).toBe(expected)
        expect(calls("mknodat", 0, 0, mode)).toBe(expected)
        expect(calls("openat", 0, 0, 0x41, mode)).toBe(expected)
        expect(calls("openat", 0, 0, 0x410000, mode)).toBe(expected)
        expect(calls("openat", 0, 0, 0, mode), "no mode is read without O_CREAT").toBe(allow)
      })
    )
  })
  it("lets nobody type into a terminal", () => {
    for (const request of [0x5412, 0x541c, 0x5423]) expect(calls("ioctl", 0, request)).toBe(errno(1))
    expect(calls("ioctl", 0, 0x5401)).toBe(allow)
  })
})
