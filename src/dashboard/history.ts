/**
 * History: a session as it stands in its log, as a transcript to go on from. Pure, as the transcript.
 */
import type { SessionSnapshot } from "../contract/runs.ts"
import {
  answered,
  empty,
  noted,
  opened,
  resultOf,
  said,
  stateAfter,
  type Step,
  step,
  type Transcript,
  turnEnd
} from "./transcript.ts"

export type Wire = typeof SessionSnapshot.Encoded
type LogEvent = Wire["log"][number]["event"]
type Answer = Extract<LogEvent, { _tag: "ModelAnswered" }>["message"]

/** What would be invisible, or change the order of what is read, as its code: what is seen is what there is. */
export const visible = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (each) =>
    each === "\n" || each === "\t" ? each : `\\u{${(each.codePointAt(0) ?? 0).toString(16)}}`
  )

const textOf = (parts: ReadonlyArray<{ readonly _tag: string; readonly text?: string }>): string =>
  parts.map((part) => (part._tag === "Text" ? (part.text ?? "") : part._tag === "Image" ? "[image]" : "")).join("")

const addAnswer = (to: Transcript, { content }: Answer): void => {
  const text = textOf(content)
  if (text.trim() !== "") answered(to, text)
  for (const part of content) {
    if (part._tag === "ToolCall")
      step(to, part.id, part.name, visible(`${part.name} ${JSON.stringify(part.arguments)}`))
  }
}

const add = (to: Transcript, event: LogEvent): void => {
  switch (event._tag) {
    case "MessageAccepted":
      to.agent = event.agent
      said(to, textOf(event.message.content))
      return
    case "AnsweredFromCache":
    case "ModelAnswered":
      addAnswer(to, event.message)
      return
    case "ToolIntended": {
      const item = to.byId.get(`call-${event.call}`)
      if (item?.kind === "step") item.state = "running"
      return
    }
    case "ToolFinished": {
      const item: Step = step(to, event.call, event.tool, event.tool)
      item.state = stateAfter(event.how, event.outcome.isError)
      item.result = resultOf(event.outcome)
      item.durationMs = event.outcome.durationMs
      return
    }
    case "Compacted":
      noted(to, "The earlier part of this conversation was summarised for the model.")
      return
    case "TurnEnded":
      if (event.end !== "answered") noted(to, turnEnd(event.end), event.end !== "stopped")
      return
    default:
      return
  }
}

export const restore = (snapshot: Wire): Transcript => {
  const transcript = empty(snapshot.summary?.agent ?? "")
  if (snapshot.skipped > 0) noted(transcript, "The beginning of this conversation is not shown.")
  for (const { event } of snapshot.log) add(transcript, event)
  if (snapshot.live !== null) {
    transcript.run = snapshot.live.run
    if (snapshot.live.text !== "") opened(transcript, snapshot.live.text)
  }
  return transcript
}
