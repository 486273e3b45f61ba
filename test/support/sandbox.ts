/** Ways to run something in the real sandbox from a test: in this process, or in a driver process of another user. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import type { SandboxLimits } from "../../src/domain/Agent.ts"
import { RunId, SessionId, ToolCallId } from "../../src/domain/Ids.ts"
import { mintPermitted, type Permitted } from "../../src/domain/Proof.ts"
import { type Command, makeWith, type SandboxOptions } from "../../src/tools/Sandbox.ts"
import { testAgent, testLimits } from "./agent.ts"

export interface Place {
  readonly root: string
  /** The agent's workspace. */
  readonly workspace: string
  /** Beside it: what must stay out of reach. */
  readonly outside: string
}

/** A workspace and something beside it, both owned by `uid`; removed with the scope. Not below /tmp, which a sandbox covers anyway. */
export const place = (uid?: number) =>
  Effect.acquireRelease(
    Effect.sync((): Place => {
      const base = uid === undefined || process.getuid?.() !== 0 ? os.tmpdir() : "/var/tmp"
      const root = fs.mkdtempSync(path.join(base, "ai-desk-test-"))
      const made = { root, workspace: path.join(root, "workspace"), outside: path.join(root, "outside") }
      for (const folder of [made.workspace, made.outside]) fs.mkdirSync(folder)
      fs.writeFileSync(path.join(made.outside, "canary"), "CANARY-7f3a\n")
      if (uid !== undefined && process.getuid?.() === 0) {
        for (const file of [root, made.workspace, made.outside, path.join(made.outside, "canary")]) {
          fs.chownSync(file, uid, uid)
        }
      }
      return made
    }),
    ({ root }) => Effect.sync(() => fs.rmSync(root, { recursive: true, force: true }))
  )

export const permit = (workspace: string, limits: Partial<SandboxLimits> = {}, args: unknown = {}): Permitted =>
  mintPermitted({
    tool: "execute_command",
    arguments: args,
    agent: testAgent({ workspace, sandbox: testLimits(limits) }),
    session: SessionId.make("sess-00000000000000000000000000"),
    run: RunId.make("run-00000000000000000000000000"),
    call: ToolCallId.make("call-1"),
    callHash: "00",
    by: "policy"
  })

export const sh = (script: string, ...rest: ReadonlyArray<string>): Command => ({
  argv: ["/bin/sh", "-c", script, "sh", ...rest],
  workspace: "read-write"
})

/** Runs a script with the self-test skipped, as the battery tries single walls. */
export const runScript = (
  workspace: string,
  script: string,
  limits: Partial<SandboxLimits> = {},
  options: Partial<SandboxOptions> = {}
) =>
  makeWith({ skipSelfTest: true, ...options }).pipe(
    Effect.flatMap((sandbox) => sandbox.run(permit(workspace, limits), sh(script))),
    Effect.map((result) => ({
      ...result,
      out: new TextDecoder().decode(result.stdout),
      err: new TextDecoder().decode(result.stderr)
    }))
  )
