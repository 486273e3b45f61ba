/**
 * The conversation as every provider adapter understands it. A tool result answers exactly one
 * tool call by id; adapters translate, they never reorder or drop.
 */
import { Schema } from "effect"
import { ToolCallId } from "./Ids.ts"
import { Taint } from "./Labels.ts"

export class TextPart extends Schema.TaggedClass<TextPart>()("Text", { text: Schema.String }) {}

/** Typed so that doors can accept and refuse it clearly; no adapter sends images yet (`ImagesUnsupported`). */
export class ImagePart extends Schema.TaggedClass<ImagePart>()("Image", {
  mediaType: Schema.Literal("image/png", "image/jpeg", "image/webp", "image/gif"),
  base64: Schema.String
}) {}

/** `arguments` is what the model sent, decoded from JSON but not yet checked against the tool's schema. */
export class ToolCallPart extends Schema.TaggedClass<ToolCallPart>()("ToolCall", {
  id: ToolCallId,
  name: Schema.String.pipe(Schema.minLength(1), Schema.maxLength(128)),
  arguments: Schema.Unknown
}) {}

export class ToolResultPart extends Schema.TaggedClass<ToolResultPart>()("ToolResult", {
  id: ToolCallId,
  name: Schema.String,
  content: Schema.String,
  isError: Schema.Boolean,
  taint: Taint
}) {}

export class UserMessage extends Schema.TaggedClass<UserMessage>()("User", {
  content: Schema.Array(Schema.Union(TextPart, ImagePart))
}) {}

export class AssistantMessage extends Schema.TaggedClass<AssistantMessage>()("Assistant", {
  content: Schema.Array(Schema.Union(TextPart, ToolCallPart))
}) {}

export class ToolMessage extends Schema.TaggedClass<ToolMessage>()("Tool", {
  results: Schema.Array(ToolResultPart)
}) {}

export const Message = Schema.Union(UserMessage, AssistantMessage, ToolMessage)
export type Message = typeof Message.Type

export const userText = (text: string): UserMessage =>
  new UserMessage({ content: [new TextPart({ text }, true)] }, true)

export const textOf = (message: UserMessage | AssistantMessage): string =>
  message.content.flatMap((part) => (part._tag === "Text" ? [part.text] : [])).join("")

export const toolCallsOf = (message: AssistantMessage): ReadonlyArray<ToolCallPart> =>
  message.content.filter((part) => part._tag === "ToolCall")
