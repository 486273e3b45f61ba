/**
 * Conversation: what all adapters need to turn our messages into a vendor's.
 *
 * Guarantees: nothing is reordered or dropped, apart from text that has no visible character, which
 * several vendors refuse; a call and its result always carry the same id, also when the id had to be
 * put into a form that the vendor accepts (the conversation may have begun with another vendor).
 */
import { Effect, Predicate } from "effect"
import { type Message, toolCallsOf } from "../../domain/Message.ts"
import type { ModelRequest } from "../../domain/Model.ts"
import { ProviderFault } from "./ModelErrors.ts"

export const refuseImages = (request: ModelRequest): Effect.Effect<void, ProviderFault> =>
  request.messages.some((m) => m._tag === "User" && m.content.some((p) => p._tag === "Image"))
    ? Effect.fail(new ProviderFault({ failure: "bad_request", detail: "images are not supported yet", unsent: true }))
    : Effect.void

export const visible = (text: string): boolean => text.trim() !== ""

/** Texts of one message that a vendor will take; a message must not vanish, so an empty one says that it is. */
export const textsOf = (
  content: ReadonlyArray<{ readonly _tag: string; readonly text?: string }>
): ReadonlyArray<string> => {
  const texts = content.flatMap((p) => (p._tag === "Text" && p.text !== undefined && visible(p.text) ? [p.text] : []))
  return texts.length === 0 ? ["(empty message)"] : texts
}

/** Arguments as the object that all vendors want back. A model may have sent another JSON value. */
export const asObject = (value: unknown): Record<string, unknown> =>
  Predicate.isRecord(value) ? value : { arguments: value }

/** Ids as the vendor takes them: unchanged where they fit, else `call_0`, `call_1`, … in order of appearance. */
export const idsFor = (messages: ReadonlyArray<Message>, fits: (id: string) => boolean): ((id: string) => string) => {
  const given = new Set<string>(messages.flatMap(idsIn))
  const replaced = new Map<string, string>()
  for (const id of given) {
    if (fits(id)) continue
    let n = replaced.size
    while (given.has(`call_${n}`) || [...replaced.values()].includes(`call_${n}`)) n++
    replaced.set(id, `call_${n}`)
  }
  return (id) => replaced.get(id) ?? id
}

const idsIn = (message: Message): ReadonlyArray<string> => {
  switch (message._tag) {
    case "User":
      return []
    case "Assistant":
      return toolCallsOf(message).map((c) => c.id)
    case "Tool":
      return message.results.map((r) => r.id)
  }
}
