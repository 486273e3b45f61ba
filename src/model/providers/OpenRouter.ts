/**
 * OpenRouter: many vendors' models behind one key, spoken to as an OpenAI-compatible server.
 *
 * Guarantees: usage is asked for explicitly, cache counts included, because OpenRouter leaves it out
 * otherwise and an answer without usage is charged its whole reservation.
 */
import type { Redacted, Stream } from "effect"
import type { ModelError, ModelEvent, ModelRef, ModelRequest } from "../../domain/Model.ts"
import { askOpenAi } from "./OpenAiCompatible.ts"

export const openRouterAddress = "https://openrouter.ai/api/v1"

export const askOpenRouter = (options: {
  readonly baseUrl: string
  readonly key: Redacted.Redacted<string>
  readonly headers: Readonly<Record<string, string>>
}): ((model: ModelRef, request: ModelRequest, leaseId: string) => Stream.Stream<ModelEvent, ModelError>) =>
  askOpenAi({
    ...options,
    // OpenRouter shows this name to the owner of the key in the list of requests.
    headers: { "x-title": "Ai_DESK", ...options.headers },
    extra: { usage: { include: true } }
  })
