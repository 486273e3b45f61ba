/**
 * Clean: a run's events as one reader is told them, without the gateway's own secrets.
 *
 * Guarantees: a secret that a model prints in pieces is kept back whole, wherever it is cut; no event
 * overtakes the text before it. Each serves one run.
 */
import { Schema } from "effect"
import { RunEvent } from "../../domain/RunEvent.ts"
import { redactRegistered, streamRedactor } from "../../kernel/Redaction.ts"
import { deltaJson } from "./Hub.ts"

const encodeEvent = Schema.encodeSync(RunEvent)

/** The events as JSON without line breaks; none while a text is held back. */
export const cleaner = (): ((event: RunEvent) => ReadonlyArray<string>) => {
  const redactor = streamRedactor()
  const textOf = (text: string) => (text === "" ? [] : [deltaJson(text)])
  return (event) =>
    event._tag === "AnswerDelta"
      ? textOf(redactor.next(event.text))
      : [...textOf(redactor.rest()), JSON.stringify(redactRegistered(encodeEvent(event)))]
}
