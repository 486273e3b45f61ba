/**
 * run: a command line from its words to its exit code. Only the group that is named is loaded. A
 * command line that is not understood is one message and exit code 2, and nothing has been started.
 */
import { styleText } from "node:util"
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Path from "@effect/platform/Path"
import * as Terminal from "@effect/platform/Terminal"
import { Console, Effect, Layer, Mailbox } from "effect"
import manifest from "../../package.json" with { type: "json" }
import { mended } from "./completions.ts"
import { Exited, exitCodeOf, report, UsageError } from "./failure.ts"
import { type Group, groupCommand, verbIn } from "./Grammar.ts"
import * as Output from "./Output.ts"
import { Surroundings } from "./Surroundings.ts"
import { plain, usageText } from "./usage.ts"

interface Entry {
  readonly summary: string
  readonly load: () => Promise<{ readonly group: Group }>
}

/** In the order in which help shows them; `program.ts` has the same, all at once. */
const commands: Readonly<Record<string, Entry>> = {
  onboard: { summary: "Set up: master key, model, agent, workspace, budget.", load: () => import("./onboard.ts") },
  gateway: { summary: "The server.", load: () => import("./gateway.ts") },
  daemon: { summary: "The gateway as a service.", load: () => import("./daemon/verbs.ts") },
  open: { summary: "A link that logs a browser in.", load: () => import("./open.ts") },
  agent: { summary: "Send a message to an agent; list the agents.", load: () => import("./agent.ts") },
  session: { summary: "Read, export and resume sessions.", load: () => import("./session.ts") },
  budget: { summary: "Spending and caps.", load: () => import("./budget.ts") },
  cache: { summary: "The response cache.", load: () => import("./cache.ts") },
  credential: { summary: "Provider keys, sealed at rest.", load: () => import("./credential.ts") },
  token: { summary: "Tokens for programs and people.", load: () => import("./token.ts") },
  password: { summary: "The owner's password.", load: () => import("./password.ts") },
  cert: { summary: "Client certificates.", load: () => import("./cert.ts") },
  key: { summary: "The keys that everything is encrypted with.", load: () => import("./key.ts") },
  sandbox: { summary: "The sandbox in which tools run.", load: () => import("./sandbox.ts") },
  security: { summary: "Weaknesses of this set-up.", load: () => import("./security.ts") },
  audit: { summary: "The tamper-evident log.", load: () => import("./audit.ts") },
  config: { summary: "The settings file.", load: () => import("./config.ts") }
}

export const commandNames: ReadonlyArray<string> = Object.keys(commands)

const name = "ai-desk"

const print = (text: string) => Effect.flatMap(Output.Output, (output) => output.out(`${text.trimEnd()}\n`))

const entryOf = (word: string | undefined): Entry | undefined =>
  word !== undefined && Object.hasOwn(commands, word) ? commands[word] : undefined

/** One level's help, as text. */
const help = (words: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { stdout } = yield* Surroundings
    const { ofGroup, ofRoot, ofVerb } = yield* Effect.promise(() => import("./help.ts"))
    const strong = (text: string) => styleText("bold", text, { stream: stdout })
    const [first, second] = words
    const entry = entryOf(first)
    if (first === undefined || entry === undefined) {
      return ofRoot(
        Object.entries(commands).map(([command, { summary }]) => [command, summary]),
        strong
      )
    }
    const { group } = yield* Effect.promise(entry.load)
    const found = verbIn(group, second)
    if (found === undefined) return ofGroup(`${name} ${first}`, group, strong)
    const path = `${name} ${first} ${found.name}`.trimEnd()
    return ofVerb(path, found.verb, strong, found.name === "" ? group : undefined)
  })

/** The library's parser asks for a terminal but never uses it: our questions are asked by `prompts.ts`. */
const noTerminal = Layer.succeed(
  Terminal.Terminal,
  Terminal.Terminal.of({
    columns: Effect.succeed(80),
    rows: Effect.succeed(25),
    isTTY: Effect.succeed(false),
    readInput: Effect.flatMap(Mailbox.make<Terminal.UserInput>(), (input) => Effect.as(input.end, input)),
    readLine: new Terminal.QuitException(),
    display: () => Effect.void
  })
)
const parsing = Layer.mergeAll(NodeFileSystem.layer, Path.layer, noTerminal)

const asksForHelp = (word: string): boolean => word === "--help" || word === "-h"

/** Words up to `--`: what stands behind it belongs to another program. */
const own = (words: ReadonlyArray<string>): ReadonlyArray<string> => {
  const end = words.indexOf("--")
  return end < 0 ? words : words.slice(0, end)
}

const program = { name: "Ai_DESK", version: manifest.version, executable: name }

/** What runs words: the tree with only the named group in it, or all of it. */
const runnerFor = (first: string | undefined) =>
  Effect.gen(function* () {
    const entry = entryOf(first)
    if (first === undefined || entry === undefined) {
      const { root } = yield* Effect.promise(() => import("./program.ts"))
      return Command.run(root, program)
    }
    const { group } = yield* Effect.promise(entry.load)
    return Command.run(Command.make(name).pipe(Command.withSubcommands([groupCommand(first, group)])), program)
  })

/** Where in the tree the words lead, as far as they are known. */
const placeOf = (words: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const [first = "", second = ""] = words
    const entry = entryOf(first)
    if (entry === undefined) return { path: name, verb: undefined, known: commandNames, next: first }
    const { group } = yield* Effect.promise(entry.load)
    const found = verbIn(group, second)
    return found === undefined
      ? { path: `${name} ${first}`, verb: undefined, known: Object.keys(group.verbs), next: second }
      : { path: `${name} ${first} ${found.name}`.trimEnd(), verb: found.verb, known: [], next: "" }
  })

const shells = ["sh", "bash", "fish", "zsh"]

/** The library's own options that stand before any command. */
const isRootOption = (words: ReadonlyArray<string>): boolean => {
  const [option = "", value = words[1] ?? ""] = (words[0] ?? "").split("=")
  return option === "--version" || (option === "--completions" && shells.includes(value))
}

const dispatch = (words: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const output = yield* Output.Output
    if (words.length === 0 || own(words).some(asksForHelp)) return yield* Effect.flatMap(help(words), print)
    const { known, next, path, verb } = yield* placeOf(words)
    const fix = `${path} --help`
    if (next.startsWith("--completions") && !isRootOption(words)) {
      return yield* new UsageError({ detail: `--completions: expected one of ${shells.join(", ")}`, fix })
    }
    if (known.length > 0 && !isRootOption(words)) {
      const found = next === "" ? "nothing" : `"${next.slice(0, 60)}"`
      return yield* new UsageError({ detail: `${path}: expected one of ${known.join(", ")}, found ${found}`, fix })
    }
    // The library prints errors before it fails with them; they are said once, by `report`.
    const quiet: Console.Console = {
      ...(yield* Console.consoleWith(Effect.succeed)),
      log: (...lines) => output.out(`${mended(plain(lines.join(" "))).trimEnd()}\n`),
      error: () => Effect.void
    }
    const runner = yield* runnerFor(words[0])
    yield* runner([name, name, ...words]).pipe(
      Effect.catchIf(
        ValidationError.isValidationError,
        (error) => new UsageError({ detail: usageText({ path, verb, words }, error), fix })
      ),
      Effect.withConsole(quiet),
      Effect.provide(parsing)
    )
  })

/** Runs the words behind the program's name. Fails with what the process should exit with; all else has been said. */
export const run = (words: ReadonlyArray<string>): Effect.Effect<void, Exited, Surroundings> =>
  dispatch(words).pipe(
    Effect.catchTag("UsageError", (error) => Effect.zipRight(report(error), new Exited({ code: exitCodeOf(error) }))),
    Effect.provide(Output.layer(own(words).includes("--json")))
  )
