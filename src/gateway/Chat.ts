/**
 * Chat: the way in to a live conversation. Only callers that may talk to agents get a WebSocket, and
 * only those that speak its protocol; all others are told so before anything is upgraded.
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Schema } from "effect"
import { Forbidden } from "../contract/access.ts"
import { subprotocol, UpgradeRequired } from "../contract/chat.ts"
import { worded } from "../contract/failures.ts"
import { Caller, may } from "../domain/Caller.ts"
import { Approvals } from "../tools/Approvals.ts"
import * as Connection from "./chat/Connection.ts"
import type { App } from "./Door.ts"
import { Drain } from "./Drain.ts"
import * as WebSockets from "./http/WebSockets.ts"
import { LiveRuns } from "./LiveRuns.ts"
import { RateLimiter } from "./RateLimiter.ts"

const encodeForbidden = Schema.encodeSync(worded(Forbidden))
const encodeUpgrade = Schema.encodeSync(worded(UpgradeRequired))

const upgradeRequired = (detail: string) =>
  HttpServerResponse.unsafeJson(encodeUpgrade(new UpgradeRequired({ detail })), {
    status: 426,
    headers: { upgrade: "websocket", connection: "upgrade" }
  })

/** Why the request cannot become a chat; undefined for nothing. */
const problem = (headers: Readonly<Record<string, string | undefined>>): string | undefined => {
  if (headers["upgrade"]?.toLowerCase() !== "websocket") return "a chat is a WebSocket, and this is a plain request"
  if (headers["sec-websocket-version"] !== "13") return "this is not version 13 of the WebSocket protocol"
  const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((one) => one.trim())
  return offered.includes(subprotocol) ? undefined : `the WebSocket does not offer the subprotocol ${subprotocol}`
}

export const make = Effect.gen(function* () {
  const live = yield* LiveRuns
  const approvals = yield* Approvals
  const limiter = yield* RateLimiter
  const drain = yield* Drain
  let connections = 0
  const app: App = Effect.gen(function* () {
    const caller = yield* Caller
    const request = yield* HttpServerRequest.HttpServerRequest
    if (!may(caller, "chat")) {
      const forbidden = new Forbidden({ detail: "this needs the scope owner or chat" })
      return HttpServerResponse.unsafeJson(encodeForbidden(forbidden), { status: 403 })
    }
    const wrong = problem(request.headers)
    if (wrong !== undefined) return upgradeRequired(wrong)
    const { source } = request
    const services = { live, approvals, limiter, draining: drain.begun }
    const id = `chat ${(connections += 1)}`
    return yield* Effect.matchEffect(request.upgrade, {
      onFailure: () => Effect.succeed(upgradeRequired("this connection cannot become a WebSocket")),
      onSuccess: (socket) =>
        Effect.as(
          Connection.serve(services, caller, id, socket, () =>
            typeof source === "object" && source !== null ? WebSockets.of(source) : undefined
          ),
          HttpServerResponse.empty()
        )
    })
  })
  return app
})
