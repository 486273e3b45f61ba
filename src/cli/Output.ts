/**
 * Output: what a verb prints. Results go to stdout, progress and errors to stderr, so that a result
 * can be piped. Colour only on a terminal that wants it; control characters of foreign text are
 * made visible, so that nothing printed can act on the terminal.
 */
import { stripVTControlCharacters, styleText } from "node:util"
import { Context, Effect, Layer } from "effect"
import { Surroundings } from "./Surroundings.ts"

export type Style = "bold" | "dim" | "green" | "yellow" | "red" | "cyan"

export class Output extends Context.Tag("ai-desk/cli/Output")<
  Output,
  {
    /** Machine-readable results are asked for. */
    readonly json: boolean
    /** A person sits in front: stdin and stderr are terminals. */
    readonly interactive: boolean
    readonly out: (text: string) => Effect.Effect<void>
    readonly line: (text: string) => Effect.Effect<void>
    /** Progress and notes; silent with --json. */
    readonly note: (text: string) => Effect.Effect<void>
    readonly error: (text: string) => Effect.Effect<void>
    /** For notes and errors. */
    readonly style: (style: Style, text: string) => string
    /** For results. */
    readonly paint: (style: Style, text: string) => string
    /** One result: as JSON, or as the text that `human` makes. */
    readonly result: (value: unknown, human: () => string) => Effect.Effect<void>
  }
>() {}

/** Foreign text made harmless for a terminal: escape sequences go, other control characters but line breaks and tabs show as \xNN. */
export const visible = (text: string): string =>
  stripVTControlCharacters(text).replaceAll(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is the point
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\x${c.codePointAt(0)!.toString(16).padStart(2, "0")}`
  )

/** Columns padded to the widest cell, two spaces apart. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows.reduce<Array<number>>((all, row) => {
    row.forEach((cell, i) => {
      all[i] = Math.max(all[i] ?? 0, stripVTControlCharacters(cell).length)
    })
    return all
  }, [])
  const pad = (cell: string, i: number, row: ReadonlyArray<string>) =>
    i === row.length - 1
      ? cell
      : cell + " ".repeat(Math.max(0, (widths[i] ?? 0) - stripVTControlCharacters(cell).length))
  return rows
    .map((row) =>
      row
        .map((cell, i) => pad(cell, i, row))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

const write = (stream: NodeJS.WritableStream, text: string) =>
  Effect.async<void>((resume) => {
    // A reader that went away (`| head`) is no error of ours; what is left to say is dropped.
    stream.write(text, () => resume(Effect.void))
  })

export const layer = (json: boolean): Layer.Layer<Output, never, Surroundings> =>
  Layer.effect(
    Output,
    Effect.map(Surroundings, ({ stderr, stdin, stdout }) => {
      const line = (text: string) => write(stdout, `${text}\n`)
      return Output.of({
        json,
        interactive: !json && stdin.isTTY === true && stderr.isTTY === true,
        out: (text) => write(stdout, text),
        line,
        note: (text) => (json ? Effect.void : write(stderr, `${text}\n`)),
        error: (text) => write(stderr, `${text}\n`),
        style: (style, text) => styleText(style, text, { stream: stderr }),
        paint: (style, text) => styleText(style, text, { stream: stdout }),
        result: (value, human) => line(json ? JSON.stringify(value) : human())
      })
    })
  )
