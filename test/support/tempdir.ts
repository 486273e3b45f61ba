/** A folder of its own for a test, gone when the scope closes. */
import { chmodSync, mkdtempSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"

/** Absolute and without links in it, mode 0700. */
export const tempDir = Effect.acquireRelease(
  Effect.sync(() => realpathSync(mkdtempSync(join(tmpdir(), "ai-desk-test-")))),
  (dir) =>
    Effect.sync(() => {
      // A test may have taken its own right to delete.
      chmodSync(dir, 0o700)
      rmSync(dir, { recursive: true, force: true })
    })
)
