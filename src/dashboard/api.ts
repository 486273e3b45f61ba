/**
 * Api: how the pages ask this gateway, and no other: every address is a path of the server that the page
 * came from, whatever the address bar says.
 *
 * The proof of a log-in lives in sessionStorage: it ends with the tab, and no other port of this host
 * sees it, unlike the cookie that goes with it.
 */

const proofKey = "ai-desk.proof"

export const proof = (): string | null => sessionStorage.getItem(proofKey)
export const keepProof = (value: string): void => sessionStorage.setItem(proofKey, value)
export const dropProof = (): void => sessionStorage.removeItem(proofKey)

/** What went wrong, in the words of the gateway. */
export interface Problem {
  readonly status: number
  /** Name of the failure; empty where there is none. */
  readonly tag: string
  readonly message: string
  readonly fix: string
}

export type Answer = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problem: Problem }

const textIn = (value: unknown, name: string): string => {
  if (typeof value !== "object" || value === null) return ""
  const found: unknown = Reflect.get(value, name)
  return typeof found === "string" ? found : ""
}

const unreachable: Problem = {
  status: 0,
  tag: "",
  message: "the gateway does not answer",
  fix: "is it still running? start it with: ai-desk gateway"
}

const parse = (text: string): unknown => {
  if (text === "") return null
  try {
    const value: unknown = JSON.parse(text)
    return value
  } catch {
    // Not an answer of the contract; the status says how it went.
    return null
  }
}

/** Reading is asked again when the gateway says that it was too much at once. */
const mostPatience = 3

const pause = (retryAfter: string | null): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, Math.min(5, Math.max(1, Number(retryAfter) || 1)) * 1000)
  })

/** `path` begins with /dashboard/api/. */
export const ask = async (method: "GET" | "POST", path: string, body?: unknown): Promise<Answer> => {
  const held = proof()
  const headers: Record<string, string> = { accept: "application/json" }
  if (held !== null) headers["x-ai-desk-proof"] = held
  if (body !== undefined) headers["content-type"] = "application/json"
  const init: RequestInit = { method, headers, credentials: "same-origin", redirect: "error", cache: "no-store" }
  if (body !== undefined) init.body = JSON.stringify(body)
  // Of the page's address only the server counts: with a name before it, no request could be made.
  const address = new URL(path, location.origin)
  try {
    let response = await fetch(address, init)
    for (let tries = 0; method === "GET" && response.status === 429 && tries < mostPatience; tries++) {
      await pause(response.headers.get("retry-after"))
      response = await fetch(address, init)
    }
    const value = parse(await response.text())
    if (response.ok) return { ok: true, value }
    const problem = {
      status: response.status,
      tag: textIn(value, "_tag"),
      message: textIn(value, "message") || `the gateway answered ${response.status}`,
      fix: textIn(value, "fix")
    }
    return { ok: false, problem }
  } catch {
    // fetch rejects for one reason only here: nothing answered.
    return { ok: false, problem: unreachable }
  }
}

/** One sentence for a person. */
export const inWords = ({ fix, message }: Problem): string => {
  const sentence = `${message.charAt(0).toUpperCase()}${message.slice(1)}.`
  return fix === "" ? sentence : `${sentence} ${fix.charAt(0).toUpperCase()}${fix.slice(1)}.`
}

/** To the log-in, with nothing of the page before in its address. */
export const toLogin = (): void => {
  dropProof()
  location.replace("/login")
}
