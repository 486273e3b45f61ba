/** A real gateway process under attack: credentials of every scope, and bytes as an attacker sends them. */
import { connect, type Socket } from "node:net"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { AccessScope } from "../../src/domain/Caller.ts"
import type { Place } from "./path.ts"
import { type Answer, ask, type Running, started } from "./served.ts"

export interface Target {
  readonly url: string
  readonly port: number
  readonly running: Running
  /** By the owner's own socket. */
  readonly local: (path: string, method?: string, body?: object) => Effect.Effect<Answer>
  readonly token: (label: string, scopes: ReadonlyArray<AccessScope>, more?: object) => Effect.Effect<string>
}

export const target = (place: Place) =>
  Effect.gen(function* () {
    const running = yield* started(place)
    const { socket, url } = running.announcement
    const local: Target["local"] = (path, method = "GET", body) =>
      ask({ socket }, path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    const token: Target["token"] = (label, scopes, more = {}) =>
      Effect.map(local("/dashboard/api/tokens", "POST", { label, scopes, ...more }), ({ status, text }) => {
        assert.strictEqual(status, 200, text)
        return String(JSON.parse(text).token)
      })
    const made: Target = { url, port: Number(new URL(url).port), running, local, token }
    return made
  })

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/**
 * Sends bytes as they are and gives back what comes until the other side closes, or says nothing for a
 * while. `H` stands for a good Host line.
 */
export const raw = (port: number, text: string, quietMs = 1500): Effect.Effect<string> =>
  Effect.async((resume) => {
    let answer = ""
    const socket: Socket = connect(port, "127.0.0.1", () =>
      socket.write(Buffer.from(text.replaceAll("\nH\r\n", `\nHost: 127.0.0.1:${port}\r\n`), "latin1"))
    )
    const done = () => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    socket.setTimeout(quietMs, done)
    socket.setEncoding("latin1").on("data", (chunk: string) => (answer += chunk))
    socket.on("error", () => {})
    socket.on("close", done)
    return Effect.sync(() => socket.destroy())
  })

/** Of every answer on the connection. */
export const statuses = (answer: string): ReadonlyArray<number> =>
  [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
