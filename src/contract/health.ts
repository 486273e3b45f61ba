/** Health: is it this gateway that answers, and does it take requests? For supervisors, and for whoever finds the port taken. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"
import { Open } from "./access.ts"
import { about, base, worded } from "./failures.ts"

/** Who answers on a port. Tells one gateway from another, and from other programs. */
export class Identity extends Schema.Class<Identity>("Identity")({
  service: Schema.Literal("ai-desk"),
  version: Schema.String,
  /** Random, new at every start. */
  instance: Schema.String
}) {}

/** It starts or stops; ask another one, or again in a moment. */
export class NotReady extends Schema.TaggedError<NotReady>()(
  "NotReady",
  { phase: Schema.Literal("starting", "draining") },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message(): string {
    return this.phase === "starting" ? "the gateway is starting" : "the gateway is stopping"
  }
}

export const HealthGroup = HttpApiGroup.make("health")
  .annotateContext(about("Whether the gateway is there and takes requests."))
  .add(
    HttpApiEndpoint.get("alive", "/healthz")
      .middleware(Open)
      .annotateContext(about("Is it there", "Answers for as long as the process does; says who answers, and no more."))
      .addSuccess(Identity)
  )
  .add(
    HttpApiEndpoint.get("ready", "/readyz")
      .middleware(Open)
      .annotateContext(about("Does it take requests", "Not while the gateway starts or stops."))
      .addSuccess(Schema.Struct({ ready: Schema.Literal(true) }))
      .addError(worded(NotReady))
  )

export const HealthApi = base.add(HealthGroup)
