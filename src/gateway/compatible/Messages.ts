/** Messages: Anthropic's messages, to and from our form. Tool calls are sent whole at the end of an answer, in their order. */
import { Effect, Either } from "effect"
import type {
  Block,
  CountRequest,
  MessageObject,
  MessagesRequest,
  MessageUsage,
  StopReason
} from "../../contract/anthropicMessages.ts"
import { type Message, type TextPart, type ToolCallPart, textOf, toolCallsOf } from "../../domain/Message.ts"
import type { FinishReason, ToolChoice, ToolSpec, Usage } from "../../domain/Model.ts"
import * as Tokens from "../../model/Tokens.ts"
import { builder, callPart, chosen, given, textPart, textsOf, toolsOf, unsupported } from "./Conversation.ts"
import { bodyOf, CompatibleFailure, invalid } from "./Failure.ts"
import type { Answer, Asked, Encoder } from "./Run.ts"

/** What a model thought is its provider's own, and is not sent on. */
const thoughts: ReadonlySet<string> = new Set(["thinking", "redacted_thinking"])

const missing = (where: string) => Either.left(invalid(where, `${where}: is missing`))

/** A result may name tools that were found; all of them are offered anyway, so the name is what is left to say. */
const found = (content: Block["content"]): Block["content"] =>
  content === null || content === undefined || typeof content === "string"
    ? content
    : content.map((inner) =>
        inner.type === "tool_reference" ? { type: "text", text: `tool: ${inner.tool_name ?? ""}` } : inner
      )

const readUser = (conversation: ReturnType<typeof builder>, blocks: ReadonlyArray<Block>, where: string) =>
  Either.gen(function* () {
    const texts: Array<string> = []
    for (const [i, block] of blocks.entries()) {
      const at = `${where}.${i}`
      if (block.type === "text" && typeof block.text === "string") texts.push(block.text)
      else if (block.type === "tool_result") {
        const id = block.tool_use_id
        if (id === null || id === undefined) return yield* missing(`${at}.tool_use_id`)
        const content = (yield* textsOf(found(block.content), `${at}.content`)).join("\n")
        yield* conversation.result(id, content, block.is_error === true, `${at}.tool_use_id`)
      } else return yield* Either.left(unsupported(block.type, at))
    }
    if (texts.length > 0 || blocks.length === 0) conversation.user(texts)
  })

const readAssistant = (blocks: ReadonlyArray<Block>, where: string) =>
  Either.gen(function* () {
    const parts: Array<TextPart | ToolCallPart> = []
    for (const [i, block] of blocks.entries()) {
      const at = `${where}.${i}`
      if (thoughts.has(block.type)) continue
      if (block.type === "text" && typeof block.text === "string") parts.push(textPart(block.text))
      else if (block.type === "tool_use") {
        if (typeof block.id !== "string") return yield* missing(`${at}.id`)
        if (typeof block.name !== "string") return yield* missing(`${at}.name`)
        parts.push(callPart(block.id, block.name, block.input ?? {}))
      } else return yield* Either.left(unsupported(block.type, at))
    }
    return parts
  })

const choiceOf = (
  choice: CountRequest["tool_choice"],
  tools: ReadonlyArray<ToolSpec>
): Either.Either<ToolChoice | undefined, CompatibleFailure> => {
  switch (choice?.type) {
    case undefined:
      return Either.right(undefined)
    case "auto":
    case "none":
      return Either.right(choice?.type)
    case "any":
      return Either.right("required")
    case "tool":
      return typeof choice?.name === "string" ? chosen(choice.name, tools) : missing("tool_choice.name")
  }
}

export const readPrompt = (request: CountRequest): Either.Either<Asked, CompatibleFailure> =>
  Either.gen(function* () {
    const instructions = [...(yield* textsOf(request.system, "system"))]
    const conversation = builder()
    for (const [i, { content, role }] of request.messages.entries()) {
      const where = `messages.${i}.content`
      const blocks: ReadonlyArray<Block> = typeof content === "string" ? [{ type: "text", text: content }] : content
      if (role === "system") instructions.push(...(yield* textsOf(content, where)))
      else if (role === "user") yield* readUser(conversation, blocks, where)
      else conversation.assistant(yield* readAssistant(blocks, where))
    }
    for (const [i, { type }] of (request.tools ?? []).entries()) {
      if (type !== null && type !== undefined && type !== "custom") {
        return yield* Either.left(
          invalid(`tools.${i}`, `tools.${i}: tools that a provider runs are not supported; bring tools of your own`)
        )
      }
    }
    const tools = yield* toolsOf(
      (request.tools ?? []).map(({ description, input_schema: parameters, name }) => ({
        name,
        description,
        parameters
      }))
    )
    const choice = request.tool_choice
    return {
      model: request.model,
      instructions: instructions.join("\n\n"),
      messages: yield* conversation.finish("messages"),
      tools,
      settings: {
        ...given("toolChoice", yield* choiceOf(choice, tools)),
        ...given("parallelCalls", choice?.disable_parallel_tool_use === true ? false : undefined)
      }
    }
  })

/** In the words that make Anthropic's client go on without a thread. */
const noThreads = new CompatibleFailure({
  kind: "invalid_request",
  code: "thread_unsupported_request",
  param: "thread",
  text: "thread: this gateway keeps no conversations; send the whole one with each request",
  unsupported: "threads"
})

export const read = (request: MessagesRequest): Either.Either<Asked, CompatibleFailure> => {
  if (request.thread !== undefined && request.thread !== null) return Either.left(noThreads)
  return Either.map(readPrompt(request), (asked) => {
    const schema = request.output_config?.format?.schema
    return {
      ...asked,
      settings: {
        ...asked.settings,
        maxOutputTokens: request.max_tokens,
        ...given("temperature", request.temperature),
        ...given("topP", request.top_p),
        ...given("stop", request.stop_sequences?.length === 0 ? undefined : request.stop_sequences),
        ...given("format", schema === undefined ? undefined : { name: "answer", schema })
      }
    }
  })
}

const textsIn = (message: Message): ReadonlyArray<string> => {
  switch (message._tag) {
    case "User":
      return [textOf(message)]
    case "Assistant":
      return [textOf(message), ...toolCallsOf(message).map((call) => call.name + JSON.stringify(call.arguments ?? {}))]
    case "Tool":
      return message.results.map((result) => result.content)
  }
}

/** Around one message or tool, as vendors document it. */
const perEntry = 4

/** About how many tokens the prompt has. Nobody is asked. */
export const countTokens = ({ instructions, messages, tools }: Asked): Effect.Effect<number> =>
  Effect.map(
    Effect.forEach(
      [
        instructions,
        ...messages.flatMap(textsIn),
        ...tools.map((tool) => tool.name + tool.description + JSON.stringify(tool.parameters))
      ],
      Tokens.estimate
    ),
    (counts) => counts.reduce((sum, count) => sum + count, perEntry * (messages.length + tools.length))
  )

const reasons: Record<FinishReason, StopReason> = {
  stop: "end_turn",
  tool_calls: "tool_use",
  max_tokens: "max_tokens",
  refused: "refusal"
}

const usageOf = (usage: Usage): MessageUsage => ({
  input_tokens: usage.inputTokens,
  output_tokens: usage.outputTokens,
  cache_creation_input_tokens: usage.cacheWriteTokens,
  cache_read_input_tokens: usage.cacheReadTokens
})

const idOf = (run: string): string => `msg_${run}`

const base = (run: string, model: string) => ({
  id: idOf(run),
  type: "message" as const,
  role: "assistant" as const,
  model
})

export const whole =
  (model: string) =>
  ({ calls, finish, run, text, usage }: Answer): MessageObject => ({
    ...base(run, model),
    content: [
      ...(text === "" && calls.length > 0 ? [] : [{ type: "text" as const, text, citations: null }]),
      ...calls.map(({ arguments: input, id, name }) => ({ type: "tool_use" as const, id, name, input: input ?? {} }))
    ],
    stop_reason: reasons[finish],
    stop_sequence: null,
    usage: usageOf(usage)
  })

type Event = { readonly type: string } & Readonly<Record<string, unknown>>

const event = (value: Event): string => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`

export const encoder = (model: string): Encoder => {
  let index = 0
  let isOpen = false
  const close = (): string => {
    if (!isOpen) return ""
    isOpen = false
    return event({ type: "content_block_stop", index: index++ })
  }
  const call = ({ arguments: input, id, name }: ToolCallPart): string => {
    const at = index++
    return (
      event({ type: "content_block_start", index: at, content_block: { type: "tool_use", id, name, input: {} } }) +
      event({
        type: "content_block_delta",
        index: at,
        delta: { type: "input_json_delta", partial_json: JSON.stringify(input ?? {}) }
      }) +
      event({ type: "content_block_stop", index: at })
    )
  }
  return {
    open: (run) =>
      event({
        type: "message_start",
        message: {
          ...base(run, model),
          content: [],
          stop_reason: null,
          stop_sequence: null,
          // What was used is known at the end, and told there.
          usage: { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }
        }
      }),
    text: (text) => {
      const start = isOpen
        ? ""
        : event({ type: "content_block_start", index, content_block: { type: "text", text: "" } })
      isOpen = true
      return start + event({ type: "content_block_delta", index, delta: { type: "text_delta", text } })
    },
    done: ({ calls, finish, usage }) =>
      close() +
      calls.map(call).join("") +
      event({
        type: "message_delta",
        delta: { stop_reason: reasons[finish], stop_sequence: null },
        usage: usageOf(usage)
      }) +
      event({ type: "message_stop" }),
    ping: event({ type: "ping" }),
    fail: (failure) => `event: error\ndata: ${JSON.stringify(bodyOf("anthropic", failure))}\n\n`
  }
}
