/**
 * read_file: a piece of one regular file of the workspace, as text.
 *
 * Guarantees: reads at most `limit` bytes however large the file claims to be; a pipe, device,
 * socket or folder is refused without opening it; a piece never ends inside a character, and says
 * where the next one begins.
 */
import { Effect, Schema } from "effect"
import { ToolLabels } from "../../domain/Labels.ts"
import { decodeOutput } from "../PlainText.ts"
import type { Sandbox } from "../Sandbox.ts"
import type { Tool } from "../Tool.ts"
import { splitPath, tidy, WorkspacePath } from "./Paths.ts"
import { builtin, fail, headerOf, runScript, succeeded } from "./Script.ts"

/** Bytes; about 16,000 tokens. */
const defaultLimit = 65_536

const Whole = Schema.Number.pipe(Schema.int({ title: "" }))

const parameters = Schema.Struct({
  path: WorkspacePath,
  offset: Schema.optionalWith(
    Whole.pipe(
      Schema.between(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, {
        description: "Byte to start at, from 0; negative counts from the end. Default 0."
      })
    ),
    { exact: true }
  ),
  limit: Schema.optionalWith(
    Whole.pipe(Schema.between(1, 1_048_576, { description: `Most bytes to read. Default ${defaultLimit}.` })),
    { exact: true }
  )
})

/** dir, name, path, offset, limit → `size offset` on a line, then the bytes. */
const script = `
enter "$1" read
f=$(readlink -e -- "./$2") || no "there is no file $3"
case $f/ in /work/*) ;; *) no "$3 is a link that leads out of the workspace" ;; esac
[ ! -d "$f" ] || no "$3 is a folder; use list_files"
[ -f "$f" ] || no "$3 is not a regular file (it is a device, a pipe or a socket)"
[ -r "$f" ] || no "$3 may not be read"
size=$(stat -c %s -- "$f") || no "$3 may not be read"
from=$4
if [ "$from" -lt 0 ]; then from=$((size + from)); [ "$from" -ge 0 ] || from=0; fi
printf '%s\\n%s\\n' "$size" "$from"
[ "$from" -lt "$size" ] || exit 0
exec dd if="$f" iflag=nonblock,skip_bytes,count_bytes,fullblock bs=65536 skip="$from" count="$5" status=none
`

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80

/** Bytes at the start that continue a character begun before, and bytes at the end that begin one they do not finish. */
export const characterEdges = (bytes: Uint8Array): { readonly start: number; readonly end: number } => {
  let start = 0
  while (start < 3 && isContinuation(bytes[start])) start += 1
  let last = bytes.length - 1
  while (last > bytes.length - 4 && isContinuation(bytes[last])) last -= 1
  const lead = bytes[last] ?? 0
  const needs = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1
  const unfinished = last >= start && bytes.length - last < needs
  return { start, end: unfinished ? last : bytes.length }
}

/** Enough to know text from a binary without reading it all. */
const sniffed = 8192

export const readFile = (sandbox: typeof Sandbox.Service): Tool =>
  builtin({
    name: "read_file",
    description:
      "Reads a text file of the workspace. Long files come in pieces: the answer ends with a note that gives the offset of the next piece.",
    labels: new ToolLabels({ source: "trusted", readsPrivate: true, effect: "none" }),
    risk: "low",
    confinement: "sandbox",
    parameters,
    display: ({ limit, offset, path }) =>
      `${tidy(path)}${offset === undefined ? "" : ` from byte ${offset}`}${limit === undefined ? "" : `, at most ${limit} bytes`}`,
    sinks: ({ path }) => [tidy(path)],
    run: ({ limit, offset, path }, permitted) =>
      Effect.gen(function* () {
        const name = tidy(path)
        const { base, dir } = splitPath(path)
        // The two header lines count as output too.
        const most = Math.min(limit ?? defaultLimit, permitted.agent.sandbox.maxOutputBytes - 64)
        const result = yield* runScript(
          sandbox,
          permitted,
          script,
          [dir, base, name, String(offset ?? 0), String(most)],
          { workspace: "read-only" }
        )
        const { body, lines } = headerOf(result.stdout, 2)
        const [size, from] = lines.map(Number)
        if (size === undefined || from === undefined || !Number.isSafeInteger(size) || !Number.isSafeInteger(from)) {
          return yield* fail("read_file", `the size of ${name} could not be read`)
        }
        if (body.subarray(0, sniffed).includes(0)) {
          return yield* fail("read_file", `${name} is a binary file of ${size} bytes`)
        }
        const more = from + body.length < size
        const edges = characterEdges(body)
        const start = from > 0 ? edges.start : 0
        const end = more && edges.end > start ? edges.end : body.length
        const text = decodeOutput(body.subarray(start, end))
        if (from >= size) return succeeded(`[end of file: ${name} has ${size} bytes]`, result)
        if (!more) return succeeded(text, result)
        const note = `[bytes ${from + start} to ${from + end} of ${size}; the next piece begins at offset ${from + end}]`
        return succeeded(`${text}\n${note}`, result, true)
      })
  })
