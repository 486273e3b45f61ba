/**
 * Given: a conversation that a client carries, as the path takes it in.
 *
 * Guarantees: what tools of the client found is framed as data from outside, as any tool's result
 * is; whatever the person did not write themselves (answers, results) makes the conversation
 * untrusted, because nobody here has seen where it came from.
 */
import { Taint, untainted } from "../domain/Labels.ts"
import { type Message, ToolMessage, ToolResultPart } from "../domain/Message.ts"
import * as Turn from "./Turn.ts"

/** What the client says of itself, as a source of content. */
const source = "client"
const fromClient = new Taint({ sources: [source], privateSeen: false })

const framed = (message: Message): Message =>
  message._tag !== "Tool"
    ? message
    : new ToolMessage(
        {
          results: message.results.map(
            (result) =>
              new ToolResultPart(
                { ...result, content: Turn.frameUntrusted(result.content, [source]), taint: fromClient },
                true
              )
          )
        },
        true
      )

export const takeIn = (
  messages: ReadonlyArray<Message>
): { readonly messages: ReadonlyArray<Message>; readonly taint: Taint } => ({
  messages: messages.map(framed),
  taint: messages.some(({ _tag }) => _tag !== "User") ? fromClient : untainted
})
