/** The page's connection: it comes back later and later, never after the log-in has ended, and notices silence. */
import { describe, expect, it } from "vitest"
import { connect, type State, waitMs } from "../../src/dashboard/connection.ts"

/** Stands for a browser's socket. */
class Socket extends EventTarget {
  readyState = 1
  readonly sent: Array<string> = []
  send(text: string): void {
    this.sent.push(text)
  }
  close(): void {
    this.readyState = 3
  }
  hears(frame: object): void {
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(frame) }))
  }
  drops(code = 1006): void {
    this.readyState = 3
    this.dispatchEvent(Object.assign(new Event("close"), { code }))
  }
}

const setUp = (good = true) => {
  const sockets: Array<Socket> = []
  const timers = new Set<{ readonly at: number; readonly run: () => void }>()
  const states: Array<State> = []
  const frames: Array<string> = []
  let now = 0
  const connection = connect(
    { frame: ({ _tag }) => frames.push(_tag), state: (state) => states.push(state), doubt: async () => good },
    {
      open: () => {
        const socket = new Socket()
        sockets.push(socket)
        // As much of a WebSocket as is looked at.
        return socket as unknown as WebSocket
      },
      after: (millis, run) => {
        const timer = { at: now + millis, run }
        timers.add(timer)
        return () => timers.delete(timer)
      },
      random: () => 1
    }
  )
  const pass = async (millis: number) => {
    now += millis
    for (const timer of [...timers].filter(({ at }) => at <= now)) {
      timers.delete(timer)
      timer.run()
    }
    await Promise.resolve()
    await Promise.resolve()
  }
  return { connection, sockets, states, frames, pass, last: () => sockets.at(-1) ?? new Socket() }
}
const hello = { _tag: "Hello", epoch: "a", principal: "owner", scopes: ["owner"] }

describe("the page's connection", () => {
  it("waits twice as long after each failure, up to half a minute, and never nothing", () => {
    expect([0, 1, 2, 3].map((failures) => waitMs(failures, 1))).toEqual([500, 1000, 2000, 4000])
    expect(waitMs(40, 1)).toBe(30_000)
    expect(waitMs(0, 0)).toBe(250)
  })

  it("sends nothing before it was greeted, and comes back after a break", async () => {
    const { connection, last, pass, sockets, states } = setUp()
    expect(connection.send({ _tag: "Ping" })).toBe(false)
    last().hears(hello)
    expect(connection.send({ _tag: "Ping" })).toBe(true)
    last().drops()
    expect(connection.send({ _tag: "Ping" })).toBe(false)
    expect(states).toEqual(["connecting", "connected", "waiting"])
    await pass(499)
    expect(sockets.length).toBe(1)
    await pass(1)
    expect(sockets.length).toBe(2)
    last().hears(hello)
    expect(states.at(-1)).toBe("connected")
  })

  it("asks whether the log-in is still good, and ends when it is not", async () => {
    const ended = setUp(false)
    ended.last().hears(hello)
    ended.last().drops(1008)
    await ended.pass(0)
    expect(ended.states.at(-1)).toBe("ended")
    await ended.pass(100_000)
    ended.connection.hurry()
    expect(ended.sockets.length).toBe(1)
  })

  it("replaces a connection that has silently died", async () => {
    const { last, pass, sockets } = setUp()
    last().hears(hello)
    await pass(25_000)
    expect(last().sent).toEqual(['{"_tag":"Ping"}'])
    last().hears({ _tag: "Pong" })
    await pass(25_000)
    await pass(10_000)
    await pass(500)
    expect(sockets.length).toBe(2)
  })

  it("takes nothing from a socket that was given up, nor what is no frame", async () => {
    const { frames, last, pass, sockets } = setUp()
    const first = last()
    first.hears(hello)
    first.dispatchEvent(new MessageEvent("message", { data: "no json" }))
    first.dispatchEvent(new MessageEvent("message", { data: "null" }))
    first.drops()
    await pass(500)
    first.hears({ _tag: "Pong" })
    expect([frames, sockets.length]).toEqual([["Hello"], 2])
  })
})
