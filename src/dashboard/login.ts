/**
 * Login: the page that turns a token, a password or a one-time link into a log-in of this tab. A secret
 * goes to this gateway in the body of one request; it is kept nowhere, and a link's code leaves the
 * address bar before anything else happens.
 */
import { type Answer, ask, inWords, keepProof, type Problem } from "./api.ts"
import { byId, trouble } from "./dom.ts"

const form = byId("login", HTMLFormElement)
const button = form.querySelector("button")
const secret = document.getElementById("secret")

type Method = "token" | "password" | "link"

const refused: Readonly<Record<Method, string>> = {
  token: "This token does not count. Make another: ai-desk token create",
  password: "This is not the password.",
  link: "This link counts no more. Make another: ai-desk open"
}

/** What the gateway advises against a wrong credential is meant for programs. */
const said = (method: Method, problem: Problem): string =>
  problem.tag === "Unauthenticated" ? refused[method] : inWords(problem)

const begin = async (method: Method, value: string): Promise<void> => {
  trouble("")
  if (button !== null) button.disabled = true
  const answer: Answer = await ask("POST", "/dashboard/api/login", { [method]: value })
  if (button !== null) button.disabled = false
  if (!answer.ok) {
    trouble(said(method, answer.problem))
    if (secret instanceof HTMLInputElement) {
      secret.value = ""
      secret.focus()
    }
    return
  }
  const begun = answer.value
  if (typeof begun === "object" && begun !== null && "proof" in begun && typeof begun.proof === "string") {
    keepProof(begun.proof)
  }
  location.replace("/dashboard")
}

form.addEventListener("submit", (event) => {
  event.preventDefault()
  const method = form.dataset["mode"] === "password" ? "password" : "token"
  if (!(secret instanceof HTMLInputElement)) {
    // By certificate: the connection itself is the proof.
    location.replace("/dashboard")
    return
  }
  const value = method === "token" ? secret.value.trim() : secret.value
  if (value !== "") void begin(method, value)
})

/** Also when a link is opened in a tab that shows this page already. */
const fromAddress = (): void => {
  const code = new URLSearchParams(location.hash.slice(1)).get("link")
  if (location.hash !== "" || location.search !== "") history.replaceState(null, "", "/login")
  if (code !== null && code !== "") void begin("link", code)
}
fromAddress()
window.addEventListener("hashchange", fromAddress)
