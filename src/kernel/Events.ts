/**
 * Events: what happens in the gateway, broadcast to whoever listens (later the dashboard and the
 * chats). Listeners never slow a publisher down: a slow one loses its oldest events and is told.
 */
import { Context, Effect, Layer, PubSub, Schema, Stream } from "effect"
import { AgentId, RunId, SessionId } from "../domain/Ids.ts"
import { ApprovalRequest } from "../domain/Tool.ts"

export class RunChanged extends Schema.TaggedClass<RunChanged>()("RunChanged", {
  agent: AgentId,
  session: SessionId,
  run: RunId,
  state: Schema.Literal("started", "ended")
}) {}
export class BudgetWarned extends Schema.TaggedClass<BudgetWarned>()("BudgetWarned", {
  agent: AgentId,
  detail: Schema.String
}) {}
export class ApprovalPending extends Schema.TaggedClass<ApprovalPending>()("ApprovalPending", {
  request: ApprovalRequest
}) {}
export class ConfigReloaded extends Schema.TaggedClass<ConfigReloaded>()("ConfigReloaded", {}) {}
export class ConfigRejected extends Schema.TaggedClass<ConfigRejected>()("ConfigRejected", { detail: Schema.String }) {}

export const GatewayEvent = Schema.Union(RunChanged, BudgetWarned, ApprovalPending, ConfigReloaded, ConfigRejected)
export type GatewayEvent = typeof GatewayEvent.Type

export class Events extends Context.Tag("ai-desk/kernel/Events")<
  Events,
  {
    readonly publish: (event: GatewayEvent) => Effect.Effect<void>
    /** From the moment of subscription on. */
    readonly stream: Stream.Stream<GatewayEvent>
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
      stream: Stream.fromPubSub(hub)
    })
  })
)
