import { spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, describe, expect, it } from "vitest"

/** The command as the build lays it out, with a program of our own behind it. */
const folder = mkdtempSync(join(tmpdir(), "bin-test-"))
const bin = join(folder, "dist/ai-desk.js")
mkdirSync(join(folder, "dist"))
copyFileSync(join(import.meta.dirname, "../.ci/bin.js"), bin)
writeFileSync(join(folder, "package.json"), `{ "type": "module" }`)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const program = (text: string) => writeFileSync(join(folder, "dist/main.js"), text)
const run = (...args: ReadonlyArray<string>) => spawnSync(process.execPath, [bin, ...args], { encoding: "utf8" })

/** Starts the command in a Node that says it is `version`. */
const runAs = (version: string) =>
  spawnSync(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `Object.defineProperty(process.versions, "node", { value: "${version}" }); await import("${pathToFileURL(bin)}")`
    ],
    { encoding: "utf8" }
  )

describe("bin", () => {
  it.each(["18.20.0", "20.20.2", "22.17.1"])("refuses Node %s in one sentence", (version) => {
    program("process.stdout.write('started')")
    const { status, stdout, stderr } = runAs(version)
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" })
    expect(stderr).toContain(`needs Node.js 22.18 or newer, this is ${version}`)
    expect(stderr).toContain("Fix:")
  })

  it.each(["22.18.0", "24.0.0", "26.1.0"])("starts on Node %s", (version) => {
    program("process.stdout.write('started')")
    expect(runAs(version)).toMatchObject({ status: 0, stdout: "started", stderr: "" })
  })

  it("answers --version without loading the program", () => {
    program("throw new Error('loaded')")
    expect(run("--version")).toMatchObject({ status: 0, stdout: "AI_DESK_VERSION\n", stderr: "" })
  })

  it("leaves --version with anything beside it to the program", () => {
    program("process.stdout.write(process.argv.slice(2).join())")
    expect(run("--version", "x")).toMatchObject({ status: 0, stdout: "--version,x" })
  })

  it("says in one sentence that the program cannot be loaded", () => {
    program("import 'a-package-that-is-not-there'")
    const { status, stderr } = run("agent")
    expect(status).toBe(1)
    expect(stderr).toContain("ai-desk: cannot start: Cannot find package 'a-package-that-is-not-there'")
    expect(stderr).not.toMatch(/^\s+at /m)
  })

  it("keeps compiled code inside the package, closed to other users' writes", () => {
    program("process.umask() === 0o22 ? 0 : process.exit(3)")
    const { status } = spawnSync("sh", ["-c", `umask 0 && exec "$0" "$1" agent`, process.execPath, bin])
    expect(status).toBe(0)
    expect(readdirSync(join(folder, ".cache/compile")).length).toBeGreaterThan(0)
  })
})
