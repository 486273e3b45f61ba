/**
 * Ends every test run with one plain line, alone: `tests: N passed, N failed, N skipped`.
 * A file that could not be loaded and an error outside any test count as failed. Under CI=true a
 * skipped test fails the run, and so does a run without tests, so that green means "all of it ran".
 */
import type { Reporter, SerializedError, TestModule } from "vitest/node"

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<SerializedError>): void {
    const count = { passed: 0, failed: unhandled.length, skipped: 0 }
    for (const module of modules) {
      const before = count.failed
      for (const test of module.children.allTests()) {
        const state = test.result().state
        count[state === "pending" ? "failed" : state] += 1
      }
      if (count.failed === before && module.state() === "failed") count.failed += 1
      if (
        module.state() === "skipped" &&
        module.errors().length === 0 &&
        [...module.children.allTests()].length === 0
      ) {
        count.skipped += 1
      }
    }
    const incomplete = count.skipped > 0 || count.passed + count.failed === 0
    if (count.failed > 0 || (process.env["CI"] === "true" && incomplete)) process.exitCode = 1
    const line = `\ntests: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`
    // The default reporter writes its own summary after this call; the plain line has to stand last.
    process.once("exit", () => process.stdout.write(line))
  }
}
