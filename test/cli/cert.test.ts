/** `cert` as a person uses it: what is printed, what is written, and what is never either. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Path from "../support/path.ts"
import { cli, expectRefusal } from "./support.ts"

const setUp = Effect.map(Path.place(), ({ dir, options }) => ({
  dir,
  run: (...words: ReadonlyArray<string>) => cli(["cert", ...words], { cwd: dir, env: options.env ?? {} })
}))

describe("cert", () => {
  it.live("makes an authority once, issues, lists and revokes", () =>
    Effect.gen(function* () {
      const { dir, run } = yield* setUp
      expect((yield* run("list")).stdout).toContain("ai-desk cert init")
      expectRefusal(yield* run("issue", "laptop"), { code: 2, says: /no certificate authority yet/ })
      expect((yield* run("init")).stdout).toContain("the authority is made")
      expect((yield* run("init")).stdout).toContain("there was an authority already")

      const issued = yield* run("issue", "my laptop", "--scope", "read", "--days", "3", "--json")
      expect(issued.code, issued.stderr).toBe(0)
      const told = JSON.parse(issued.stdout) as { info: { id: string }; files: Record<string, string> }
      expect(told.info).toMatchObject({ label: "my laptop", scope: "read" })
      for (const path of Object.values(told.files)) expect([path, statSync(path).mode & 0o777]).toEqual([path, 0o600])
      expect(readFileSync(told.files["key"]!, "utf8")).toMatch(
        /^-----BEGIN PRIVATE KEY-----\n[^]+-----END PRIVATE KEY-----\n$/
      )
      expect(issued.stdout + issued.stderr).not.toContain("PRIVATE KEY")
      const secret = readFileSync(told.files["key"]!, "utf8").split("\n")[1]!
      expect(issued.stdout + issued.stderr).not.toContain(secret)

      const { id } = told.info
      expect((yield* run("list")).stdout).toMatch(new RegExp(`${id} +read +\\S+ \\S+ +- +my laptop`))
      expect((yield* run("revoke", id)).stdout).toContain(`${id} is revoked`)
      expect((yield* run("revoke", id)).stdout).toContain("was revoked before")
      expect((yield* run("list")).stdout).not.toMatch(new RegExp(`${id} .* - +my laptop`))
      expectRefusal(yield* run("revoke", `cert-${"0".repeat(26)}`), { code: 4, says: /there is no certificate/ })
      expect(readdirSync(dir).filter((name) => name.startsWith("."))).toEqual([])
    }).pipe(Effect.scoped)
  )

  it.live("issues nothing when there is nowhere to write it", () =>
    Effect.gen(function* () {
      const { dir, run } = yield* setUp
      yield* run("init")
      writeFileSync(join(dir, "file"), "")
      for (const out of ["nowhere", "file"]) {
        expectRefusal(yield* run("issue", "laptop", "--out", out), { code: 2, says: /cannot be written/ })
      }
      expect((yield* run("list")).stdout).toContain("no client certificates yet")
    }).pipe(Effect.scoped)
  )

  it.live("refuses labels, scopes and days that are none", () =>
    Effect.gen(function* () {
      const { run } = yield* setUp
      expectRefusal(yield* run("issue", "a\nb"), { code: 2, says: /LABEL: expected a label/ })
      expectRefusal(yield* run("issue", "a", "--scope", "root"), {
        code: 2,
        says: /--scope: expected one of owner, read/
      })
      expectRefusal(yield* run("issue", "a", "--days", "826"), {
        code: 2,
        says: /--days: expected a whole number from 1 to 825/
      })
      expectRefusal(yield* run("revoke", "laptop"), { code: 2, says: /CERTIFICATE: expected a certificate's id/ })
    }).pipe(Effect.scoped)
  )
})
