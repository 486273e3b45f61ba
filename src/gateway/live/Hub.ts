/**
 * Hub: what the watchers of one session are told, as one numbered sequence.
 *
 * Guarantees: every watcher sees the same entries in the same order; runs of one session do not mix,
 * one is told to its end before the next; memory is bounded by number and size, whoever reads or does
 * not: a watcher holds a place in the sequence and no copy, and one whose place was overwritten is told so.
 */
import { Schema } from "effect"
import type { PrincipalId, RunId, SessionId } from "../../domain/Ids.ts"
import { RunEvent } from "../../domain/RunEvent.ts"
import { redactRegistered, type StreamRedactor, streamRedactor } from "../../kernel/Redaction.ts"

export interface Entry {
  readonly n: number
  readonly run: RunId
  readonly kind: "run" | "failed"
  /** Of an AnswerDelta, so that several can be sent as one; null for all others. */
  readonly text: string | null
  /** Nothing comes of this run any more. */
  readonly isLast: boolean
  /** The event, or the RunFailure, as JSON without line breaks. */
  readonly json: string
}

/** How much of the log the entries of the run that goes on have told. */
export interface Told {
  readonly run: RunId
  /** Events of the log before this one were there when the run was taken up. */
  readonly from: number
  readonly answers: number
  readonly tools: ReadonlySet<string>
  readonly text: string
  readonly ended: boolean
}

/** One run on its way into the sequence. */
export interface Source {
  readonly run: RunId
  readonly from: number
  readonly held: Array<Item>
  readonly redactor: StreamRedactor
  begun: boolean
  done: boolean
}
export type Item = RunEvent | { readonly _tag: "Failure"; readonly json: string }

export const source = (run: RunId, from: number): Source => ({
  run,
  from,
  held: [],
  redactor: streamRedactor(),
  begun: false,
  done: false
})

/** A long answer of a model is some thousand pieces; what is older comes as a snapshot. */
const maxEntries = 4096
/** Of runs; only those of the last moment matter. */
const mostBeginnings = 64
/** Characters. */
const maxSize = 2 * 1024 * 1024

const encodeEvent = Schema.encodeSync(RunEvent)
/** As it is encoded; most entries are these. */
export const deltaJson = (text: string): string => JSON.stringify({ _tag: "AnswerDelta", text })

/** These come before a run has its session for itself. */
const isPrelude = (item: Item): boolean => item._tag === "RunStarted" || item._tag === "MessageScanned"

const advance = (told: Told, event: RunEvent): Told => {
  switch (event._tag) {
    case "ModelStarted":
      return { ...told, text: "" }
    case "ModelAttemptFailed":
      return event.discard ? { ...told, text: "" } : told
    case "ModelFinished":
      return { ...told, text: "", answers: told.answers + 1 }
    case "ToolEnded":
      return { ...told, tools: new Set([...told.tools, event.call]) }
    case "RunEnded":
      return { ...told, text: "", ended: true }
    default:
      return told
  }
}

export interface Hub {
  readonly session: SessionId
  readonly principal: PrincipalId
  readonly watchers: Set<() => void>
  /** Takes the next of a run's events; what is not its turn yet is kept until it is. */
  readonly offer: (from: Source, item: Item) => void
  /** The run has no more. */
  readonly finish: (from: Source) => void
  readonly told: () => Told | null
  /** Runs of which nothing up to this number was told, each with the first event of the log that it wrote. */
  readonly after: (n: number) => ReadonlyMap<RunId, number>
  readonly size: () => number
  /** No run is on its way, and nobody watches. */
  readonly isIdle: () => boolean
  /** The index after the entry with this number, if all that came since is still there. */
  readonly indexAfter: (n: number) => number | null
  readonly end: () => number
  /** From an index on, at most so many; null when they were overwritten. */
  readonly slice: (index: number, most: number) => ReadonlyArray<Entry> | null
}

/** Numbers are drawn from one sequence for all sessions, so that one that was forgotten is never counted anew. */
export const make = (
  session: SessionId,
  principal: PrincipalId,
  numbers: { readonly last: () => number; readonly next: () => number }
): Hub => {
  let entries: Array<Entry> = []
  /** Index of `entries[start]`; those before `start` are gone. */
  let first = 0
  let start = 0
  let size = 0
  /** The number of the last entry that is gone, or drawn before this hub was made. */
  let floor = numbers.last()
  let current: Source | null = null
  let told: Told | null = null
  const waiting: Array<Source> = []
  const watchers = new Set<() => void>()
  const onTheWay = new Map<RunId, number>()
  const beginnings: Array<{ readonly run: RunId; readonly from: number; readonly n: number }> = []

  const drop = () => {
    const gone = entries[start]
    if (gone === undefined) return
    floor = gone.n
    size -= gone.json.length
    start += 1
    first += 1
    if (start >= maxEntries) {
      entries = entries.slice(start)
      start = 0
    }
  }

  const push = (entry: Omit<Entry, "n">) => {
    const n = numbers.next()
    if (beginnings.at(-1)?.run !== entry.run) {
      beginnings.push({ run: entry.run, from: onTheWay.get(entry.run) ?? 0, n })
      onTheWay.delete(entry.run)
      if (beginnings.length > mostBeginnings) beginnings.shift()
    }
    entries.push({ n, ...entry })
    size += entry.json.length
    while (entries.length - start > maxEntries || (size > maxSize && entries.length - start > 1)) drop()
  }

  const toldOf = ({ from, run }: Source): Told =>
    told?.run === run ? told : { run, from, answers: 0, tools: new Set(), text: "", ended: false }

  const showText = (from: Source, text: string) => {
    if (text === "") return
    const before = toldOf(from)
    told = { ...before, text: before.text + text }
    push({ run: from.run, kind: "run", text, isLast: false, json: deltaJson(text) })
  }

  const showItem = (from: Source, item: Item) => {
    if (item._tag === "AnswerDelta") return showText(from, from.redactor.next(item.text))
    showText(from, from.redactor.rest())
    if (item._tag === "Failure") {
      told = { ...toldOf(from), text: "", ended: true }
      return push({ run: from.run, kind: "failed", text: null, isLast: true, json: item.json })
    }
    told = advance(toldOf(from), item)
    const json = JSON.stringify(redactRegistered(encodeEvent(item)))
    push({ run: from.run, kind: "run", text: null, isLast: item._tag === "RunEnded", json })
  }

  const flush = (from: Source) => {
    for (const item of from.held.splice(0)) showItem(from, item)
    for (const wake of watchers) wake()
  }

  /** Its turn, if nobody else's. */
  const step = (from: Source) => {
    if (current === null) current = from
    if (current === from) return flush(from)
    if (!waiting.includes(from)) waiting.push(from)
  }

  const leave = (from: Source) => {
    if (current !== from) return
    current = null
    const next = waiting.shift()
    if (next === undefined) return
    step(next)
    if (next.done) leave(next)
  }

  return {
    session,
    principal,
    watchers,
    offer: (from, item) => {
      from.held.push(item)
      if (!from.begun) onTheWay.set(from.run, from.from)
      if (!from.begun && isPrelude(item)) return
      from.begun = true
      step(from)
    },
    finish: (from) => {
      from.done = true
      if (from.held.length > 0) step(from)
      leave(from)
      onTheWay.delete(from.run)
    },
    told: () => told,
    after: (n) => new Map([...onTheWay, ...beginnings.flatMap((b) => (b.n > n ? [[b.run, b.from] as const] : []))]),
    size: () => size,
    isIdle: () => current === null && waiting.length === 0 && watchers.size === 0,
    indexAfter: (n) => {
      if (n < floor || n > numbers.last()) return null
      let [low, high] = [start, entries.length]
      while (low < high) {
        const middle = (low + high) >>> 1
        if ((entries[middle]?.n ?? 0) <= n) low = middle + 1
        else high = middle
      }
      return first + (low - start)
    },
    end: () => first + (entries.length - start),
    slice: (index, most) => {
      if (index < first) return null
      const at = start + (index - first)
      return entries.slice(at, at + most)
    }
  }
}
