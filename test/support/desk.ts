/** The gateway as a process of its own, as a person starts it: over an empty folder, or over one that is set up. */
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { Effect } from "effect"
import { cli } from "./e2e-cli.ts"

const root = join(import.meta.dirname, "../..")
const main = join(root, "src/main.ts")

export interface Running {
  readonly child: ChildProcess
  /** Everything that it has printed, without colours. */
  readonly said: () => string
  /** Waits until it has said this. */
  readonly says: (what: RegExp) => Effect.Effect<RegExpExecArray>
}

const environment = (dir: string) => ({
  PATH: process.env["PATH"],
  NODE_OPTIONS: process.env["NODE_OPTIONS"],
  TEST_NETWORK_LOG: process.env["TEST_NETWORK_LOG"],
  NODE_COMPILE_CACHE: join(root, "node_modules/.cache/compiled"),
  HOME: dir,
  AI_DESK_LOG_LEVEL: "error"
})

/** Ends with the scope. */
export const start = (dir: string, ...words: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync((): Running => {
      const child = spawn(process.execPath, [main, "gateway", "--port", "0", ...words], {
        cwd: dir,
        env: environment(dir),
        stdio: ["ignore", "pipe", "pipe"]
      })
      let text = ""
      const more = new Set<() => void>()
      const take = (chunk: string) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
        text += chunk.replaceAll(/\u001b\[[0-9;]*m/g, "")
        for (const look of more) look()
      }
      child.stdout?.setEncoding("utf8").on("data", take)
      child.stderr?.setEncoding("utf8").on("data", take)
      const says = (what: RegExp): Effect.Effect<RegExpExecArray> =>
        Effect.async((resume) => {
          const look = () => {
            const found = what.exec(text)
            if (found === null) return
            more.delete(look)
            resume(Effect.succeed(found))
          }
          const gone = () => resume(Effect.die(new Error(`the gateway ended before it said ${what}:\n${text}`)))
          more.add(look)
          child.once("close", gone)
          look()
        })
      return { child, said: () => text, says }
    }),
    ({ child }) =>
      Effect.async<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("close", () => resume(Effect.void))
        child.kill("SIGTERM")
      })
  )

/** Sets a folder up as `onboard --yes` does; the first token. */
export const onboarded = (dir: string, ...words: ReadonlyArray<string>) =>
  Effect.map(cli(["onboard", "--yes", "--json", ...words], { cwd: dir, env: environment(dir) }), (ended) => {
    if (ended.code !== 0) throw new Error(ended.stderr)
    const { token }: { readonly token: string } = JSON.parse(ended.stdout)
    return token
  })

/** Where a gateway that is set up can be reached. */
export const listening = (desk: Running) =>
  Effect.map(desk.says(/listens on (http:\/\/127\.0\.0\.1:\d+)/), (found) => found[1] ?? "")
