/**
 * Events: what happens in the gateway, broadcast to whoever listens: the dashboard, the chats.
 * Listeners never slow a publisher down: a slow one loses its oldest events.
 */
import { Context, Effect, Layer, PubSub, type Scope, Stream } from "effect"
import type { GatewayEvent } from "../domain/GatewayEvent.ts"

export class Events extends Context.Tag("ai-desk/kernel/Events")<
  Events,
  {
    readonly publish: (event: GatewayEvent) => Effect.Effect<void>
    /** From the moment of subscription on. */
    readonly stream: Stream.Stream<GatewayEvent>
    /** As `stream`, but listening when this returns. */
    readonly listen: Effect.Effect<Stream.Stream<GatewayEvent>, never, Scope.Scope>
  }
>() {}

/** Per listener; a page that is this far behind reloads its state anyway. */
const backlog = 1024

export const layer = Layer.scoped(
  Events,
  Effect.gen(function* () {
    const hub = yield* Effect.acquireRelease(PubSub.sliding<GatewayEvent>(backlog), PubSub.shutdown)
    return Events.of({
      publish: (event) => Effect.asVoid(PubSub.publish(hub, event)),
      stream: Stream.fromPubSub(hub),
      listen: Effect.map(PubSub.subscribe(hub), (queue) => Stream.fromQueue(queue))
    })
  })
)
