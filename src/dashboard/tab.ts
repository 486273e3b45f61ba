/**
 * Tab: what this tab remembers over a reload, and no other tab sees: the conversation that it shows, and
 * the message that the gateway has not confirmed yet, under the key that makes sending it again harmless.
 */
import type { ToServer } from "./connection.ts"

export type Send = Extract<ToServer, { _tag: "Send" }>

const placeKey = "ai-desk.session"
const unsentKey = "ai-desk.unsent"

export interface Tab {
  /** Id of the conversation; null: a new one. */
  readonly session: string | null
  readonly unsent: Send | null
  readonly keepSession: (id: string | null) => void
  readonly keepUnsent: (frame: Send | null) => void
}

const keep = (key: string, text: string | null): void => {
  if (text === null) sessionStorage.removeItem(key)
  else sessionStorage.setItem(key, text)
}

const savedUnsent = (): Send | null => {
  const text = sessionStorage.getItem(unsentKey)
  // Only this page writes there.
  return text === null ? null : (JSON.parse(text) as Send)
}

export const remembered = (): Tab => {
  let session = sessionStorage.getItem(placeKey)
  let unsent = savedUnsent()
  return {
    get session() {
      return session
    },
    get unsent() {
      return unsent
    },
    keepSession: (id) => {
      session = id
      keep(placeKey, id)
    },
    keepUnsent: (frame) => {
      unsent = frame
      keep(unsentKey, frame === null ? null : JSON.stringify(frame))
    }
  }
}

/** Never twice the same. `randomUUID` is missing where the page came over plain HTTP from another computer. */
export const newKey = (): string =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")
