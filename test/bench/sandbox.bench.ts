/** What confinement costs on top of starting the same command plainly. */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ManagedRuntime, Effect } from "effect"
import type { Bench } from "../../.ci/bench.ts"
import { layer, Sandbox } from "../../src/tools/Sandbox.ts"
import { permit } from "../support/sandbox.ts"

const workspace = mkdtempSync(join(tmpdir(), "ai-desk-bench-"))
const runtime = ManagedRuntime.make(layer)
const permitted = permit(workspace)

const plain = () =>
  new Promise<void>((resolve, reject) => {
    const child = spawn("/usr/bin/true", { stdio: ["ignore", "pipe", "pipe"] })
    child.once("error", reject)
    child.once("close", () => resolve())
  })

const sandboxed = (access: "read-only" | "read-write") =>
  runtime.runPromise(
    Effect.flatMap(Sandbox, (sandbox) => sandbox.run(permitted, { argv: ["/usr/bin/true"], workspace: access }))
  )

const clean = async () => {
  await runtime.dispose()
  rmSync(workspace, { recursive: true, force: true })
}

const entry = (access: "read-only" | "read-write"): Bench => ({
  name: `sandboxed true, workspace ${access}`,
  floor: { name: "plain spawn of true", run: plain },
  run: () => sandboxed(access),
  rounds: 100,
  goals: { overFloorMs: 12 }
})

export const benches: ReadonlyArray<Bench> = [entry("read-only"), { ...entry("read-write"), setup: () => clean }]
