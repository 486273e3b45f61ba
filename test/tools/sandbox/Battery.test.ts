/**
 * Every class of escape tried from inside a command, as each user; and for each guard proof that it
 * is needed: without it, the attempts it holds succeed.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { openRange, type Range } from "../../support/sandboxRange.ts"
import { type Driver, startDriver, users } from "../../support/sandboxUsers.ts"
import type { Guard } from "../../../src/tools/sandbox/Profile.ts"
import type { Attempt } from "./battery/case.ts"
import { environment } from "./battery/environment.ts"
import { exhaustion } from "./battery/exhaustion.ts"
import { kernel } from "./battery/kernel.ts"
import { network } from "./battery/network.ts"
import { reading } from "./battery/reading.ts"
import { writing } from "./battery/writing.ts"

const classes: Record<string, ReadonlyArray<Attempt>> = { reading, writing, network, kernel, exhaustion, environment }
const attempts = Object.values(classes).flat()

describe.each(users)("as $name", (user) => {
  let driver: Driver
  let range: Range
  beforeAll(async () => {
    range = await openRange(user.uid)
    driver = await startDriver(user, { env: { CANARY_ENV: "CANARY", AI_DESK_MASTER_KEY: "CANARY" } })
  })
  afterAll(() => {
    driver.stop()
    range.close()
  })

  const attempt = async ({ script, limits }: Attempt, without: ReadonlyArray<Guard> = []) => {
    const env = { OUTSIDE: range.outside, PORT: String(range.port), GATEWAY: String(driver.process.pid) }
    const answer = await driver.run({
      workspace: await range.workspace(),
      argv: ["/bin/sh", "-c", `${script}\necho TRIED`],
      limits: { ...limits, env },
      without
    })
    return { ...answer, escaped: answer.out.includes("ESCAPED"), tried: answer.out.includes("TRIED") }
  }

  describe.each(Object.keys(classes))("%s is confined", (name) => {
    it.concurrent.each(classes[name] ?? [])("$id $what", async (tried) => {
      const result = await attempt(tried)
      expect(result.unavailable).toBeUndefined()
      expect(result.out).not.toContain("ESCAPED")
      expect(tried.ends ?? ["exited"]).toContain(result.stopped)
      // An ended tree or a refused fork says nothing more; every other script must have got to its end.
      if (tried.ends === undefined) expect(result.out, result.err).toContain("TRIED")
    })
  })

  const held = attempts.flatMap((one) => (one.heldBy === undefined ? [] : [{ ...one, guard: one.heldBy }]))
  it.concurrent.each(held)("without $guard, $id ($what) escapes", async (one) => {
    const result = await attempt(one, [one.guard])
    expect(result.unavailable).toBeUndefined()
    expect(result.escaped, `${result.out}${result.err} ${result.stopped}`).toBe(true)
  })
})
