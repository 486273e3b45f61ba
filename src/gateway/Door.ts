/**
 * Door: what every request passes before anything answers it: Host and Origin, size and kind of its
 * body, rate, credential. It finds out who asks, and puts that where `Access` and the handlers read
 * it. Answers carry the headers that keep browsers from doing harm with them.
 */
import { Context } from "effect"
import type * as HttpApp from "@effect/platform/HttpApp"
import type { Scope } from "effect"

export type App = HttpApp.Default<never, Scope.Scope>

export class Door extends Context.Tag("ai-desk/gateway/Door")<
  Door,
  {
    /** For the network: nobody is trusted. */
    readonly guard: (app: App) => App
    /** For the owner's own processes, over a socket that only they can open. */
    readonly local: (app: App) => App
  }
>() {}
