/**
 * Connections: the limits of a Node server, set before it listens.
 *
 * Guarantees: whoever is slow to say what they want is cut off within 15 seconds, on which of the
 * limits they may sit; when all places are taken, the newcomer gets the place of the longest open
 * connection that has proved nothing, idle ones first, so that strangers cannot keep the owner out; one
 * address that has proved nothing holds at most half of the places.
 */
import type { IncomingMessage, Server, ServerOptions } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { canonical, counted, type Trusts } from "./ClientAddress.ts"

/** Milliseconds. A head has ten seconds; looked at every second, that makes eleven. The door has limits of its own for bodies. */
export const serverOptions = {
  headersTimeout: 10_000,
  requestTimeout: 120_000,
  keepAliveTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 16_384,
  insecureHTTPParser: false,
  requireHostHeader: true,
  joinDuplicateHeaders: false
} satisfies ServerOptions

export interface Limits {
  readonly maxConnections: number
  /** Connections from a declared proxy are many people's; the rule per address is not for them. */
  readonly trusts: Trusts
}

interface Held {
  readonly socket: Socket
  readonly key: string
  /** Requests being answered. */
  busy: number
  proved: boolean
}

/** By socket, so that the door needs no more than the request that it holds. */
const held = new WeakMap<object, Held>()

/** The connection has shown a credential that counts, and keeps its place from now on. */
export const markAuthenticated = (socket: object): void => {
  const one = held.get(socket)
  if (one !== undefined) one.proved = true
}

/** What is ended on our side is gone soon, whether the other side ends it or not. */
const halfOpenMs = 1000

/** Call once, before the server listens. The answer changes the limits later. */
export const configure = (server: Server, first: Limits): ((limits: Limits) => void) => {
  let limits = first
  /** In the order of their coming. */
  const all = new Map<Socket, Held>()

  /** The first that may give way, idle ones before busy ones. */
  const weakest = (among: (one: Held) => boolean): Held | undefined => {
    let busy: Held | undefined
    for (const one of all.values()) {
      if (one.proved || !among(one)) continue
      if (one.busy === 0) return one
      busy ??= one
    }
    return busy
  }
  const drop = (one: Held): void => {
    all.delete(one.socket)
    one.socket.destroy()
  }

  const makeRoom = (key: string | null): boolean => {
    const most = Math.max(1, limits.maxConnections)
    if (key !== null) {
      const share = Math.max(1, Math.ceil(most / 2))
      let strangers = 0
      for (const one of all.values()) if (!one.proved && one.key === key) strangers += 1
      const oldest = strangers >= share ? weakest((one) => one.key === key) : undefined
      if (oldest !== undefined) drop(oldest)
    }
    while (all.size >= most) {
      const oldest = weakest(() => true)
      if (oldest === undefined) return false
      drop(oldest)
    }
    return true
  }

  const onConnection = (socket: Socket): void => {
    const address = canonical(socket.remoteAddress ?? "")
    const shared = address === null || limits.trusts(address)
    const key = address === null ? "" : counted(address)
    if (!makeRoom(shared ? null : key)) return void socket.destroy()
    const one: Held = { socket, key, busy: 0, proved: false }
    all.set(socket, one)
    held.set(socket, one)
    socket.once("close", () => all.delete(socket))
    socket.once("finish", () => socket.setTimeout(halfOpenMs, () => socket.destroy()))
  }

  const onRequest = (request: IncomingMessage, done: { once: (event: "close", f: () => void) => unknown }): void => {
    const one = held.get(request.socket)
    if (one === undefined) return
    one.busy += 1
    done.once("close", () => {
      one.busy -= 1
    })
  }

  Object.assign(server, serverOptions)
  // Node drops what goes beyond without a word, a name that the door looks for among them; it counts itself.
  server.maxHeadersCount = 0
  server.on("connection", onConnection)
  // A TLS connection is counted from before its handshake; its requests name the socket that speaks TLS.
  server.on("secureConnection", (secure: Socket) => {
    for (const one of all.values()) {
      const { remoteAddress, remotePort } = one.socket
      if (remotePort === secure.remotePort && remoteAddress === secure.remoteAddress) held.set(secure, one)
    }
  })
  server.prependListener("request", onRequest)
  server.prependListener("upgrade", (request: IncomingMessage, socket: Duplex) => onRequest(request, socket))
  server.on("connect", (_request: IncomingMessage, socket: Duplex) =>
    socket.end("HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
  )
  return (next) => {
    limits = next
  }
}
