/**
 * Google: the Gemini API through Google's SDK.
 *
 * Guarantees: one request per attempt (the SDK's own function calling and its automatic continuation
 * are off); nothing is taken from the SDK's environment; results are matched to calls by the vendor's
 * own id where it gave one, by name and order where it did not.
 */
import type { Content, FunctionCallingConfigMode, GenerateContentParameters, Part, ToolConfig } from "@google/genai"
import { Effect, Option, Predicate, Redacted, Schema, type Stream } from "effect"
import type { Message } from "../../domain/Message.ts"
import {
  type FinishReason,
  type ModelError,
  type ModelEvent,
  type ModelRef,
  type ModelRequest,
  splitModelRef
} from "../../domain/Model.ts"
import { type Assembler, madeIdPrefix, makeAssembler } from "./Assembler.ts"
import { asObject, refuseImages, textsOf, visible } from "./Conversation.ts"
import { badAnswer, type ProviderFault } from "./ModelErrors.ts"
import { decoder, type Reading, runAttempt } from "./Sdk.ts"
import { maybe } from "./Wire.ts"

export const googleAddress = "https://generativelanguage.googleapis.com"

export interface GoogleOptions {
  readonly baseUrl: string
  readonly key: Redacted.Redacted<string>
  readonly headers: Readonly<Record<string, string>>
}

/** From Gemini 3 on, a call must come back with its signature, which we do not keep; this value is Google's documented stand-in. */
const signature = (model: string) =>
  /^gemini-[12]\b/.test(model) ? {} : { thoughtSignature: "skip_thought_signature_validator" }

const contentsOf = (model: string, messages: ReadonlyArray<Message>): Array<Content> => {
  const contents: Array<{ role: "user" | "model"; parts: Array<Part> }> = []
  const add = (role: "user" | "model", parts: ReadonlyArray<Part>) => {
    const last = contents.at(-1)
    if (last?.role === role) last.parts.push(...parts)
    else contents.push({ role, parts: [...parts] })
  }
  const idField = (id: string) => (id.startsWith(madeIdPrefix) ? {} : { id })
  for (const message of messages) {
    switch (message._tag) {
      case "User":
        add(
          "user",
          textsOf(message.content).map((text) => ({ text }))
        )
        break
      case "Assistant": {
        const parts = message.content.flatMap(
          (part): Array<Part> =>
            part._tag === "ToolCall"
              ? [
                  {
                    functionCall: { ...idField(part.id), name: part.name, args: asObject(part.arguments) },
                    ...signature(model)
                  }
                ]
              : visible(part.text)
                ? [{ text: part.text }]
                : []
        )
        add("model", parts.length > 0 ? parts : [{ text: "(empty message)" }])
        break
      }
      case "Tool":
        add(
          "user",
          message.results.map((r) => ({
            functionResponse: {
              ...idField(r.id),
              name: r.name,
              response: r.isError ? { error: r.content } : { output: r.content }
            }
          }))
        )
        break
    }
  }
  return contents
}

/** The dialect keyword of a JSON Schema is the one that Google refuses. */
const parametersOf = (parameters: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(parameters).filter(([key]) => key !== "$schema"))

/** The SDK's modes are an enum of these very words; importing it would load the SDK. */
const mode = (word: "AUTO" | "ANY" | "NONE") => word as FunctionCallingConfigMode

const toolConfigOf = ({ toolChoice }: ModelRequest): { readonly toolConfig?: ToolConfig } => {
  if (toolChoice === undefined || toolChoice === "auto") return {}
  const config =
    toolChoice === "none"
      ? { mode: mode("NONE") }
      : toolChoice === "required"
        ? { mode: mode("ANY") }
        : { mode: mode("ANY"), allowedFunctionNames: [toolChoice.name] }
  return { toolConfig: { functionCallingConfig: config } }
}

const paramsOf = (model: string, request: ModelRequest): GenerateContentParameters => ({
  model,
  contents: contentsOf(model, request.messages),
  config: {
    automaticFunctionCalling: { disable: true },
    automaticContinuation: false,
    maxOutputTokens: request.maxOutputTokens,
    ...(visible(request.system) ? { systemInstruction: { parts: [{ text: request.system }] } } : {}),
    ...(request.temperature === undefined ? {} : { temperature: request.temperature }),
    ...(request.topP === undefined ? {} : { topP: request.topP }),
    ...(request.stop === undefined ? {} : { stopSequences: [...request.stop] }),
    ...(request.format === undefined
      ? {}
      : {
          responseMimeType: "application/json",
          ...(request.format.schema === undefined ? {} : { responseJsonSchema: parametersOf(request.format.schema) })
        }),
    ...(request.tools.length === 0
      ? {}
      : {
          ...toolConfigOf(request),
          tools: [
            {
              functionDeclarations: request.tools.map((tool) => ({
                name: tool.name,
                description: tool.description,
                parametersJsonSchema: parametersOf(tool.parameters)
              }))
            }
          ]
        })
  }
})

const chunkOf = decoder(
  "a chunk",
  Schema.Struct({
    candidates: maybe(
      Schema.Array(
        Schema.Struct({
          index: maybe(Schema.Int),
          content: maybe(
            Schema.Struct({
              parts: maybe(
                Schema.Array(
                  Schema.Struct({
                    text: maybe(Schema.String),
                    thought: maybe(Schema.Boolean),
                    functionCall: maybe(
                      Schema.Struct({
                        id: maybe(Schema.String),
                        name: maybe(Schema.String),
                        args: Schema.optional(Schema.Unknown)
                      })
                    )
                  })
                )
              )
            })
          ),
          finishReason: maybe(Schema.String)
        })
      )
    ),
    promptFeedback: maybe(Schema.Struct({ blockReason: maybe(Schema.String) })),
    // Nonsense in here makes the bill unknown, not the answer bad.
    usageMetadata: Schema.optional(Schema.Unknown)
  })
)

const Bill = Schema.Struct({
  promptTokenCount: Schema.Number,
  candidatesTokenCount: maybe(Schema.Number),
  thoughtsTokenCount: maybe(Schema.Number),
  toolUsePromptTokenCount: maybe(Schema.Number),
  cachedContentTokenCount: maybe(Schema.Number)
})
const decodeBill = Schema.decodeUnknownOption(Bill)
const encodeJson = Schema.encodeUnknownOption(Schema.parseJson(Schema.Unknown))

const finishOf = (reason: string): FinishReason | undefined => {
  switch (reason) {
    case "STOP":
      return "stop"
    case "MAX_TOKENS":
    case "CONTINUATION":
      return "max_tokens"
    case "SAFETY":
    case "RECITATION":
    case "LANGUAGE":
    case "BLOCKLIST":
    case "PROHIBITED_CONTENT":
    case "SPII":
    case "IMAGE_SAFETY":
    case "OTHER":
      return "refused"
    default:
      return undefined
  }
}

const reader = (assembler: Assembler): Reading => {
  let calls = 0
  const take = (chunk: unknown): Effect.Effect<ReadonlyArray<ModelEvent>, ProviderFault> =>
    Effect.gen(function* () {
      const { candidates, promptFeedback, usageMetadata } = yield* chunkOf(chunk)
      const events: Array<ModelEvent> = []
      // A prompt that is blocked gets no candidate at all, but it may be billed.
      if (promptFeedback?.blockReason !== undefined) assembler.finish("refused")
      for (const candidate of candidates ?? []) {
        if ((candidate.index ?? 0) !== 0) continue
        for (const part of candidate.content?.parts ?? []) {
          // Thoughts are billed with the output and belong to nobody else.
          if (part.thought === true) continue
          if (part.text !== undefined) events.push(...(yield* assembler.text(part.text)))
          if (part.functionCall !== undefined) {
            const key = String(calls++)
            const args = encodeJson(part.functionCall.args ?? {})
            if (Option.isNone(args)) return yield* badAnswer("the arguments of a tool call are not JSON")
            events.push(...(yield* assembler.call(key, part.functionCall.id, part.functionCall.name ?? "")))
            yield* assembler.args(key, args.value)
          }
        }
        if (candidate.finishReason !== undefined && candidate.finishReason !== "FINISH_REASON_UNSPECIFIED") {
          const finish = finishOf(candidate.finishReason)
          if (finish === undefined) return yield* badAnswer("the model failed to write a usable answer or tool call")
          assembler.finish(finish)
        }
      }
      if (Predicate.isNotNullable(usageMetadata)) {
        const bill = decodeBill(usageMetadata)
        const cached = Option.match(bill, { onNone: () => 0, onSome: (b) => b.cachedContentTokenCount ?? 0 })
        // Each chunk repeats the counts so far; the last one is the bill, also when it is nonsense.
        assembler.counts({
          inputTokens: Option.getOrUndefined(
            Option.map(bill, (b) => b.promptTokenCount + (b.toolUsePromptTokenCount ?? 0) - cached)
          ),
          outputTokens: Option.getOrUndefined(
            Option.map(bill, (b) => (b.candidatesTokenCount ?? 0) + (b.thoughtsTokenCount ?? 0))
          ),
          cacheReadTokens: cached,
          cacheWriteTokens: 0
        })
      }
      return events
    })
  return { take, ended: () => false, complete: assembler.complete }
}

export const askGoogle =
  (options: GoogleOptions) =>
  (model: ModelRef, request: ModelRequest, leaseId: string): Stream.Stream<ModelEvent, ModelError> =>
    runAttempt({
      model,
      check: refuseImages(request),
      open: (exchange) =>
        import("@google/genai").then(({ GoogleGenAI }) => {
          const client = new GoogleGenAI({
            apiKey: Redacted.value(options.key),
            vertexai: false,
            // Named, because an environment variable could change it; system prompts and tools exist in this one for every model.
            apiVersion: "v1beta",
            httpOptions: { baseUrl: options.baseUrl, headers: { ...options.headers }, fetch: exchange.fetch }
          })
          return client.models.generateContentStream(paramsOf(splitModelRef(model).model, request))
        }),
      read: () => reader(makeAssembler({ leaseId, messages: request.messages, closesCalls: false }))
    })
