/** What every verb shares: its common options, where the settings come from, and how it ends. */
import * as Options from "@effect/cli/Options"
import { Data, Effect, Option, type Scope } from "effect"
import type { AppOptions } from "../domain/App.ts"
import { type LoadedSettings, Settings, type SettingsInvalid, layer as settingsLayer } from "../kernel/Settings.ts"
import * as ControlClient from "./ControlClient.ts"
import { errorOf, exitCodeOf, report } from "./failure.ts"
import * as Output from "./Output.ts"

export const config = Options.file("config").pipe(
  Options.withAlias("c"),
  Options.withDescription("Path of ai-desk.json. Otherwise: AI_DESK_CONFIG, then ./ai-desk.json."),
  Options.optional
)

export const json = Options.boolean("json").pipe(Options.withDescription("Print one JSON value (for runs: one per line)."))

export const optionsOf = (path: Option.Option<string>): AppOptions =>
  Option.match(path, { onNone: () => ({}), onSome: (config) => ({ config }) })

/** The settings as they would be in force now. */
export const looked = (path: Option.Option<string>): Effect.Effect<LoadedSettings, SettingsInvalid> =>
  Effect.flatMap(Settings, (settings) => settings.current).pipe(
    Effect.provide(settingsLayer(Option.match(path, { onNone: () => ({}), onSome: (configPath) => ({ configPath }) })))
  )

/** A verb has failed and has said so; only the exit code is left to be given. */
export class Exited extends Data.TaggedError("Exited")<{ readonly code: number }> {}

/** Runs a verb with its output; a failure is reported once, here, and becomes the exit code. */
export const verb = <A, E, R>(
  asJson: boolean,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<void, Exited, Exclude<R, Output.Output>> =>
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

/** The other end of the contract, in this process. */
export const inProcess = (options: AppOptions) => Effect.provide(ControlClient.layerInProcess(options))

/** A verb that asks the gateway's parts for one answer and shows it. */
export const ask = <A, E, R>(
  input: { readonly config: Option.Option<string>; readonly json: boolean },
  effect: Effect.Effect<A, E, R>
): Effect.Effect<
  void,
  Exited,
  Exclude<Exclude<Exclude<R, ControlClient.ControlClient>, Scope.Scope>, Output.Output>
> => verb(input.json, Effect.scoped(inProcess(optionsOf(input.config))(effect)))

/** `2026-11-22 13:05:09`, UTC. */
export const when = (millis: number): string => new Date(millis).toISOString().slice(0, 19).replace("T", " ")
