/**
 * Paths: the words a model may use for a place in the workspace.
 *
 * Guarantees: what passes is relative, stays below the workspace by its spelling, and is text that
 * a file system takes as it stands; `WritablePath` also keeps away from the files through which a
 * workspace could later give orders (git hooks, MCP servers, environment, skills, our own config).
 * Links are not resolved here: that happens inside the sandbox, where there is nothing to reach.
 */
import { Schema } from "effect"

const encodedEscape = /%(?:25)*(?:2e|2f|5c|00)/i
const scheme = /^[a-z][a-z0-9+.-]*:\/\//i

const problem = (path: string): string | undefined => {
  if (path === "") return "must name a path relative to the workspace, such as notes/today.txt, or . for the workspace"
  if (!path.isWellFormed()) return "must be valid Unicode"
  if (path.includes("\0")) return "must not contain a NUL character"
  if (/[\u0001-\u001f\u007f]/.test(path)) return "must not contain control characters"
  if (path.startsWith("/"))
    return "must be relative to the workspace, not absolute: write notes.txt, not /work/notes.txt"
  if (path.startsWith("~")) return "must be relative to the workspace; ~ is not known here"
  if (scheme.test(path)) return "must be a plain path, not a URL"
  if (encodedEscape.test(path)) return "must be a plain path, not URL-encoded"
  const segments = path.split(/[/\\]/)
  if (segments.includes("..")) return "must not contain .. : only the workspace can be reached"
  if (Buffer.byteLength(path) > 2048) return "must be at most 2048 bytes long"
  if (segments.some((segment) => Buffer.byteLength(segment) > 255)) return "must have names of at most 255 bytes"
  return undefined
}

/** As file systems that fold case, width or ignorable characters would read the name. */
const folded = (name: string): string =>
  name
    .normalize("NFKC")
    .replace(/[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g, "")
    .toLowerCase()

const protectedName = (name: string, last: boolean): boolean =>
  name === ".git" ||
  name === ".ai-desk-data" ||
  (last &&
    (name === ".mcp.json" ||
      name === "ai-desk.json" ||
      name === "ai-desk.jsonc" ||
      name.startsWith(".env") ||
      name.endsWith(".skill.json")))

const writeProblem = (path: string): string | undefined => {
  const wrong = problem(path)
  if (wrong !== undefined) return wrong
  const names = segmentsOf(path).map(folded)
  if (names.length === 0) return "must name a file, not the workspace itself"
  if (path.endsWith("/")) return "must name a file, not a folder"
  return names[0] === "skills" || names.some((name, i) => protectedName(name, i === names.length - 1))
    ? "is protected (.git, .env*, .mcp.json, skills, *.skill.json, ai-desk.json): tools may not write it; ask the owner to"
    : undefined
}

export const segmentsOf = (path: string): ReadonlyArray<string> =>
  path.split("/").filter((segment) => segment !== "" && segment !== ".")

/** Without `.` and doubled slashes; `.` for the workspace itself. */
export const tidy = (path: string): string => segmentsOf(path).join("/") || "."

const schema = (check: (path: string) => string | undefined, description: string) =>
  Schema.String.pipe(Schema.filter(check, { description, jsonSchema: { minLength: 1, maxLength: 2048 } }))

export const WorkspacePath = schema(problem, "Path relative to the workspace, for example src/main.ts.")
export const WritablePath = schema(
  writeProblem,
  "Path of a file relative to the workspace, for example notes/today.txt."
)

/** Folder and name of a path, for scripts. */
export const splitPath = (path: string): { readonly dir: string; readonly base: string } => {
  const segments = segmentsOf(path)
  return { dir: segments.slice(0, -1).join("/") || ".", base: segments.at(-1) ?? "." }
}
