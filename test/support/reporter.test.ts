import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, describe, expect, it } from "vitest"

/** Runs the project's own runner, reporter and set-up over one small file of tests. */
const root = resolve(import.meta.dirname, "../..")
const folder = mkdtempSync(join(tmpdir(), "reporter-test-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(
  join(folder, "config.mjs"),
  `export default { test: { globals: true, include: ["sample.test.js"], reporters: ["default", "${root}/.ci/reporter.ts"],
     setupFiles: ["${root}/test/support/setup.ts"], passWithNoTests: true } }`
)
const run = (CI: string, sample: string) => {
  writeFileSync(join(folder, "sample.test.js"), sample)
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(root, "node_modules/vitest/vitest.mjs"), "run", "--root", folder, "--config", join(folder, "config.mjs")],
    { encoding: "utf8", env: { ...process.env, CI, VITEST: "", VITEST_WORKER_ID: "", VITEST_POOL_ID: "" } }
  )
  return { status, last: stdout.trimEnd().split("\n").at(-1) }
}

describe("reporter", () => {
  it("ends with the counts, alone on the last line", () => {
    expect(run("true", `it("a", () => {}); it("b", () => {})`)).toEqual({
      status: 0,
      last: "tests: 2 passed, 0 failed, 0 skipped"
    })
  })

  it("fails a run that skips, but only in CI", () => {
    const sample = `it("a", () => {}); it.skip("b", () => {}); it.todo("c")`
    expect(run("true", sample)).toEqual({ status: 1, last: "tests: 1 passed, 0 failed, 2 skipped" })
    expect(run("", sample)).toEqual({ status: 0, last: "tests: 1 passed, 0 failed, 2 skipped" })
  })

  it("counts a file that cannot be loaded as failed", () => {
    expect(run("true", `throw new Error("x")`)).toEqual({ status: 1, last: "tests: 0 passed, 1 failed, 0 skipped" })
  })

  it("fails a test that reaches out, even if it swallows the refusal", () => {
    const sample = `it("a", () => fetch("http://192.0.2.1:8443/").catch(() => {}))`
    expect(run("true", sample)).toEqual({ status: 1, last: "tests: 0 passed, 1 failed, 0 skipped" })
  })
})
