/**
 * Surroundings: the process that a command line runs in, as far as verbs may see it. Tests and other
 * programs give their own; nothing else of the CLI touches `process`.
 */
import { Context, Layer } from "effect"

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
  }
>() {}

export const layer: Layer.Layer<Surroundings> = Layer.sync(Surroundings, () => ({
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr
}))
