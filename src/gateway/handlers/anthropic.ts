/** Answers the anthropic group: messages, and how many tokens they have. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect } from "effect"
import { AgentRuntime } from "../../agent/AgentRuntime.ts"
import { Agents } from "../../agent/Agents.ts"
import { Completions } from "../../agent/Completions.ts"
import { AnthropicApi } from "../../contract/anthropic.ts"
import { Caller } from "../../domain/Caller.ts"
import { Settings } from "../../kernel/Settings.ts"
import { Pricing } from "../../model/Pricing.ts"
import { ofError, respond } from "../compatible/Failure.ts"
import * as Messages from "../compatible/Messages.ts"
import * as Run from "../compatible/Run.ts"
import * as Target from "../compatible/Target.ts"

export const layer = HttpApiBuilder.group(AnthropicApi, "anthropic", (handlers) =>
  Effect.gen(function* () {
    const services: Run.Services = {
      runtime: yield* AgentRuntime,
      completions: yield* Completions,
      agents: yield* Agents,
      settings: yield* Settings,
      pricing: yield* Pricing
    }
    return handlers
      .handle("messages", ({ payload }) =>
        Effect.gen(function* () {
          const { model, stream } = payload
          const form = stream === true ? { encoder: Messages.encoder(model) } : { whole: Messages.whole(model) }
          return yield* Run.answer(services, yield* Caller, "anthropic", Messages.read(payload), form)
        })
      )
      .handle("countTokens", ({ payload }) =>
        Effect.gen(function* () {
          yield* Target.resolve(services, yield* Caller, payload.model)
          const asked = yield* Messages.readPrompt(payload)
          return HttpServerResponse.unsafeJson({ input_tokens: yield* Messages.countTokens(asked) })
        }).pipe(Effect.catchAll((error) => Effect.succeed(respond("anthropic", ofError(error)))))
      )
  })
)
