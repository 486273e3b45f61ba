/**
 * Surroundings: the process that a command line runs in, as far as verbs may see it. Tests and other
 * programs give their own; nothing else of the CLI touches `process`.
 */
import { Context, Effect, Layer } from "effect"

export class Surroundings extends Context.Tag("ai-desk/cli/Surroundings")<
  Surroundings,
  {
    readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean }
    readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number }
    readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean }
    /** Stands for the environment; absent: the process's own, which only Settings reads. */
    readonly env?: Readonly<Record<string, string | undefined>>
    /** Absolute; absent: where the process was started. */
    readonly cwd?: string
    /** Node and the script that a service is to start, absolute; absent: this very program's. */
    readonly program?: readonly [node: string, script: string]
    /** What the process exits with when it is told to stop from now on; 130 otherwise. */
    readonly ending?: (code: number) => Effect.Effect<void>
  }
>() {}

export const layer: Layer.Layer<Surroundings> = Layer.sync(Surroundings, () => ({
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  ending: (code: number) =>
    Effect.sync(() => {
      process.exitCode = code
    })
}))
