/**
 * list_files: the names below a folder of the workspace, sorted.
 *
 * Guarantees: links are named, never followed; the answer is capped and says so; a name is shown
 * with everything in it that could not be seen.
 */
import { Effect, Schema } from "effect"
import { ToolLabels } from "../../domain/Labels.ts"
import { escapeLine } from "../PlainText.ts"
import type { Sandbox } from "../Sandbox.ts"
import type { Tool } from "../Tool.ts"
import { tidy, WorkspacePath } from "./Paths.ts"
import { builtin, runScript, succeeded } from "./Script.ts"

const maxEntries = 1000
/** Sorting needs them all; beyond this many, the first found are sorted. */
const maxScanned = 50_000

const parameters = Schema.Struct({
  path: Schema.optionalWith(WorkspacePath.annotations({ description: "Folder. Default: the workspace." }), {
    exact: true
  }),
  depth: Schema.optionalWith(
    Schema.Number.pipe(
      Schema.int({ title: "" }),
      Schema.between(1, 20, { description: "How many levels of folders to list. Default 1." })
    ),
    { exact: true }
  )
})

/**
 * Epoch seconds at which the sandbox dates the empty entries that hold protected names for the time
 * of a call (sandbox/Workspace.ts). A call beside this one may have put them up; they are not content.
 */
const standIn = 987_654_321

/** folder, depth, entries, scanned, bytes → records `type/size/path` that end with NUL. */
const script = `
enter "$1" read
find -P . -mindepth 1 -maxdepth "$2" -newermt @${standIn - 1} ! -newermt @${standIn} -empty -prune -o -name .git -prune -printf 'd/0/%P\\0' -o -printf '%y/%s/%P\\0' |
  head -z -n "$4" | sort -z -t / -k 3 | head -z -n "$3" | head -c "$5"
`

const line = (record: string): string => {
  const [type = "", size = "", ...rest] = record.split("/")
  const name = escapeLine(rest.join("/"), 1000)
  switch (type) {
    case "d":
      return `${name}/`
    case "f":
      return `${name} (${size} bytes)`
    case "l":
      return `${name} (link)`
    default:
      return `${name} (special file)`
  }
}

export const listFiles = (sandbox: typeof Sandbox.Service): Tool =>
  builtin({
    name: "list_files",
    description: "Lists the files and folders of the workspace, or of a folder in it.",
    labels: new ToolLabels({ source: "trusted", readsPrivate: true, effect: "none" }),
    risk: "low",
    confinement: "sandbox",
    parameters,
    display: ({ depth, path }) => `${tidy(path ?? ".")}${depth === undefined ? "" : `, ${depth} levels deep`}`,
    sinks: ({ path }) => [tidy(path ?? ".")],
    run: ({ depth, path }, permitted) =>
      Effect.gen(function* () {
        const folder = tidy(path ?? ".")
        const cap = permitted.agent.sandbox.maxOutputBytes - 512
        const result = yield* runScript(
          sandbox,
          permitted,
          script,
          [folder, String(depth ?? 1), String(maxEntries + 1), String(maxScanned), String(cap)],
          { workspace: "read-only" }
        )
        // Bytes that are not UTF-8 become U+FFFD; after the last NUL stands nothing, or a record cut by the cap.
        const records = new TextDecoder().decode(result.stdout).split("\0")
        const cut = records.pop() !== ""
        const more = cut || records.length > maxEntries
        const lines = records.slice(0, maxEntries).map(line)
        if (more) lines.push(`[more than ${lines.length} entries: list a folder below, or search_files]`)
        if (result.stderr.length > 0) lines.push("[some folders could not be read]")
        return succeeded(lines.length === 0 ? `[${folder} is empty]` : lines.join("\n"), result, more)
      })
  })
