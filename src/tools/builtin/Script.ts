/**
 * Script: built-in file tools as small fixed shell scripts inside the sandbox.
 *
 * Guarantees: a script's text never depends on the call; arguments reach it as positional
 * parameters and content as standard input, so nothing a model writes is ever parsed by a shell;
 * a script that was cut short by a limit is a failure, never a short result.
 */
import { Effect, Schema } from "effect"
import type { ToolLabels } from "../../domain/Labels.ts"
import { isGenuine, type Permitted } from "../../domain/Proof.ts"
import type { SandboxUnavailable } from "../../domain/Tool.ts"
import { ToolOutcome } from "../../domain/Tool.ts"
import { decodeOutput, escapeLine } from "../PlainText.ts"
import type { Command, Sandbox, SandboxResult, Stopped } from "../Sandbox.ts"
import { type Tool, ToolFailed } from "../Tool.ts"

export const stoppedWords: Record<Exclude<Stopped, "exited">, string> = {
  timeout: "it ran longer than the time limit",
  memory: "it used more than the memory limit",
  processes: "it started more processes than the limit",
  disk: "it wrote more than the disk limit",
  output: "it wrote more output than the limit"
}

/** The exit code by which a script says that the reason stands on stderr in our own words. */
export const refusal = 65

/**
 * Opens every script. `no` refuses; `enter` goes to the folder of a path as it really is (links
 * resolved) and refuses to stand outside the workspace or inside a protected folder.
 */
export const prelude = `set -fu
umask 022
export LC_ALL=C
no() { printf '%s\\n' "$1" >&2; exit ${refusal}; }
enter() {
  cd -P "./$1" 2>/dev/null || no "there is no folder $1"
  case "$PWD/" in
    /work/.git/*|/work/*/.git/*|/work/.ai-desk-data/*|/work/*/.ai-desk-data/*) [ "$2" = read ] || no "$1 leads into a protected folder" ;;
    /work/*) ;;
    *) no "$1 leads out of the workspace" ;;
  esac
}
`

export const runScript = (
  sandbox: typeof Sandbox.Service,
  permitted: Permitted,
  script: string,
  args: ReadonlyArray<string>,
  options: Pick<Command, "workspace"> & { readonly stdin?: Uint8Array }
): Effect.Effect<SandboxResult, ToolFailed | SandboxUnavailable> =>
  Effect.flatMap(
    sandbox.run(permitted, { argv: ["/bin/sh", "-c", prelude + script, permitted.tool, ...args], ...options }),
    (result) => {
      if (result.stopped !== "exited") return fail(permitted.tool, `stopped: ${stoppedWords[result.stopped]}`)
      if (result.exitCode === 0) return Effect.succeed(result)
      const said = escapeLine(decodeOutput(result.stderr).trim(), 500)
      return fail(
        permitted.tool,
        result.exitCode === refusal ? said : `exit code ${result.exitCode}${said === "" ? "" : `: ${said}`}`
      )
    }
  )

export const fail = (tool: string, detail: string): Effect.Effect<never, ToolFailed> =>
  Effect.fail(new ToolFailed({ tool, detail }))

/** The first `count` lines of script output and the bytes after them. */
export const headerOf = (
  bytes: Uint8Array,
  count: number
): { readonly lines: ReadonlyArray<string>; readonly body: Uint8Array } => {
  const lines: Array<string> = []
  let from = 0
  while (lines.length < count) {
    const end = bytes.indexOf(0x0a, from)
    if (end < 0) break
    lines.push(new TextDecoder().decode(bytes.subarray(from, end)))
    from = end + 1
  }
  return { lines, body: bytes.subarray(from) }
}

export const succeeded = (content: string, result: { readonly durationMs: number }, truncated = false): ToolOutcome =>
  new ToolOutcome({ content, isError: false, truncated, durationMs: result.durationMs })

/** A built-in tool whose functions take the arguments by their type. */
export const builtin = <A extends object, I>(definition: {
  readonly name: string
  readonly description: string
  readonly labels: ToolLabels
  readonly risk: Tool["risk"]
  readonly confinement: Tool["confinement"]
  readonly parameters: Schema.Schema<A, I>
  readonly display: (args: A) => string
  readonly sinks: (args: A) => ReadonlyArray<string>
  readonly run: (args: A, permitted: Permitted) => Effect.Effect<ToolOutcome, ToolFailed | SandboxUnavailable>
}): Tool => {
  const { display, name, parameters, run, sinks } = definition
  const isArguments = Schema.is(parameters)
  return {
    ...definition,
    kind: "builtin",
    // Only decoded arguments get here; anything else is shown as it is rather than trusted.
    display: (args) => (isArguments(args) ? `${name} ${display(args)}` : `${name} ${JSON.stringify(args)}`),
    sinks: (args) => (isArguments(args) ? sinks(args) : []),
    run: (permitted) =>
      isGenuine(permitted) && permitted.tool === name && isArguments(permitted.arguments)
        ? run(permitted.arguments, permitted)
        : fail(name, "the leave to run is forged, or is for another tool or another shape of arguments")
  }
}

/** Text that a model may send: whole Unicode, so that what was shown is what is written. */
export const wellFormed = (text: string): string | undefined =>
  text.isWellFormed() ? (text.includes("\0") ? "must not contain a NUL character" : undefined) : "must be valid Unicode"
