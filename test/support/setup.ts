/**
 * Runs before every test file. Guarantees: no test reaches beyond this machine, neither itself nor by
 * a Node process it starts, and the test that tried fails even if it swallowed the error; no test sees
 * a provider key or a configuration of the person who runs the suite.
 */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "network-log-"))
const log = join(folder, "attempts")
writeFileSync(log, "")
process.env.TEST_NETWORK_LOG = log

const guard = new URL("./network.mjs", import.meta.url).href
await import(guard)
if (!(process.env.NODE_OPTIONS ?? "").includes(guard)) {
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ""} --import=${guard}`.trim()
}

// A key in the developer's own environment must change no result, and must never be spent by a test.
for (const name of Object.keys(process.env)) {
  if (/(_API_KEY|_AUTH_TOKEN|_OAUTH_TOKEN)$/.test(name) || name.startsWith("AI_DESK_")) delete process.env[name]
}

/** What this worker and its child processes have tried since the last call; empties the record. */
export const takeAttempts = (): ReadonlyArray<string> => {
  const tried = readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => line !== "")
  if (tried.length > 0) truncateSync(log)
  return tried
}

export const refuseAttempts = (tried: ReadonlyArray<string>): void => {
  if (tried.length > 0) {
    throw new Error(`this test tried to leave the machine:\n  ${tried.join("\n  ")}`)
  }
}

afterEach(() => refuseAttempts(takeAttempts()))
afterAll(() => {
  const tried = takeAttempts()
  rmSync(folder, { recursive: true, force: true })
  refuseAttempts(tried)
})
