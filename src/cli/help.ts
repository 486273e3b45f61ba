/** Help as text, made from the grammar. At most 80 columns; readable without colour. */
import { type Group, type Param, type Verb, wordOf } from "./Grammar.ts"

export type Bold = (text: string) => string

const columns = 80

const wrap = (text: string, indent: number): string => {
  const lines: Array<string> = [""]
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? ""
    if (line !== "" && indent + line.length + 1 + word.length > columns) lines.push(word)
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`
  }
  return lines.join(`\n${" ".repeat(indent)}`)
}

/** Two columns; the right one is wrapped. */
const list = (rows: ReadonlyArray<readonly [string, string]>): string => {
  const width = Math.min(26, Math.max(...rows.map(([left]) => left.length)))
  return rows
    .map(([left, right]) => {
      const gap = left.length > width ? `\n${" ".repeat(width + 4)}` : " ".repeat(width - left.length + 2)
      return `  ${left}${gap}${wrap(right, width + 4)}`
    })
    .join("\n")
}

const helpRow = ["-h, --help", "Show this."] as const

const optionRow = (key: string, param: Param<unknown>): readonly [string, string] => {
  const name = `--${wordOf(key)}${param.label === "" ? "" : ` ${param.label}`}`
  const choices =
    typeof param.offer === "object" && param.offer !== null && param.offer.length <= 8
      ? ` (${param.offer.join(", ")})`
      : ""
  return [param.short === null ? `    ${name}` : `-${param.short}, ${name}`, `${param.about}${choices}`]
}

const isOption = ([, { parser }]: readonly [string, Param<unknown>]): boolean => parser.kind === "option"

/** `ai-desk agent test [options] MESSAGE` */
const usageOf = (path: string, verb: Verb): string => {
  const labels = Object.values(verb.params).flatMap(({ label, parser }) => (parser.kind === "argument" ? [label] : []))
  const dashes = labels.some((label) => label.endsWith("…")) ? ["--"] : []
  return [path, "[options]", ...dashes, ...labels].join(" ")
}

const verbsOf = ({ verbs }: Group): ReadonlyArray<readonly [string, string]> =>
  Object.entries(verbs).flatMap(([name, { summary }]) => (name === "" ? [] : [[name, summary] as const]))

/** `group`: the verb is what that group does when none of its others is named. */
export const ofVerb = (path: string, verb: Verb, bold: Bold, group?: Group): string => {
  const others = group === undefined ? [] : verbsOf(group)
  const params = Object.entries(verb.params)
  const loose = params
    .filter((entry) => !isOption(entry))
    .map(([, { about, label }]): readonly [string, string] => [label, about])
  const options = params.filter(isOption).map(([key, param]) => optionRow(key, param))
  return [
    wrap(verb.about === "" ? verb.summary : `${verb.summary} ${verb.about}`, 0),
    `${bold("Usage")}\n  ${usageOf(path, verb)}`,
    ...(loose.length === 0 ? [] : [`${bold("Arguments")}\n${list(loose)}`]),
    `${bold("Options")}\n${list([...options, helpRow])}`,
    ...(others.length === 0 ? [] : [`${bold("Commands")}\n${list(others)}`]),
    ...(verb.examples.length === 0
      ? []
      : [`${bold("Examples")}\n${verb.examples.map((line) => `  ${line}`).join("\n")}`])
  ].join("\n\n")
}

export const ofGroup = (path: string, group: Group, bold: Bold): string =>
  [
    wrap(group.summary, 0),
    `${bold("Usage")}\n  ${path} COMMAND [options]`,
    `${bold("Commands")}\n${list(verbsOf(group))}`,
    `More about one: ${path} COMMAND --help`
  ].join("\n\n")

export const ofRoot = (commands: ReadonlyArray<readonly [string, string]>, bold: Bold): string =>
  [
    "Security-first, self-hosted gateway for personal AI agents.",
    `${bold("Usage")}\n  ai-desk COMMAND [options]`,
    `${bold("Commands")}\n${list(commands)}`,
    `${bold("Options")}\n${list([
      helpRow,
      ["    --version", "Show which release this is."],
      ["    --completions SHELL", "Print what makes a shell complete commands (sh, bash, fish, zsh)."]
    ])}`,
    `${bold("Examples")}\n  ai-desk agent test "List the files, then read notes.md"\n  ai-desk onboard\n  eval "$(ai-desk --completions bash)"`,
    "More about one: ai-desk COMMAND --help"
  ].join("\n\n")
