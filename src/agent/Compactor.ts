/**
 * Compactor: a view over the history that fits the model's context window, made before the limit is
 * met. It never splits an answer from the results of its tool calls, keeps the owner's first and
 * latest asks word for word and in order, and keeps the latest exchange. What is older becomes notes
 * written by a model; notes that are empty, too long, lose an identifier of the owner or carry
 * control markup are refused, and a plain list of what was left out stands in their place. The log
 * is not touched, and the taint of what was condensed is handed back.
 */
import { Array as Arr, Context, Effect, Layer } from "effect"
import type { Agent } from "../domain/Agent.ts"
import type { Taint } from "../domain/Labels.ts"
import { type Message, textOf, userText } from "../domain/Message.ts"
import { ModelRequest, type ToolSpec } from "../domain/Model.ts"
import {
  candidates,
  gapMessage,
  type Messages,
  messagesOf,
  notesMessage,
  type Plan,
  resultSteps
} from "./compaction/Candidates.ts"
import { goOnText, identifiersIn, shortenResults, taintOf, textsOf, type Unit, unitsOf } from "./compaction/History.ts"
import * as Prompts from "./Prompts.ts"
import { defuse } from "./threats/Defuse.ts"

export interface CompactionInput<E> {
  readonly agent: Agent
  readonly messages: ReadonlyArray<Message>
  readonly system: string
  readonly tools: ReadonlyArray<ToolSpec>
  /** Tokens. */
  readonly contextWindow: number
  /** About how many tokens a text has; never more than it has bytes. */
  readonly estimate: (text: string) => Effect.Effect<number>
  /** Asks a model and gives back the text of its answer. */
  readonly summarise: (request: ModelRequest) => Effect.Effect<string, E>
}

/** Why the notes of the model were not taken. `too_much`: what is to be condensed does not fit the window itself. */
export type Refusal = "failed" | "too_much" | "empty" | "too_long" | "lost_id" | "markup"

export interface CompactionView {
  readonly messages: Messages
  /** False: `messages` are the input, as it was. */
  readonly compacted: boolean
  /** Tokens of the whole prompt, estimated; far below the limit only an upper bound. */
  readonly tokensBefore: number
  readonly tokensAfter: number
  /** Set when something was condensed without a model's notes. */
  readonly refused: Refusal | undefined
  /** Joined over all tool results that are not in the view as they were. */
  readonly taint: Taint
}

export class Compactor extends Context.Tag("ai-desk/agent/Compactor")<
  Compactor,
  {
    /**
     * The messages to send: unchanged below the agent's threshold, else condensed to fit it. A failing
     * `summarise` costs the notes, not the turn. Only the owner's latest ask and the latest exchange can
     * make the view larger than the limit; the router then says so.
     */
    readonly view: <E>(input: CompactionInput<E>) => Effect.Effect<CompactionView>
  }
>() {}

/** Latest asks that stay word for word, besides the first. */
const pinnedAsks = 3
/** Share of the room for messages that the latest exchanges may take; the rest is for pins, notes and growth. */
const tailShare = 0.4
/** Share of that room for the notes, and its bounds in tokens. */
const notesShare = 0.15
const notesTokens = { least: 128, most: 1600 }
/** Around a message or part and around the prompt, as in model/Tokens. */
const perPart = 16
const perRequest = 64
/** More identifiers than this are not asked of one page of notes; the latest count. */
const keptIdentifiers = 40

/** Tokens of the frames around texts. */
const frames = (messages: ReadonlyArray<Message>): number =>
  messages.reduce((sum, message) => sum + perPart + textsOf(message).length * perPart, 0)

const plan = (units: ReadonlyArray<Unit>, start: number): Plan => {
  const older = units.slice(0, start)
  const asks = units.filter((unit) => unit.ask)
  const pins = new Set([...asks.slice(0, 1), ...asks.slice(-pinnedAsks)])
  const dropped = older.filter((unit) => !pins.has(unit))
  // What the owner named and the dropped part speaks of must not get lost with it.
  const text = messagesOf(dropped).flatMap(textsOf).join("\n")
  const named = messagesOf(asks).flatMap((ask) => (ask._tag === "User" ? identifiersIn(textOf(ask)) : []))
  const kept = [...new Set(named)].filter((id) => text.includes(id)).slice(-keptIdentifiers)
  return { older, pinned: older.filter((unit) => pins.has(unit)), dropped, tail: units.slice(start), kept }
}

/** Only the kind of an error may be logged: its text can hold what was asked. */
const kindOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : typeof error

const make = Effect.gen(function* () {
  const prompt = yield* Prompts.load("compaction.v1")
  // Estimating is what a long history costs; messages do not change, so each is estimated once.
  const known = new WeakMap<Message, number>()

  const sumOf = (texts: ReadonlyArray<string>, estimate: CompactionInput<never>["estimate"]) =>
    Effect.map(Effect.forEach(texts, estimate), (counts) => counts.reduce((sum, count) => sum + count, 0))

  const tokensOf = (messages: ReadonlyArray<Message>, estimate: CompactionInput<never>["estimate"]) =>
    Effect.gen(function* () {
      let sum = 0
      for (const message of messages) {
        const tokens = known.get(message) ?? (yield* sumOf(textsOf(message), estimate)) + frames([message])
        known.set(message, tokens)
        sum += tokens
      }
      return sum
    })

  /** Where the tail begins: the latest units that fit `room`, and always the last. */
  const tailStart = (units: ReadonlyArray<Unit>, room: number, estimate: CompactionInput<never>["estimate"]) =>
    Effect.gen(function* () {
      let taken = 0
      for (let i = units.length - 1; i >= 0; i--) {
        taken += yield* tokensOf(units[i]!.messages, estimate)
        if (taken > room) return Math.min(i + 1, units.length - 1)
      }
      return 0
    })

  /** The notes of a model on the older part, or why there are none. */
  const writeNotes = Effect.fn("Compactor.writeNotes")(function* <E>(
    { tools, contextWindow, estimate, summarise }: CompactionInput<E>,
    { older, dropped, kept }: Plan,
    most: number,
    fixed: number
  ) {
    const must = kept.length === 0 ? "" : ` These must stand in them exactly as here: ${kept.join(" , ")}`
    const ask = userText(`Write the notes now, in at most ${most} tokens.${must}`)
    for (const step of [Number.POSITIVE_INFINITY, ...resultSteps]) {
      const record = messagesOf(older).map((message) => shortenResults(message, step))
      const lead = record[0]?._tag === "User" ? [] : [userText(goOnText)]
      const messages = Arr.append([...lead, ...record], ask)
      const maxOutputTokens = most * 2
      const size = fixed + (yield* estimate(prompt)) + (yield* tokensOf(messages, estimate)) + maxOutputTokens
      if (size > contextWindow) continue
      const text = (yield* summarise(new ModelRequest({ system: prompt, messages, tools, maxOutputTokens }))).trim()
      const length = yield* estimate(text)
      const replaced = yield* tokensOf(messagesOf(dropped), estimate)
      if (text === "") return { refused: "empty" } as const
      if (length >= replaced || length > maxOutputTokens) return { refused: "too_long" } as const
      if (kept.some((id) => !text.includes(id))) return { refused: "lost_id" } as const
      if (defuse(text).findings.length > 0) return { refused: "markup" } as const
      return { text } as const
    }
    return { refused: "too_much" } as const
  })

  const view = Effect.fn("Compactor.view")(function* <E>(input: CompactionInput<E>) {
    const { agent, messages, system, tools, contextWindow, estimate } = input
    if (!Arr.isNonEmptyReadonlyArray(messages))
      return yield* Effect.dieMessage("a history without messages cannot be sent")

    const limit = Math.min(
      Math.floor(agent.compaction.threshold * contextWindow),
      contextWindow - agent.maxOutputTokens - perRequest
    )
    const standing = [system, ...tools.map((tool) => JSON.stringify(tool) ?? "")]
    const untouched = (tokens: number): CompactionView => ({
      messages,
      compacted: false,
      tokensBefore: tokens,
      tokensAfter: tokens,
      refused: undefined,
      taint: taintOf([])
    })

    // No text has more tokens than bytes: far below the limit nothing needs to be estimated.
    const bytes = [...standing, ...messages.flatMap(textsOf)].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    const atMost = perRequest + bytes + frames(messages)
    if (atMost <= limit) return untouched(atMost)

    const fixed = perRequest + (yield* sumOf(standing, estimate))
    const tokensBefore = fixed + (yield* tokensOf(messages, estimate))
    if (tokensBefore <= limit) return untouched(tokensBefore)

    const room = Math.max(0, limit - fixed)
    const units = unitsOf(messages)
    const planned = plan(units, yield* tailStart(units, room * tailShare, estimate))
    const most = Math.min(notesTokens.most, Math.max(notesTokens.least, Math.floor(room * notesShare)))
    const notes =
      planned.dropped.length === 0
        ? undefined
        : yield* writeNotes(input, planned, most, fixed).pipe(
            Effect.catchAll((error: E) =>
              Effect.logWarning(
                `the history could not be condensed by a model (${kindOf(error)}); it is shortened`
              ).pipe(Effect.as({ refused: "failed" } as const))
            )
          )
    const inPlace =
      notes !== undefined && "text" in notes
        ? notesMessage(notes.text)
        : gapMessage(messagesOf(planned.dropped), planned.kept, most * 2)

    let chosen: Messages = messages
    let tokensAfter = tokensBefore
    for (const candidate of candidates(planned, inPlace, most * 2)) {
      chosen = candidate
      tokensAfter = fixed + (yield* tokensOf(candidate, estimate))
      if (tokensAfter <= limit) break
    }
    // Nothing could be spared: say so, or every turn would record the same view again.
    if (chosen.length === messages.length && chosen.every((message, i) => message === messages[i])) {
      return untouched(tokensBefore)
    }
    const whole = new Set(chosen)
    return {
      messages: chosen,
      compacted: true,
      tokensBefore,
      tokensAfter,
      refused: notes !== undefined && "refused" in notes ? notes.refused : undefined,
      taint: taintOf(messages.filter((message) => !whole.has(message)))
    } satisfies CompactionView
  })

  return Compactor.of({ view })
})

export const layer: Layer.Layer<Compactor, Prompts.PromptMissing> = Layer.effect(Compactor, make)
