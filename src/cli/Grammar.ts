/**
 * Grammar: the words of the command line, each named once: what @effect/cli parses and completes, and
 * what help shows, are made from the same entry. A value that cannot be read is one sentence: which
 * option, what is expected, what was found.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import { Effect, Option } from "effect"
import type { Exited } from "./failure.ts"
import type { Surroundings } from "./Surroundings.ts"

/** Words, or what the disk has. */
type Offer = ReadonlyArray<string> | "files" | "folders" | null

/** How one text becomes a value. */
export interface Value<A> {
  /** What is expected, in words: `a whole number from 1 to 1000`. */
  readonly expected: string
  /** Undefined when the text is none. */
  readonly read: (text: string) => A | undefined
  /** What completions offer. */
  readonly offer: Offer
}

export interface Param<out A> {
  /** What help shows in the value's place; empty for flags. */
  readonly label: string
  readonly about: string
  readonly short: string | null
  readonly offer: Offer
  /** As @effect/cli has it; `key` is the parameter's name in the verb. */
  readonly parser:
    | { readonly kind: "option"; readonly make: (name: string) => Options.Options<A> }
    | { readonly kind: "argument"; readonly make: (name: string) => Args.Args<A> }
}

export type Params = Readonly<Record<string, Param<unknown>>>
export type Input<P extends Params> = { readonly [K in keyof P]: P[K] extends Param<infer A> ? A : never }

export interface Verb {
  /** One line, for lists. */
  readonly summary: string
  /** What there is to know beyond that. */
  readonly about: string
  readonly examples: ReadonlyArray<string>
  readonly params: Params
  /** `given` has an entry for every parameter, read and checked. */
  readonly run: (given: Readonly<Record<string, unknown>>) => Effect.Effect<void, Exited, Surroundings>
}

export interface Group {
  readonly summary: string
  /** By name; the one without a name is what the group does when none is named. */
  readonly verbs: Readonly<Record<string, Verb>>
}

interface VerbOf<P extends Params> {
  readonly summary: string
  readonly about?: string
  readonly examples?: ReadonlyArray<string>
  readonly params: P
  readonly run: (input: Input<P>) => Effect.Effect<void, Exited, Surroundings>
}

export const verb = <const P extends Params>(of: VerbOf<P>): Verb => ({
  summary: of.summary,
  about: of.about ?? "",
  examples: of.examples ?? [],
  params: of.params,
  // The record is made by `read` from these very params; the compiler cannot follow it through the keys.
  run: (given) => of.run(given as Input<P>)
})

export const text: Value<string> = { expected: "a text", read: (given) => given, offer: null }

/** A path; none of them is empty. */
export const file: Value<string> = {
  expected: "a path",
  read: (given) => (given === "" ? undefined : given),
  offer: "files"
}

export const folder: Value<string> = { ...file, expected: "a folder", offer: "folders" }

export const oneOf = <const A extends string>(words: ReadonlyArray<A>): Value<A> => ({
  expected: `one of ${words.join(", ")}`,
  read: (given) => words.find((word) => word === given),
  offer: words
})

export const wholeNumber = (least: number, most: number): Value<number> => ({
  expected: `a whole number from ${least} to ${most}`,
  read: (given) => {
    const value = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN
    return value >= least && value <= most ? value : undefined
  },
  offer: null
})

export const amount = (least: number, most: number, unit: string): Value<number> => ({
  expected: `an amount in ${unit} from ${least} to ${most}`,
  read: (given) => {
    const value = /^\d{1,15}(\.\d{1,15})?$/.test(given) ? Number(given) : Number.NaN
    return value >= least && value <= most ? value : undefined
  },
  offer: null
})

/** What a schema of a text lets through. */
export const matching = <A extends string>(is: (given: unknown) => given is A, expected: string): Value<A> => ({
  expected,
  read: (given) => (is(given) ? given : undefined),
  offer: null
})

/** Longer words are cut in messages. */
const shown = 60

const wrong = <A>(where: string, { expected }: Value<A>, found: string): HelpDoc.HelpDoc => {
  const short = found.length > shown ? `${found.slice(0, shown)}…` : found
  return HelpDoc.p(`${where}: expected ${expected}, found ${found === "" ? "an empty text" : `"${short}"`}`)
}

const reading =
  <A, E>(value: Value<A>, fail: (found: string) => E) =>
  (found: string): Effect.Effect<A, E> => {
    const read = value.read(found)
    return read === undefined ? Effect.fail(fail(found)) : Effect.succeed(read)
  }

interface More {
  readonly short?: string
}

const named = <A>(options: Options.Options<A>, about: string, short: string | undefined): Options.Options<A> => {
  const described = Options.withDescription(options, about)
  return short === undefined ? described : Options.withAlias(described, short)
}

const optionsOf = (name: string, offer: Offer): Options.Options<string> => {
  if (offer === null) return Options.text(name)
  if (offer === "files") return Options.file(name)
  return offer === "folders" ? Options.directory(name) : Options.choice(name, offer)
}

export const flag = (about: string, { short }: More = {}): Param<boolean> => ({
  label: "",
  about,
  short: short ?? null,
  offer: null,
  parser: { kind: "option", make: (name) => named(Options.boolean(name), about, short) }
})

export const optionOr = <A, B>(
  value: Value<A>,
  label: string,
  about: string,
  absent: B,
  { short }: More = {}
): Param<A | B> => ({
  label,
  about,
  short: short ?? null,
  offer: value.offer,
  parser: {
    kind: "option",
    make: (name) => {
      const text = optionsOf(name, value.offer)
      return named(text, about, short).pipe(
        Options.mapEffect(reading(value, (found) => ValidationError.invalidValue(wrong(`--${name}`, value, found)))),
        Options.optional,
        Options.map(Option.getOrElse((): A | B => absent))
      )
    }
  }
})

export const option = <A>(value: Value<A>, label: string, about: string, more: More = {}): Param<A | undefined> =>
  optionOr(value, label, about, undefined, more)

/** May be given any number of times; in the order given. */
export const options = <A>(value: Value<A>, label: string, about: string): Param<ReadonlyArray<A>> => ({
  label,
  about,
  short: null,
  offer: value.offer,
  parser: {
    kind: "option",
    make: (name) =>
      optionsOf(name, value.offer).pipe(
        Options.withDescription(about),
        Options.repeated,
        Options.mapEffect(
          Effect.forEach(reading(value, (found) => ValidationError.invalidValue(wrong(`--${name}`, value, found))))
        )
      )
  }
})

export const argument = <A>(value: Value<A>, label: string, about: string): Param<A> => ({
  label,
  about,
  short: null,
  offer: value.offer,
  parser: {
    kind: "argument",
    make: (name) =>
      Args.text({ name }).pipe(
        Args.withDescription(about),
        Args.mapEffect(reading(value, (found) => wrong(label, value, found)))
      )
  }
})

export type Words = readonly [string, ...ReadonlyArray<string>]

/** All arguments from the first on; at least one. */
export const rest = (label: string, about: string): Param<Words> => ({
  label: `${label}…`,
  about,
  short: null,
  offer: null,
  parser: { kind: "argument", make: (name) => Args.text({ name }).pipe(Args.withDescription(about), Args.atLeast(1)) }
})

/** What a word names in a group, and what is meant when it names nothing. */
export const verbIn = (
  { verbs }: Group,
  word: string | undefined
): { readonly name: string; readonly verb: Verb } | undefined => {
  const named = word !== undefined && word !== "" && Object.hasOwn(verbs, word) ? verbs[word] : undefined
  if (word !== undefined && named !== undefined) return { name: word, verb: named }
  return verbs[""] === undefined ? undefined : { name: "", verb: verbs[""] }
}

/** `dailyUsd` → `daily-usd`. */
export const wordOf = (key: string): string => key.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)

export const commandOf = (name: string, { about, params, run, summary }: Verb) =>
  Command.make(
    name,
    Object.fromEntries(Object.entries(params).map(([key, { parser }]) => [key, parser.make(wordOf(key))])),
    run
  ).pipe(Command.withDescription(about === "" ? summary : `${summary} ${about}`))

/** A group as a command with subcommands; what the verb without a name does, the group's own name does. */
export const groupCommand = (name: string, { summary, verbs }: Group) => {
  const [first, ...others] = Object.entries(verbs)
    .filter(([word]) => word !== "")
    .map(([word, verb]) => commandOf(word, verb))
  const own = verbs[""]
  const bare = own === undefined ? Command.make(name).pipe(Command.withDescription(summary)) : commandOf(name, own)
  return first === undefined ? bare : Command.withSubcommands(bare, [first, ...others])
}
