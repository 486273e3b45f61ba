/**
 * FakeGoogle: Gemini's streamGenerateContent (SSE), under /v1 and /v1beta, as strict as the real one
 * about the key, roles, parts and the turn that must follow a function call.
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

const error = (status: number, word: string, message: string, details: ReadonlyArray<unknown> = []): ErrorBody => ({
  status,
  body: { error: { code: status, message, status: word, ...(details.length === 0 ? {} : { details }) } }
})

const errorInfo = (reason: string) => ({
  "@type": "type.googleapis.com/google.rpc.ErrorInfo",
  reason,
  domain: "googleapis.com"
})

const invalidKey = (echo = "") =>
  error(400, "INVALID_ARGUMENT", `API key not valid. Please pass a valid API key.${echo}`, [
    errorInfo("API_KEY_INVALID")
  ])

const failures: Record<FailureReply["reason"], readonly [number, string, string]> = {
  auth: [400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."],
  forbidden: [403, "PERMISSION_DENIED", "Permission denied on the resource."],
  no_credit: [402, "FAILED_PRECONDITION", "Billing is not enabled on the account."],
  no_model: [404, "NOT_FOUND", "models/gemini-nonesuch is not found for API version v1beta."],
  rate_limit: [429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."],
  overloaded: [503, "UNAVAILABLE", "The model is overloaded. Please try again later."],
  internal: [500, "INTERNAL", "An internal error has occurred."],
  timeout: [504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."],
  bad_request: [400, "INVALID_ARGUMENT", "Request contains an invalid argument."],
  context_too_long: [
    400,
    "INVALID_ARGUMENT",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
  ],
  content_refused: [451, "FAILED_PRECONDITION", "The request was blocked."],
  too_large: [413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."]
}

const finishReasons = { stop: "STOP", tool_calls: "STOP", max_tokens: "MAX_TOKENS", refused: "SAFETY" } as const

const frames = (reply: AnswerReply): ReadonlyArray<Frame> => {
  const bill = billOf(reply)
  const out: Array<Frame> = []
  const chunk = (part: Frame["part"], parts: ReadonlyArray<unknown>, more: object = {}, usage: object = {}) =>
    out.push({
      part,
      text: data({
        candidates: [{ content: { parts, role: "model" }, index: 0, ...more }],
        ...usage,
        modelVersion: "gemini-fake",
        responseId: "fake"
      })
    })
  for (const text of pieces(reply.text ?? "", reply.deltaChars)) {
    chunk("text", [{ text }])
    if (reply.failsWith !== undefined) {
      const [status, word, message] = failures[reply.failsWith]
      out.push({ part: "end", text: data(error(status, word, message).body) })
      return out
    }
  }
  for (const [i, call] of (reply.calls ?? []).entries()) {
    const id = call.id === undefined ? {} : { id: call.id }
    // Gemini sends a call whole; half a call is a frame that is not JSON.
    const args = argumentText(reply, i)
    const whole = data({
      candidates: [
        { content: { parts: [{ functionCall: { ...id, name: call.name, args: "ARGS" } }], role: "model" }, index: 0 }
      ]
    })
    out.push({ part: "call", text: whole.replace('"ARGS"', () => args) })
  }
  const usage =
    bill === null
      ? {}
      : {
          usageMetadata: {
            // Google counts what came from its cache as part of the prompt, and thinking apart from the text.
            promptTokenCount: typeof bill.input === "number" ? bill.input + bill.cacheRead : bill.input,
            cachedContentTokenCount: bill.cacheRead,
            candidatesTokenCount:
              typeof bill.output === "number" ? bill.output - Math.floor(bill.output / 3) : bill.output,
            thoughtsTokenCount: typeof bill.output === "number" ? Math.floor(bill.output / 3) : 0,
            totalTokenCount: 0
          }
        }
  chunk("end", [{ text: "" }], { finishReason: finishReasons[reply.finish ?? "stop"] }, usage)
  return out
}

const records = (value: unknown): ReadonlyArray<Record<string, unknown>> =>
  Array.isArray(value) ? value.filter(Predicate.isRecord) : []

const kinds = ["text", "functionCall", "functionResponse"]

const broken = (body: unknown): string | null => {
  if (!Predicate.isRecord(body)) return "the body is not an object"
  const contents = records(body["contents"])
  if (contents.length === 0) return "* GenerateContentRequest.contents: contents is not specified"
  let open: ReadonlyArray<Record<string, unknown>> = []
  for (const [i, content] of contents.entries()) {
    if (content["role"] !== "user" && content["role"] !== "model") return "Please use a valid role: user, model."
    if (content["role"] === contents[i - 1]?.["role"]) return `contents[${i}]: roles must alternate`
    const parts = records(content["parts"])
    if (parts.length === 0) return `contents[${i}].parts must not be empty.`
    for (const part of parts) {
      if (kinds.filter((k) => k in part).length !== 1)
        return `contents[${i}].parts: required oneof field 'data' must have one initialized field`
      if (part["text"] === "") return `contents[${i}].parts: empty text parameter`
    }
    const responses = parts.flatMap((p) => (Predicate.isRecord(p["functionResponse"]) ? [p["functionResponse"]] : []))
    const matches = open.every(
      (call, k) => call["name"] === responses[k]?.["name"] && call["id"] === responses[k]?.["id"]
    )
    if (responses.length !== open.length || !matches) {
      return "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."
    }
    for (const response of responses) {
      if (!Predicate.isRecord(response["response"])) return "function_response.response must be an object"
    }
    open = parts.flatMap((p) => (Predicate.isRecord(p["functionCall"]) ? [p["functionCall"]] : []))
    if (open.some((call) => !Predicate.isRecord(call["args"]))) return "function_call.args must be an object"
  }
  if (open.length > 0) return "Please ensure that function call turn is followed by a function response turn."
  const declarations = records(body["tools"]).flatMap((t) => records(t["functionDeclarations"]))
  for (const { name, parametersJsonSchema: schema } of declarations) {
    if (!/^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$/.test(String(name)))
      return "function_declarations.name: Invalid function name."
    if (!Predicate.isRecord(schema)) return "function_declarations: parametersJsonSchema missing"
    if ("$schema" in schema) return 'Unknown name "$schema" at function_declarations'
  }
  return null
}

const vendor: Vendor = {
  name: "google",
  basePath: "",
  frames,
  failure: (failure) => {
    const [status, word, message] = failures[failure.reason]
    const echo = failure.echo === undefined ? "" : ` ${failure.echo}`
    if (failure.reason === "auth") return invalidKey(echo)
    const after = failure.retryAfter
    const details =
      after !== undefined && "bodySeconds" in after
        ? [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: `${after.bodySeconds}s` }]
        : []
    return error(status, word, `${message}${echo}`, details)
  },
  refuse: (request: Received, key) => {
    const { pathname, searchParams } = new URL(request.path, "http://127.0.0.1")
    if (request.method !== "POST" || !/^\/v1(beta)?\/models\/[^/:]+:streamGenerateContent$/.test(pathname)) {
      return error(404, "NOT_FOUND", "Requested entity was not found.")
    }
    if (searchParams.get("alt") !== "sse") return error(400, "INVALID_ARGUMENT", "this fake only streams SSE")
    if (key !== null && request.headers["x-goog-api-key"] === undefined) {
      return error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
    }
    if (key !== null && request.headers["x-goog-api-key"] !== key) return invalidKey()
    const rule = broken(request.body)
    return rule === null ? null : error(400, "INVALID_ARGUMENT", rule)
  }
}

export const make = (options?: FakeOptions) => makeFake(vendor, options)
