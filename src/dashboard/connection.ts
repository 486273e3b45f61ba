/**
 * Connection: one WebSocket to this gateway, for as long as the page is open. When it drops it comes
 * back by itself, at longer and longer intervals, and tells the page at each coming back, so that the
 * page can ask for what it missed. A connection that has silently died is noticed and replaced.
 */
import type { ClientFrame, ServerFrame } from "../contract/chat.ts"

export type ToServer = typeof ClientFrame.Encoded
export type FromServer = typeof ServerFrame.Encoded

export type State = "connecting" | "connected" | "waiting" | "ended"

export interface Handlers {
  readonly frame: (frame: FromServer) => void
  /** `retryMs` of `waiting`: until the next try. */
  readonly state: (state: State, retryMs: number) => void
  /** Never got as far as a greeting, or was told that the log-in has ended: is it still good? */
  readonly doubt: () => Promise<boolean>
}

/** What it needs of a browser; a test has its own. */
export interface Surroundings {
  readonly open: () => WebSocket
  readonly after: (millis: number, then: () => void) => () => void
  /** From 0 to 1. */
  readonly random: () => number
}

export interface Connection {
  /** False when there is no connection; nothing is kept. */
  readonly send: (frame: ToServer) => boolean
  /** The network came back, or the page came to the front: no use in waiting longer. */
  readonly hurry: () => void
  readonly close: () => void
}

/** First and longest wait, ms. */
const firstMs = 500
const longestMs = 30_000
/** A quiet connection is tried after this, and given up when nothing comes within that, ms. */
const quietMs = 25_000
const answerMs = 10_000

/** Doubles with every failure; up to half of it is chance, so that many pages do not come back at once. */
export const waitMs = (failures: number, random: number): number => {
  const whole = Math.min(longestMs, firstMs * 2 ** Math.min(failures, 16))
  return Math.round(whole * (0.5 + random / 2))
}

const isFrame = (value: unknown): value is FromServer =>
  typeof value === "object" && value !== null && "_tag" in value && typeof value._tag === "string"

const parse = (text: string): FromServer | null => {
  try {
    const value: unknown = JSON.parse(text)
    return isFrame(value) ? value : null
  } catch {
    // Not of this protocol; the gateway never sends such a thing.
    return null
  }
}

export const connect = (handlers: Handlers, { after, open, random }: Surroundings): Connection => {
  let socket: WebSocket | null = null
  let greeted = false
  let failures = 0
  let over = false
  let cancelTimer = (): void => undefined

  const timer = (millis: number, then: () => void): void => {
    cancelTimer()
    cancelTimer = after(millis, then)
  }

  /** Restarted with everything that arrives. */
  const watch = (current: WebSocket): void => {
    timer(quietMs, () => {
      current.send(JSON.stringify({ _tag: "Ping" } satisfies ToServer))
      timer(answerMs, () => lost(current, false))
    })
  }

  const lost = (current: WebSocket, told: boolean): void => {
    if (socket !== current) return
    socket = null
    cancelTimer()
    current.close()
    const doubtful = told || !greeted
    greeted = false
    if (!doubtful) return again()
    handlers.state("connecting", 0)
    void handlers.doubt().then((good) => {
      if (good) again()
      else finish()
    })
  }

  const again = (): void => {
    if (over) return
    const wait = waitMs(failures, random())
    failures += 1
    handlers.state("waiting", wait)
    timer(wait, begin)
  }

  const finish = (): void => {
    over = true
    cancelTimer()
    handlers.state("ended", 0)
  }

  const begin = (): void => {
    if (over) return
    handlers.state("connecting", 0)
    const current = open()
    socket = current
    // A server that takes the connection and then says nothing is as good as none.
    timer(answerMs, () => lost(current, false))
    current.addEventListener("message", (event: MessageEvent) => {
      if (socket !== current) return
      watch(current)
      const frame = parse(String(event.data))
      if (frame === null) return
      if (frame._tag === "Hello") {
        greeted = true
        failures = 0
        handlers.state("connected", 0)
      }
      handlers.frame(frame)
    })
    current.addEventListener("close", (event: CloseEvent) => lost(current, event.code === 1008))
  }

  begin()
  return {
    send: (frame) => {
      if (socket === null || !greeted || socket.readyState !== 1) return false
      socket.send(JSON.stringify(frame))
      return true
    },
    hurry: () => {
      if (over || socket !== null) return
      failures = 0
      cancelTimer()
      begin()
    },
    close: () => {
      const current = socket
      finish()
      socket = null
      current?.close()
    }
  }
}
