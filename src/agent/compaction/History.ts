/**
 * The parts of a history that compaction moves around: units that are never split (an answer with
 * tool calls and the results of all of them), texts of a message, identifiers named in them, and
 * shortening that says what it left out. Pure and deterministic.
 */
import type { Taint } from "../../domain/Labels.ts"
import { untainted } from "../../domain/Labels.ts"
import { type Message, textOf, toolCallsOf, ToolMessage, ToolResultPart } from "../../domain/Message.ts"

/** Messages that stay or go together. */
export interface Unit {
  readonly messages: ReadonlyArray<Message>
  /** Index of the first message in the history. */
  readonly at: number
  /** A message of the owner. */
  readonly ask: boolean
}

/** What stands in the owner's place where one was needed; never taken for an ask of the owner. */
export const goOnText = "(Go on from the notes above.)"

export const unitsOf = (messages: ReadonlyArray<Message>): ReadonlyArray<Unit> => {
  const units: Array<Unit> = []
  for (let at = 0; at < messages.length; ) {
    const message = messages[at]!
    let end = at + 1
    if (message._tag === "Assistant" && toolCallsOf(message).length > 0) {
      while (messages[end]?._tag === "Tool") end++
    }
    const ask = message._tag === "User" && textOf(message) !== goOnText
    units.push({ messages: messages.slice(at, end), at, ask })
    at = end
  }
  return units
}

/** Every text of a message that a model reads and a summary may have to keep. */
export const textsOf = (message: Message): ReadonlyArray<string> => {
  switch (message._tag) {
    case "User":
      return message.content.map((part) => (part._tag === "Text" ? part.text : part.base64))
    case "Assistant":
      return message.content.map((part) =>
        part._tag === "Text" ? part.text : `${part.name} ${JSON.stringify(part.arguments) ?? ""}`
      )
    case "Tool":
      return message.results.map((result) => result.content)
  }
}

export const taintOf = (messages: ReadonlyArray<Message>): Taint =>
  messages
    .flatMap((message) => (message._tag === "Tool" ? message.results : []))
    .reduce((taint, result) => taint.join(result.taint), untainted)

/** Addresses, paths and file names, hashes, numbers of three digits and more, in that order of preference. */
const identifiers = [
  /https?:\/\/[^\s"'<>()]{1,300}/g,
  /(?<![\w/.-])(?:~|\.{1,2})?\/?[\w.@-]{1,80}(?:\/[\w.@-]{1,80}){1,20}/g,
  /(?<![\w./-])[\w-]{1,80}\.[a-z]{1,5}[a-z0-9]{0,3}(?![\w/])/gi,
  /(?<!\w)(?=[a-f]{0,40}\d)[0-9a-f]{7,64}(?!\w)/gi,
  /(?<![\w.])\d{1,12}(?:[.,:-]\d{1,12}){1,8}(?!\w)|(?<!\w)\d{3,20}(?!\w)/g
]

/** What the text names exactly, without repetition, without a full stop that only ends the sentence. */
export const identifiersIn = (text: string): ReadonlyArray<string> => [
  ...new Set(
    identifiers.flatMap((pattern) => text.match(pattern) ?? []).map((found) => found.replace(/[.,:;-]{1,9}$/, ""))
  )
]

/** The beginning and the end of a text, and how much is missing between them. */
export const shorten = (text: string, most: number): string => {
  if (text.length <= most) return text
  const head = text.slice(0, Math.ceil(most * 0.7))
  const tail = text.slice(text.length - Math.floor(most * 0.3))
  const short = `${head}\n[… ${text.length - head.length - tail.length} characters left out to save space …]\n${tail}`
  return short.length < text.length ? short : text
}

/** The message with no tool result longer than `most` characters; the same object when nothing is. */
export const shortenResults = (message: Message, most: number): Message => {
  if (message._tag !== "Tool" || message.results.every((result) => result.content.length <= most)) return message
  return new ToolMessage({
    results: message.results.map((result) => new ToolResultPart({ ...result, content: shorten(result.content, most) }))
  })
}
