/**
 * Chat: the page on which a person talks with an agent.
 *
 * A message is kept until the gateway has it, under a key that makes sending it again harmless; what was
 * seen is remembered by the id of its last event, and after a break the page asks for what came after.
 * So nothing is lost and nothing stands twice. It talks to the server that it came from and reads no
 * other place from its address.
 */
import { ask, inWords, type Problem, proof, toLogin } from "./api.ts"
import { type Connection, connect, type FromServer, type State } from "./connection.ts"
import { byId, el, trouble } from "./dom.ts"
import { restore } from "./history.ts"
import { field, fillAgents, fillSessions, mark } from "./lists.ts"
import { newKey, remembered, type Send } from "./tab.ts"
import { onPage } from "./thread.ts"
import { apply, type Ask, type Asked, asked, closeAsk, empty, failed, noted, said } from "./transcript.ts"

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

// --- The conversation that is shown ---

const tab = remembered()
/** Id of the last event that was counted. */
let last: string | null = null
let isOwner = false

const busy = (): boolean => tab.unsent !== null || thread.transcript.run !== null

const showControls = (): void => {
  page.stop.hidden = thread.transcript.run === null
  page.send.hidden = !page.stop.hidden
  page.send.disabled = busy()
}

const decide = (item: Ask, approve: boolean, scope: "once" | "session"): void => {
  const { callHash, id } = item.request
  item.trouble = ""
  item.answer = "sent"
  if (!connection.send({ _tag: "Answer", id, callHash, approve, scope })) {
    item.answer = "open"
    item.trouble = "There is no connection right now; try again in a moment."
  }
  thread.show([item.id])
}

const thread = onPage(page.log, { decide, mayAnswer: () => isOwner, drawn: showControls })

const announce = (text: string): void => {
  page.heard.textContent = ""
  // A region that gets the same text again is not read again.
  setTimeout(() => (page.heard.textContent = text.slice(0, 2000)), 50)
}

const report = (problem: Problem): void => {
  if (problem.status === 401) toLogin()
  else trouble(inWords(problem))
}

const loadAgents = (): void => void fillAgents(page.agent, report)
const loadSessions = (): void => void fillSessions(page.sessions, () => tab.session, open, report)
const markSession = (): void => mark(page.sessions, tab.session)

// --- Going to a conversation, and speaking in it ---

const closeSide = (): void => {
  page.side.classList.remove("open")
  page.menu.setAttribute("aria-expanded", "false")
}

const leave = (): void => {
  if (tab.session !== null) connection.send({ _tag: "Unwatch", session: tab.session })
  tab.keepUnsent(null)
  last = null
  trouble("")
  closeSide()
}

const open = (id: string): void => {
  if (id === tab.session) return closeSide()
  leave()
  tab.keepSession(id)
  thread.replace(empty(""))
  markSession()
  connection.send({ _tag: "Watch", session: id })
  page.message.focus()
}

const begin = (): void => {
  leave()
  tab.keepSession(null)
  thread.replace(empty(page.agent.value))
  markSession()
  page.message.focus()
}

const speak = (): void => {
  const message = page.message.value
  if (message.trim() === "" || busy()) return
  trouble("")
  const frame: Send = {
    _tag: "Send",
    key: newKey(),
    message,
    ...(tab.session === null ? { agent: page.agent.value } : { session: tab.session })
  }
  tab.keepUnsent(frame)
  page.message.value = ""
  thread.show([said(thread.transcript, message).id])
  showControls()
  connection.send(frame)
}

const stop = (): void => {
  if (thread.transcript.run !== null) connection.send({ _tag: "Stop", run: thread.transcript.run })
}

// --- What the gateway says ---

/** What waits for a human, by id, in whatever conversation. */
const pending = new Map<string, Asked>()

/** An approval that waits in a conversation which is not shown. */
const showElsewhere = (): void => {
  const first = [...pending.values()].find((request) => request.session !== tab.session)?.session
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
  if (request.session !== tab.session) return
  const item = asked(thread.transcript, request)
  if (item !== undefined) thread.show([item.id])
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
  if (of !== tab.session || !isNew(id)) return
  last = id
  thread.show(apply(thread.transcript, event))
  if (event._tag === "ApprovalNeeded") announce(`Approval needed: ${event.request.tool}`)
  if (event._tag === "RunEnded") {
    announce(event.end === "answered" ? event.text : "The run has ended.")
    loadSessions()
  }
}

const onFailed = (frame: Extract<FromServer, { _tag: "Failed" }>): void => {
  const text = wordsOf(frame.failure)
  if (frame.approval !== undefined) {
    const item = thread.transcript.byId.get(`ask-${frame.approval}`)
    if (item?.kind === "ask") {
      item.answer = frame.failure._tag === "ApprovalInvalid" && frame.failure.reason !== "other_call" ? "gone" : "open"
      item.trouble = text
      thread.show([item.id])
    }
    return
  }
  if (frame.key !== undefined && frame.key === tab.unsent?.key) {
    const { message } = tab.unsent
    tab.keepUnsent(null)
    if (page.message.value === "") page.message.value = message
  }
  if (frame.failure._tag === "SessionNotFound" && frame.session === tab.session) {
    begin()
    return trouble(text)
  }
  thread.show(failed(thread.transcript, text))
  announce(text)
}

/** Of runs that this tab did not begin, the message is not known: the session is read anew. */
const readAnew = (): void => {
  if (tab.session !== null) connection.send({ _tag: "Watch", session: tab.session })
}

let ownRun: string | null = null

const onFrame = (frame: FromServer): void => {
  switch (frame._tag) {
    case "Hello":
      isOwner = frame.scopes.includes("owner")
      pending.clear()
      if (tab.session !== null)
        connection.send({ _tag: "Watch", session: tab.session, ...(last === null ? {} : { after: last }) })
      if (tab.unsent !== null) connection.send(tab.unsent)
      return
    case "Accepted":
      if (frame.key !== tab.unsent?.key) return
      tab.keepUnsent(null)
      ownRun = frame.run
      if (tab.session !== frame.session) {
        tab.keepSession(frame.session)
        loadSessions()
      }
      // It was there before: what it led to is not on this page yet.
      if (frame.again) readAnew()
      else if (frame.state === "running") thread.transcript.run = frame.run
      return showControls()
    case "Event":
      if (frame.event._tag === "RunStarted" && frame.session === tab.session && frame.event.run !== ownRun) {
        if (isNew(frame.id) && tab.unsent === null) readAnew()
      }
      return onEvent(frame)
    case "Snapshot":
      if (frame.snapshot.session !== tab.session) return
      last = frame.snapshot.id
      thread.replace(restore(frame.snapshot))
      if (tab.unsent !== null) thread.show([said(thread.transcript, tab.unsent.message).id])
      // The log does not hold the questions that are still open.
      for (const request of pending.values()) showQuestion(request)
      return showElsewhere()
    case "RunFailed":
      if (frame.session !== tab.session || !isNew(frame.id)) return
      last = frame.id
      thread.show(failed(thread.transcript, wordsOf(frame.failure)))
      return announce(wordsOf(frame.failure))
    case "Failed":
      return onFailed(frame)
    case "Pending":
      pending.set(frame.request.id, frame.request)
      showQuestion(frame.request)
      return showElsewhere()
    case "Closed":
      pending.delete(frame.approval)
      thread.show(closeAsk(thread.transcript, frame.approval, frame.how === "expired" ? "gone" : frame.how))
      return showElsewhere()
    case "Dropped":
      if (frame.reason !== "stopping" && frame.reason !== "ended")
        thread.show([noted(thread.transcript, frame.detail, true).id])
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
thread.replace(empty(""))
if (tab.unsent !== null) thread.show([said(thread.transcript, tab.unsent.message).id])
loadAgents()
loadSessions()

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
    tab.keepUnsent(null)
    tab.keepSession(null)
    connection.close()
    toLogin()
  })
})
window.addEventListener("online", () => connection.hurry())
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) connection.hurry()
})
page.message.focus()
