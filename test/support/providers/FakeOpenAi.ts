/**
 * FakeOpenAi: streaming chat completions, in two flavours. `make` is a plain OpenAI-compatible server
 * (vLLM, Ollama, LM Studio), `makeOpenRouter` is OpenRouter with its comments, its usage switch and
 * its error bodies. Strict about the key, roles and the pairing of tool calls and results.
 */
import { Predicate } from "effect"
import {
  type AnswerReply,
  argumentText,
  billOf,
  data,
  type ErrorBody,
  type FailureReply,
  type FakeOptions,
  type Frame,
  makeFake,
  pieces,
  type Received,
  type Vendor
} from "./FakeServer.ts"

type Flavour = "plain" | "openrouter"
type Words = readonly [status: number, type: string, code: string | null, message: string]

const plainFailures: Record<FailureReply["reason"], Words> = {
  auth: [401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-fake."],
  forbidden: [403, "invalid_request_error", "unsupported_country_region_territory", "Country not supported"],
  no_credit: [
    429,
    "insufficient_quota",
    "insufficient_quota",
    "You exceeded your current quota, please check your plan."
  ],
  no_model: [404, "invalid_request_error", "model_not_found", "The model `nonesuch` does not exist."],
  rate_limit: [429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."],
  overloaded: [503, "server_error", null, "The engine is currently overloaded, please try again later."],
  internal: [500, "server_error", null, "The server had an error while processing your request."],
  timeout: [504, "server_error", null, "upstream request timeout"],
  bad_request: [400, "invalid_request_error", null, "Invalid type for 'messages[0].content'."],
  context_too_long: [
    400,
    "invalid_request_error",
    "context_length_exceeded",
    "This model's maximum context length is 4096 tokens. However, your messages resulted in 9000 tokens."
  ],
  content_refused: [400, "invalid_request_error", "content_filter", "The response was filtered."],
  too_large: [413, "invalid_request_error", null, "Request too large."]
}

const routerFailures: Record<FailureReply["reason"], readonly [number, string]> = {
  auth: [401, "No auth credentials found"],
  forbidden: [403, "Key not allowed for this model"],
  no_credit: [402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits"],
  no_model: [404, "No endpoints found for nonesuch."],
  rate_limit: [429, "Rate limit exceeded"],
  overloaded: [503, "No instances available"],
  internal: [500, "Internal Server Error"],
  timeout: [408, "Request timed out"],
  bad_request: [400, "Input required: specify messages"],
  context_too_long: [
    400,
    "This endpoint's maximum context length is 8192 tokens. However, you requested about 9000 tokens."
  ],
  content_refused: [403, "Input was flagged"],
  too_large: [413, "Payload too large"]
}

const failure =
  (flavour: Flavour) =>
  ({ reason, echo }: Pick<FailureReply, "reason" | "echo">): ErrorBody => {
    const more = echo === undefined ? "" : ` ${echo}`
    if (flavour === "plain") {
      const [status, type, code, message] = plainFailures[reason]
      return { status, body: { error: { message: `${message}${more}`, type, param: null, code } } }
    }
    const [status, message] = routerFailures[reason]
    const metadata = reason === "content_refused" ? { metadata: { reasons: ["violence"], flagged_input: "…" } } : {}
    return { status, body: { error: { code: status, message: `${message}${more}`, ...metadata } } }
  }

const finishReasons = {
  stop: "stop",
  tool_calls: "tool_calls",
  max_tokens: "length",
  refused: "content_filter"
} as const

const frames =
  (flavour: Flavour) =>
  (reply: AnswerReply, request: Received): ReadonlyArray<Frame> => {
    const body = Predicate.isRecord(request.body) ? request.body : {}
    const calls = reply.calls ?? []
    const out: Array<Frame> = []
    const common = { id: "gen-fake", object: "chat.completion.chunk", created: 1_750_000_000, model: body["model"] }
    const chunk = (part: Frame["part"], delta: object, finish_reason: string | null = null) =>
      out.push({ part, text: data({ ...common, choices: [{ index: 0, delta, logprobs: null, finish_reason }] }) })
    if (flavour === "openrouter")
      out.push({ part: "start", text: ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" })
    chunk("start", { role: "assistant", content: "" })
    for (const content of pieces(reply.text ?? "", reply.deltaChars)) {
      chunk("text", { content })
      if (reply.failsWith !== undefined) {
        out.push({
          part: "end",
          text: data({ ...common, ...Object(failure(flavour)({ reason: reply.failsWith }).body) })
        })
        return out
      }
    }
    const rests = calls.map((call, index) => {
      const [first = "", ...rest] = pieces(argumentText(reply, index), reply.deltaChars)
      const id = call.id ?? `call_fake${index}`
      chunk("call", { tool_calls: [{ index, id, type: "function", function: { name: call.name, arguments: first } }] })
      return rest
    })
    // Parallel calls arrive interleaved: a client must keep them apart by index.
    for (let round = 0; round < Math.max(0, ...rests.map((r) => r.length)); round++) {
      for (const [index, rest] of rests.entries()) {
        const text = rest[round]
        if (text !== undefined) chunk("call", { tool_calls: [{ index, function: { arguments: text } }] })
      }
    }
    chunk("end", {}, finishReasons[reply.finish ?? (calls.length > 0 ? "tool_calls" : "stop")])
    const bill = billOf(reply)
    const asked =
      flavour === "openrouter"
        ? Predicate.isRecord(body["usage"]) && body["usage"]["include"] === true
        : Predicate.isRecord(body["stream_options"]) && body["stream_options"]["include_usage"] === true
    if (bill !== null && asked) {
      const prompt = typeof bill.input === "number" ? bill.input + bill.cacheRead + bill.cacheWrite : bill.input
      const usage = {
        prompt_tokens: prompt,
        completion_tokens: bill.output,
        total_tokens: 0,
        prompt_tokens_details: { cached_tokens: bill.cacheRead, cache_write_tokens: bill.cacheWrite },
        ...(flavour === "openrouter" ? { cost: 0.00014 } : {})
      }
      out.push({ part: "end", text: data({ ...common, choices: [], usage }) })
    }
    out.push({ part: "end", text: "data: [DONE]\n\n" })
    return out
  }

const records = (value: unknown): ReadonlyArray<Record<string, unknown>> =>
  Array.isArray(value) ? value.filter(Predicate.isRecord) : []

const isJsonObject = (text: unknown): boolean => {
  try {
    return Predicate.isRecord(JSON.parse(String(text)))
  } catch {
    return false
  }
}

const broken = (body: unknown): string | null => {
  if (!Predicate.isRecord(body)) return "the body is not an object"
  if (typeof body["model"] !== "string") return "you must provide a model parameter"
  if (body["stream"] !== true) return "this fake only streams"
  const messages = records(body["messages"])
  if (messages.length === 0) return "[] is too short - 'messages'"
  let open: ReadonlyArray<unknown> = []
  for (const [i, message] of messages.entries()) {
    const { role, content } = message
    if (!["system", "user", "assistant", "tool"].includes(String(role))) return `messages[${i}].role is invalid`
    if (role === "system" && i !== 0) return `messages[${i}]: the system message must come first`
    if (role === "user" && messages[i - 1]?.["role"] === "user") return "Conversation roles must alternate"
    if (role === "tool") {
      if (!open.includes(message["tool_call_id"]))
        return `messages[${i}]: tool_call_id not found in 'tool_calls' of previous message.`
      if (typeof content !== "string") return `messages[${i}]: content must be text`
      open = open.filter((id) => id !== message["tool_call_id"])
      continue
    }
    if (open.length > 0)
      return `An assistant message with 'tool_calls' must be followed by tool messages responding to each: ${open.join(", ")}`
    const calls = records(message["tool_calls"])
    if (typeof content !== "string" && calls.length === 0) return `messages[${i}]: content is required`
    for (const call of calls) {
      if (String(call["id"]).length > 40) return `messages[${i}].tool_calls.id: string too long, maximum length 40`
      const fn = call["function"]
      if (!Predicate.isRecord(fn) || !isJsonObject(fn["arguments"]))
        return `messages[${i}].tool_calls.function.arguments is not a JSON object`
    }
    open = calls.map((c) => c["id"])
  }
  return open.length > 0 ? "tool_calls without tool messages at the end" : null
}

const vendorOf = (flavour: Flavour): Vendor => {
  const basePath = flavour === "openrouter" ? "/api/v1" : "/v1"
  const refusal = (status: number, message: string): ErrorBody =>
    flavour === "plain"
      ? { status, body: { error: { message, type: "invalid_request_error", param: null, code: null } } }
      : { status, body: { error: { code: status, message } } }
  return {
    name: flavour === "openrouter" ? "openrouter" : "openai-compatible",
    basePath,
    frames: frames(flavour),
    failure: failure(flavour),
    refuse: (request, key) => {
      if (request.method !== "POST" || request.path !== `${basePath}/chat/completions`) return refusal(404, "Not Found")
      if (key !== null && request.headers["authorization"] !== `Bearer ${key}`)
        return failure(flavour)({ reason: "auth" })
      if (key === null && request.headers["authorization"] !== undefined)
        return refusal(400, "a key was sent to a server that wants none")
      const rule = broken(request.body)
      return rule === null ? null : refusal(400, rule)
    }
  }
}

export const make = (options?: FakeOptions) => makeFake(vendorOf("plain"), options)
export const makeOpenRouter = (options?: FakeOptions) => makeFake(vendorOf("openrouter"), options)
