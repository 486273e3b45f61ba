import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Bench } from "../../.ci/bench.ts"

const command = join(import.meta.dirname, "../../dist/ai-desk.js")
if (!existsSync(command)) throw new Error("dist/ai-desk.js is missing. Run: npm run build")

const empty = mkdtempSync(join(tmpdir(), "bench-start-"))
process.once("exit", () => rmSync(empty, { recursive: true, force: true }))

const node = (...args: ReadonlyArray<string>) => {
  const child = spawnSync(process.execPath, args, { cwd: empty, env: { PATH: process.env["PATH"], HOME: empty } })
  if (child.status !== 0) throw new Error(`${args.join(" ")} ended with ${child.status}: ${child.stderr}`)
}
const floor = { name: "node -e ''", run: () => node("-e", "") }

export const benches: ReadonlyArray<Bench> = [
  {
    name: "ai-desk --version",
    floor,
    run: () => node(command, "--version"),
    rounds: 20,
    warmup: 3,
    goals: { ratio: 4 }
  },
  { name: "ai-desk --help", floor, run: () => node(command, "--help"), rounds: 20, warmup: 3, goals: { ratio: 8 } },
  {
    name: "ai-desk agent list",
    floor,
    run: () => node(command, "agent", "list"),
    rounds: 20,
    warmup: 3,
    goals: { ratio: 8 }
  }
]
