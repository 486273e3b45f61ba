/**
 * The users a test of the sandbox runs as: the one that runs the tests and, where that is root, an
 * ordinary one besides, in a driver process. So each test counts on every machine and none is skipped.
 */
import { type ChildProcess, type StdioOptions, spawn, spawnSync } from "node:child_process"
import * as path from "node:path"
import * as readline from "node:readline"
import type { Readable, Writable } from "node:stream"
import type { SandboxLimits } from "../../src/domain/Agent.ts"
import type { Guard } from "../../src/tools/sandbox/Profile.ts"
import type { DriverAnswer, DriverRequest } from "./sandboxDriver.ts"

export interface TestUser {
  readonly name: string
  readonly uid: number
}

/** No account needed: a number that owns nothing on the machine. */
const ordinary: TestUser = { name: "an ordinary user", uid: 12_345 }
export const users: ReadonlyArray<TestUser> =
  process.getuid?.() === 0
    ? [{ name: "root", uid: 0 }, ordinary]
    : [{ name: "an ordinary user", uid: process.getuid?.() ?? 0 }]

export interface Driver {
  readonly process: ChildProcess
  readonly run: (request: {
    readonly workspace: string
    readonly argv: readonly [string, ...ReadonlyArray<string>]
    readonly mode?: "read-only" | "read-write"
    readonly limits?: Partial<SandboxLimits>
    readonly without?: ReadonlyArray<Guard>
    readonly hidden?: ReadonlyArray<string>
  }) => Promise<DriverAnswer>
  readonly stop: () => void
}

/**
 * Gives the driver a /dev/full of its own: what a test does to the machine's would end the commands
 * of every other root process that happens to run some. Where root may not mount, it is the machine's.
 */
const ownFull =
  "mount -t tmpfs -o mode=0755 none /mnt && mknod -m 666 /mnt/full c 1 7 && mount --bind /mnt/full /dev/full"
const apart = (command: ReadonlyArray<string>): readonly [string, ...ReadonlyArray<string>] => {
  const inside = ["--mount", "--propagation", "private", "/bin/sh", "-c"]
  const may =
    process.getuid?.() === 0 && spawnSync("unshare", [...inside, ownFull], { stdio: "ignore", env: tools }).status === 0
  return may
    ? ["unshare", ...inside, `${ownFull} && exec "$@"`, "sh", ...command]
    : [command[0] ?? process.execPath, ...command.slice(1)]
}
const tools = { PATH: "/usr/bin:/bin:/usr/sbin:/sbin" }

/** `extra` are further descriptors that the driver gets from its parent; `ownFull` is for tests that change /dev/full. */
export const startDriver = (
  user: TestUser,
  options: {
    readonly env?: Record<string, string>
    readonly extra?: StdioOptions & ReadonlyArray<unknown>
    readonly ownFull?: boolean
  } = {}
): Promise<Driver> => {
  const script = path.join(import.meta.dirname, "sandboxDriver.ts")
  const plain = [process.execPath, "--disable-warning=ExperimentalWarning", script, String(user.uid)] as const
  const [program, ...args] = options.ownFull === true ? apart(plain) : plain
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "inherit", ...((options.extra ?? []) as Array<number>)],
    env: { PATH: "/usr/bin:/bin", ...options.env }
  })
  const stdin = child.stdin as Writable
  const waiting = new Map<
    number,
    { readonly done: (answer: DriverAnswer) => void; readonly failed: (why: Error) => void }
  >()
  let last = 0
  return new Promise((resolve, reject) => {
    child.on("exit", (code, signal) => {
      const why = new Error(`the driver ended with ${code ?? signal}`)
      reject(why)
      for (const { failed } of waiting.values()) failed(why)
    })
    readline.createInterface({ input: child.stdout as Readable }).on("line", (line) => {
      if (line !== "ready") {
        const answer = JSON.parse(line) as DriverAnswer
        waiting.get(answer.id)?.done(answer)
        waiting.delete(answer.id)
        return
      }
      resolve({
        process: child,
        run: ({ workspace, argv, mode = "read-write", limits = {}, without = [], hidden = [] }) =>
          new Promise((done, failed) => {
            last += 1
            const request: DriverRequest = { id: last, workspace, argv, mode, limits, without, hidden }
            waiting.set(last, { done, failed })
            stdin.write(`${JSON.stringify(request)}\n`)
          }),
        stop: () => stdin.end()
      })
    })
  })
}
