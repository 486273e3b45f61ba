/**
 * write_file: replaces or creates one file of the workspace.
 *
 * Guarantees: at every instant the path holds the whole old content or the whole new one; links
 * and special files are refused, never written through; an existing file keeps its mode; content
 * that arrived short is not put in place.
 */
import { Effect, Schema } from "effect"
import { ToolLabels } from "../../domain/Labels.ts"
import type { Permitted } from "../../domain/Proof.ts"
import type { SandboxUnavailable } from "../../domain/Tool.ts"
import { marked } from "../PlainText.ts"
import type { Sandbox, SandboxResult } from "../Sandbox.ts"
import type { Tool, ToolFailed } from "../Tool.ts"
import { splitPath, tidy, WritablePath } from "./Paths.ts"
import { builtin, runScript, succeeded, wellFormed } from "./Script.ts"

/** Bytes of UTF-8; more than any source file, less than what a model can send by mistake without end. */
export const maxContent = 1_048_576

export const Content = Schema.String.pipe(
  Schema.filter(
    (text) =>
      wellFormed(text) ?? (Buffer.byteLength(text) > maxContent ? `must be at most ${maxContent} bytes` : undefined),
    { description: "Text.", jsonSchema: {} }
  )
)

/**
 * dir, name, path, bytes, SHA-256 of the content to be replaced or nothing → `created` or `replaced`.
 * The new content is standard input. The hash is compared as the last thing before the rename.
 */
const script = `
mkdir -p -- "./$1" 2>/dev/null || no "the folder $1 cannot be created"
enter "$1" write
f=./$2
[ ! -L "$f" ] || no "$3 is a link; write to the file it leads to"
[ ! -d "$f" ] || no "$3 is a folder"
done=created
if [ -e "$f" ]; then
  [ -f "$f" ] || no "$3 is not a regular file (it is a device, a pipe or a socket)"
  [ -w "$f" ] || no "$3 is write-protected"
  done=replaced
fi
t=$(mktemp ./.ai-desk-write.XXXXXXXXXX 2>/dev/null) || no "the folder of $3 cannot be written"
drop() { rm -f -- "$t"; no "$1"; }
cat > "$t" 2>/dev/null || drop "$3 cannot be written: the disk or the file size limit is reached"
[ "$(stat -c %s -- "$t")" = "$4" ] || drop "$3 was not written: its content arrived incomplete"
if [ "$done" = replaced ]; then chmod --reference="$f" -- "$t" || drop "the mode of $3 cannot be kept"; else chmod 644 -- "$t"; fi
if [ -n "$5" ]; then
  now=$(sha256sum < "$f" 2>/dev/null) || drop "$3 is gone; nothing was changed"
  [ "\${now%% *}" = "$5" ] || drop "$3 was changed by someone else meanwhile; read it again"
fi
mv -fT -- "$t" "$f" 2>/dev/null || drop "$3 cannot be written: it is protected"
printf '%s\\n' "$done"
`

/** `hash`, when given, is the SHA-256 of the content that may be replaced, hex. */
export const putFile = (
  sandbox: typeof Sandbox.Service,
  permitted: Permitted,
  path: string,
  content: Uint8Array,
  hash = ""
): Effect.Effect<SandboxResult, ToolFailed | SandboxUnavailable> => {
  const { base, dir } = splitPath(path)
  const args = [dir, base, tidy(path), String(content.length), hash]
  return runScript(sandbox, permitted, script, args, { workspace: "read-write", stdin: content })
}

export const writeFile = (sandbox: typeof Sandbox.Service): Tool =>
  builtin({
    name: "write_file",
    description: "Writes a text file of the workspace, creating it and its folders or replacing it as a whole.",
    labels: new ToolLabels({ source: "trusted", readsPrivate: false, effect: "local" }),
    risk: "high",
    confinement: "sandbox",
    parameters: Schema.Struct({ path: WritablePath, content: Content }),
    display: ({ content, path }) => `${tidy(path)} (${Buffer.byteLength(content)} bytes)\n${marked("+", content)}`,
    sinks: ({ path }) => [tidy(path)],
    run: ({ content, path }, permitted) =>
      Effect.gen(function* () {
        const bytes = new TextEncoder().encode(content)
        const result = yield* putFile(sandbox, permitted, path, bytes)
        const done = new TextDecoder().decode(result.stdout).trim()
        return succeeded(`${done} ${tidy(path)} (${bytes.length} bytes)`, result)
      })
  })
