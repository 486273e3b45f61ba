/**
 * edit_file: replaces a piece of text in one file of the workspace.
 *
 * Guarantees: the text to replace must occur exactly once, unless all occurrences are asked for; a
 * file that changed between reading and writing is left alone; bytes that are not UTF-8 are never
 * rewritten (such files are refused), and line ends stay as they are.
 */
import { Effect, Either, Schema } from "effect"
import { ToolLabels } from "../../domain/Labels.ts"
import { sha256Hex } from "../../kernel/Crypto.ts"
import { marked } from "../PlainText.ts"
import type { Sandbox } from "../Sandbox.ts"
import { type Tool, ToolFailed } from "../Tool.ts"
import { splitPath, tidy, WritablePath } from "./Paths.ts"
import { builtin, fail, runScript, succeeded } from "./Script.ts"
import { Content, maxContent, putFile } from "./WriteFile.ts"

/** dir, name, path, most bytes → the content. */
const script = `
enter "$1" write
f=./$2
[ ! -L "$f" ] || no "$3 is a link; edit the file it leads to"
[ ! -d "$f" ] || no "$3 is a folder"
[ -e "$f" ] || no "there is no file $3; use write_file to create it"
[ -f "$f" ] || no "$3 is not a regular file (it is a device, a pipe or a socket)"
[ -r "$f" ] || no "$3 may not be read"
size=$(stat -c %s -- "$f") || no "$3 may not be read"
[ "$size" -le "$4" ] || no "$3 has $size bytes; files of up to $4 can be edited"
exec dd if="$f" iflag=nonblock,count_bytes,fullblock bs=65536 count="$4" status=none
`

/** Places of `piece` in `text`, not overlapping. */
const count = (text: string, piece: string): number => text.split(piece).length - 1

export const edit = (
  text: string,
  { all, from, to }: { readonly from: string; readonly to: string; readonly all: boolean }
): Either.Either<{ readonly text: string; readonly times: number }, string> => {
  // A model writes \n even where the file has \r\n throughout.
  const crlf = !from.includes("\r") && text.includes("\r\n") && !/(^|[^\r])\n/.test(text)
  const [old, next] = crlf ? [from.replaceAll("\n", "\r\n"), to.replace(/\r?\n/g, "\r\n")] : [from, to]
  const times = count(text, old)
  if (times === 0) return Either.left("the text to replace does not occur; read the file again and copy it exactly")
  if (times > 1 && !all) {
    return Either.left(`the text to replace occurs ${times} times; give more of its surroundings, or set all to true`)
  }
  return Either.right({ text: text.split(old).join(next), times })
}

export const editFile = (sandbox: typeof Sandbox.Service): Tool =>
  builtin({
    name: "edit_file",
    description:
      "Replaces text in a file of the workspace. The text to replace must be exact and occur once, unless all is true.",
    labels: new ToolLabels({ source: "trusted", readsPrivate: true, effect: "local" }),
    risk: "high",
    confinement: "sandbox",
    parameters: Schema.Struct({
      path: WritablePath,
      old: Content.pipe(
        Schema.filter((text) => (text === "" ? "must not be empty" : undefined), {
          description: "The exact text to replace.",
          jsonSchema: { minLength: 1 }
        })
      ),
      new: Content.annotations({ description: "The text to put in its place." }),
      all: Schema.optionalWith(
        Schema.Boolean.annotations({ description: "Replace every occurrence. Default false." }),
        { exact: true }
      )
    }),
    display: (args) =>
      [
        `${tidy(args.path)}${args.all === true ? " (every occurrence)" : ""}`,
        marked("-", args.old),
        ...(args.new === "" ? [] : [marked("+", args.new)])
      ].join("\n"),
    sinks: ({ path }) => [tidy(path)],
    run: (args, permitted) =>
      Effect.gen(function* () {
        const name = tidy(args.path)
        const { base, dir } = splitPath(args.path)
        const most = Math.min(maxContent, permitted.agent.sandbox.maxOutputBytes)
        const found = yield* runScript(sandbox, permitted, script, [dir, base, name, String(most)], {
          workspace: "read-only"
        })
        const text = yield* Effect.try({
          try: () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(found.stdout),
          catch: () => new ToolFailed({ tool: "edit_file", detail: `${name} is not UTF-8 text` })
        })
        const edited = edit(text, { from: args.old, to: args.new, all: args.all === true })
        if (Either.isLeft(edited)) return yield* fail("edit_file", `${name}: ${edited.left}`)
        const bytes = new TextEncoder().encode(edited.right.text)
        if (bytes.length > maxContent) {
          return yield* fail("edit_file", `${name} would have ${bytes.length} bytes; at most ${maxContent} are allowed`)
        }
        const put = yield* putFile(sandbox, permitted, args.path, bytes, sha256Hex(found.stdout))
        const places = edited.right.times === 1 ? "1 place" : `${edited.right.times} places`
        return succeeded(`changed ${places} in ${name}`, { durationMs: found.durationMs + put.durationMs })
      })
  })
