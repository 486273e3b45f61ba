/**
 * OpenAiCompatible: the chat completions API through OpenAI's SDK, for any server that speaks it
 * (Ollama, vLLM, LM Studio, OpenAI itself) and, with its own extras, for OpenRouter.
 *
 * Guarantees: nothing is taken from the SDK's own environment; one request per attempt; a server
 * without a key is sent none; calls are told apart although servers number them carelessly.
 */
import type { ChatCompletionCreateParamsStreaming, ChatCompletionMessageParam } from "openai/resources/chat/completions"
import { Effect, Predicate, Redacted, Schema, type Stream } from "effect"
import { type Message, textOf, toolCallsOf } from "../../domain/Message.ts"
import {
  type FinishReason,
  type ModelError,
  type ModelEvent,
  type ModelRef,
  type ModelRequest,
  splitModelRef
} from "../../domain/Model.ts"
import { type Assembler, makeAssembler } from "./Assembler.ts"
import { asObject, idsFor, refuseImages, textsOf, visible } from "./Conversation.ts"
import { badAnswer, type ProviderFault } from "./ModelErrors.ts"
import { decoder, type Reading, runAttempt } from "./Sdk.ts"
import { maybe } from "./Wire.ts"

export interface OpenAiOptions {
  readonly baseUrl: string
  /** Null: the server wants none. */
  readonly key: Redacted.Redacted<string> | null
  readonly headers: Readonly<Record<string, string>>
  /** Fields that one vendor adds to the request. */
  readonly extra: Readonly<Record<string, unknown>>
}

const json = Schema.encodeSync(Schema.parseJson(Schema.Unknown))

const messagesOf = (request: ModelRequest): Array<ChatCompletionMessageParam> => {
  // OpenAI refuses call ids above 40 characters.
  const id = idsFor(request.messages, (given) => given.length <= 40)
  const out: Array<ChatCompletionMessageParam> = []
  if (visible(request.system)) out.push({ role: "system", content: request.system })
  for (const message of request.messages) out.push(...messageOf(message, id, out))
  return out
}

const messageOf = (
  message: Message,
  id: (given: string) => string,
  before: ReadonlyArray<ChatCompletionMessageParam>
): ReadonlyArray<ChatCompletionMessageParam> => {
  switch (message._tag) {
    case "User": {
      const text = textsOf(message.content).join("\n\n")
      const last = before.at(-1)
      // Templates of several open models insist that roles alternate.
      if (last?.role === "user" && typeof last.content === "string") {
        last.content = `${last.content}\n\n${text}`
        return []
      }
      return [{ role: "user", content: text }]
    }
    case "Assistant": {
      const text = textOf(message)
      const calls = toolCallsOf(message)
      if (calls.length === 0) return [{ role: "assistant", content: text }]
      return [
        {
          role: "assistant",
          content: visible(text) ? text : null,
          tool_calls: calls.map((call) => ({
            id: id(call.id),
            type: "function",
            function: { name: call.name, arguments: json(asObject(call.arguments)) }
          }))
        }
      ]
    }
    case "Tool":
      return message.results.map((r) => ({
        role: "tool",
        tool_call_id: id(r.id),
        // This API has no field that says a tool failed.
        content: r.isError ? `error: ${r.content}` : r.content
      }))
  }
}

const formatOf = ({ format }: ModelRequest): Pick<ChatCompletionCreateParamsStreaming, "response_format"> => {
  if (format === undefined) return {}
  const { name, schema } = format
  return {
    response_format:
      schema === undefined
        ? { type: "json_object" }
        : { type: "json_schema", json_schema: { name, schema: { ...schema }, strict: true } }
  }
}

const toolChoiceOf = ({
  parallelCalls,
  toolChoice
}: ModelRequest): Pick<ChatCompletionCreateParamsStreaming, "tool_choice" | "parallel_tool_calls"> => ({
  ...(parallelCalls === undefined ? {} : { parallel_tool_calls: parallelCalls }),
  ...(toolChoice === undefined
    ? {}
    : {
        tool_choice:
          typeof toolChoice === "string" ? toolChoice : { type: "function", function: { name: toolChoice.name } }
      })
})

const bodyOf = (model: string, request: ModelRequest, options: OpenAiOptions): ChatCompletionCreateParamsStreaming => ({
  ...options.extra,
  model,
  stream: true,
  stream_options: { include_usage: true },
  // OpenAI's own newer models refuse the old name, other servers do not know the new one.
  ...(URL.parse(options.baseUrl)?.hostname === "api.openai.com"
    ? { max_completion_tokens: request.maxOutputTokens }
    : { max_tokens: request.maxOutputTokens }),
  messages: messagesOf(request),
  ...(request.temperature === undefined ? {} : { temperature: request.temperature }),
  ...(request.topP === undefined ? {} : { top_p: request.topP }),
  ...(request.stop === undefined ? {} : { stop: [...request.stop] }),
  ...formatOf(request),
  ...(request.tools.length === 0
    ? {}
    : {
        ...toolChoiceOf(request),
        tools: request.tools.map((tool) => ({
          type: "function" as const,
          function: { name: tool.name, description: tool.description, parameters: { ...tool.parameters } }
        }))
      })
})

const CallDelta = Schema.Struct({
  index: maybe(Schema.Int),
  id: maybe(Schema.String),
  function: maybe(Schema.Struct({ name: maybe(Schema.String), arguments: maybe(Schema.String) }))
})

const chunkOf = decoder(
  "a chunk",
  Schema.Struct({
    choices: maybe(
      Schema.Array(
        Schema.Struct({
          index: maybe(Schema.Int),
          delta: maybe(
            Schema.Struct({
              content: maybe(Schema.String),
              refusal: maybe(Schema.String),
              tool_calls: maybe(Schema.Array(CallDelta))
            })
          ),
          finish_reason: maybe(Schema.String)
        })
      )
    ),
    // Nonsense in here makes the bill unknown, not the answer bad.
    usage: Schema.optional(Schema.Unknown)
  })
)

const Bill = Schema.Struct({
  prompt_tokens: Schema.Number,
  completion_tokens: Schema.Number,
  prompt_tokens_details: maybe(
    Schema.Struct({ cached_tokens: maybe(Schema.Number), cache_write_tokens: maybe(Schema.Number) })
  )
})
const decodeBill = Schema.decodeUnknownOption(Bill)

const finishOf = (reason: string): FinishReason | undefined => {
  switch (reason) {
    case "stop":
      return "stop"
    case "tool_calls":
    case "function_call":
      return "tool_calls"
    case "length":
      return "max_tokens"
    case "content_filter":
      return "refused"
    default:
      return undefined
  }
}

const reader = (assembler: Assembler): Reading => {
  let refused = false
  /** By index: the key and given id of the call that is being written there. */
  const writing = new Map<number, { readonly key: string; readonly id: string | null }>()
  let opened = 0

  const call = (delta: typeof CallDelta.Type): Effect.Effect<ReadonlyArray<ModelEvent>, ProviderFault> =>
    Effect.gen(function* () {
      const index = delta.index ?? 0
      const events: Array<ModelEvent> = []
      const current = writing.get(index)
      const name = delta.function?.name
      const id = delta.id === undefined || delta.id === "" ? null : delta.id
      // Some servers send several whole calls under one index: a new id there is a new call.
      const isNew = current === undefined || (id !== null && current.id !== null && id !== current.id && !!name)
      if (isNew) {
        const key = `${index}/${opened++}`
        writing.set(index, { key, id })
        events.push(...(yield* assembler.call(key, id, name ?? "")))
      }
      const at = writing.get(index)
      if (at !== undefined) events.push(...(yield* assembler.args(at.key, delta.function?.arguments ?? "")))
      return events
    })

  const take = (chunk: unknown): Effect.Effect<ReadonlyArray<ModelEvent>, ProviderFault> =>
    Effect.gen(function* () {
      const { choices, usage } = yield* chunkOf(chunk)
      const events: Array<ModelEvent> = []
      for (const choice of choices ?? []) {
        if ((choice.index ?? 0) !== 0) continue
        const delta = choice.delta
        if (delta?.content !== undefined) events.push(...(yield* assembler.text(delta.content)))
        if (delta?.refusal !== undefined && delta.refusal !== "") {
          refused = true
          events.push(...(yield* assembler.text(delta.refusal)))
        }
        for (const part of delta?.tool_calls ?? []) events.push(...(yield* call(part)))
        if (choice.finish_reason !== undefined && choice.finish_reason !== "") {
          const finish = finishOf(choice.finish_reason)
          if (finish === undefined) return yield* badAnswer("it ended for a reason that is not known")
          assembler.finish(refused ? "refused" : finish)
        }
      }
      if (Predicate.isNotNullable(usage)) {
        const bill = decodeBill(usage)
        const details = bill._tag === "Some" ? bill.value.prompt_tokens_details : undefined
        const read = details?.cached_tokens ?? 0
        const write = details?.cache_write_tokens ?? 0
        // The last count wins, also when it is nonsense: then nobody knows the bill.
        assembler.counts({
          inputTokens: bill._tag === "Some" ? bill.value.prompt_tokens - read - write : undefined,
          outputTokens: bill._tag === "Some" ? bill.value.completion_tokens : undefined,
          cacheReadTokens: read,
          cacheWriteTokens: write
        })
      }
      return events
    })
  return { take, ended: () => false, complete: assembler.complete }
}

export const askOpenAi =
  (options: OpenAiOptions) =>
  (model: ModelRef, request: ModelRequest, leaseId: string): Stream.Stream<ModelEvent, ModelError> =>
    runAttempt({
      model,
      hideAuthorization: options.key === null,
      check: refuseImages(request),
      open: (exchange) =>
        import("openai").then(({ OpenAI }) => {
          // The SDK will not start without a key; where there is none, the exchange takes the header off again.
          const secret = options.key === null ? "none" : Redacted.value(options.key)
          const client = new OpenAI({
            apiKey: secret,
            adminAPIKey: null,
            organization: null,
            project: null,
            webhookSecret: null,
            baseURL: options.baseUrl,
            maxRetries: 0,
            logLevel: "off",
            fetch: exchange.fetch,
            // The last line, because the SDK lets an environment variable override its own header.
            defaultHeaders: { ...options.headers, authorization: `Bearer ${secret}` }
          })
          return client.chat.completions.create(bodyOf(splitModelRef(model).model, request, options))
        }),
      read: () => reader(makeAssembler({ leaseId, messages: request.messages, closesCalls: false }))
    })
