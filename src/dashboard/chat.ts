/**
 * Chat: the page on which a person talks with an agent.
 *
 * A message is kept until the gateway has it, under a key that makes sending it again harmless; what was
 * seen is remembered by the id of its last event, and after a break the page asks for what came after.
 * So nothing is lost and nothing stands twice. It talks to the server that it came from and reads no
 * other place from its address.
 */
import { ask, inWords, type Problem, proof, toLogin } from "./api.ts"
import { type Connection, connect, type FromServer, type State, type ToServer } from "./connection.ts"
import { byId, el, trouble } from "./dom.ts"
import { restore, visible } from "./history.ts"
import {
  apply,
  type Ask,
  type Asked,
  asked,
  closeAsk,
  empty,
  failed,
  noted,
  said,
  type Transcript
} from "./transcript.ts"
import { draw } from "./view.ts"

type Send = Extract<ToServer, { _tag: "Send" }>

const page = {
  agent: byId("agent", HTMLSelectElement),
  log: byId("log", HTMLElement),
  heard: byId("heard", HTMLElement),
  link: byId("link", HTMLElement),
  message: byId("message", HTMLTextAreaElement),
  say: byId("say", HTMLFormElement),
  send: byId("send", HTMLButtonElement),
  stop: byId("stop", HTMLButtonElement),
  sessions: byId("sessions", HTMLElement),
  side: byId("side", HTMLElement),
  menu: byId("menu", HTMLButtonElement)
}

// --- What the tab remembers over a reload ---

const placeKey = "ai-desk.session"
const unsentKey = "ai-desk.unsent"

/** The message that the gateway has not yet confirmed. */
let unsent: Send | null = null
const keepUnsent = (frame: Send | null): void => {
  unsent = frame
  if (frame === null) sessionStorage.removeItem(unsentKey)
  else sessionStorage.setItem(unsentKey, JSON.stringify(frame))
}
const savedUnsent = (): Send | null => {
  const text = sessionStorage.getItem(unsentKey)
  // Only this page writes there.
  return text === null ? null : (JSON.parse(text) as Send)
}

let session: string | null = sessionStorage.getItem(placeKey)
const keepSession = (id: string | null): void => {
  session = id
  if (id === null) sessionStorage.removeItem(placeKey)
  else sessionStorage.setItem(placeKey, id)
}

// --- The conversation that is shown ---

let transcript: Transcript = empty("")
/** Id of the last event that was counted. */
let last: string | null = null
let isOwner = false
const elements = new Map<string, HTMLElement>()
const changed = new Set<string>()
let drawing = false

const nearEnd = (): boolean => page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 120

const busy = (): boolean => unsent !== null || transcript.run !== null

const showControls = (): void => {
  page.stop.hidden = transcript.run === null
  page.send.hidden = !page.stop.hidden
  page.send.disabled = busy()
}

const flush = (): void => {
  drawing = false
  const follow = nearEnd()
  const greeting = page.log.querySelector(".empty-log")
  if (transcript.items.length > 0) greeting?.remove()
  for (const id of changed) {
    const item = transcript.byId.get(id)
    const before = elements.get(id)
    if (item === undefined) {
      before?.remove()
      elements.delete(id)
      continue
    }
    const element = draw(item, before, decide, isOwner)
    if (before === undefined) {
      elements.set(id, element)
      page.log.append(element)
    }
  }
  changed.clear()
  showControls()
  if (follow) page.log.scrollTop = page.log.scrollHeight
}

/** Once per frame, however many pieces of an answer came. */
const show = (ids: ReadonlyArray<string>): void => {
  for (const id of ids) changed.add(id)
  if (drawing) return
  drawing = true
  // A page in the background draws no frames.
  if (document.hidden) setTimeout(flush, 100)
  else requestAnimationFrame(flush)
}

const greet = (): HTMLElement =>
  el(
    "div",
    { class: "empty-log" },
    el("strong", {}, "What can I do for you?"),
    "Everything that an agent does is shown here, and asks you first where it matters."
  )

const showAll = (next: Transcript): void => {
  transcript = next
  elements.clear()
  changed.clear()
  page.log.replaceChildren(...(next.items.length === 0 ? [greet()] : []))
  show(next.items.map((item) => item.id))
}

const announce = (text: string): void => {
  page.heard.textContent = ""
  // A region that gets the same text again is not read again.
  setTimeout(() => (page.heard.textContent = text.slice(0, 2000)), 50)
}

// --- Lists ---

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

const report = (problem: Problem): void => {
  if (problem.status === 401) toLogin()
  else trouble(inWords(problem))
}

const loadAgents = async (): Promise<void> => {
  const answer = await ask("GET", "/dashboard/api/agents")
  if (!answer.ok) return report(answer.problem)
  const names = (Array.isArray(answer.value) ? answer.value : []).map((each) => String(field(each, "id")))
  const chosen = page.agent.value
  page.agent.replaceChildren(...names.map((name) => el("option", { value: name }, name)))
  if (names.includes(chosen)) page.agent.value = chosen
}

const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" })

const loadSessions = async (): Promise<void> => {
  const answer = await ask("GET", "/dashboard/api/sessions?limit=50")
  if (!answer.ok) return report(answer.problem)
  const { value } = answer
  const listed = Array.isArray(value) ? value : field(value, "items")
  const rows = (Array.isArray(listed) ? listed : []).map((each) => {
    const id = String(field(each, "id"))
    const title = visible(String(field(each, "title"))) || "Untitled"
    const button = el(
      "button",
      { type: "button", "aria-current": id === session ? "true" : "false" },
      el("span", { class: "title" }, title),
      el("small", {}, `${String(field(each, "agent"))} · ${when.format(Number(field(each, "updatedAt")))}`)
    )
    button.addEventListener("click", () => open(id))
    button.dataset["session"] = id
    return el("li", {}, button)
  })
  page.sessions.replaceChildren(...(rows.length === 0 ? [el("li", { class: "empty" }, "None so far.")] : rows))
}

const markSession = (): void => {
  for (const button of page.sessions.querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset["session"] === session))
  }
}

// --- Going to a conversation, and speaking in it ---

const closeSide = (): void => {
  page.side.classList.remove("open")
  page.menu.setAttribute("aria-expanded", "false")
}

const leave = (): void => {
  if (session !== null) connection.send({ _tag: "Unwatch", session })
  keepUnsent(null)
  last = null
  trouble("")
  closeSide()
}

const open = (id: string): void => {
  if (id === session) return closeSide()
  leave()
  keepSession(id)
  showAll(empty(""))
  markSession()
  connection.send({ _tag: "Watch", session: id })
  page.message.focus()
}

const begin = (): void => {
  leave()
  keepSession(null)
  showAll(empty(page.agent.value))
  markSession()
  page.message.focus()
}

const newKey = (): string => crypto.randomUUID()

const speak = (): void => {
  const message = page.message.value
  if (message.trim() === "" || busy()) return
  trouble("")
  const frame: Send = {
    _tag: "Send",
    key: newKey(),
    message,
    ...(session === null ? { agent: page.agent.value } : { session })
  }
  keepUnsent(frame)
  page.message.value = ""
  show([said(transcript, message).id])
  showControls()
  connection.send(frame)
}

const decide = (item: Ask, approve: boolean, scope: "once" | "session"): void => {
  const { callHash, id } = item.request
  item.trouble = ""
  item.answer = "sent"
  if (!connection.send({ _tag: "Answer", id, callHash, approve, scope })) {
    item.answer = "open"
    item.trouble = "There is no connection right now; try again in a moment."
  }
  show([item.id])
}

const stop = (): void => {
  if (transcript.run !== null) connection.send({ _tag: "Stop", run: transcript.run })
}

// --- What the gateway says ---

/** What waits for a human, by id, in whatever conversation. */
const pending = new Map<string, Asked>()

/** An approval that waits in a conversation which is not shown. */
const showElsewhere = (): void => {
  const first = [...pending.values()].find((request) => request.session !== session)?.session
  const notice = byId("trouble", HTMLElement)
  if (first === undefined) {
    if (notice.dataset["kind"] === "elsewhere") trouble("")
    delete notice.dataset["kind"]
    return
  }
  notice.dataset["kind"] = "elsewhere"
  notice.hidden = false
  const button = el("button", { type: "button", class: "quiet" }, "Show it")
  button.addEventListener("click", () => open(first))
  notice.replaceChildren("Another conversation waits for your approval. ", button)
}

const showQuestion = (request: Asked): void => {
  if (request.session !== session) return
  const item = asked(transcript, request)
  if (item !== undefined) show([item.id])
}

const wordsOf = (failure: unknown): string => {
  const message = String(field(failure, "message") ?? field(failure, "_tag") ?? "it failed")
  const fix = field(failure, "fix")
  return inWords({ status: 0, tag: "", message, fix: typeof fix === "string" ? fix : "" })
}

const isNew = (id: string): boolean => {
  if (last === null) return true
  const [epoch, count] = id.split(".")
  const [knownEpoch, known] = last.split(".")
  return epoch !== knownEpoch || Number(count) > Number(known)
}

const onEvent = ({ event, id, session: of }: Extract<FromServer, { _tag: "Event" }>): void => {
  if (of !== session || !isNew(id)) return
  last = id
  show(apply(transcript, event))
  if (event._tag === "ApprovalNeeded") announce(`Approval needed: ${event.request.tool}`)
  if (event._tag === "RunEnded") {
    announce(event.end === "answered" ? event.text : "The run has ended.")
    void loadSessions()
  }
}

const onFailed = (frame: Extract<FromServer, { _tag: "Failed" }>): void => {
  const text = wordsOf(frame.failure)
  if (frame.approval !== undefined) {
    const item = transcript.byId.get(`ask-${frame.approval}`)
    if (item?.kind === "ask") {
      item.answer = frame.failure._tag === "ApprovalInvalid" && frame.failure.reason !== "other_call" ? "gone" : "open"
      item.trouble = text
      show([item.id])
    }
    return
  }
  if (frame.key !== undefined && frame.key === unsent?.key) {
    const { message } = unsent
    keepUnsent(null)
    if (page.message.value === "") page.message.value = message
  }
  if (frame.failure._tag === "SessionNotFound" && frame.session === session) {
    begin()
    return trouble(text)
  }
  show(failed(transcript, text))
  announce(text)
}

/** Of runs that this tab did not begin, the message is not known: the session is read anew. */
const readAnew = (): void => {
  if (session !== null) connection.send({ _tag: "Watch", session })
}

let ownRun: string | null = null

const onFrame = (frame: FromServer): void => {
  switch (frame._tag) {
    case "Hello":
      isOwner = frame.scopes.includes("owner")
      pending.clear()
      if (session !== null) connection.send({ _tag: "Watch", session, ...(last === null ? {} : { after: last }) })
      if (unsent !== null) connection.send(unsent)
      return
    case "Accepted":
      if (frame.key !== unsent?.key) return
      keepUnsent(null)
      ownRun = frame.run
      if (session !== frame.session) {
        keepSession(frame.session)
        void loadSessions()
      }
      // It was there before: what it led to is not on this page yet.
      if (frame.again) readAnew()
      else if (frame.state === "running") transcript.run = frame.run
      return showControls()
    case "Event":
      if (frame.event._tag === "RunStarted" && frame.session === session && frame.event.run !== ownRun) {
        if (isNew(frame.id) && unsent === null) readAnew()
      }
      return onEvent(frame)
    case "Snapshot":
      if (frame.snapshot.session !== session) return
      last = frame.snapshot.id
      showAll(restore(frame.snapshot))
      if (unsent !== null) show([said(transcript, unsent.message).id])
      // The log does not hold the questions that are still open.
      for (const request of pending.values()) showQuestion(request)
      return showElsewhere()
    case "RunFailed":
      if (frame.session !== session || !isNew(frame.id)) return
      last = frame.id
      show(failed(transcript, wordsOf(frame.failure)))
      return announce(wordsOf(frame.failure))
    case "Failed":
      return onFailed(frame)
    case "Pending":
      pending.set(frame.request.id, frame.request)
      showQuestion(frame.request)
      return showElsewhere()
    case "Closed":
      pending.delete(frame.approval)
      show(closeAsk(transcript, frame.approval, frame.how === "expired" ? "gone" : frame.how))
      return showElsewhere()
    case "Dropped":
      if (frame.reason !== "stopping" && frame.reason !== "ended") show([noted(transcript, frame.detail, true).id])
      return
    default:
      return
  }
}

// --- The connection ---

const stateWords: Readonly<Record<State, string>> = {
  connecting: "connecting",
  connected: "connected",
  waiting: "no connection; trying again",
  ended: "logged out"
}

const onState = (state: State): void => {
  page.link.dataset["state"] = state
  if (page.link.textContent !== stateWords[state]) page.link.textContent = stateWords[state]
  if (state === "ended") toLogin()
}

const address = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/dashboard/api/chat`

const connection: Connection = connect(
  {
    frame: onFrame,
    state: onState,
    doubt: async () => {
      const answer = await ask("GET", "/dashboard/api/login/me")
      return answer.ok || (answer.problem.status !== 401 && answer.problem.status !== 403)
    }
  },
  {
    open: () => {
      const held = proof()
      return new WebSocket(address, ["ai-desk.chat.v1", ...(held === null ? [] : [`ai-desk.proof.${held}`])])
    },
    after: (millis, then) => {
      const id = setTimeout(then, millis)
      return () => clearTimeout(id)
    },
    random: Math.random
  }
)

// --- The page ---

const plainAddress = (): void => {
  if (location.search !== "" || location.hash !== "") history.replaceState(null, "", "/dashboard")
}
plainAddress()
window.addEventListener("hashchange", plainAddress)
unsent = savedUnsent()
showAll(empty(""))
if (unsent !== null) show([said(transcript, unsent.message).id])
void loadAgents()
void loadSessions()

page.say.addEventListener("submit", (event) => {
  event.preventDefault()
  speak()
})
page.message.addEventListener("keydown", (event) => {
  // While an input method composes a character, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
  event.preventDefault()
  speak()
})
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return
  if (page.side.classList.contains("open")) {
    closeSide()
    page.menu.focus()
  } else stop()
})
page.stop.addEventListener("click", () => {
  stop()
  page.message.focus()
})
byId("new", HTMLButtonElement).addEventListener("click", begin)
page.menu.addEventListener("click", () => {
  const isOpen = page.side.classList.toggle("open")
  page.menu.setAttribute("aria-expanded", String(isOpen))
  if (isOpen) page.agent.focus()
})
byId("logout", HTMLButtonElement).addEventListener("click", () => {
  // The proof is needed for this last time.
  void ask("POST", "/dashboard/api/login/end").then(() => {
    keepUnsent(null)
    keepSession(null)
    connection.close()
    toLogin()
  })
})
window.addEventListener("online", () => connection.hurry())
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) connection.hurry()
})
page.message.focus()
