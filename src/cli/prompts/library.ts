/** The library of prompts with the terminal that it draws on; a chunk of its own in the bundle. */
import * as Prompt from "@effect/cli/Prompt"
import * as NodeContext from "@effect/platform-node/NodeContext"
import type * as Terminal from "@effect/platform/Terminal"
import { Effect } from "effect"

export { Prompt }

/** Fails with QuitException when the person leaves with Ctrl-C or Ctrl-D. */
export const run = <A>(prompt: Prompt.Prompt<A>): Effect.Effect<A, Terminal.QuitException> =>
  Effect.provide(Prompt.run(prompt), NodeContext.layer)
