/**
 * FakeAnthropic: the streaming Messages API, as strict as the real one about authentication, roles,
 * empty text, cache marks and the pairing of tool calls and results.
 */
import { Predicate } from "effect"
import {
  type AnswerReply,
  argumentText,
  billOf,
  type ErrorBody,
  event,
  type FailureReply,
  type FakeOptions,
  type Frame,
  makeFake,
  pieces,
  type Received,
  type Vendor
} from "./FakeServer.ts"

const error = (status: number, type: string, message: string): ErrorBody => ({
  status,
  body: { type: "error", error: { type, message }, request_id: "req_011CFakeFakeFake" },
  headers: { "request-id": "req_011CFakeFakeFake" }
})

const failures: Record<FailureReply["reason"], readonly [number, string, string]> = {
  auth: [401, "authentication_error", "invalid x-api-key"],
  forbidden: [403, "permission_error", "Your API key does not have permission to use the specified resource."],
  no_credit: [400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."],
  no_model: [404, "not_found_error", "model: claude-nonesuch"],
  rate_limit: [429, "rate_limit_error", "This request would exceed your organization's rate limit."],
  overloaded: [529, "overloaded_error", "Overloaded"],
  internal: [500, "api_error", "Internal server error"],
  timeout: [504, "timeout_error", "Request timed out."],
  bad_request: [400, "invalid_request_error", "messages.0.content: Input should be a valid list"],
  context_too_long: [400, "invalid_request_error", "prompt is too long: 205432 tokens > 200000 maximum"],
  content_refused: [400, "invalid_request_error", "Output blocked by content filtering policy"],
  too_large: [413, "request_too_large", "Request exceeds the maximum size"]
}

const stopReasons = { stop: "end_turn", tool_calls: "tool_use", max_tokens: "max_tokens", refused: "refusal" } as const

const frames = (reply: AnswerReply, request: Received): ReadonlyArray<Frame> => {
  const bill = billOf(reply)
  const calls = reply.calls ?? []
  const out: Array<Frame> = []
  const add = (part: Frame["part"], name: string, fields: object) =>
    out.push({ part, text: event(name, { type: name, ...fields }) })
  const input =
    bill === null
      ? {}
      : {
          input_tokens: bill.input,
          cache_creation_input_tokens: bill.cacheWrite,
          cache_read_input_tokens: bill.cacheRead
        }
  add("start", "message_start", {
    message: {
      id: "msg_01FakeFakeFake",
      type: "message",
      role: "assistant",
      model: Predicate.isRecord(request.body) ? request.body["model"] : null,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      ...(bill === null ? {} : { usage: { ...input, output_tokens: 1 } })
    }
  })
  let index = 0
  if (reply.text !== undefined && reply.text !== "") {
    add("start", "content_block_start", { index, content_block: { type: "text", text: "" } })
    add("start", "ping", {})
    for (const text of pieces(reply.text, reply.deltaChars)) {
      add("text", "content_block_delta", { index, delta: { type: "text_delta", text } })
      if (reply.failsWith !== undefined) {
        const [, type, message] = failures[reply.failsWith]
        add("end", "error", { error: { type, message } })
        return out
      }
    }
    add("end", "content_block_stop", { index })
    index++
  }
  calls.forEach((call, i) => {
    add("start", "content_block_start", {
      index,
      content_block: { type: "tool_use", id: call.id ?? `toolu_01Fake${index}`, name: call.name, input: {} }
    })
    add("start", "content_block_delta", { index, delta: { type: "input_json_delta", partial_json: "" } })
    for (const partial_json of pieces(argumentText(reply, i), reply.deltaChars)) {
      add("call", "content_block_delta", { index, delta: { type: "input_json_delta", partial_json } })
    }
    add("end", "content_block_stop", { index })
    index++
  })
  add("end", "message_delta", {
    delta: {
      stop_reason: stopReasons[reply.finish ?? (calls.length > 0 ? "tool_calls" : "stop")],
      stop_sequence: null
    },
    ...(bill === null ? {} : { usage: { ...input, output_tokens: bill.output } })
  })
  add("end", "message_stop", {})
  return out
}

const records = (value: unknown): ReadonlyArray<Record<string, unknown>> =>
  Array.isArray(value) ? value.filter(Predicate.isRecord) : []

/** The first rule that the request breaks, in words. */
const broken = (body: unknown): string | null => {
  if (!Predicate.isRecord(body)) return "the body is not an object"
  if (typeof body["model"] !== "string") return "model: field required"
  if (!Number.isInteger(body["max_tokens"]) || Number(body["max_tokens"]) < 1) return "max_tokens: must be at least 1"
  if (body["stream"] !== true) return "this fake only streams"
  const messages = records(body["messages"])
  if (messages.length === 0) return "messages: at least one message is required"
  if (messages[0]?.["role"] !== "user") return "messages: first message must use the user role"
  let open: ReadonlyArray<unknown> = []
  for (const [i, message] of messages.entries()) {
    const role = message["role"]
    if (role !== (i % 2 === 0 ? "user" : "assistant")) return `messages.${i}: roles must alternate`
    const blocks = records(message["content"])
    if (blocks.length === 0) return `messages.${i}: all messages must have non-empty content`
    for (const block of blocks) {
      if (block["type"] === "text" && String(block["text"]).trim() === "") {
        return `messages.${i}: text content blocks must contain non-whitespace text`
      }
      if (block["type"] === "image") return `messages.${i}: this fake takes no images`
    }
    const results = blocks.filter((b) => b["type"] === "tool_result").map((b) => b["tool_use_id"])
    if (results.length !== open.length || open.some((id) => !results.includes(id))) {
      return `messages.${i}: tool_use ids were found without tool_result blocks immediately after: ${open.join(", ")}`
    }
    if (role === "user" && blocks.findLastIndex((b) => b["type"] === "tool_result") > results.length - 1) {
      return `messages.${i}: tool_result blocks must come first`
    }
    const uses = role === "assistant" ? blocks.filter((b) => b["type"] === "tool_use") : []
    for (const use of uses) {
      if (!/^[a-zA-Z0-9_-]+$/.test(String(use["id"])))
        return `messages.${i}: tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'`
      if (!Predicate.isRecord(use["input"])) return `messages.${i}: tool_use.input: Input should be a valid dictionary`
    }
    open = uses.map((b) => b["id"])
    if (new Set(open).size !== open.length) return `messages.${i}: tool_use ids must be unique`
  }
  if (open.length > 0) return "messages: tool_use without tool_result at the end"
  for (const tool of records(body["tools"])) {
    const schema = tool["input_schema"]
    if (!Predicate.isRecord(schema) || schema["type"] !== "object")
      return "tools: input_schema.type: Input should be 'object'"
    if (!/^[a-zA-Z0-9_-]{1,128}$/.test(String(tool["name"]))) return "tools: name: String should match pattern"
  }
  for (const block of records(body["system"])) {
    if (String(block["text"]).trim() === "") return "system: text content blocks must be non-empty"
  }
  const marks = JSON.stringify(body).split('"cache_control"').length - 1
  return marks > 4 ? `A maximum of 4 blocks with cache_control may be provided. Found ${marks}.` : null
}

const vendor: Vendor = {
  name: "anthropic",
  basePath: "",
  frames,
  failure: (failure) => {
    const [status, type, message] = failures[failure.reason]
    return error(status, type, `${message}${failure.echo === undefined ? "" : ` ${failure.echo}`}`)
  },
  refuse: (request, key) => {
    if (request.method !== "POST" || request.path.split("?")[0] !== "/v1/messages") {
      return error(404, "not_found_error", "Not found")
    }
    if (key !== null && request.headers["authorization"] !== `Bearer ${key}` && request.headers["x-api-key"] !== key) {
      return error(401, "authentication_error", "invalid x-api-key")
    }
    if (request.headers["anthropic-version"] === undefined) {
      return error(400, "invalid_request_error", "anthropic-version: header is required")
    }
    const rule = broken(request.body)
    return rule === null ? null : error(400, "invalid_request_error", rule)
  }
}

export const make = (options?: FakeOptions) => makeFake(vendor, options)
