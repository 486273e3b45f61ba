/**
 * View: how the things of a transcript look. One element per thing, changed in place, so that what a
 * person has opened, focused or selected stays so while an answer grows.
 */
import { el } from "./dom.ts"
import type { Ask, Item, Step } from "./transcript.ts"

/** The person's answer to a question. */
export type Decide = (ask: Ask, approve: boolean, scope: "once" | "session") => void

const states: Readonly<Record<Step["state"], readonly [text: string, look: string]>> = {
  asked: ["waiting", ""],
  running: ["running", ""],
  done: ["done", "good"],
  failed: ["failed", "bad"],
  declined: ["not run", "bad"],
  unknown: ["outcome unknown", "bad"]
}

const places = { sandbox: "sandboxed", gateway: "by the gateway" } as const

const stepView = (item: Step, before: HTMLElement | undefined): HTMLElement => {
  const [state, look] = states[item.state]
  const how = [
    item.confinement === null ? "" : places[item.confinement],
    state,
    item.durationMs === null ? "" : `${Math.round(item.durationMs)} ms`
  ]
  const summary = el(
    "summary",
    {},
    el("strong", {}, item.tool),
    el("span", { class: `how ${look}` }, how.filter((each) => each !== "").join(" · "))
  )
  const parts: Array<HTMLElement> = [summary, el("pre", { "aria-label": "Exact call", tabindex: "0" }, item.call)]
  if (item.result !== null) {
    parts.push(el("pre", { "aria-label": "Result", tabindex: "0" }, item.result === "" ? "(no output)" : item.result))
  }
  if (before instanceof HTMLDetailsElement) {
    const focused = before.firstElementChild === document.activeElement
    before.replaceChildren(...parts)
    if (focused) summary.focus()
    return before
  }
  return el("details", { class: "step-card" }, ...parts)
}

const outcomes: Readonly<Record<Exclude<Ask["answer"], "open">, string>> = {
  sent: "Sending your answer …",
  approved: "Approved.",
  declined: "Declined.",
  gone: "This was not answered in time; the call did not run."
}

const askView = (item: Ask, before: HTMLElement | undefined, decide: Decide, mayAnswer: boolean): HTMLElement => {
  const { request } = item
  const heading = el("h2", {}, item.answer === "open" ? `May ${request.agent} do this?` : `${request.agent} asked`)
  const parts: Array<HTMLElement> = [
    heading,
    el("p", { class: "why" }, request.reason),
    el("pre", { "aria-label": "Exact call", tabindex: "0" }, request.display)
  ]
  if (item.answer === "open" && mayAnswer) {
    const button = (text: string, quiet: boolean, approve: boolean, scope: "once" | "session") => {
      const made = el("button", quiet ? { type: "button", class: "quiet" } : { type: "button" }, text)
      made.addEventListener("click", () => decide(item, approve, scope))
      return made
    }
    parts.push(
      el(
        "div",
        { class: "buttons", role: "group", "aria-label": "Your answer" },
        button("Approve once", false, true, "once"),
        button("Approve for this conversation", true, true, "session"),
        button("Decline", true, false, "once")
      )
    )
  } else {
    const text = item.answer === "open" ? "Only the owner can answer this." : outcomes[item.answer]
    parts.push(el("p", { class: "note" }, text))
  }
  if (item.trouble !== "") parts.push(el("p", { class: "wrong" }, item.trouble))
  const made = before ?? el("section", { class: "ask", "aria-label": "Approval" })
  const hadFocus = before?.contains(document.activeElement) === true
  made.className = item.answer === "open" ? "ask" : "ask over"
  made.replaceChildren(...parts)
  if (hadFocus) {
    heading.tabIndex = -1
    heading.focus()
  }
  return made
}

const messageView = (text: string, who: string, look: string, before: HTMLElement | undefined): HTMLElement => {
  const known = before?.querySelector(".text")
  if (before !== undefined && known instanceof HTMLElement) {
    before.className = `message ${look}`
    known.textContent = text
    return before
  }
  const body = el("div", { class: "text" }, text)
  return look === "mine"
    ? el("article", { class: "message mine", "aria-label": "You" }, body)
    : el("article", { class: `message ${look}`, "aria-label": who }, el("p", { class: "who" }, who), body)
}

/** `before`: its element of before, if it had one; the same comes back. */
export const draw = (item: Item, before: HTMLElement | undefined, decide: Decide, mayAnswer: boolean): HTMLElement => {
  switch (item.kind) {
    case "mine":
      return messageView(item.text, "You", "mine", before)
    case "theirs":
      return messageView(item.text, item.agent, item.going ? "theirs going" : "theirs", before)
    case "step":
      return stepView(item, before)
    case "ask":
      return askView(item, before, decide, mayAnswer)
    case "note":
      return before ?? el("p", { class: item.bad ? "note bad" : "note" }, item.text)
  }
}
