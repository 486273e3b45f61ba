/**
 * search_files: lines of the workspace's text files that contain a text or match a pattern.
 *
 * Guarantees: links are not followed, binaries and special files are skipped; matches, line lengths
 * and time are capped, and the answer says when a cap was met; the pattern is never read as an option.
 */
import { Effect, Schema } from "effect"
import { ToolLabels } from "../../domain/Labels.ts"
import { escapeLine, withoutControls } from "../PlainText.ts"
import type { Sandbox } from "../Sandbox.ts"
import type { Tool } from "../Tool.ts"
import { splitPath, tidy, WorkspacePath } from "./Paths.ts"
import { builtin, fail, runScript, succeeded, wellFormed } from "./Script.ts"

const maxMatches = 200
const maxLine = 300

const oneLine = (what: string, max: number) =>
  Schema.String.pipe(
    Schema.filter(
      (text) =>
        wellFormed(text) ??
        (/[\n\r]/.test(text)
          ? "must be on one line"
          : text === "" || text.length > max
            ? `must have 1 to ${max} characters`
            : undefined),
      { description: what, jsonSchema: { minLength: 1, maxLength: max } }
    )
  )

const flag = (description: string) => Schema.optionalWith(Schema.Boolean.annotations({ description }), { exact: true })

const parameters = Schema.Struct({
  pattern: oneLine("Text to look for, or with regex a POSIX extended regular expression.", 1000),
  path: Schema.optionalWith(WorkspacePath.annotations({ description: "File or folder. Default: the workspace." }), {
    exact: true
  }),
  glob: Schema.optionalWith(oneLine("Only files whose name matches, for example *.ts.", 200), { exact: true }),
  regex: flag("Take the pattern as a regular expression. Default false."),
  ignoreCase: flag("Default false.")
})

/**
 * path, folder and name of it, seconds, matches, bytes, pattern, glob or nothing, E or F, i or nothing
 * → the folder searched from, then lines `path NUL number:text`; on stderr, last, the exit code of grep.
 */
const script = `
path=$1 dir=$2 base=$3 seconds=$4 matches=$5 bytes=$6 pattern=$7 glob=$8 mode=$9
shift 9
case=$1
if [ -d "./$path" ]; then
  enter "$path" read
  at=. from=$path
else
  enter "$dir" read
  f=$(readlink -e -- "./$base") || no "there is no file or folder $path"
  case $f/ in /work/*) ;; *) no "$path is a link that leads out of the workspace" ;; esac
  [ -f "$f" ] || no "$path is not a regular file"
  at=./$base from=$dir
fi
set --
[ -z "$glob" ] || set -- "--include=$glob"
[ -z "$case" ] || set -- "$@" -i
printf '%s\\n' "$from"
export LC_ALL=C.UTF-8
{
  timeout -k 1 "$seconds" grep -rIHnZs -D skip "-$mode" "$@" --exclude-dir=.git -e "$pattern" -- "$at"
  echo "$?" >&2
} | cut -b 1-4000 | head -n "$matches" | head -c "$bytes"
`

const under = (from: string, path: string): string => tidy(from === "." ? path : `${from}/${path}`)

const shown = (from: string) => (line: string) => {
  const [path, rest = ""] = line.split("\0", 2)
  const text = escapeLine(withoutControls(rest.replace(/\r$/, "")), maxLine)
  return `${escapeLine(under(from, path ?? ""), 1000)}:${text}`
}

export const searchFiles = (sandbox: typeof Sandbox.Service): Tool =>
  builtin({
    name: "search_files",
    description: "Finds the lines of text files in the workspace that contain a text, as path:line:text.",
    labels: new ToolLabels({ source: "trusted", readsPrivate: true, effect: "none" }),
    risk: "low",
    confinement: "sandbox",
    parameters,
    display: ({ glob, ignoreCase, path, pattern, regex }) =>
      `${JSON.stringify(pattern)}${regex === true ? " as a regular expression" : ""}${ignoreCase === true ? ", any case" : ""} in ${tidy(path ?? ".")}${glob === undefined ? "" : `, files ${glob}`}`,
    sinks: ({ path }) => [tidy(path ?? ".")],
    run: ({ glob, ignoreCase, path, pattern, regex }, permitted) =>
      Effect.gen(function* () {
        const { maxOutputBytes, timeoutMs } = permitted.agent.sandbox
        const where = tidy(path ?? ".")
        const { base, dir } = splitPath(where)
        // Our own limit comes first, so that a slow search ends with words instead of a kill.
        const seconds = Math.max(0.1, Math.min(20, Math.round(timeoutMs / 100 - 10) / 10))
        const numbers = [seconds, maxMatches + 1, maxOutputBytes - 2048].map(String)
        const words = [pattern, glob ?? "", regex === true ? "E" : "F", ignoreCase === true ? "i" : ""]
        const result = yield* runScript(sandbox, permitted, script, [where, dir, base, ...numbers, ...words], {
          workspace: "read-only"
        })
        const said = new TextDecoder().decode(result.stderr).trimEnd().split("\n")
        const code = said.pop()
        const [from = ".", ...found] = new TextDecoder().decode(result.stdout).split("\n")
        const cut = found.pop() !== ""
        if (code === "2" && found.length === 0) {
          const why = escapeLine(withoutControls(said.join(" ")).replace(/grep: /g, ""), 200)
          return yield* fail(
            "search_files",
            `the pattern cannot be used: ${why === "" ? "some files are unreadable" : why}`
          )
        }
        const lines = found.slice(0, maxMatches).map(shown(from))
        const late = code === "124" || code === "137"
        const more = cut || found.length > maxMatches || late
        if (late) lines.push(`[stopped after ${seconds} s: search a smaller folder, or a simpler pattern]`)
        else if (more) lines.push(`[more than ${lines.length} matches: search a smaller folder, or a longer text]`)
        return succeeded(lines.length === 0 ? "[no match]" : lines.join("\n"), result, more)
      })
  })
