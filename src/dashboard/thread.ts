/**
 * Thread: the transcript on the page. However many pieces of an answer come, it draws once per frame and
 * only what has changed; it follows the end of the conversation for as long as the reader is there.
 */
import { el } from "./dom.ts"
import { empty, type Transcript } from "./transcript.ts"
import { type Decide, draw } from "./view.ts"

export interface Thread {
  readonly transcript: Transcript
  /** Draws these things anew, soon. */
  readonly show: (ids: ReadonlyArray<string>) => void
  /** Another conversation in place of the one that is shown. */
  readonly replace: (next: Transcript) => void
}

export interface Uses {
  readonly decide: Decide
  /** Whether the reader may answer what an agent asks. */
  readonly mayAnswer: () => boolean
  /** After each drawing. */
  readonly drawn: () => void
}

/** So near to its end the reader is taken to be reading there, CSS pixels. */
const nearEnd = 120

const greeting = (): HTMLElement =>
  el(
    "div",
    { class: "empty-log" },
    el("strong", {}, "What can I do for you?"),
    "You see every step that an agent takes, and it asks you first where it matters."
  )

export const onPage = (log: HTMLElement, { decide, drawn, mayAnswer }: Uses): Thread => {
  let transcript = empty("")
  const elements = new Map<string, HTMLElement>()
  const changed = new Set<string>()
  let drawing = false

  const flush = (): void => {
    drawing = false
    const follow = log.scrollHeight - log.scrollTop - log.clientHeight < nearEnd
    if (transcript.items.length > 0) log.querySelector(".empty-log")?.remove()
    for (const id of changed) {
      const item = transcript.byId.get(id)
      const before = elements.get(id)
      if (item === undefined) {
        before?.remove()
        elements.delete(id)
        continue
      }
      const element = draw(item, before, decide, mayAnswer())
      if (before === undefined) {
        elements.set(id, element)
        log.append(element)
      }
    }
    changed.clear()
    drawn()
    if (follow) log.scrollTop = log.scrollHeight
  }

  const show = (ids: ReadonlyArray<string>): void => {
    for (const id of ids) changed.add(id)
    if (drawing) return
    drawing = true
    // A page in the background draws no frames.
    if (document.hidden) setTimeout(flush, 100)
    else requestAnimationFrame(flush)
  }

  return {
    get transcript() {
      return transcript
    },
    show,
    replace: (next) => {
      transcript = next
      elements.clear()
      changed.clear()
      log.replaceChildren(...(next.items.length === 0 ? [greeting()] : []))
      show(next.items.map((item) => item.id))
    }
  }
}
