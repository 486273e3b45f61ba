/**
 * Assembler: puts one answer together from a provider's deltas and says what may be shown on the way.
 *
 * Guarantees: text and calls keep their order; every call has an id that is unique in its session's
 * view, and arguments that are valid JSON; an answer that is damaged, endless or cut short in the
 * middle of a call fails instead of being completed; usage that makes no sense is reported as absent.
 */
import { Effect, Option, Schema } from "effect"
import { ToolCallId } from "../../domain/Ids.ts"
import { AssistantMessage, type Message, TextPart, ToolCallPart, toolCallsOf } from "../../domain/Message.ts"
import { Completed, type FinishReason, type ModelEvent, TextDelta, ToolCallStarted, Usage } from "../../domain/Model.ts"
import { badAnswer, ProviderFault } from "./ModelErrors.ts"

/** Text and arguments together, in UTF-16 units. Far above what any model may write in one answer. */
export const maxAnswerChars = 8 * 1024 * 1024
export const maxToolCalls = 128
/** Deeper arguments only serve to break whoever walks through them. */
const maxDepth = 64

export interface Counts {
  readonly inputTokens: unknown
  readonly outputTokens: unknown
  readonly cacheReadTokens: unknown
  readonly cacheWriteTokens: unknown
}

const decodeUsage = Schema.decodeUnknownOption(Usage)
const decodeJson = Schema.decodeUnknownOption(Schema.parseJson(Schema.Unknown))
const decodeCallId = Schema.decodeUnknownOption(ToolCallId)
const nameOk = Schema.is(ToolCallPart.fields.name)

/** Undefined for anything that cannot be a bill: missing, negative, fractional, over a thousand million. */
export const usageOf = (counts: Counts): Usage | undefined => Option.getOrUndefined(decodeUsage({ ...counts }))

type Block =
  | { readonly kind: "text"; readonly parts: Array<string> }
  | {
      readonly kind: "call"
      readonly id: ToolCallId
      readonly name: string
      readonly json: Array<string>
      closed: boolean
      /** Present when the provider sends arguments as a value instead of as text. */
      readonly value?: unknown
    }

const depthOf = (json: string): number => {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let i = 0; i < json.length; i++) {
    const c = json.charCodeAt(i)
    if (inString) {
      if (c === 92) i++
      else if (c === 34) inString = false
    } else if (c === 34) inString = true
    else if (c === 123 || c === 91) deepest = Math.max(deepest, ++depth)
    else if (c === 125 || c === 93) depth--
  }
  return deepest
}

export interface Assembler {
  readonly text: (delta: string) => Effect.Effect<ReadonlyArray<ModelEvent>, ProviderFault>
  /** Opens a call. `key` is whatever the provider numbers its calls by; `id` may be missing. */
  readonly call: (
    key: string,
    id: string | null | undefined,
    name: string
  ) => Effect.Effect<ReadonlyArray<ModelEvent>, ProviderFault>
  /** A piece of the arguments' JSON text. */
  readonly args: (key: string, delta: string) => Effect.Effect<ReadonlyArray<ModelEvent>, ProviderFault>
  readonly close: (key: string) => void
  readonly finish: (reason: FinishReason) => void
  readonly counts: (counts: Counts) => void
  /** Called once, when the stream has ended. */
  readonly complete: Effect.Effect<Completed, ProviderFault>
}

/**
 * `fresh` makes ids for calls whose provider gave none or one that this conversation has already
 * used; it starts with the lease's id, so it is unique and needs no randomness.
 */
export const makeAssembler = (options: {
  readonly leaseId: string
  readonly messages: ReadonlyArray<Message>
  /** Whether the provider marks the end of each call. Without a mark, the end of the answer is its end. */
  readonly closesCalls: boolean
}): Assembler => {
  const blocks: Array<Block> = []
  const open = new Map<string, Extract<Block, { kind: "call" }>>()
  const usedIds = new Set<string>(
    options.messages.flatMap((m) => (m._tag === "Assistant" ? toolCallsOf(m).map((c) => c.id) : []))
  )
  let chars = 0
  let calls = 0
  let reason: FinishReason | undefined
  let usage: Usage | undefined

  const grow = (by: number): Effect.Effect<void, ProviderFault> => {
    chars += by
    return chars > maxAnswerChars ? Effect.fail(badAnswer("it is larger than any answer may be")) : Effect.void
  }

  const idFor = (given: string | null | undefined): ToolCallId => {
    const wanted = decodeCallId(given)
    if (Option.isSome(wanted) && !usedIds.has(wanted.value)) return wanted.value
    return ToolCallId.make(`${madeIdPrefix}${options.leaseId}-${calls}`)
  }

  const text: Assembler["text"] = (delta) => {
    if (delta === "") return Effect.succeed([])
    const last = blocks.at(-1)
    if (last?.kind === "text") last.parts.push(delta)
    else blocks.push({ kind: "text", parts: [delta] })
    return Effect.as(grow(delta.length), [new TextDelta({ text: delta })])
  }

  const call: Assembler["call"] = (key, given, name) => {
    if (calls >= maxToolCalls) return Effect.fail(badAnswer(`it makes more than ${maxToolCalls} tool calls`))
    if (!nameOk(name)) return Effect.fail(badAnswer("it calls a tool without a usable name"))
    const id = idFor(given)
    usedIds.add(id)
    calls++
    const block = { kind: "call" as const, id, name, json: [], closed: false }
    blocks.push(block)
    open.set(key, block)
    return Effect.succeed([new ToolCallStarted({ id, name })])
  }

  const args: Assembler["args"] = (key, delta) => {
    const block = open.get(key)
    if (block === undefined) return Effect.fail(badAnswer("it sends arguments of a tool call that was never opened"))
    block.json.push(delta)
    return Effect.as(grow(delta.length), [])
  }

  const close: Assembler["close"] = (key) => {
    const block = open.get(key)
    if (block !== undefined) block.closed = true
    open.delete(key)
  }

  const part = (block: Block): Effect.Effect<TextPart | ToolCallPart, ProviderFault> => {
    if (block.kind === "text") return Effect.succeed(new TextPart({ text: block.parts.join("") }))
    // A tool without parameters is called with no text at all.
    const json = block.json.join("").trim() === "" ? "{}" : block.json.join("")
    const decoded = depthOf(json) > maxDepth ? Option.none() : decodeJson(json)
    if (Option.isSome(decoded) && (block.closed || !options.closesCalls)) {
      return Effect.succeed(new ToolCallPart({ id: block.id, name: block.name, arguments: decoded.value }))
    }
    return Effect.fail(
      reason === "max_tokens"
        ? // Asking again, or asking another model, would end at the same place.
          new ProviderFault({
            failure: "bad_request",
            detail: "the answer reached its output allowance in the middle of a tool call; allow more output tokens"
          })
        : badAnswer("the arguments of a tool call are not complete JSON")
    )
  }

  const complete = Effect.suspend(() => {
    const finish = reason
    if (finish === undefined) {
      return Effect.fail(new ProviderFault({ failure: "network", detail: "the connection was lost during the answer" }))
    }
    return Effect.map(
      Effect.forEach(blocks, part),
      (content) =>
        new Completed({
          message: new AssistantMessage({ content }),
          // Several providers say "stop" although they call tools; a few say "tool calls" and make none.
          finish: finish === "stop" || finish === "tool_calls" ? (calls > 0 ? "tool_calls" : "stop") : finish,
          ...(usage === undefined ? {} : { usage })
        })
    )
  })

  return {
    text,
    call,
    args,
    close,
    finish: (given) => {
      reason = given
    },
    counts: (counts) => {
      usage = usageOf(counts)
    },
    complete
  }
}

/** Ids that the provider did not give; adapters need not send them back. */
export const madeIdPrefix = "made-"
