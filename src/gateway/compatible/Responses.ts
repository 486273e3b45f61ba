/**
 * Responses: OpenAI's responses, to and from our form. Every event of a stream carries the next
 * sequence number; function calls are sent whole at the end of an answer, in their order. Tools and
 * items of types that are a provider's own are passed over: clients send them to whoever answers, and
 * do without. What points to something that only a provider keeps is refused.
 */
import { Either } from "effect"
import type {
  InputItem,
  KnownItem,
  OutputCall,
  OutputMessage,
  ResponseObject,
  ResponsesRequest
} from "../../contract/openaiResponses.ts"
import type { ToolCallPart } from "../../domain/Message.ts"
import type { Usage } from "../../domain/Model.ts"
import { argumentsOf, builder, callPart, chosen, given, textPart, textsOf, toolsOf } from "./Conversation.ts"
import { bodyOf, type CompatibleFailure, invalid } from "./Failure.ts"
import type { Answer, Asked, Encoder } from "./Run.ts"

/** What a client may ask for and the gateway does not keep or do. */
const refused = (request: ResponsesRequest): CompatibleFailure | null => {
  const no = (param: string, why: string) => invalid(param, `${param}: ${why}`)
  if (typeof request.previous_response_id === "string") {
    return no("previous_response_id", "this gateway keeps no responses; send the whole conversation as input")
  }
  if (request.conversation !== undefined && request.conversation !== null) {
    return no("conversation", "this gateway keeps no conversations; send the whole one as input")
  }
  return request.background === true ? no("background", "this gateway answers while the client waits") : null
}

const formatOf = ({ text }: ResponsesRequest) => {
  const format = text?.format
  if (format === null || format === undefined || format.type === "text") return undefined
  return {
    name: format.name ?? "answer",
    ...(format.type === "json_schema" ? given("schema", format.schema) : {})
  }
}

const need = (value: string | null | undefined, where: string): Either.Either<string, CompatibleFailure> =>
  value === null || value === undefined ? Either.left(invalid(where, `${where}: is missing`)) : Either.right(value)

const isKnown = (item: InputItem): item is KnownItem =>
  item.type === undefined ||
  item.type === "message" ||
  item.type === "function_call" ||
  item.type === "function_call_output"

const readItem = (
  conversation: ReturnType<typeof builder>,
  instructions: Array<string>,
  item: InputItem,
  where: string
): Either.Either<void, CompatibleFailure> =>
  Either.gen(function* () {
    if (!isKnown(item)) {
      if (item.type !== "item_reference") return
      return yield* Either.left(invalid(where, `${where}: this gateway keeps no items; send the item itself`))
    }
    switch (item.type ?? "message") {
      case "message": {
        const texts = yield* textsOf(item.content, `${where}.content`)
        if (item.role === "user") conversation.user(texts)
        else if (item.role === "assistant") conversation.assistant(texts.map(textPart))
        else if (item.role === "system" || item.role === "developer") instructions.push(...texts)
        else yield* need(undefined, `${where}.role`)
        return
      }
      case "function_call": {
        const id = yield* need(item.call_id, `${where}.call_id`)
        const name = yield* need(item.name, `${where}.name`)
        const input = yield* argumentsOf(item.arguments ?? "", `${where}.arguments`)
        conversation.assistant([callPart(id, name, input)], true)
        return
      }
      case "function_call_output": {
        const id = yield* need(item.call_id, `${where}.call_id`)
        const texts = yield* textsOf(item.output, `${where}.output`)
        yield* conversation.result(id, texts.join("\n"), false, `${where}.call_id`)
      }
    }
  })

export const read = (request: ResponsesRequest): Either.Either<Asked, CompatibleFailure> =>
  Either.gen(function* () {
    const no = refused(request)
    if (no !== null) return yield* Either.left(no)
    const instructions =
      request.instructions === null || request.instructions === undefined ? [] : [request.instructions]
    const conversation = builder()
    if (typeof request.input === "string") conversation.user([request.input])
    else {
      for (const [i, item] of request.input.entries()) {
        yield* readItem(conversation, instructions, item, `input.${i}`)
      }
    }
    const named = []
    for (const [i, { description, name, parameters, type }] of (request.tools ?? []).entries()) {
      if (type === "function") named.push({ name: yield* need(name, `tools.${i}.name`), description, parameters })
    }
    const tools = yield* toolsOf(named)
    const choice = request.tool_choice
    const toolChoice = typeof choice === "object" && choice !== null ? yield* chosen(choice.name, tools) : choice
    return {
      model: request.model,
      instructions: instructions.join("\n\n"),
      messages: yield* conversation.finish("input"),
      tools,
      settings: {
        ...given("maxOutputTokens", request.max_output_tokens),
        ...given("temperature", request.temperature),
        ...given("topP", request.top_p),
        ...given("toolChoice", toolChoice),
        ...given("parallelCalls", request.parallel_tool_calls),
        ...given("format", formatOf(request))
      }
    }
  })

const usageOf = (usage: Usage): NonNullable<ResponseObject["usage"]> => {
  const input = usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: usage.cacheReadTokens },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + usage.outputTokens
  }
}

/** The request's settings, as every response repeats them; of the tools, those that were offered. */
const echo = (request: ResponsesRequest) => ({
  instructions: request.instructions ?? null,
  max_output_tokens: request.max_output_tokens ?? null,
  max_tool_calls: null,
  parallel_tool_calls: request.parallel_tool_calls ?? true,
  previous_response_id: null,
  background: false,
  store: false,
  service_tier: "default",
  temperature: request.temperature ?? 1,
  top_p: request.top_p ?? 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  top_logprobs: 0,
  text: { format: request.text?.format ?? { type: "text" } },
  tool_choice: request.tool_choice ?? "auto",
  tools: (request.tools ?? []).flatMap(({ description, name, parameters, type }) =>
    type === "function"
      ? [{ type, name, description: description ?? null, parameters: parameters ?? null, strict: null }]
      : []
  ),
  truncation: "disabled",
  reasoning: null,
  safety_identifier: null,
  prompt_cache_key: null,
  user: null,
  metadata: {}
})

type Item = OutputMessage | OutputCall
type Finished = Pick<Answer, "finish" | "usage">

const messageItem = (run: string, text: string, status: OutputMessage["status"]): OutputMessage => ({
  type: "message",
  id: `msg_${run}`,
  status,
  role: "assistant",
  content: status === "in_progress" ? [] : [{ type: "output_text", text, annotations: [], logprobs: [] }]
})

const callItem = (run: string, call: ToolCallPart, index: number): OutputCall => ({
  type: "function_call",
  id: `fc_${run}_${index}`,
  call_id: call.id,
  name: call.name,
  arguments: JSON.stringify(call.arguments ?? {}),
  status: "completed"
})

const cutBy = ({ finish }: Pick<Answer, "finish">): ResponseObject["incomplete_details"] =>
  finish === "max_tokens" ? { reason: "max_output_tokens" } : finish === "refused" ? { reason: "content_filter" } : null

/** `at` is epoch seconds. */
const responseOf = (
  request: ResponsesRequest,
  run: string,
  at: number,
  output: ReadonlyArray<Item>,
  end: Finished | null
) => {
  const cut = end === null ? null : cutBy(end)
  const response: ResponseObject = {
    id: `resp_${run}`,
    object: "response",
    created_at: at,
    status: end === null ? "in_progress" : cut === null ? "completed" : "incomplete",
    completed_at: end === null ? null : at,
    error: null,
    incomplete_details: cut,
    model: request.model,
    output: [...output],
    usage: end === null ? null : usageOf(end.usage)
  }
  return { ...echo(request), ...response }
}

export const whole =
  (request: ResponsesRequest, at: number) =>
  (answer: Answer): ResponseObject => {
    const { calls, run, text } = answer
    const status = cutBy(answer) === null ? "completed" : "incomplete"
    const said = text === "" && calls.length > 0 ? [] : [messageItem(run, text, status)]
    return responseOf(request, run, at, [...said, ...calls.map((call, i) => callItem(run, call, i))], answer)
  }

export const encoder = (request: ResponsesRequest, at: number): Encoder => {
  let run = ""
  let sequence = 0
  let text = ""
  let begun = false
  const output: Array<Item> = []
  const event = (type: string, fields: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...fields })}\n\n`
  const inMessage = { output_index: 0, content_index: 0 }
  const part = (value: string) => ({ type: "output_text", text: value, annotations: [], logprobs: [] })

  const begin = (): string => {
    begun = true
    const item = messageItem(run, "", "in_progress")
    return (
      event("response.output_item.added", { output_index: 0, item }) +
      event("response.content_part.added", { item_id: item.id, ...inMessage, part: part("") })
    )
  }
  const finish = (status: OutputMessage["status"]): string => {
    if (!begun) return ""
    const item = messageItem(run, text, status)
    output.push(item)
    return (
      event("response.output_text.done", { item_id: item.id, ...inMessage, text, logprobs: [] }) +
      event("response.content_part.done", { item_id: item.id, ...inMessage, part: part(text) }) +
      event("response.output_item.done", { output_index: 0, item })
    )
  }
  const call = (made: ToolCallPart, index: number): string => {
    const item = callItem(run, made, index)
    const at = { output_index: output.length }
    output.push(item)
    const called = { item_id: item.id, ...at }
    return (
      event("response.output_item.added", { ...at, item: { ...item, arguments: "", status: "in_progress" } }) +
      event("response.function_call_arguments.delta", { ...called, delta: item.arguments }) +
      event("response.function_call_arguments.done", { ...called, name: item.name, arguments: item.arguments }) +
      event("response.output_item.done", { ...at, item })
    )
  }
  return {
    open: (given) => {
      run = given
      const response = responseOf(request, run, at, [], null)
      return event("response.created", { response }) + event("response.in_progress", { response })
    },
    text: (delta) => {
      const start = begun ? "" : begin()
      text += delta
      return start + event("response.output_text.delta", { item_id: `msg_${run}`, ...inMessage, delta, logprobs: [] })
    },
    done: (end) => {
      const cut = cutBy(end) !== null
      const start = !begun && end.calls.length === 0 ? begin() : ""
      const closed = start + finish(cut ? "incomplete" : "completed") + end.calls.map(call).join("")
      const response = responseOf(request, run, at, output, end)
      return closed + event(cut ? "response.incomplete" : "response.completed", { response })
    },
    ping: ": ping\n\n",
    fail: (failure) => {
      const told = bodyOf("openai", failure)
      const code = failure.code ?? "server_error"
      const response = {
        ...responseOf(request, run, at, output, null),
        status: "failed",
        error: { code, message: failure.text }
      }
      return (
        event("response.failed", { response }) +
        event("error", { code, message: failure.text, param: failure.param ?? null, ...told })
      )
    }
  }
}
