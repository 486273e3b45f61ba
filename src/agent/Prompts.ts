/**
 * Prompts: the packaged prompt texts. They stand in the folder `prompts/` at the root of the package,
 * with the version in the file name (`compaction.v1.md`), and are found from the sources as well as
 * from the bundle. A prompt that is missing or empty is an error, never an empty string.
 */
import { readFileSync } from "node:fs"
import { Effect, Schema } from "effect"

export class PromptMissing extends Schema.TaggedError<PromptMissing>()("PromptMissing", {
  prompt: Schema.String,
  reason: Schema.Literal("missing", "empty")
}) {
  override get message(): string {
    return `the prompt ${this.prompt} is ${this.reason} in the package's prompts folder`
  }
  get fix(): string {
    return "install ai-desk again; its prompts folder must stand beside dist"
  }
}

/** From `dist/` and from `src/agent/`. */
const folders = ["../prompts/", "../../prompts/"]

const read = (url: URL): string | undefined => {
  try {
    return readFileSync(url, "utf8").trim()
  } catch {
    // Not in this folder: the other is tried, and the caller fails when neither has it.
    return undefined
  }
}

/** The text of `<name>.md`, trimmed. */
export const load = (name: string, base: string | URL = import.meta.url): Effect.Effect<string, PromptMissing> =>
  Effect.suspend(() => {
    const text = folders
      .map((folder) => read(new URL(`${folder}${name}.md`, base)))
      .find((found) => found !== undefined)
    if (text === undefined) return new PromptMissing({ prompt: name, reason: "missing" })
    if (text === "") return new PromptMissing({ prompt: name, reason: "empty" })
    return Effect.succeed(text)
  })
