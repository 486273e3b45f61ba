/** Answers the openai group: models, chat completions and responses, in front of agents and raw models. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Clock, Effect } from "effect"
import { AgentRuntime } from "../../agent/AgentRuntime.ts"
import { Agents } from "../../agent/Agents.ts"
import { Completions } from "../../agent/Completions.ts"
import { OpenAiApi } from "../../contract/openai.ts"
import { Caller } from "../../domain/Caller.ts"
import { Settings } from "../../kernel/Settings.ts"
import { Pricing } from "../../model/Pricing.ts"
import * as Chat from "../compatible/Chat.ts"
import { ofError, respond, type Vendor, vendorOf } from "../compatible/Failure.ts"
import * as Responses from "../compatible/Responses.ts"
import * as Run from "../compatible/Run.ts"
import * as Target from "../compatible/Target.ts"

const epochSeconds = Effect.map(Clock.currentTimeMillis, (now) => Math.floor(now / 1000))

/** Nobody knows when a model was made; clients want a number. */
const made = 0

const modelOf = (vendor: Vendor, target: Target.Target): object => {
  const id = Target.idOf(target)
  return vendor === "openai"
    ? { id, object: "model", created: made, owned_by: "agent" in target ? "ai-desk" : id.slice(0, id.indexOf("/")) }
    : { type: "model", id, display_name: id, created_at: "1970-01-01T00:00:00Z" }
}

const listOf = (vendor: Vendor, targets: ReadonlyArray<Target.Target>): object => {
  const data = targets.map((target) => modelOf(vendor, target))
  const ids = targets.map(Target.idOf)
  return vendor === "openai"
    ? { object: "list", data }
    : { data, has_more: false, first_id: ids.at(0) ?? null, last_id: ids.at(-1) ?? null }
}

const asking = Effect.map(
  HttpServerRequest.HttpServerRequest,
  ({ headers, url }): Vendor => vendorOf(url, headers) ?? "openai"
)

export const layer = HttpApiBuilder.group(OpenAiApi, "openai", (handlers) =>
  Effect.gen(function* () {
    const services: Run.Services = {
      runtime: yield* AgentRuntime,
      completions: yield* Completions,
      agents: yield* Agents,
      settings: yield* Settings,
      pricing: yield* Pricing
    }
    return handlers
      .handle("models", () =>
        Effect.gen(function* () {
          const targets = yield* Target.list(services, yield* Caller)
          return HttpServerResponse.unsafeJson(listOf(yield* asking, targets))
        })
      )
      .handle("model", ({ path }) =>
        Effect.gen(function* () {
          const vendor = yield* asking
          return yield* Target.find(services, yield* Caller, path.model).pipe(
            Effect.map((target) => HttpServerResponse.unsafeJson(modelOf(vendor, target))),
            Effect.catchAll((error) => Effect.succeed(respond(vendor, ofError(error))))
          )
        })
      )
      .handle("chat", ({ payload }) =>
        Effect.gen(function* () {
          const { model, stream, stream_options: options } = payload
          const created = yield* epochSeconds
          const form =
            stream === true
              ? { encoder: Chat.encoder(model, created, options?.include_usage === true) }
              : { whole: Chat.whole(model, created) }
          return yield* Run.answer(services, yield* Caller, "openai", Chat.read(payload), form)
        })
      )
      .handle("responses", ({ payload }) =>
        Effect.gen(function* () {
          const at = yield* epochSeconds
          const form =
            payload.stream === true
              ? { encoder: Responses.encoder(payload, at) }
              : { whole: Responses.whole(payload, at) }
          return yield* Run.answer(services, yield* Caller, "openai", Responses.read(payload), form)
        })
      )
  })
)
