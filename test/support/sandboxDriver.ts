/**
 * A gateway in miniature for tests that need one of its own: run as another user, killed from
 * outside, or started with descriptors left open. Requests come as JSON lines on stdin, answers go
 * out as JSON lines. Modules are loaded before the user changes, so the checkout need not be readable.
 */
import * as readline from "node:readline"
import { Effect, Either } from "effect"
import type { SandboxLimits } from "../../src/domain/Agent.ts"
import { makeWith } from "../../src/tools/Sandbox.ts"
import type { Guard } from "../../src/tools/sandbox/Profile.ts"
import { permit } from "./sandbox.ts"

export interface DriverRequest {
  readonly id: number
  readonly workspace: string
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  readonly mode: "read-only" | "read-write"
  readonly limits: Partial<SandboxLimits>
  readonly without: ReadonlyArray<Guard>
  readonly hidden: ReadonlyArray<string>
}

export interface DriverAnswer {
  readonly id: number
  readonly out: string
  readonly err: string
  readonly exitCode: number
  readonly stopped: string
  readonly truncated: boolean
  readonly bytes: number
  /** Set when the sandbox refused. */
  readonly unavailable?: string
}

const uid = Number(process.argv[2] ?? 0)
if (uid !== 0 && process.getuid?.() === 0) {
  process.setgroups?.([])
  process.setgid?.(uid)
  process.setuid?.(uid)
}

const answer = (request: DriverRequest): Effect.Effect<DriverAnswer> =>
  makeWith({ skipSelfTest: true, without: new Set(request.without), hidden: request.hidden }).pipe(
    Effect.flatMap((sandbox) =>
      sandbox.run(permit(request.workspace, request.limits), { argv: request.argv, workspace: request.mode })
    ),
    Effect.either,
    Effect.map((result) =>
      Either.isLeft(result)
        ? {
            ...{ id: request.id, out: "", err: "", exitCode: -1, stopped: "refused", truncated: false, bytes: 0 },
            unavailable: result.left.message
          }
        : {
            id: request.id,
            out: Buffer.from(result.right.stdout).toString("latin1").slice(0, 20_000),
            err: Buffer.from(result.right.stderr).toString("latin1").slice(0, 20_000),
            exitCode: result.right.exitCode,
            stopped: result.right.stopped,
            truncated: result.right.truncated,
            bytes: result.right.stdout.length + result.right.stderr.length
          }
    )
  )

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  // Written by the test that started this process.
  const request = JSON.parse(line) as DriverRequest
  void Effect.runPromise(answer(request)).then((result) => process.stdout.write(`${JSON.stringify(result)}\n`))
})
process.stdout.write("ready\n")
