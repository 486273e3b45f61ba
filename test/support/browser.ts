/** A real Chromium with a fresh profile, without a network of its own; pages whose every breach of the content policy is a failed test. */
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core"

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // A test must not leave the machine, whatever a page asks for.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
]

const executable = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
})

/** Until the scope closes. */
export const launch = (options: BrowserContextOptions = {}) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      if (executable === undefined) throw new Error("no Chromium; run: npm run setup -- --test")
      const profile = mkdtempSync(join(tmpdir(), "ai-desk-chromium-"))
      const context = await chromium.launchPersistentContext(profile, {
        ...options,
        executablePath: executable,
        chromiumSandbox: false,
        args: flags,
        env: { HOME: profile, PATH: process.env["PATH"] ?? "" }
      })
      return { context, profile }
    }),
    ({ context, profile }) =>
      Effect.promise(async () => {
        await context.close()
        rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
      })
  ).pipe(Effect.map(({ context }) => context))

export interface Watched {
  readonly page: Page
  /** Errors, warnings and breaches of the content policy that the page has met so far. */
  readonly complaints: Array<string>
}

/** A page that writes down what goes wrong in it. Refusals that a test provokes are in there too. */
export const newPage = (context: BrowserContext) =>
  Effect.promise(async (): Promise<Watched> => {
    const page = await context.newPage()
    page.setDefaultTimeout(30_000)
    const complaints: Array<string> = []
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`)
    })
    page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`))
    page.on("dialog", (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    return { page, complaints }
  })
