/**
 * The command line as a process of its own, with an environment that holds nothing but what the test
 * gives; and a search for secrets in whatever was left behind.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { lstatSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"

const root = join(import.meta.dirname, "../..")
const main = join(root, "src/main.ts")

export interface Finished {
  readonly argv: ReadonlyArray<string>
  /** The exit code, or the signal that ended it. */
  readonly code: number | NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin?: string
  /** Called once it has started. */
  readonly onStart?: (child: ChildProcess) => void
}

/** Runs one command line to its end. Interruption kills it. */
export const cli = (argv: ReadonlyArray<string>, options: CliOptions): Effect.Effect<Finished> =>
  Effect.async((resume) => {
    const child = spawn(process.execPath, [main, ...argv], {
      cwd: options.cwd,
      // The guard that keeps tests on this machine goes with them.
      env: {
        PATH: process.env["PATH"],
        NODE_OPTIONS: process.env["NODE_OPTIONS"],
        TEST_NETWORK_LOG: process.env["TEST_NETWORK_LOG"],
        NODE_COMPILE_CACHE: join(root, "node_modules/.cache/compiled"),
        ...options.env
      },
      stdio: "pipe"
    })
    const out = { stdout: "", stderr: "" }
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out.stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (out.stderr += text))
    // A program that does not read its stdin closes it.
    child.stdin.on("error", () => undefined).end(options.stdin ?? "")
    child.once("close", (code, signal) => resume(Effect.succeed({ argv, code: code ?? signal, ...out })))
    options.onStart?.(child)
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Base64 looks different at each of the three offsets; the characters that depend on neighbours are left out. */
const base64Forms = (secret: string): ReadonlyArray<string> =>
  [0, 1, 2].flatMap((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), Buffer.from(secret)]).toString("base64")
    const sure = text.slice(offset === 0 ? 0 : 4, text.length - 4)
    return [sure, sure.replaceAll("+", "-").replaceAll("/", "_")]
  })

/** What a secret can look like in a file or an output. */
export const formsOf = (secret: string): ReadonlyArray<string> => [
  secret,
  JSON.stringify(secret).slice(1, -1),
  encodeURIComponent(secret),
  encodeURI(secret),
  Buffer.from(secret).toString("hex"),
  Buffer.from(secret).toString("hex").toUpperCase(),
  ...base64Forms(secret)
]

export interface Hit {
  readonly secret: string
  readonly form: string
  readonly where: string
}

/** Every secret of these (by name) that a text holds, in any form. */
export const hitsIn = (where: string, text: string, secrets: Readonly<Record<string, string>>): ReadonlyArray<Hit> =>
  Object.entries(secrets).flatMap(([name, secret]) =>
    formsOf(secret).flatMap((form) => (text.includes(form) ? [{ secret: name, form, where }] : []))
  )

/** Every file below a folder with its bytes as text; links are not followed. */
export const filesBelow = (folder: string): ReadonlyArray<readonly [path: string, text: string]> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => lstatSync(path).isFile())
    // Names count as well: a secret in a name is as readable as one in the contents.
    .map((path) => [path, `${path}\n${readFileSync(path).toString("latin1")}`])

/** Parent of a process; 0 when it has ended. */
const parentOf = (pid: number): number => {
  try {
    // The name in parentheses may hold anything, also spaces and parentheses.
    return Number(
      readFileSync(`/proc/${pid}/stat`, "latin1")
        .replace(/^.*\) \S /s, "")
        .split(" ")[0]
    )
  } catch {
    return 0
  }
}

export interface Processes {
  /** Visible to everyone on the machine. */
  readonly commandLines: string
  /** Of what the process has started, not its own. */
  readonly environments: string
}

/** A process and all below it, now. */
export const processesOf = (root: number): Processes => {
  const parents = new Map(
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [Number(name), parentOf(Number(name))])
  )
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid) ?? 0
    return parent === root || (parent > 1 && isBelow(parent))
  }
  const read = (pid: number, what: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${what}`, "latin1").replaceAll("\0", " ")
    } catch {
      // It ended while we looked.
      return ""
    }
  }
  const started = [...parents.keys()].filter((pid) => pid !== root && isBelow(pid))
  const own = read(root, "cmdline")
  // A child between fork and exec is still a copy of its parent, words and environment alike: nothing was handed to it
  // yet. The command line is read first, so that what it says was true before the environment is read.
  const handed = started
    .map((pid) => ({ commandLine: read(pid, "cmdline"), environment: read(pid, "environ") }))
    .filter(({ commandLine }) => commandLine !== own)
  return {
    commandLines: [own, ...handed.map(({ commandLine }) => commandLine)].join("\n"),
    environments: handed.map(({ environment }) => environment).join("\n")
  }
}
