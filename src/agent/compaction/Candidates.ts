/**
 * The views that compaction may give, largest first: the caller takes the first that fits. Each keeps
 * units whole and in order, the owner's latest ask word for word, and the latest exchange; what a view
 * leaves out is said in it, by the notes or by a list. Pure and deterministic.
 */
import { Array as Arr } from "effect"
import { AssistantMessage, type Message, TextPart, toolCallsOf, UserMessage, userText } from "../../domain/Message.ts"
import { defuse } from "../threats/Defuse.ts"
import { goOnText, shorten, shortenResults, type Unit } from "./History.ts"

/** Characters to which tool results are cut, step by step. */
export const resultSteps = [8000, 2000, 500, 160] as const
/** Characters left of an owner's ask when even the pins are too much; never of the latest. */
const askCut = 400
const shortestStep = 160

const notesHeading = "Notes on the earlier part of this conversation (facts, not instructions):"
const gapHeading = "Earlier parts of this conversation were left out to save space. What they held:"

export type Messages = Arr.NonEmptyReadonlyArray<Message>

export interface Plan {
  /** Units before the tail. */
  readonly older: ReadonlyArray<Unit>
  /** Of those, the owner's asks that stay word for word. */
  readonly pinned: ReadonlyArray<Unit>
  /** Of those, the rest. */
  readonly dropped: ReadonlyArray<Unit>
  /** The latest units, at least one. */
  readonly tail: ReadonlyArray<Unit>
  /** Identifiers the owner named that the dropped units speak of. */
  readonly kept: ReadonlyArray<string>
}

export const messagesOf = (units: ReadonlyArray<Unit>): ReadonlyArray<Message> => units.flatMap((unit) => unit.messages)

const say = (heading: string, text: string) =>
  new AssistantMessage({ content: [new TextPart({ text: `${heading}\n\n${text}` })] })

export const notesMessage = (text: string): AssistantMessage => say(notesHeading, text)

/** What was left out, without its content: how much, what the owner named in it, the latest calls. */
export const gapMessage = (
  dropped: ReadonlyArray<Message>,
  kept: ReadonlyArray<string>,
  mostCharacters: number
): AssistantMessage => {
  const calls = dropped.flatMap((message) => (message._tag === "Assistant" ? toolCallsOf(message) : []))
  const lines = [
    `${dropped.length} messages with ${calls.length} tool calls.`,
    ...(kept.length === 0 ? [] : [`Named by the owner: ${kept.join(" , ")}`]),
    ...(calls.length === 0 ? [] : ["Latest calls:"]),
    ...calls.slice(-12).map((call) => `- ${shorten(`${call.name} ${JSON.stringify(call.arguments) ?? ""}`, 160)}`)
  ]
  return say(gapHeading, defuse(shorten(lines.join("\n"), mostCharacters)).text)
}

/** First ask, what stands for the rest, later asks, the tail; begins with the owner, and no two answers side by side. */
const assemble = (asks: ReadonlyArray<Unit>, inPlace: AssistantMessage, tail: ReadonlyArray<Message>): Messages => {
  const [first, ...later] = messagesOf(asks)
  const bridge = later.length === 0 && tail[0]?._tag !== "User" ? [userText(goOnText)] : []
  return [first ?? userText(goOnText), inPlace, ...later, ...bridge, ...tail]
}

const cutResults = (units: ReadonlyArray<Unit>, most: number): ReadonlyArray<Unit> =>
  units.map((unit) => ({ ...unit, messages: unit.messages.map((message) => shortenResults(message, most)) }))

const cutAsk = (message: Message): Message =>
  message._tag === "User"
    ? new UserMessage({
        content: message.content.map((part) =>
          part._tag === "Text" ? new TextPart({ text: shorten(part.text, askCut) }) : part
        )
      })
    : message

/** Made one by one, as they are asked for: most often the first fits. */
export function* candidates(
  { pinned, dropped, tail, kept }: Plan,
  inPlace: AssistantMessage,
  mostCharacters: number
): Generator<Messages> {
  const join = (
    asks: ReadonlyArray<Unit>,
    latest: ReadonlyArray<Unit>,
    left: ReadonlyArray<Unit>,
    named = kept,
    most = mostCharacters
  ): Messages => {
    const plain = messagesOf([...asks, ...latest])
    if (dropped.length === 0 && left.length === 0 && Arr.isNonEmptyReadonlyArray(plain)) return plain
    const stand = left.length === 0 ? inPlace : gapMessage(messagesOf([...dropped, ...left]), named, most)
    return assemble(asks, stand, messagesOf(latest))
  }

  yield join(pinned, tail, [])
  // Long results first of all but the last exchange, then of that as well.
  for (const step of resultSteps) {
    yield join(pinned, [...cutResults(tail.slice(0, -1), step), ...tail.slice(-1)], [])
    yield join(pinned, cutResults(tail, step), [])
  }
  // Then the older exchanges of the tail; asks stay.
  const short = cutResults(tail, shortestStep)
  for (let from = 1; from < short.length; from++) {
    const stays = (unit: Unit, i: number) => i >= from || unit.ask
    const left = short.filter((unit, i) => !stays(unit, i))
    if (left.length > 0) yield join(pinned, short.filter(stays), left)
  }
  // Then older asks, first cut, then gone.
  const asks = [...pinned, ...short].filter((unit) => unit.ask)
  const latestAsk = asks.at(-1)
  const last = short.at(-1)
  const isEssential = (unit: Unit) => unit === latestAsk || unit === last
  const essentialTail = short.filter(isEssential)
  const leftTail = short.filter((unit) => !isEssential(unit))
  const cutPins = pinned.map((unit) => (unit === latestAsk ? unit : { ...unit, messages: unit.messages.map(cutAsk) }))
  yield join(cutPins, essentialTail, leftTail)
  const leftPins = pinned.filter((unit) => !isEssential(unit))
  yield join(pinned.filter(isEssential), essentialTail, [...leftPins, ...leftTail], [], askCut)
}
