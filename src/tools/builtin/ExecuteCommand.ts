/**
 * execute_command: a shell command in the workspace, inside the sandbox, without network.
 *
 * Guarantees: the model chooses the command and nothing else: folder, environment, limits and
 * confinement are the owner's; the exit code and what ended the command are always stated; output
 * is text without control characters.
 */
import { Effect, Schema } from "effect"
import { ToolLabels } from "../../domain/Labels.ts"
import { ToolOutcome } from "../../domain/Tool.ts"
import { decodeOutput, marked } from "../PlainText.ts"
import type { Sandbox, SandboxResult } from "../Sandbox.ts"
import type { Tool } from "../Tool.ts"
import { builtin, stoppedWords, wellFormed } from "./Script.ts"

/** One argument of a process may have 128 KiB on Linux. */
const maxCommand = 100_000

const parameters = Schema.Struct({
  command: Schema.String.pipe(
    Schema.filter(
      (text) =>
        wellFormed(text) ??
        (text.trim() === ""
          ? "must not be empty"
          : Buffer.byteLength(text) > maxCommand
            ? `must be at most ${maxCommand} bytes; write a file and run that`
            : undefined),
      { description: "Command line for the shell.", jsonSchema: { minLength: 1, maxLength: maxCommand } }
    )
  )
})

/** `--` keeps a command that begins with a dash from being read as the shell's own option. */
const script = `if [ -x /bin/bash ]; then exec /bin/bash -c -- "$1"; else exec /bin/sh -c -- "$1"; fi`

const textOf = (result: SandboxResult): string => {
  const stdout = decodeOutput(result.stdout)
  const stderr = decodeOutput(result.stderr)
  const ending =
    result.stopped === "exited"
      ? `[exit code ${result.exitCode}]`
      : `[stopped: ${stoppedWords[result.stopped]}; exit code ${result.exitCode}]`
  return [
    stdout.trimEnd(),
    stderr.trim() === "" ? "" : `[stderr]\n${stderr.trimEnd()}`,
    result.truncated ? "[the output was cut]" : "",
    ending
  ]
    .filter((part) => part !== "")
    .join("\n")
}

export const executeCommand = (sandbox: typeof Sandbox.Service): Tool =>
  builtin({
    name: "execute_command",
    description:
      "Runs a shell command in the workspace and returns its output and exit code. There is no network, and nothing outside the workspace can be reached.",
    // Its output may be anything that lies in the workspace, but nothing can come in from outside: no network.
    labels: new ToolLabels({ source: "trusted", readsPrivate: true, effect: "local" }),
    risk: "high",
    confinement: "sandbox",
    parameters,
    display: ({ command }) => `\n${marked("|", `${command}\n`)}`,
    sinks: ({ command }) => [command],
    run: ({ command }, permitted) =>
      Effect.map(
        sandbox.run(permitted, { argv: ["/bin/sh", "-c", script, "sh", command], workspace: "read-write" }),
        (result) =>
          new ToolOutcome({
            content: textOf(result),
            isError: result.stopped !== "exited" || result.exitCode !== 0,
            truncated: result.truncated,
            durationMs: result.durationMs,
            exitCode: result.exitCode
          })
      )
  })
