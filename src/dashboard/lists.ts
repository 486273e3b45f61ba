/** Lists: the agents and the earlier conversations, as the gateway names them. A name is a text, whatever is in it. */
import { ask, type Problem } from "./api.ts"
import { el } from "./dom.ts"
import { visible } from "./history.ts"

type Report = (problem: Problem) => void

/** What an answer of the gateway holds under this name. */
export const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

export const fillAgents = async (list: HTMLSelectElement, report: Report): Promise<void> => {
  const answer = await ask("GET", "/dashboard/api/agents")
  if (!answer.ok) return report(answer.problem)
  const names = (Array.isArray(answer.value) ? answer.value : []).map((each) => String(field(each, "id")))
  const chosen = list.value
  list.replaceChildren(...names.map((name) => el("option", { value: name }, name)))
  if (names.includes(chosen)) list.value = chosen
}

const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" })

/** `current`: the conversation that is shown by the time the answer is here. */
export const fillSessions = async (
  list: HTMLElement,
  current: () => string | null,
  open: (id: string) => void,
  report: Report
): Promise<void> => {
  const answer = await ask("GET", "/dashboard/api/sessions?limit=50")
  if (!answer.ok) return report(answer.problem)
  const { value } = answer
  const listed = Array.isArray(value) ? value : field(value, "items")
  const rows = (Array.isArray(listed) ? listed : []).map((each) => {
    const id = String(field(each, "id"))
    const title = visible(String(field(each, "title"))) || "Untitled"
    const button = el(
      "button",
      { type: "button" },
      el("span", { class: "title" }, title),
      el("small", {}, `${String(field(each, "agent"))} · ${when.format(Number(field(each, "updatedAt")))}`)
    )
    button.addEventListener("click", () => open(id))
    button.dataset["session"] = id
    return el("li", {}, button)
  })
  list.replaceChildren(...(rows.length === 0 ? [el("li", { class: "empty" }, "None so far.")] : rows))
  mark(list, current())
}

/** Marks the conversation that is shown. */
export const mark = (list: HTMLElement, session: string | null): void => {
  for (const button of list.querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset["session"] === session))
  }
}
