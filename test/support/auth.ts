/** Auth over real parts: settings file, database, audit log, lock-out; and the certificates' pins, which are TLS's to find out. */
import { Clock, Deferred, Effect, Layer, Redacted } from "effect"
import type { AuthMode } from "../../src/domain/Access.ts"
import * as Auth from "../../src/gateway/Auth.ts"
import * as Links from "../../src/gateway/auth/Links.ts"
import * as Logins from "../../src/gateway/auth/Logins.ts"
import * as Passwords from "../../src/gateway/auth/Passwords.ts"
import * as Tokens from "../../src/gateway/auth/Tokens.ts"
import * as WebSessions from "../../src/gateway/auth/WebSessions.ts"
import * as Lockout from "../../src/gateway/Lockout.ts"
import { type Pin, Pins } from "../../src/gateway/Pins.ts"
import { layer as auditLayer } from "../../src/kernel/Audit.ts"
import { Settings } from "../../src/kernel/Settings.ts"
import { layerTemporary } from "./database.ts"
import { settingsLayer } from "./settings.ts"

/** Some pins by key; ending one is the test's to do. */
export const pinned = new Map<string, Pin & { readonly over: Deferred.Deferred<void> }>()
export const pins = Layer.succeed(
  Pins,
  Pins.of({
    lookup: (spki) => Effect.sync(() => pinned.get(spki) ?? null),
    ended: (id) =>
      Effect.suspend(() => {
        const found = [...pinned.values()].find((pin) => pin.id === id)
        return found === undefined ? Effect.void : Deferred.await(found.over)
      })
  })
)

/** The ground alone: what a restart finds again. */
export const groundOf = (auth: object = {}) =>
  // The audit log looks after itself by the real clock, which no test of years is to wait for.
  Layer.scopedContext(Layer.build(auditLayer).pipe(Effect.withClock(Clock.make()))).pipe(
    Layer.provideMerge(Layer.merge(layerTemporary, settingsLayer({ config: { gateway: { auth } } })))
  )

/** What a process has on that ground; `Layer.fresh` of it is a restart. */
export const process = Layer.mergeAll(Auth.layer, Logins.layer).pipe(
  Layer.provideMerge(Layer.mergeAll(Tokens.layer, Passwords.layer, WebSessions.layer, Lockout.layer, Links.layer, pins))
)

export const authOf = (auth: object = {}) => Layer.provideMerge(process, groundOf(auth))

/** A restart on the same ground, after the mode was changed in the settings file. */
export const restartedIn = (mode: AuthMode) =>
  Layer.fresh(process).pipe(
    Layer.provide(
      Layer.effect(
        Settings,
        Effect.map(Settings, (settings) =>
          Settings.of({
            ...settings,
            current: Effect.map(settings.current, (loaded) => {
              const { gateway } = loaded.config
              const changed = { ...gateway, auth: { ...gateway.auth, mode } }
              return { ...loaded, config: { ...loaded.config, gateway: changed } }
            })
          })
        )
      )
    )
  )

export const secret = (text: string) => Redacted.make(text)
export const from = (address: string, rest: Partial<Auth.Presented> = {}): Auth.Presented => ({
  address,
  bearer: null,
  session: null,
  certificate: null,
  ...rest
})
