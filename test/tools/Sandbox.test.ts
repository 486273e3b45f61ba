/** The service as others use it: results, refusals, limits and what is left when a call has ended. The walls themselves are tried in sandbox/Battery. */
import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import type { Permitted } from "../../src/domain/Proof.ts"
import { ForgedPermission, makeWith } from "../../src/tools/Sandbox.ts"
import { testAgent } from "../support/agent.ts"
import { permit, place, runScript, sh } from "../support/sandbox.ts"
import { startDriver, users } from "../support/sandboxUsers.ts"

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** Processes of this machine, zombies left out, whose command line holds the mark. */
const alive = (mark: string): ReadonlyArray<string> =>
  fs.readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      return fs.readFileSync(`/proc/${name}/cmdline`, "latin1").includes(mark)
    } catch {
      return false
    }
  })

const eventually = (what: () => boolean): Effect.Effect<boolean> =>
  Effect.suspend(() => (what() ? Effect.succeed(true) : Effect.delay(eventually(what), "20 millis"))).pipe(
    Effect.timeoutTo({ duration: "10 seconds", onSuccess: () => true, onTimeout: () => false })
  )

describe("results", () => {
  it.scopedLive("bytes, exit code and stdin are the command's own", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const sandbox = yield* makeWith({ skipSelfTest: true })
      const result = yield* sandbox.run(permit(workspace), {
        argv: ["/bin/sh", "-c", "cat; printf '\\033[31m\\000\\377' >&2; exit 7"],
        stdin: new Uint8Array([0, 1, 254, 255]),
        workspace: "read-write"
      })
      expect([...result.stdout]).toEqual([0, 1, 254, 255])
      expect([...result.stderr]).toEqual([0x1b, 0x5b, 0x33, 0x31, 0x6d, 0, 0xff])
      expect(result).toMatchObject({ exitCode: 7, stopped: "exited", truncated: false })
    })
  )

  it.scopedLive("a large stdin that is not read does no harm", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const sandbox = yield* makeWith({ skipSelfTest: true })
      const stdin = new Uint8Array(4_000_000)
      const result = yield* sandbox.run(permit(workspace), { argv: ["true"], stdin, workspace: "read-only" })
      expect(result.exitCode).toBe(0)
      const counted = yield* sandbox.run(permit(workspace), { argv: ["wc", "-c"], stdin, workspace: "read-only" })
      expect(text(counted.stdout).trim()).toBe("4000000")
    })
  )

  it.scopedLive("a signal is 128 and its number; a command that does not exist is 127", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      expect((yield* runScript(workspace, "kill -TERM $$")).exitCode).toBe(143)
      const sandbox = yield* makeWith({ skipSelfTest: true })
      const missing = yield* sandbox.run(permit(workspace), { argv: ["no-such-thing"], workspace: "read-write" })
      expect(missing.exitCode).toBe(127)
      expect(text(missing.stderr)).toContain("no-such-thing")
    })
  )

  it.scopedLive("what no system would exec is a failed command, not a broken sandbox", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const sandbox = yield* makeWith({ skipSelfTest: true })
      for (const argument of ["a\0b", "x".repeat(140_000)]) {
        const result = yield* sandbox.run(permit(workspace), { argv: ["echo", argument], workspace: "read-write" })
        expect(result.exitCode).toBe(126)
        expect(text(result.stderr)).toMatch(/^sandbox: /)
      }
    })
  )

  it.scopedLive("X13: output is cut at the limit and says so", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const limits = { maxOutputBytes: 50_000 }
      const result = yield* runScript(workspace, "head -c 1000000000 /dev/zero | tr '\\0' x", limits)
      expect(result).toMatchObject({ stopped: "output", truncated: true })
      expect(result.stdout.length + result.stderr.length).toBe(50_000)
    })
  )

  it.scopedLive("the agent's variables arrive, and nothing else than the minimum", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const { out } = yield* runScript(workspace, "env; pwd", { env: { TOKEN: "a b=c\n'\"" } })
      expect(out).toContain("TOKEN=a b=c\n'\"")
      expect(out).toContain("HOME=/home/agent")
      expect(out.trim().endsWith("/work")).toBe(true)
      expect(out).not.toContain("VITEST")
    })
  )

  it.scopedLive("read-only means that nothing changes, and needs no stand-ins", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const sandbox = yield* makeWith({ skipSelfTest: true })
      const result = yield* sandbox.run(permit(workspace), {
        argv: ["/bin/sh", "-c", "ls -A; echo x > new || echo refused"],
        workspace: "read-only"
      })
      expect(text(result.stdout)).toBe("refused\n")
      expect(fs.readdirSync(workspace)).toEqual([])
    })
  )

  it.scopedLive("Node and a worker thread of it run within the usual limits", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      fs.copyFileSync(process.execPath, path.join(workspace, "node"), fs.constants.COPYFILE_FICLONE)
      const script = `new (require("node:worker_threads").Worker)("1", { eval: true }).on("exit", (code) => console.log("worker", code))`
      const result = yield* runScript(workspace, `./node -e '${script}'`, { maxMemoryMb: 512, maxProcesses: 64 })
      expect(result.out, result.err).toBe("worker 0\n")
    })
  )

  it.scopedLive("interactive: the exit code comes back", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const sandbox = yield* makeWith({ skipSelfTest: true })
      expect(yield* sandbox.runInteractive(testAgent({ workspace }), ["sh", "-c", "exit 9"])).toBe(9)
    })
  )
})

describe("switches", () => {
  it("what takes guards away is named nowhere outside the sandbox's own files", () => {
    const src = path.join(import.meta.dirname, "..", "..", "src")
    const others = fs
      .readdirSync(src, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.startsWith("tools/sandbox/") && file !== "tools/Sandbox.ts")
    expect(others.length).toBeGreaterThan(10)
    const reaching = others.filter((file) =>
      /skipSelfTest|makeBubblewrap/.test(fs.readFileSync(path.join(src, file), "utf8"))
    )
    expect(reaching).toEqual([])
  })
})

describe("permission", () => {
  it.scopedLive("a copy of a permission is none, and nothing runs", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const sandbox = yield* makeWith({ skipSelfTest: true })
      const forged: Permitted = { ...permit(workspace) }
      const exit = yield* Effect.exit(sandbox.run(forged, sh("touch ran")))
      expect(Exit.isFailure(exit) && Option.getOrUndefined(Cause.dieOption(exit.cause))).toBeInstanceOf(
        ForgedPermission
      )
      expect(fs.readdirSync(workspace)).toEqual([])
    })
  )

  it.scopedLive("X09: what a model writes into arguments changes nothing about the sandbox", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const wishes = { sandbox: false, host: "gateway", cwd: "/", env: { WISH: "1" }, timeoutMs: 1e12 }
      const sandbox = yield* makeWith({ skipSelfTest: true })
      const result = yield* sandbox.run(
        permit(workspace, { timeoutMs: 400 }, wishes),
        sh("pwd; env; cat /proc/sys/kernel/hostname; sleep 20")
      )
      expect(result.stopped).toBe("timeout")
      expect(text(result.stdout)).toMatch(/^\/work\n/)
      expect(text(result.stdout)).toContain("\nsandbox\n")
      expect(text(result.stdout)).not.toContain("WISH")
    })
  )
})

describe("X08: no confinement, no run", () => {
  const refusal = (over: Parameters<typeof makeWith>[0]) =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const sandbox = yield* makeWith(over)
      const refused = yield* Effect.flip(sandbox.run(permit(workspace), sh("touch ran")))
      expect(refused._tag).toBe("SandboxUnavailable")
      expect(fs.readdirSync(workspace)).toEqual([])
      expect((yield* Effect.flip(sandbox.check))._tag).toBe("SandboxUnavailable")
      return refused
    })
  const fake = (mode: number, content: string) =>
    Effect.map(place(), ({ root }) => {
      const file = path.join(root, "bwrap")
      fs.writeFileSync(file, content)
      fs.chmodSync(file, mode)
      return file
    })

  it.scopedLive("not installed: the line that installs it", () =>
    Effect.map(refusal({ bwrapPaths: ["/nonexistent/bwrap"] }), (refused) => {
      expect(refused.fix).toContain("sudo apt-get install -y bubblewrap")
    })
  )
  it.scopedLive("not executable", () =>
    Effect.map(
      Effect.flatMap(fake(0o644, ""), (file) => refusal({ bwrapPaths: [file] })),
      (refused) => {
        expect(refused.message).toContain("not an executable file")
      }
    )
  )
  it.scopedLive("replaceable by others than root", () =>
    Effect.map(
      Effect.flatMap(fake(0o777, "#!/bin/sh\n"), (file) => refusal({ bwrapPaths: [file] })),
      (refused) => {
        expect(refused.message).toContain("changed by others than root")
      }
    )
  )
  it.scopedLive("user namespaces forbidden: never mistaken for the command's output", () =>
    Effect.gen(function* () {
      const file = yield* fake(0o755, "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
      const refused = yield* refusal({ bwrapPaths: [file], skipSelfTest: true })
      // Where the tests do not run as root, the stand-in for bubblewrap is refused for its owner already.
      expect(refused.message).toMatch(/No permissions to create new namespace|changed by others than root/)
      expect(refused.fix).toMatch(/max_user_namespaces|chown root/)
    })
  )
  it.scopedLive("another system", () =>
    Effect.map(refusal({ platform: "darwin" }), (refused) => expect(refused.message).toContain("darwin"))
  )
  it.scopedLive("bubblewrap that only pretends: it exits 0 and runs nothing", () =>
    Effect.flatMap(fake(0o755, "#!/bin/sh\nexit 0\n"), (file) => refusal({ bwrapPaths: [file], skipSelfTest: true }))
  )
  it.scopedLive("a variable name that bubblewrap could take for an option", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const refused = yield* Effect.flip(runScript(workspace, "touch ran", { env: { "A=B": "c" } }))
      expect(refused.message).toContain("A=B")
    })
  )
})

describe("self-test", () => {
  it.scopedLive("every wall stands here", () =>
    Effect.gen(function* () {
      const sandbox = yield* makeWith({})
      const probes = yield* sandbox.check
      expect(probes.filter(({ confined }) => !confined)).toEqual([])
      expect(probes.length).toBeGreaterThanOrEqual(14)
    })
  )
  it.scopedLive("a process that is too busy to look is not an open wall", () =>
    Effect.gen(function* () {
      // What a machine under load does to a process that starts up: its event loop turns three times a second.
      const busy = setInterval(() => {
        const until = performance.now() + 330
        while (performance.now() < until);
      }, 10)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(busy)))
      const sandbox = yield* makeWith({})
      const probes = yield* sandbox.check
      expect(probes.filter(({ confined }) => !confined)).toEqual([])
    })
  )
  it.scopedLive.each([
    ["seccomp", "filter (chmod 4755"],
    ["masks", "protected (.git/hooks"],
    ["watchdog", "memory (exit code 0"],
    ["rlimits", "limits (/proc/self/limits"],
    ["network", "network ("]
  ] as const)("without %s every run is refused, and what is open is named", ([guard, open]) =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const sandbox = yield* makeWith({ without: new Set([guard]) })
      const refused = yield* Effect.flip(sandbox.run(permit(workspace), sh("touch ran")))
      expect(refused.message).toContain("self-test failed")
      expect(refused.message).toContain(open)
      expect(fs.readdirSync(workspace)).toEqual([])
    })
  )
  it.scopedLive("calls that come together share a failing test's answer; the next call tests anew", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const sandbox = yield* makeWith({ without: new Set(["seccomp"]) })
      const call = Effect.flip(sandbox.run(permit(workspace), sh("touch ran")))
      const together = yield* Effect.all([call, call, call], { concurrency: "unbounded" })
      expect(new Set(together).size).toBe(1)
      const next = yield* call
      expect(together.includes(next)).toBe(false)
      expect(fs.readdirSync(workspace)).toEqual([])
    })
  )
})

describe("workspaces", () => {
  const refused = (workspace: string, hidden: ReadonlyArray<string> = []) =>
    Effect.map(Effect.flip(runScript(workspace, "true", {}, { hidden })), ({ message }) => message)
  it.scopedLive("the whole machine, a missing or relative path, a file, Ai_DESK's own folder", () =>
    Effect.gen(function* () {
      const { root, workspace, outside } = yield* place()
      expect(yield* refused("/")).toContain("whole of /")
      expect(yield* refused(path.join(root, "gone"))).toContain("ENOENT")
      expect(yield* refused("workspace")).toContain("not an absolute path")
      expect(yield* refused(path.join(outside, "canary"))).toContain("not a folder")
      expect(yield* refused(workspace, [root])).toContain("Ai_DESK's own folder")
      fs.symlinkSync(root, path.join(root, "link"))
      expect(yield* refused(path.join(root, "link", "workspace"), [workspace])).toContain("Ai_DESK's own folder")
    })
  )
  it.scopedLive("own paths inside a workspace are not there for the command", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      fs.mkdirSync(path.join(workspace, "deep", "data"), { recursive: true })
      fs.writeFileSync(path.join(workspace, "deep", "data", "keyring.json"), "CANARY")
      const options = { hidden: [path.join(workspace, "deep", "data")] }
      const { out } = yield* runScript(
        workspace,
        "cat deep/data/keyring.json; echo x > deep/data/new; ls -A deep/data",
        {},
        options
      )
      expect(out).toBe("")
    })
  )
  it.scopedLive("X17: a workspace that goes away during the command", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const fiber = yield* Effect.fork(runScript(workspace, "touch begun; sleep 0.5; ls; echo done"))
      expect(yield* eventually(() => fs.existsSync(path.join(workspace, "begun")))).toBe(true)
      fs.rmSync(workspace, { recursive: true, force: true })
      expect((yield* Fiber.join(fiber)).out).toContain("done")
    })
  )
  it.scopedLive("X15: programs planted in a workspace are not what runs", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      for (const name of ["ls", "sh", "git", "bash", "prlimit", "bwrap"]) {
        fs.writeFileSync(path.join(workspace, name), "#!/bin/sh\ntouch /work/hijacked\n", { mode: 0o755 })
      }
      const driver = yield* Effect.promise(() =>
        startDriver(users[0]!, { env: { PATH: `${workspace}:/usr/bin:/bin` } })
      )
      const answer = yield* Effect.promise(() => driver.run({ workspace, argv: ["ls"] }))
      driver.stop()
      expect(answer.exitCode).toBe(0)
      expect(fs.existsSync(path.join(workspace, "hijacked"))).toBe(false)
    })
  )
})

describe("nothing is left alive", () => {
  it.scopedLive("X11: background processes end with the command", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const mark = "4711.25"
      const result = yield* runScript(
        workspace,
        `setsid sleep ${mark} >/dev/null 2>&1 & (sleep ${mark} &) & sleep 0.1; echo left`
      )
      expect(result.out).toBe("left\n")
      expect(alive(`sleep\0${mark}`)).toEqual([])
      expect((yield* runScript(workspace, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).out).not.toContain("sleep ")
    })
  )
  it.scopedLive("interruption ends the tree before it returns", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const mark = "4712.25"
      const script = `trap '' TERM INT; touch begun; setsid sleep ${mark} & sleep ${mark}`
      const fiber = yield* Effect.fork(runScript(workspace, script))
      expect(yield* eventually(() => fs.existsSync(path.join(workspace, "begun")))).toBe(true)
      yield* Fiber.interrupt(fiber)
      expect(alive(`sleep\0${mark}`)).toEqual([])
      expect(fs.readdirSync(workspace)).toEqual(["begun"])
    })
  )
  it.scopedLive("X14: a gateway killed outright takes its commands along; its stand-ins go with the next call", () =>
    Effect.gen(function* () {
      for (const user of users) {
        const { workspace } = yield* place(user.uid)
        const mark = `4713.${user.uid}5`
        const driver = yield* Effect.promise(() => startDriver(user))
        const answer = driver.run({
          workspace,
          argv: ["/bin/sh", "-c", `setsid sleep ${mark} & touch begun; sleep ${mark}`]
        })
        expect(yield* eventually(() => fs.existsSync(path.join(workspace, "begun")))).toBe(true)
        driver.process.kill("SIGKILL")
        yield* Effect.flip(Effect.tryPromise(() => answer))
        expect(yield* eventually(() => alive(`sleep\0${mark}`).length === 0)).toBe(true)
        expect(fs.readdirSync(workspace)).toContain(".git")
        const next = yield* Effect.promise(() => startDriver(user))
        yield* Effect.promise(() => next.run({ workspace, argv: ["true"] }))
        next.stop()
        expect(fs.readdirSync(workspace)).toEqual(["begun"])
      }
    })
  )
})

describe("devices of the machine", () => {
  it.scopedLive.each(users)("as $name: modes given to them do not last, and the call that gave them fails", (user) =>
    Effect.gen(function* () {
      const { workspace } = yield* place(user.uid)
      const driver = yield* Effect.promise(() => startDriver(user, { ownFull: user.uid === 0 }))
      // The device as the driver has it.
      const mode = () => fs.statSync(user.uid === 0 ? `/proc/${driver.process.pid}/root/dev/full` : "/dev/full").mode
      const before = mode()
      for (const pause of ["true", "sleep 0.3"]) {
        // The sticky bit means nothing on a device: harmless for the 50 ms that root's attempt may last.
        const script = `chmod 1666 /dev/full && echo CHANGED; ${pause}`
        const answer = yield* Effect.promise(() => driver.run({ workspace, argv: ["/bin/sh", "-c", script] }))
        expect(mode()).toBe(before)
        if (user.uid === 0) expect(answer.unavailable).toContain("device")
        else expect(answer).toMatchObject({ out: "", stopped: "exited" })
      }
      driver.stop()
    })
  )
})

describe("side by side", () => {
  it.scopedLive("X10: two sandboxes share neither files, processes, sockets nor ipc", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* place(), yield* place()]
      const listen = `use Socket; socket(S, PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); bind(S, pack_sockaddr_in(8391, INADDR_ANY)); listen(S, 1); open(F, ">", "/work/ready"); close(F); sleep 20`
      const first = yield* Effect.fork(
        runScript(
          one.workspace,
          `echo CANARY > /tmp/a; echo CANARY > /dev/shm/a; echo CANARY > ~/a; perl -e '${listen}'`
        )
      )
      expect(yield* eventually(() => fs.existsSync(path.join(one.workspace, "ready")))).toBe(true)
      const connect = `use Socket; socket(S, PF_INET, SOCK_STREAM, 0); exit(connect(S, pack_sockaddr_in(8391, INADDR_LOOPBACK)) ? 0 : 1)`
      const { out } = yield* runScript(
        two.workspace,
        `cat /tmp/a /dev/shm/a ~/a; cat /proc/[0-9]*/cmdline | grep -ao 'CANAR[Y]'; perl -e '${connect}' && echo reached; echo tried`
      )
      expect(out).toBe("tried\n")
      yield* Fiber.interrupt(first)
    })
  )
  it.scopedLive("X18: 32 at once each get their own, and the watchdog misses none", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const hoard = "for i in 1 2 3; do head -c 40000000 /dev/zero | tail -c 40000000 | sleep 8 & done; wait"
      const results = yield* Effect.all(
        Array.from({ length: 32 }, (_, index) =>
          index % 8 === 0
            ? runScript(workspace, hoard, { maxMemoryMb: 64 })
            : runScript(workspace, `echo ${index}; echo ${index} >&2; exit ${index}`)
        ),
        { concurrency: "unbounded" }
      )
      results.forEach((result, index) => {
        if (index % 8 === 0) expect(result.stopped).toBe("memory")
        else expect(result).toMatchObject({ exitCode: index, out: `${index}\n`, err: `${index}\n`, stopped: "exited" })
      })
      expect(fs.readdirSync(workspace)).toEqual([])
    })
  )
  it.scopedLive("descriptors that the gateway was started with do not reach a command", () =>
    Effect.gen(function* () {
      const { workspace, outside } = yield* place()
      const canary = fs.openSync(path.join(outside, "canary"), "r")
      const extra = [...Array.from({ length: 20 }, () => "ignore" as const), canary]
      const driver = yield* Effect.promise(() => startDriver(users[0]!, { extra }))
      fs.closeSync(canary)
      expect(fs.readlinkSync(`/proc/${driver.process.pid}/fd/23`)).toContain("canary")
      const answer = yield* Effect.promise(() => driver.run({ workspace, argv: ["ls", "-l", "/proc/self/fd"] }))
      driver.stop()
      expect(answer.out).toContain("0 ->")
      expect(answer.out).not.toContain("canary")
    })
  )
})
