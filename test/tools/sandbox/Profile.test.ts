/** The profile as arguments, and what set-up failures look like from the gateway. */
import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { bwrapPaths, inspect, parseHardLimits } from "../../../src/tools/sandbox/Host.ts"
import { type Host, profile, type ProfileInput } from "../../../src/tools/sandbox/Profile.ts"
import { launch } from "../../../src/tools/sandbox/Spawn.ts"
import { parseStat } from "../../../src/tools/sandbox/Watchdog.ts"
import { testLimits } from "../../support/agent.ts"
import { place } from "../../support/sandbox.ts"

const host: Host = {
  bwrap: "/usr/bin/bwrap",
  root: false,
  systemFolders: [{ path: "/bin", link: "usr/bin" }],
  etc: ["/etc/ssl/certs"],
  kernelFiles: ["/proc/keys"],
  inherited: [],
  hardLimits: { nofile: 100 },
  seccomp: new Uint8Array(8)
}
const input = (over: Partial<ProfileInput> = {}): ProfileInput => ({
  ...{
    host,
    workspace: "/srv/ws",
    writable: true,
    masks: [],
    limits: testLimits({ env: { A: "b c" } }),
    without: new Set()
  },
  ...over
})
const joined = (over: Partial<ProfileInput> = {}): string => ` ${profile(input(over)).args.join(" ")} `

describe("profile", () => {
  it("has every namespace, no capability and an environment of its own", () => {
    const args = joined()
    for (const part of ["user", "ipc", "pid", "net", "uts"]) expect(args).toContain(` --unshare-${part} `)
    for (const part of [
      "--die-with-parent",
      "--new-session",
      "--cap-drop ALL",
      "--clearenv",
      "--setenv A b c",
      "--seccomp 6"
    ]) {
      expect(args).toContain(` ${part} `)
    }
    expect(args).toContain(" --remount-ro / ")
    expect(args).not.toContain("--share-net")
    expect(args).not.toContain("--dev-bind")
  })
  it("binds for writing nothing but the workspace", () => {
    const { args } = profile(input())
    const writable = args.flatMap((arg, at) => (arg === "--bind" ? [args[at + 2]] : []))
    expect(writable).toEqual(["/work"])
    expect(profile(input({ writable: false })).args).not.toContain("--bind")
  })
  it("puts masks after the workspace that they cover", () => {
    const { args } = profile(input({ masks: [{ kind: "hidden-folder", path: "/work/.ai-desk-data" }] }))
    expect(args.lastIndexOf("/work/.ai-desk-data")).toBeGreaterThan(args.indexOf("/srv/ws"))
  })
  it("never asks for more than this process may have itself", () => {
    expect(profile(input()).prefix).toContain("--nofile=100")
    expect(
      parseHardLimits(
        "Max open files            1024                 4096                 files\nMax data size   unlimited   unlimited  bytes\n"
      )
    ).toEqual({
      nofile: 4096
    })
  })
  it("takes limits from the agent alone", () => {
    const { prefix } = profile(
      input({ limits: testLimits({ maxMemoryMb: 100, maxProcesses: 9, timeoutMs: 1500, maxDiskMb: 3 }) })
    )
    for (const limit of [
      `--data=${(100 + 2048) * 1024 * 1024}`,
      "--nproc=10",
      "--fsize=3145728",
      "--cpu=3",
      "--core=0"
    ])
      expect(prefix).toContain(limit)
  })
})

describe("process names cannot forge what the watchdog reads", () => {
  it("reads behind the last bracket", () => {
    const rest = "S 1 1 1 0 -1 4194304 196 0 0 0 0 0 0 0 20 0 7 0 152592 2560000 304 0"
    expect(parseStat(`2 (a) Z 99 (b) ${rest}`)).toMatchObject({
      state: "S",
      parent: 1,
      threads: 7,
      residentPages: 304,
      startTime: "152592"
    })
  })
})

describe("X08: a set-up that fails is told apart from a command that fails", () => {
  const attempt = (change: (built: ReturnType<typeof profile>) => ReturnType<typeof profile>) =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const found = yield* inspect({ bwrapPaths })
      const failed = yield* Effect.flip(
        launch({
          ...{ bwrap: found.bwrap, inherited: found.inherited, stdin: undefined, interactive: false },
          ...{ timeoutMs: 5000, maxOutputBytes: 10_000, watch: () => () => undefined },
          profile: change(profile(input({ host: found, workspace, limits: testLimits() }))),
          argv: ["/bin/sh", "-c", "touch ran; echo output"]
        })
      )
      expect(failed._tag).toBe("NotStarted")
      expect(fs.existsSync(path.join(workspace, "ran"))).toBe(false)
      return "detail" in failed ? failed.detail : ""
    })
  it.scopedLive("a filter that is no filter", () =>
    Effect.map(
      attempt((built) => ({
        ...built,
        files: built.files.map((file) => (file.fd === 6 ? { fd: 6, data: new Uint8Array(16).fill(255) } : file))
      })),
      (detail) => expect(detail).toMatch(/seccomp/i)
    )
  )
  it.scopedLive("a filter descriptor that is not there", () =>
    Effect.map(
      attempt((built) => ({ ...built, args: built.args.map((arg) => (arg === "6" ? "77" : arg)) })),
      (detail) => expect(detail).not.toBe("")
    )
  )
  it.scopedLive("limits that cannot be set", () =>
    Effect.map(
      attempt((built) => ({
        ...built,
        prefix: ["/usr/bin/prlimit", "--nofile=99999999999", "--", ...built.prefix.slice(-4)]
      })),
      (detail) => expect(detail).toContain("prlimit")
    )
  )
  it.scopedLive("something to mount that is gone", () =>
    Effect.map(
      attempt((built) => ({ ...built, args: ["--ro-bind", "/nonexistent", "/x", ...built.args] })),
      (detail) => expect(detail).toContain("/nonexistent")
    )
  )
})
