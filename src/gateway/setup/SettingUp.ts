/**
 * SettingUp: the first set-up as a running gateway does it: the wizard over the boundary, and the
 * ground of the new settings, opened for as long as it takes to put the first secrets there.
 */
import { dirname } from "node:path"
import { type Context, Effect, type Scope } from "effect"
import { NewToken } from "../../domain/Access.ts"
import type { AppOptions } from "../../domain/App.ts"
import { AuditEvent } from "../../domain/Audit.ts"
import { Caller, localOwner } from "../../domain/Caller.ts"
import { Audit } from "../../kernel/Audit.ts"
import { Credentials } from "../../kernel/Credentials.ts"
import { configPath, type SettingsInvalid, withoutConfig } from "../../kernel/Settings.ts"
import * as Setup from "../../kernel/Setup.ts"
import { Links } from "../auth/Links.ts"
import { Passwords } from "../auth/Passwords.ts"
import { Tokens } from "../auth/Tokens.ts"
import { beforeSetUp } from "../Door.ts"
import type { SettingUp } from "../Gateway.ts"
import * as SetupWizard from "../SetupWizard.ts"

/** What a person in front of the terminal is told. */
export interface Surface {
  readonly version: string
  /** The set-up page can be opened. */
  readonly reachable: (url: string, config: string) => Effect.Effect<void>
  /** The one-time code that opens it. */
  readonly tell: (code: string) => Effect.Effect<void>
}

type Parts = Audit | Credentials | Links | Passwords | Tokens

const firstToken = new NewToken({ label: Setup.firstTokenLabel, scopes: ["owner"] })

const groundOf = (context: Context.Context<Parts>): SetupWizard.Ground => {
  const asOwner = <A, E>(effect: Effect.Effect<A, E, Parts>) =>
    effect.pipe(Effect.provide(context), Effect.provideService(Caller, localOwner))
  return {
    completed: asOwner(
      Effect.flatMap(Audit, (audit) =>
        audit.append(new AuditEvent({ type: "setup.completed", principal: "owner", data: { by: "browser" } }))
      )
    ),
    storeKey: (provider, secret) => asOwner(Effect.flatMap(Credentials, (store) => store.set(provider, secret))),
    firstToken: asOwner(
      Effect.flatMap(Tokens, (tokens) => Effect.map(tokens.create(firstToken), ({ token }) => token))
    ),
    setPassword: (password) => asOwner(Effect.flatMap(Passwords, (passwords) => passwords.set(password))),
    link: asOwner(Effect.flatMap(Links, (links) => Effect.map(links.make, ({ code }) => code)))
  }
}

/** `ground` opens the parts over new settings. */
export const make = <E extends SetupWizard.StepFailure>(
  options: AppOptions,
  { reachable, tell }: Surface,
  ground: (app: AppOptions) => Effect.Effect<Context.Context<Parts>, E, Scope.Scope>
): Effect.Effect<SettingUp, SettingsInvalid> =>
  Effect.gen(function* () {
    const sources = { configPath: options.config, cwd: options.cwd, env: options.env }
    const config = yield* configPath(sources)
    const settings = yield* withoutConfig(sources, dirname(config))
    const wizard = SetupWizard.make({ app: options, tell, ground: (app) => Effect.map(ground(app), groundOf) })
    return {
      wizard: Effect.map(wizard, (made) => ({ ...made, app: beforeSetUp(settings.config.gateway, made.app) })),
      settings,
      reachable: (url) => reachable(url, config)
    }
  })
