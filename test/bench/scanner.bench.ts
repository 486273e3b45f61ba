import type { Bench } from "../../.ci/bench.ts"
import { inspect } from "../../src/agent/threats/Inspect.ts"
import { hostile } from "../agent/threats/hostile.ts"
import { everyday } from "../agent/threats/messages.ts"

const prose = (size: number) => everyday.slice(0, 30).join("\n").repeat(60).slice(0, size)
const lower = (text: string) => ({ name: "normalize + toLowerCase", run: () => text.normalize("NFKC").toLowerCase() })

const scan = (name: string, text: string, p50Ms: number): Bench => ({
  name,
  floor: lower(text),
  run: () => inspect(text),
  rounds: 40,
  warmup: 8,
  goals: { p50Ms }
})

const worst = hostile(102_400)

/** Worst shapes known, found by trying every hostile input of the test suite. */
export const benches: ReadonlyArray<Bench> = [
  scan("scan 2 KB of ordinary text", prose(2048), 2),
  scan("scan 100 KB of ordinary text", prose(102_400), 20),
  scan("scan 100 KB: nested base64", worst["base64Nested"]!, 20),
  scan("scan 100 KB: spaces", worst["spaces"]!, 20),
  scan("scan 100 KB: images", worst["images"]!, 20),
  scan("scan 100 KB: rule words", worst["manyRules"]!, 20),
  scan("scan 100 KB: base64 junk", worst["base64Junk"]!, 20),
  scan("scan 100 KB: every view at once", worst["everyView"]!, 100)
]
