/** What every verb shares: its common options, where the settings come from, and how it ends. */
import { DateTime, Effect, Schema, type Scope } from "effect"
import type { AppOptions } from "../domain/App.ts"
import { AgentId } from "../domain/Ids.ts"
import {
  type LoadedSettings,
  Settings,
  type SettingsInvalid,
  type SettingsOptions,
  layer as settingsLayer
} from "../kernel/Settings.ts"
import * as ControlClient from "./ControlClient.ts"
import { errorOf, Exited, exitCodeOf, report } from "./failure.ts"
import * as Grammar from "./Grammar.ts"
import * as Output from "./Output.ts"
import { Surroundings } from "./Surroundings.ts"

export const config = Grammar.option(
  Grammar.file,
  "FILE",
  "Path of ai-desk.json. Otherwise: AI_DESK_CONFIG, then ./ai-desk.json.",
  { short: "c" }
)

export const json = Grammar.flag("Print one JSON value (for runs: one per line).")

export const agentName = Grammar.matching(Schema.is(AgentId), "an agent's name (a-z, 0-9, _ and -)")

type Path = string | undefined

export const appOptions = (path: Path): Effect.Effect<AppOptions, never, Surroundings> =>
  Effect.map(Surroundings, ({ cwd, env }) => ({
    ...(path === undefined ? {} : { config: path }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env })
  }))

export const settingsOptions = (path: Path): Effect.Effect<SettingsOptions, never, Surroundings> =>
  Effect.map(appOptions(path), ({ config: configPath, cwd, env }) => ({ configPath, cwd, env }))

/** The settings as they would be in force now. */
export const looked = (path: Path): Effect.Effect<LoadedSettings, SettingsInvalid, Surroundings> =>
  Effect.flatMap(settingsOptions(path), (options) =>
    Effect.flatMap(Settings, (settings) => settings.current).pipe(Effect.provide(settingsLayer(options)))
  )
/** Runs a verb with its output; a failure is reported once, here, and becomes the exit code. */
export const present = <A, E, R>(
  asJson: boolean,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<void, Exited, Exclude<R, Output.Output> | Surroundings> =>
  effect.pipe(
    Effect.catchAllCause((cause) => {
      const error = errorOf(cause)
      // A verb that printed its result and wants a code of its own has nothing more to say.
      if (error instanceof Exited) return Effect.fail(error)
      return Effect.logDebug("the verb failed", cause).pipe(
        Effect.zipRight(report(error)),
        Effect.zipRight(new Exited({ code: exitCodeOf(error) }))
      )
    }),
    Effect.asVoid,
    Effect.provide(Output.layer(asJson))
  )

/** The other end of the contract: the running gateway, or this process. */
export const reached = (options: AppOptions) => Effect.provide(ControlClient.layer(options))

/** A verb that asks the gateway's parts for one answer and shows it. */
export const ask = <A, E>(
  input: { readonly config: Path; readonly json: boolean },
  effect: Effect.Effect<A, E, Output.Output | ControlClient.ControlClient | Scope.Scope | Surroundings>
): Effect.Effect<void, Exited, Surroundings> =>
  present(
    input.json,
    Effect.flatMap(appOptions(input.config), (options) => Effect.scoped(reached(options)(effect)))
  )

/** The answer to a question, in the contract's own form with --json, else in words. */
export const shown = <A, E, R>(
  question: Effect.Effect<A, E, R>,
  encode: (answer: A) => unknown,
  words: (answer: A) => string
): Effect.Effect<A, E, R | Output.Output> =>
  Effect.tap(question, (answer) =>
    Effect.flatMap(Output.Output, (output) => output.result(encode(answer), () => words(answer)))
  )

/** For answers that are plain data as they are. */
export const asIs = <A>(answer: A): A => answer

/** `2026-11-22 13:05:09`, UTC. */
export const when = (millis: number): string =>
  DateTime.formatIso(DateTime.unsafeMake(millis)).slice(0, 19).replace("T", " ")
