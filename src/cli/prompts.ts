/** Questions to a person on a terminal. What asks is loaded with the first question. */
import type * as Prompt from "@effect/cli/Prompt"
import { Effect } from "effect"

export type Choice<A> = Prompt.Prompt.SelectChoice<A>

const library = Effect.promise(() => import("./prompts/library.ts"))

/** The first choice is the default. */
export const select = <A>(message: string, choices: ReadonlyArray<Choice<A>>) =>
  Effect.flatMap(library, ({ Prompt, run }) => run(Prompt.select({ message, choices })))

export const line = (message: string, start: string) =>
  Effect.flatMap(library, ({ Prompt, run }) => run(Prompt.text({ message, default: start })))

export const amountOf = (message: string, least: number, most: number) =>
  Effect.flatMap(library, ({ Prompt, run }) => run(Prompt.float({ message, min: least, max: most })))

/** Not shown while it is typed. */
export const hidden = (message: string) =>
  Effect.flatMap(library, ({ Prompt, run }) => run(Prompt.password({ message })))

/** No is the default. */
export const confirm = (message: string) =>
  Effect.flatMap(library, ({ Prompt, run }) => run(Prompt.confirm({ message, initial: false })))
