/**
 * Events: what happens in the gateway, live, as Server-Sent Events: the frame's event is the `_tag` of
 * a GatewayEvent, its data the event. `reset`: what came before is not known any more, look anew.
 * `dropped`: the client did not read; it may come back.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"
import { GatewayEvent } from "../domain/GatewayEvent.ts"
import { Reads } from "./access.ts"
import { about, base } from "./failures.ts"

export const GatewayEventJson = Schema.parseJson(GatewayEvent)

export const EventsGroup = HttpApiGroup.make("events")
  .annotateContext(about("What happens in the gateway, live."))
  .add(
    HttpApiEndpoint.get("stream", "/dashboard/api/events")
      .middleware(Reads)
      .annotateContext(
        about(
          "Follow what happens",
          "Server-Sent Events from now on, or after the one that the Last-Event-ID header names, if it is not too long ago."
        )
      )
      .setHeaders(Schema.Struct({ "last-event-id": Schema.optional(Schema.String.pipe(Schema.maxLength(64))) }))
      .addSuccess(HttpApiSchema.Text({ contentType: "text/event-stream" }))
  )

export const EventsApi = base.add(EventsGroup)
