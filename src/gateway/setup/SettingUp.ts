/**
 * SettingUp: the first set-up as a running gateway does it: the wizard over the boundary, and the
 * ground of the new settings, opened for as long as it takes to put the first secrets there.
 */
import { dirname } from "node:path"
import { type Context, Effect, type Scope } from "effect"
import type { AppOptions } from "../../domain/App.ts"
import { configPath, type SettingsInvalid, withoutConfig } from "../../kernel/Settings.ts"
import { beforeSetUp } from "../Door.ts"
import type { SettingUp } from "../Gateway.ts"
import * as SetupWizard from "../SetupWizard.ts"
import { ground } from "./Ground.ts"

/** What a person in front of the terminal is told. */
export interface Surface {
  readonly version: string
  /** The set-up page can be opened. */
  readonly reachable: (url: string, config: string) => Effect.Effect<void>
  /** The one-time code that opens it. */
  readonly tell: (code: string) => Effect.Effect<void>
}

/** `open` opens the parts over new settings. */
export const make = <E extends SetupWizard.StepFailure>(
  options: AppOptions,
  { reachable, tell }: Surface,
  open: (app: AppOptions) => Effect.Effect<Context.Context<Effect.Effect.Context<typeof ground>>, E, Scope.Scope>
): Effect.Effect<SettingUp, SettingsInvalid> =>
  Effect.gen(function* () {
    const sources = { configPath: options.config, cwd: options.cwd, env: options.env }
    const config = yield* configPath(sources)
    const settings = yield* withoutConfig(sources, dirname(config))
    const wizard = SetupWizard.make({
      app: options,
      tell,
      ground: (app) => Effect.flatMap(open(app), (context) => Effect.provide(ground, context))
    })
    return {
      wizard: Effect.map(wizard, (made) => ({ ...made, app: beforeSetUp(settings.config.gateway, made.app) })),
      settings,
      reachable: (url) => reachable(url, config)
    }
  })
