/**
 * RehearsalPlan: what a plain sentence asks the rehearsal model to do, as tool calls in order.
 *
 * Guarantees: pure; bounded work, whatever the text; quoted text is taken as it stands and never read as an
 * instruction; at most `maxRounds` rounds of calls, whatever is asked.
 */

export interface Step {
  readonly tool: string
  readonly arguments: Readonly<Record<string, string>>
  readonly kind: "list" | "read" | "summarise" | "write" | "edit" | "search" | "run" | "fetch"
  /** For people: what the call is about. */
  readonly subject: string
}

/** With the answer itself that makes six rounds. */
export const maxRounds = 5
/** A longer text is no plain request; cutting it could change what it asks for. */
const maxTextLength = 8_000

export const abilities = [
  "list the files [in FOLDER]",
  "read FILE",
  "summarise FILE",
  'write "TEXT" to FILE',
  'replace "OLD" with "NEW" in FILE',
  'search for "TEXT" [in FOLDER]',
  "run `COMMAND`",
  "fetch URL"
] as const

/** Quoted text, put aside while the sentence around it is read. */
const mark = "\u0001"
const quotes = /"([^"]*)"|`([^`]*)`|“([^”]*)”|(?<![\p{L}\p{N}])'([^']*)'(?![\p{L}\p{N}])/gu

const token = `(${mark}\\d+${mark}|\\S+)`
const folder = `(?:\\s+(?:in|under|inside|of|from|at)\\s+(?:the\\s+)?(?:folder\\s+|directory\\s+)?${token})?`
const rules: ReadonlyArray<{
  readonly pattern: RegExp
  readonly step: (m: ReadonlyArray<string | undefined>) => Step | undefined
}> = [
  {
    pattern: new RegExp(`\\b(?:fetch|download|get|open|read)\\s+(?:the\\s+)?(?:page\\s+|url\\s+)?(https?://\\S+)`, "i"),
    step: ([, url = ""]) => ({ kind: "fetch", tool: "http_fetch", arguments: { url }, subject: url })
  },
  {
    pattern: new RegExp(`\\b(?:run|execute)\\s+(?:the\\s+)?(?:command\\s+)?(${mark}\\d+${mark}|.+)$`, "i"),
    step: ([, command = ""]) => ({ kind: "run", tool: "execute_command", arguments: { command }, subject: command })
  },
  {
    pattern: new RegExp(
      `\\b(?:replace|change)\\s+${token}\\s+(?:with|by|to|into)\\s+${token}\\s+in\\s+(?:the\\s+)?(?:file\\s+)?${token}`,
      "i"
    ),
    step: ([, old = "", replacement = "", path = ""]) => ({
      kind: "edit",
      tool: "edit_file",
      arguments: { path, old, new: replacement },
      subject: path
    })
  },
  {
    pattern: new RegExp(
      `\\b(?:write|create|make|save)\\s+(?:a\\s+|the\\s+)?(?:file\\s+)?(?:named\\s+|called\\s+)?${token}\\s+(?:with|containing|that says)\\s+(?:the\\s+)?(?:text\\s+|content\\s+)?(.+)$`,
      "i"
    ),
    step: ([, path = "", content = ""]) => ({
      kind: "write",
      tool: "write_file",
      arguments: { path, content },
      subject: path
    })
  },
  {
    pattern: new RegExp(
      `\\b(?:write|save|put)\\s+(.+?)\\s+(?:to|into|in|as)\\s+(?:the\\s+|a\\s+)?(?:file\\s+)?${token}$`,
      "i"
    ),
    step: ([, content = "", path = ""]) => ({
      kind: "write",
      tool: "write_file",
      arguments: { path, content },
      subject: path
    })
  },
  {
    pattern: new RegExp(`\\b(?:search|grep|look|find)\\s+(?:the\\s+files\\s+)?(?:for\\s+)?${token}${folder}`, "i"),
    step: ([, pattern = "", path]) => ({
      kind: "search",
      tool: "search_files",
      arguments: path === undefined ? { pattern } : { pattern, path },
      subject: pattern
    })
  },
  {
    pattern: new RegExp(
      `\\b(?:list|show|what)\\b.{0,40}?\\b(?:files|folder|directory|workspace)\\b${folder}|^ls(?:\\s+${token})?$`,
      "i"
    ),
    step: ([, inFolder, afterLs]) => {
      const path = inFolder ?? afterLs
      return {
        kind: "list",
        tool: "list_files",
        arguments: path === undefined ? {} : { path },
        subject: path ?? "the workspace"
      }
    }
  },
  {
    pattern: new RegExp(`\\b(?:summari[sz]e|sum\\s+up)\\s+(?:the\\s+)?(?:file\\s+)?${token}`, "i"),
    step: ([, path = ""]) => reading("summarise", path)
  },
  {
    pattern: new RegExp(`\\b(?:read|show|print|open|cat|display)\\s+(?:me\\s+)?(?:the\\s+)?(?:file\\s+)?${token}`, "i"),
    step: ([, path = ""]) => reading("read", path)
  }
]

const reading = (kind: "read" | "summarise", path: string): Step => ({
  kind,
  tool: "read_file",
  arguments: { path },
  subject: path
})

const pronoun = /^(?:it|them|that|this|its|everything|the)$/i
const looksLikePath = /^[\w@~.-]*(?:[./][\w@~.-]+)+\/?$|^(?:README|LICENSE|Makefile|Dockerfile)$/

const trimPath = (path: string) => path.replace(/[.,;:!?)]+$/, "")

/** The steps of a request in the order asked for. Empty: nothing was understood. */
export const planOf = (text: string): ReadonlyArray<Step> => {
  if (text.length > maxTextLength) return []
  const put: Array<string> = []
  const masked = text.replaceAll(mark, " ").replace(quotes, (_all, ...groups: ReadonlyArray<unknown>) => {
    put.push(groups.slice(0, 4).find((g) => typeof g === "string") as string)
    return `${mark}${put.length - 1}${mark}`
  })
  const back = (value: string): string => {
    const whole = new RegExp(`^${mark}(\\d+)${mark}[.,;:!?]*$`).exec(value)
    if (whole !== null) return put[Number(whole[1])] ?? ""
    return value.replaceAll(new RegExp(`${mark}(\\d+)${mark}`, "g"), (_all, n: string) => `"${put[Number(n)] ?? ""}"`)
  }
  const isQuoted = (value: string) => value.startsWith(mark)
  const steps: Array<Step> = []
  for (const clause of masked.split(/\s*(?:[;,\n]|\.(?=\s|$)|\band then\b|\bthen\b|\band\b)\s*/i)) {
    const said = clause
      .trim()
      .replaceAll(/\s+/g, " ")
      .replace(/[?!]+$/, "")
    if (said === "") continue
    const last = steps.at(-1)
    // "read a.txt and b.txt": a bare path goes on with what was said before.
    if (
      last !== undefined &&
      (last.kind === "read" || last.kind === "summarise") &&
      looksLikePath.test(trimPath(said))
    ) {
      steps.push(reading(last.kind, trimPath(said)))
      continue
    }
    const step = stepOf(said)
    if (step === undefined) continue
    const [first = ""] = Object.values(step.arguments)
    if (step.tool === "read_file" && pronoun.test(first)) {
      // "read notes.md and summarise it"
      if (step.kind === "summarise" && last?.kind === "read") steps[steps.length - 1] = { ...last, kind: "summarise" }
      continue
    }
    steps.push({
      ...step,
      subject: back(step.subject),
      arguments: Object.fromEntries(
        Object.entries(step.arguments).map(([key, value]) => [
          key,
          key === "path" && !isQuoted(value) ? trimPath(value) : back(value)
        ])
      )
    })
  }
  return steps
}

const stepOf = (clause: string): Step | undefined => {
  for (const { pattern, step } of rules) {
    const match = pattern.exec(clause)
    if (match !== null) return step(match)
  }
  return undefined
}

/** Steps in rounds: readings that stand next to each other are asked for at once, everything else one by one. */
export const roundsOf = (steps: ReadonlyArray<Step>): ReadonlyArray<ReadonlyArray<Step>> => {
  const rounds: Array<Array<Step>> = []
  for (const step of steps) {
    const last = rounds.at(-1)
    if (step.tool === "read_file" && last?.[0]?.tool === "read_file" && last.length < 8) last.push(step)
    else rounds.push([step])
  }
  return rounds.slice(0, maxRounds)
}
