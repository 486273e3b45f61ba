/**
 * Door: what every request passes before anything answers it: Host and Origin, size and kind of its
 * body, rate, credential. It finds out who asks, and puts that where `Access` and the handlers read
 * it. Answers carry the headers that keep browsers from doing harm with them.
 *
 * Guarantees: a path that is not named as open needs a credential, also one that leads nowhere; what a
 * credential holds open (a stream, a WebSocket, an answer that takes long) ends within a second of it.
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import { Context, Effect, Layer, type Scope } from "effect"
import { type Config } from "../domain/Config.ts"
import { localOwner, nobody } from "../domain/Caller.ts"
import { Settings, SettingsInvalid, SettingsProblem } from "../kernel/Settings.ts"
import { Auth } from "./Auth.ts"
import * as Boundary from "./Boundary.ts"
import { counted } from "./ClientAddress.ts"
import { markAuthenticated } from "./Connections.ts"
import * as Body from "./door/Body.ts"
import { extract } from "./door/Credentials.ts"
import { either, gate } from "./door/Gate.ts"
import * as Lifetimes from "./door/Lifetimes.ts"
import * as OpenPaths from "./door/OpenPaths.ts"
import { RateLimiter } from "./RateLimiter.ts"

export type App = HttpApp.Default<never, Scope.Scope>

/** @effect-expect-leaking HttpServerRequest */
export class Door extends Context.Tag("ai-desk/gateway/Door")<
  Door,
  {
    /** For the network: nobody is trusted. */
    readonly guard: (app: App) => App
    /** For the owner's own processes, over a socket that only they can open. */
    readonly local: (app: App) => App
  }
>() {}

type Gateway = Config["gateway"]

const bodyOf = (method: string, path: string, open: boolean): Body.BodyRule => {
  if (path === "/v1" || path.startsWith("/v1/")) return Body.conversation
  if (!open) return Body.usual
  return method === "POST" && OpenPaths.isSetUp(path) ? Body.formOnly : Body.unproven
}

/** Asks for no body rule but its size: who may open the socket may do anything. */
const local = (app: App): App =>
  gate(
    {
      pass: () => Effect.succeed(null),
      admit: ({ upgrade }) => Effect.succeed({ caller: localOwner, body: Body.conversation, upgrade, address: null })
    },
    app
  )

/** For the time before there is anything to guard: the same boundary, and nobody who could prove anything. Only what is open to all is reached. */
export const beforeSetUp = (gateway: Gateway, app: App): App => {
  const rules = Boundary.policy(gateway)
  return gate(
    {
      pass: (node) => either(Boundary.check(node, rules)),
      admit: (request, _node, passed) =>
        Effect.succeed({
          caller: nobody,
          body: bodyOf(request.method, passed?.path ?? "", true),
          upgrade: request.upgrade,
          address: passed?.address ?? null
        })
    },
    app
  )
}

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const auth = yield* Auth
  const limiter = yield* RateLimiter
  const lifetimes = yield* Lifetimes.make(auth.ended)
  const isOpen = yield* Effect.cached(Effect.map(OpenPaths.openEndpoints, OpenPaths.matcher))

  const first = yield* settings.current
  let known = { gateway: first.config.gateway, policy: Boundary.policy(first.config.gateway) }
  const [unreadable] = known.policy.unreadable
  if (unreadable !== undefined) {
    const problem = new SettingsProblem({
      at: "gateway.reverseProxy.trusted",
      expected: "an IP address or range, such as 127.0.0.1 or 10.0.0.0/8",
      found: unreadable,
      fix: "correct it, or take it out"
    })
    return yield* new SettingsInvalid({ source: first.path ?? "default settings", problems: [problem] })
  }
  const policy = Effect.map(settings.current, ({ config: { gateway } }) => {
    if (gateway !== known.gateway) known = { gateway, policy: Boundary.policy(gateway) }
    return known.policy
  })

  const guard = (app: App): App =>
    gate(
      {
        pass: (node) => Effect.flatMap(policy, (rules) => either(Boundary.check(node, rules))),
        admit: (request, node, passed) =>
          Effect.gen(function* () {
            // `pass` lets nothing through without it.
            const { address, path, upgrade } = passed ?? (yield* Effect.dieMessage("nothing was checked"))
            // A page comes with its files at once; each costs less than counting it would save.
            if (!OpenPaths.isAsset(request.method, path)) yield* limiter.take(counted(address))
            const open = (yield* isOpen)(request.method, path)
            const body = bodyOf(request.method, path, open)
            if (open) return { caller: nobody, body, upgrade: request.upgrade, address }
            const presented = yield* either(extract(request.headers, upgrade, node.socket))
            const caller = yield* auth.authenticate({ ...presented, address })
            markAuthenticated(node.socket)
            const life = Lifetimes.endOf(node.socket)
            yield* lifetimes.hold(caller, life.end)
            return { caller, body, upgrade: life.upgrade(request.upgrade), address }
          })
      },
      app
    )

  return Door.of({ guard, local })
})

export const layer: Layer.Layer<Door, SettingsInvalid, Settings | Auth | RateLimiter> = Layer.scoped(Door, make)
