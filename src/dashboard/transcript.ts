/**
 * Transcript: a conversation as a list of things to show, grown by the gateway's events. Pure: it knows
 * no page. An event that was seen is not counted twice; one of a kind that is not known is passed over,
 * so that an older page survives a newer gateway.
 */
import type { RunEvent } from "../domain/RunEvent.ts"
import type { ApprovalRequest } from "../domain/Tool.ts"

export type Wire = typeof RunEvent.Encoded
export type Asked = typeof ApprovalRequest.Encoded

export interface Mine {
  readonly kind: "mine"
  readonly id: string
  readonly text: string
}
export interface Theirs {
  readonly kind: "theirs"
  readonly id: string
  readonly agent: string
  text: string
  going: boolean
}
export interface Step {
  readonly kind: "step"
  readonly id: string
  readonly tool: string
  /** The exact call. */
  readonly call: string
  state: "asked" | "running" | "done" | "failed" | "declined" | "unknown"
  /** Where it ran. */
  confinement: "sandbox" | "gateway" | null
  result: string | null
  durationMs: number | null
}
export interface Ask {
  readonly kind: "ask"
  readonly id: string
  readonly request: Asked
  answer: "open" | "sent" | "approved" | "declined" | "gone"
  /** Why an answer did not count; empty otherwise. */
  trouble: string
}
export interface Note {
  readonly kind: "note"
  readonly id: string
  readonly text: string
  readonly bad: boolean
}
export type Item = Mine | Theirs | Step | Ask | Note

export interface Transcript {
  items: Array<Item>
  /** By id. */
  readonly byId: Map<string, Item>
  agent: string
  /** The run that goes on; null: none. */
  run: string | null
  /** The answer that grows. */
  open: Theirs | null
  count: number
}

export const empty = (agent: string): Transcript => ({
  items: [],
  byId: new Map(),
  agent,
  run: null,
  open: null,
  count: 0
})

const add = <I extends Item>(to: Transcript, item: I): I => {
  to.items.push(item)
  to.byId.set(item.id, item)
  return item
}

const nextId = (to: Transcript, kind: string): string => {
  to.count += 1
  return `${kind}-${to.count}`
}

export const said = (to: Transcript, text: string): Mine => add(to, { kind: "mine", id: nextId(to, "mine"), text })

export const noted = (to: Transcript, text: string, bad = false): Note =>
  add(to, { kind: "note", id: nextId(to, "note"), text, bad })

export const answered = (to: Transcript, text: string): Theirs =>
  add(to, { kind: "theirs", id: nextId(to, "theirs"), agent: to.agent, text, going: false })

/** An answer that is still growing. */
export const opened = (to: Transcript, text: string): Theirs => {
  to.open = add<Theirs>(to, { kind: "theirs", id: nextId(to, "theirs"), agent: to.agent, text, going: true })
  return to.open
}

const stepOf = (to: Transcript, call: string): Step | null => {
  const item = to.byId.get(`call-${call}`)
  return item?.kind === "step" ? item : null
}

/** The step of this call; made when it was not known. */
export const step = (to: Transcript, call: string, tool: string, display: string): Step => {
  const known = stepOf(to, call)
  if (known !== null) return known
  return add<Step>(to, {
    kind: "step",
    id: `call-${call}`,
    tool,
    call: display,
    state: "asked",
    confinement: null,
    result: null,
    durationMs: null
  })
}

/** A question to the person; undefined when it stands there already. */
export const asked = (to: Transcript, request: Asked): Ask | undefined => {
  const id = `ask-${request.id}`
  return to.byId.has(id) ? undefined : add<Ask>(to, { kind: "ask", id, request, answer: "open", trouble: "" })
}

/** Nobody needs to answer it any more. */
export const closeAsk = (
  to: Transcript,
  approval: string,
  answer: "approved" | "declined" | "gone"
): ReadonlyArray<string> => {
  const item = to.byId.get(`ask-${approval}`)
  if (item?.kind !== "ask") return []
  item.answer = answer
  return [item.id]
}

/** The run failed outright. */
export const failed = (to: Transcript, text: string): ReadonlyArray<string> => {
  const closed = [...close(to), ...settleAll(to)]
  to.run = null
  return [...closed, noted(to, text, true).id]
}

const remove = (from: Transcript, item: Item): void => {
  from.items = from.items.filter((each) => each !== item)
  from.byId.delete(item.id)
}

/** The answer that was growing has its last word; one without a word was none. */
const close = (to: Transcript): ReadonlyArray<string> => {
  const { open } = to
  if (open === null) return []
  to.open = null
  open.going = false
  if (open.text.trim() === "") remove(to, open)
  return [open.id]
}

const seconds = (millis: number): string =>
  millis < 1000 ? `${Math.round(millis)} ms` : `${(millis / 1000).toFixed(1)} s`

const ends: Readonly<Record<string, string>> = {
  stopped: "Stopped.",
  loop: "Ended: the agent went in circles.",
  failed: "The run failed.",
  interrupted: "The run was interrupted."
}

export const turnEnd = (end: string): string => ends[end] ?? end

export const stateAfter = (how: "ran" | "denied" | "unknown", isError: boolean): Step["state"] => {
  if (how === "denied") return "declined"
  return how === "unknown" ? "unknown" : isError ? "failed" : "done"
}

export const resultOf = ({ content, truncated }: { readonly content: string; readonly truncated: boolean }): string =>
  truncated ? `${content}\n… (cut)` : content

/** Ids of what has to be shown anew. */
export const apply = (to: Transcript, event: Wire): ReadonlyArray<string> => {
  switch (event._tag) {
    case "RunStarted":
      to.run = event.run
      to.agent = event.agent
      return close(to)
    case "ModelStarted": {
      const closed = close(to)
      return [...closed, opened(to, "").id]
    }
    case "AnswerDelta": {
      const item = to.open ?? opened(to, "")
      item.text += event.text
      return [item.id]
    }
    case "ModelAttemptFailed": {
      const { open } = to
      if (open !== null && event.discard) open.text = ""
      const closed = close(to)
      const then =
        event.next === "retry" ? "; trying again" : event.next === "failover" ? "; asking the next model" : ""
      return [...closed, noted(to, `${event.model} failed: ${event.detail}${then}`, event.next === "stop").id]
    }
    case "ModelFinished":
      return close(to)
    case "HistoryCompacted":
      return [noted(to, "The earlier part of this conversation was summarised for the model.").id]
    case "ToolCalled": {
      const closed = close(to)
      return [...closed, step(to, event.call, event.tool, event.display).id]
    }
    case "ApprovalNeeded": {
      const item = asked(to, event.request)
      return item === undefined ? [] : [item.id]
    }
    case "ToolStarted": {
      const item = step(to, event.call, event.tool, event.tool)
      item.state = "running"
      item.confinement = event.confinement
      return [...settle(to, event.call, "approved"), item.id]
    }
    case "ToolEnded": {
      const item = step(to, event.call, event.tool, event.tool)
      item.state = stateAfter(event.how, event.outcome.isError)
      item.result = resultOf(event.outcome)
      item.durationMs = event.outcome.durationMs
      return [...settle(to, event.call, event.how === "denied" ? "declined" : "approved"), item.id]
    }
    case "RunEnded": {
      const closed = [...close(to), ...settleAll(to)]
      to.run = null
      if (event.end !== "answered") return [...closed, noted(to, turnEnd(event.end), event.end !== "stopped").id]
      const last = to.items.findLast((item) => item.kind === "theirs" || item.kind === "mine")
      // From the cache, or where the pieces were not seen: the answer comes whole.
      if (event.text !== "" && (last?.kind !== "theirs" || last.text.trim() !== event.text.trim())) {
        closed.push(answered(to, event.text).id)
      }
      closed.push(noted(to, summary(event)).id)
      return closed
    }
    default:
      return []
  }
}

const summary = (event: Extract<Wire, { _tag: "RunEnded" }>): string => {
  const cost = event.cost / 1e9
  const money = cost === 0 ? "$0" : `$${cost.toFixed(cost < 1 ? 4 : 2)}`
  const tools = event.toolCalls === 0 ? "" : ` · ${event.toolCalls} tool call${event.toolCalls === 1 ? "" : "s"}`
  return `${money} · ${seconds(event.durationMs)}${tools}`
}

/** A question about this call is over. */
const settle = (to: Transcript, call: string, answer: "approved" | "declined"): ReadonlyArray<string> =>
  to.items.flatMap((item) => {
    if (item.kind !== "ask" || item.request.call !== call) return []
    if (item.answer !== "open" && item.answer !== "sent") return []
    item.answer = answer
    return [item.id]
  })

const settleAll = (to: Transcript): ReadonlyArray<string> =>
  to.items.flatMap((item) => {
    if (item.kind !== "ask" || (item.answer !== "open" && item.answer !== "sent")) return []
    item.answer = "gone"
    return [item.id]
  })
