/**
 * Conversation: what the three vendors' forms of a conversation have in common on their way into
 * ours. Order is kept, ids are kept; what cannot be carried (images, files, a result that answers no
 * call) is refused with the place at which it stands, never dropped in silence.
 */
import { Either, type ParseResult, Schema } from "effect"
import { ToolCallId } from "../../domain/Ids.ts"
import { untainted } from "../../domain/Labels.ts"
import {
  AssistantMessage,
  type Message,
  TextPart,
  ToolCallPart,
  ToolMessage,
  ToolResultPart,
  UserMessage
} from "../../domain/Message.ts"
import { ToolSpec } from "../../domain/Model.ts"
import { type CompatibleFailure, invalid } from "./Failure.ts"

const decodeJson = Schema.decodeEither(Schema.parseJson(Schema.Unknown))

/** Of a call's arguments, as JSON text. */
export const argumentsOf = (text: string, where: string): Either.Either<unknown, CompatibleFailure> =>
  text.trim() === ""
    ? Either.right({})
    : Either.mapLeft(decodeJson(text), (_: ParseResult.ParseError) => invalid(where, `${where}: expected JSON`))

interface Part {
  readonly type: string
  readonly text?: string | null | undefined
  readonly refusal?: string | null | undefined
}

const images: ReadonlySet<string> = new Set(["image_url", "image", "input_image"])

/** Refuses by name what a gateway that carries text cannot pass on. */
export const unsupported = (type: string, where: string): CompatibleFailure =>
  images.has(type)
    ? invalid(where, `${where}: images are not supported by this gateway; send text`, "images_unsupported")
    : invalid(where, `${where}: content of type ${type.slice(0, 60)} is not supported by this gateway; send text`)

/** Texts of one message. */
export const textsOf = (
  content: string | ReadonlyArray<Part> | null | undefined,
  where: string
): Either.Either<ReadonlyArray<string>, CompatibleFailure> => {
  if (content === null || content === undefined) return Either.right([])
  if (typeof content === "string") return Either.right([content])
  const texts: Array<string> = []
  for (const [i, { refusal, text, type }] of content.entries()) {
    if (type === "refusal" && typeof refusal === "string") texts.push(refusal)
    else if ((type === "text" || type === "input_text" || type === "output_text") && typeof text === "string") {
      texts.push(text)
    } else return Either.left(unsupported(type, `${where}.${i}`))
  }
  return Either.right(texts)
}

/** Collects messages in order; neighbours that our form has as one message become one. */
export const builder = () => {
  const messages: Array<Message> = []
  const called = new Map<string, string>()
  const last = () => messages.at(-1)
  return {
    user: (texts: ReadonlyArray<string>): void => {
      messages.push(new UserMessage({ content: texts.map((text) => new TextPart({ text }, true)) }, true))
    },
    /** `joins`: a call that follows an answer belongs to it. */
    assistant: (parts: ReadonlyArray<TextPart | ToolCallPart>, joins = false): void => {
      for (const part of parts) if (part._tag === "ToolCall") called.set(part.id, part.name)
      const before = last()
      if (joins && before?._tag === "Assistant") {
        messages[messages.length - 1] = new AssistantMessage({ content: [...before.content, ...parts] }, true)
      } else messages.push(new AssistantMessage({ content: [...parts] }, true))
    },
    result: (id: string, content: string, isError: boolean, where: string): Either.Either<void, CompatibleFailure> => {
      const name = called.get(id)
      if (name === undefined) return Either.left(invalid(where, `${where}: answers no tool call that stands before it`))
      const part = new ToolResultPart({ id: ToolCallId.make(id, true), name, content, isError, taint: untainted }, true)
      const before = last()
      if (before?._tag === "Tool") {
        messages[messages.length - 1] = new ToolMessage({ results: [...before.results, part] }, true)
      } else messages.push(new ToolMessage({ results: [part] }, true))
      return Either.right(undefined)
    },
    finish: (where: string): Either.Either<readonly [Message, ...ReadonlyArray<Message>], CompatibleFailure> => {
      const [first, ...rest] = messages
      return first === undefined
        ? Either.left(invalid(where, `${where}: expected at least one message that is no system prompt`))
        : Either.right([first, ...rest])
    }
  }
}

export const callPart = (id: string, name: string, given: unknown): ToolCallPart =>
  new ToolCallPart({ id: ToolCallId.make(id, true), name, arguments: given }, true)

export const textPart = (text: string): TextPart => new TextPart({ text }, true)

const noParameters = { type: "object", properties: {} }

/** Far above what any coding agent brings. */
const mostTools = 512

export const toolsOf = (
  tools: ReadonlyArray<{
    readonly name: string
    readonly description: string | null | undefined
    readonly parameters: Readonly<Record<string, unknown>> | null | undefined
  }>
): Either.Either<ReadonlyArray<ToolSpec>, CompatibleFailure> => {
  if (tools.length > mostTools) return Either.left(invalid("tools", `tools: at most ${mostTools} are taken`))
  if (new Set(tools.map(({ name }) => name)).size !== tools.length) {
    return Either.left(invalid("tools", "tools: two have the same name"))
  }
  return Either.right(
    tools.map(
      ({ description, name, parameters }) =>
        new ToolSpec({ name, description: description ?? "", parameters: parameters ?? noParameters }, true)
    )
  )
}

/** A choice must be one of the tools that are there. */
export const chosen = (
  name: string,
  tools: ReadonlyArray<ToolSpec>
): Either.Either<{ readonly name: string }, CompatibleFailure> =>
  tools.some((tool) => tool.name === name)
    ? Either.right({ name })
    : Either.left(invalid("tool_choice", "tool_choice: names a tool that is not among tools"))

/** Only what is set, so that nothing is said twice. */
export const given = <K extends string, V>(key: K, value: V | null | undefined): { readonly [k in K]?: V } => {
  const out: { [k in K]?: V } = {}
  if (value !== null && value !== undefined) out[key] = value
  return out
}
