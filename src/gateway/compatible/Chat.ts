/** Chat: OpenAI's chat completions, to and from our form. Tool calls are sent whole at the end of an answer, in their order. */
import { Either } from "effect"
import type { ChatChunk, ChatCompletion, ChatFinish, ChatRequest, ChatUsage } from "../../contract/openaiChat.ts"
import type { ToolCallPart } from "../../domain/Message.ts"
import type { FinishReason, Usage } from "../../domain/Model.ts"
import { argumentsOf, builder, callPart, chosen, given, textPart, textsOf, toolsOf } from "./Conversation.ts"
import { bodyOf, type CompatibleFailure, invalid } from "./Failure.ts"
import type { Answer, Asked, Encoder } from "./Run.ts"

const formatOf = ({ response_format: format }: ChatRequest) => {
  if (format === null || format === undefined || format.type === "text") return undefined
  const { json_schema: named } = format
  if (format.type === "json_object") return { name: "answer" }
  return { name: named?.name ?? "answer", ...given("schema", named?.schema) }
}

export const read = (request: ChatRequest): Either.Either<Asked, CompatibleFailure> =>
  Either.gen(function* () {
    const instructions: Array<string> = []
    const conversation = builder()
    for (const [i, message] of request.messages.entries()) {
      const where = `messages.${i}`
      const texts = yield* textsOf(message.content, `${where}.content`)
      switch (message.role) {
        case "system":
        case "developer":
          instructions.push(...texts)
          break
        case "user":
          conversation.user(texts)
          break
        case "assistant": {
          const calls: Array<ToolCallPart> = []
          for (const [n, call] of (message.tool_calls ?? []).entries()) {
            const at = `${where}.tool_calls.${n}.function.arguments`
            calls.push(callPart(call.id, call.function.name, yield* argumentsOf(call.function.arguments, at)))
          }
          const said = message.refusal === null || message.refusal === undefined ? texts : [...texts, message.refusal]
          conversation.assistant([...said.map(textPart), ...calls])
          break
        }
        case "tool": {
          const id = message.tool_call_id
          if (id === null || id === undefined)
            return yield* Either.left(invalid(where, `${where}.tool_call_id: is missing`))
          yield* conversation.result(id, texts.join("\n"), false, `${where}.tool_call_id`)
        }
      }
    }
    const named = []
    for (const [i, tool] of (request.tools ?? []).entries()) {
      if (tool.type !== "function" || tool.function === undefined) {
        return yield* Either.left(invalid(`tools.${i}`, `tools.${i}: only tools of type function are supported`))
      }
      named.push({
        name: tool.function.name,
        description: tool.function.description,
        parameters: tool.function.parameters
      })
    }
    const tools = yield* toolsOf(named)
    const choice = request.tool_choice
    const toolChoice =
      typeof choice === "object" && choice !== null ? yield* chosen(choice.function.name, tools) : choice
    return {
      model: request.model,
      instructions: instructions.join("\n\n"),
      messages: yield* conversation.finish("messages"),
      tools,
      settings: {
        ...given("maxOutputTokens", request.max_completion_tokens ?? request.max_tokens),
        ...given("temperature", request.temperature),
        ...given("topP", request.top_p),
        ...given("stop", typeof request.stop === "string" ? [request.stop] : request.stop),
        ...given("toolChoice", toolChoice),
        ...given("parallelCalls", request.parallel_tool_calls),
        ...given("format", formatOf(request))
      }
    }
  })

const finishes: Record<FinishReason, ChatFinish> = {
  stop: "stop",
  tool_calls: "tool_calls",
  max_tokens: "length",
  refused: "content_filter"
}

const usageOf = (usage: Usage): ChatUsage => {
  const prompt = usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens
  return {
    prompt_tokens: prompt,
    completion_tokens: usage.outputTokens,
    total_tokens: prompt + usage.outputTokens,
    prompt_tokens_details: { cached_tokens: usage.cacheReadTokens, cache_write_tokens: usage.cacheWriteTokens }
  }
}

const callOf = (call: ToolCallPart) => ({
  id: call.id,
  type: "function" as const,
  function: { name: call.name, arguments: JSON.stringify(call.arguments ?? {}) }
})

const idOf = (run: string): string => `chatcmpl-${run}`

/** `created` is epoch seconds. */
export const whole =
  (model: string, created: number) =>
  ({ calls, finish, run, text, usage }: Answer): ChatCompletion => ({
    id: idOf(run),
    object: "chat.completion",
    created,
    model,
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: text === "" && calls.length > 0 ? null : text,
          refusal: null,
          ...(calls.length === 0 ? {} : { tool_calls: calls.map(callOf) })
        },
        logprobs: null,
        finish_reason: finishes[finish]
      }
    ],
    usage: usageOf(usage)
  })

const data = (value: object): string => `data: ${JSON.stringify(value)}\n\n`

export const encoder = (model: string, created: number, includeUsage: boolean): Encoder => {
  let id = ""
  const chunk = (choices: ChatChunk["choices"], usage: ChatUsage | null = null): string =>
    data({
      id,
      object: "chat.completion.chunk",
      created,
      model,
      choices,
      // Every chunk has the field where the client asked for it, the last one with the count.
      ...(includeUsage ? { usage } : {})
    } satisfies ChatChunk)
  const delta = (given: ChatChunk["choices"][number]["delta"], finish: ChatFinish | null = null): string =>
    chunk([{ index: 0, delta: given, logprobs: null, finish_reason: finish }])
  return {
    open: (run) => {
      id = idOf(run)
      return delta({ role: "assistant", content: "" })
    },
    text: (text) => delta({ content: text }),
    done: ({ calls, finish, usage }) =>
      calls.map((call, index) => delta({ tool_calls: [{ index, ...callOf(call) }] })).join("") +
      delta({}, finishes[finish]) +
      (includeUsage ? chunk([], usageOf(usage)) : "") +
      "data: [DONE]\n\n",
    // A comment: clients pass over it.
    ping: ": ping\n\n",
    fail: (failure) => data(bodyOf("openai", failure))
  }
}
