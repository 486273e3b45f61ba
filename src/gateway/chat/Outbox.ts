/**
 * Outbox: what one chat is sent.
 *
 * Guarantees: frames of one session leave in order, each once; answers go before events; what is on
 * its way to the client is bounded, what waits behind it too; a client that does not read is found
 * out and told, and nobody else notices. Pieces of an answer that wait for a slow client go as one.
 */
import { Effect, Queue, Schema } from "effect"
import type { WebSocket } from "ws"
import { type ServerFrame, ServerFrameJson } from "../../contract/chat.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { deltaJson, type Entry } from "../live/Hub.ts"

/** Bytes on their way to the client before the next event waits. */
const highWater = 256 * 1024
/** Of answers that wait; whoever asks more than they read is dropped. */
const mostAnswers = 1000
/** Characters of those. */
const mostAnswered = 8 * 1024 * 1024
/** Events of one session before the next has its turn. */
const turn = 64

const encode = Schema.encodeSync(ServerFrameJson)

/** The frames of the contract, around JSON that all watchers share. */
const eventFrame = (id: string, session: SessionId, json: string): string =>
  `{"_tag":"Event","id":"${id}","session":"${session}","event":${json}}`
const failedFrame = (id: string, session: SessionId, run: string, json: string): string =>
  `{"_tag":"RunFailed","id":"${id}","session":"${session}","run":"${run}","failure":${json}}`

export type Take = (most: number) => ReadonlyArray<Entry> | null

export interface Outbox {
  readonly answer: (frame: ServerFrame) => void
  readonly wake: () => void
  readonly watch: (session: SessionId, take: Take) => void
  readonly unwatch: (session: SessionId) => void
  /** Sends for as long as it runs. Returns when the client is too slow. */
  readonly run: Effect.Effect<void>
}

export const make = (socket: () => WebSocket | undefined, idOf: (entry: Entry) => string): Effect.Effect<Outbox> =>
  Effect.gen(function* () {
    const bell = yield* Queue.sliding<void>(1)
    const wake = () => void bell.unsafeOffer(undefined)
    const answers: Array<string> = []
    let answered = 0
    let overflowed = false
    const takes = new Map<SessionId, Take>()

    const framesOf = (session: SessionId, entries: ReadonlyArray<Entry>, merge: boolean): ReadonlyArray<string> => {
      const frames: Array<string> = []
      for (let at = 0; at < entries.length; at++) {
        const entry = entries[at]
        if (entry === undefined) break
        if (entry.kind === "failed") {
          frames.push(failedFrame(idOf(entry), session, entry.run, entry.json))
          continue
        }
        let last = entry
        let text = entry.text
        while (merge && text !== null) {
          const next = entries[at + 1]
          if (next === undefined || next.text === null || next.run !== entry.run) break
          text += next.text
          last = next
          at += 1
        }
        frames.push(eventFrame(idOf(last), session, last === entry || text === null ? entry.json : deltaJson(text)))
      }
      return frames
    }

    /** One round: the answers, then a turn of each session. What it says is whether there was anything. */
    const round = (to: WebSocket): "sent" | "nothing" | "full" | "behind" => {
      const send = (text: string) => to.send(text, wake)
      const room = () => to.bufferedAmount < highWater
      let sent = false
      while (answers.length > 0) {
        if (!room()) return "full"
        const text = answers.shift() ?? ""
        answered -= text.length
        send(text)
        sent = true
      }
      for (const [session, take] of takes) {
        if (!room()) return "full"
        const entries = take(turn)
        if (entries === null) return "behind"
        for (const frame of framesOf(session, entries, to.bufferedAmount > 0)) send(frame)
        sent ||= entries.length > 0
      }
      return sent ? "sent" : "nothing"
    }

    const run = Effect.gen(function* () {
      while (true) {
        yield* Queue.take(bell)
        while (!overflowed) {
          const to = socket()
          if (to === undefined || to.readyState !== to.OPEN) break
          const result = round(to)
          if (result === "behind") return
          if (result !== "sent") break
          yield* Effect.yieldNow()
        }
        if (overflowed) return
      }
    })

    return {
      answer: (frame) => {
        const text = encode(frame)
        answers.push(text)
        answered += text.length
        overflowed ||= answers.length > mostAnswers || answered > mostAnswered
        wake()
      },
      wake,
      watch: (session, take) => {
        takes.set(session, take)
        wake()
      },
      unwatch: (session) => void takes.delete(session),
      run
    }
  })
