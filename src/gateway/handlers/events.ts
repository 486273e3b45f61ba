/** Answers the events group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect } from "effect"
import { EventsApi } from "../../contract/events.ts"
import { nodeOf } from "../door/Admitted.ts"
import { EventStream } from "../EventStream.ts"

export const layer = HttpApiBuilder.group(EventsApi, "events", (handlers) =>
  Effect.map(EventStream, (stream) =>
    handlers.handle("stream", ({ headers }) =>
      Effect.map(HttpServerRequest.HttpServerRequest, (request) =>
        HttpServerResponse.stream(
          stream.frames({
            after: headers["last-event-id"],
            cut: () => void nodeOf(request)?.socket.destroy()
          }),
          {
            contentType: "text/event-stream",
            // A proxy that collects an answer before it passes it on would hold events back.
            headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
          }
        )
      )
    )
  )
)
