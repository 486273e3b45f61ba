/**
 * Server: carries requests and WebSocket upgrades from a Node server to whatever answers at the time.
 *
 * Guarantees: every request is a fiber that ends with its connection, and the other way round; a
 * connection that says nothing, says it slowly, or says too much at once is closed; when the scope
 * closes, nothing that belonged to the server is left open or running, however long a client would
 * have liked to stay.
 */
import { type IncomingMessage, type Server as HttpServer, ServerResponse } from "node:http"
import type { Socket as NetSocket } from "node:net"
import type { Duplex } from "node:stream"
import * as HttpApp from "@effect/platform/HttpApp"
import { clientAbortFiberId } from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Socket from "@effect/platform/Socket"
import { Cause, Effect, FiberSet, Scope } from "effect"
import type { WebSocketServer } from "ws"
import { subprotocol } from "../contract/chat.ts"
import { serverOptions } from "./Connections.ts"
import type { App } from "./Door.ts"
import { Incoming } from "./http/Incoming.ts"
import { write } from "./http/Outgoing.ts"
import * as WebSockets from "./http/WebSockets.ts"
import * as Refusals from "./Refusals.ts"

/** Of one WebSocket message, bytes: a message of a person may have 200,000 characters of up to four bytes, and its frame. */
const maxMessageBytes = 1024 * 1024

/** For `http.createServer` and `https.createServer`. */
export const nodeOptions = {
  ...serverOptions,
  // HTTP/2 on offer and the like: such a request is answered as the plain request that it also is.
  shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === "websocket"
}

export interface Serving {
  /** From the next request on, this answers. */
  readonly use: (app: App) => Effect.Effect<void>
  /** Frees the port; open connections stay. */
  readonly stopAccepting: Effect.Effect<void>
  /** Returns when no request is being answered. */
  readonly idle: Effect.Effect<void>
  /** Interrupts whatever is being answered, and waits for its end. */
  readonly interrupt: Effect.Effect<void>
}

/** What a client whose request cannot even be parsed is told, by Node's code for it. */
const malformed: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout"
}

const webSockets: Effect.Effect<WebSocketServer, never, Scope.Scope> = Effect.acquireRelease(
  Effect.map(
    Effect.promise(() => import("ws")),
    ({ WebSocketServer }) =>
      new WebSocketServer({
        noServer: true,
        maxPayload: maxMessageBytes,
        // It costs memory for each connection, and is a way to make a small message a large one.
        perMessageDeflate: false,
        // Others that a client offers, its token among them, are never repeated to it.
        handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false)
      })
  ),
  (server) =>
    Effect.sync(() => {
      for (const client of server.clients) client.terminate()
      server.close()
    })
)

/** Whatever breaks on the way is a 500 that says nothing, and a line in the log. */
const answered = (app: App): App =>
  Effect.interruptible(app).pipe(
    Effect.catchAllCause((cause) => (Cause.isInterruptedOnly(cause) ? Effect.failCause(cause) : Refusals.broken(cause)))
  )

/** A server that does not listen yet, and what it carries to. Closing the scope ends all of it at once. */
export const attach = (server: HttpServer, first: App): Effect.Effect<Serving, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<NetSocket>()
    server.on("connection", (socket: NetSocket) => {
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
    })
    server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
      if (!socket.writable || error.code === "ECONNRESET") return socket.destroy()
      const status = malformed[error.code ?? ""] ?? "400 Bad Request"
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy())
    })
    const requests = yield* FiberSet.make<void>()
    const run = yield* FiberSet.runtime(requests)<never>()
    // Runs before the fibers are interrupted: one that writes to a client who does not read ends with its socket.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      })
    )

    const toHandled = (app: App) =>
      HttpApp.toHandled(answered(app), (request, response) =>
        request instanceof Incoming
          ? write(request.response(), request.method === "HEAD", response)
          : Effect.dieMessage("the server was handed a request that is not its own")
      )
    let handled = toHandled(first)
    const answer = (request: Incoming) =>
      run(Effect.provideService(handled, HttpServerRequest.HttpServerRequest, request))

    server.on("request", (source, response) => {
      const fiber = answer(new Incoming(source, () => response))
      response.once("close", () => {
        if (!response.writableEnded) fiber.unsafeInterruptAsFork(clientAbortFiberId)
      })
    })

    const scope = yield* Effect.scope
    const accepting = yield* Effect.cached(Effect.provideService(webSockets, Scope.Scope, scope))
    server.on("upgrade", (source, socket, head) => {
      let upgraded = false
      let response: ServerResponse | undefined
      const toSocket = () => {
        if (response !== undefined) return response
        response = new ServerResponse(source)
        response.shouldKeepAlive = false
        if (upgraded || socket.destroyed || !socket.writable) return response.destroy()
        // Node's own server does the same with the same socket.
        response.assignSocket(socket as NetSocket)
        const last = response
        socket.once("close", () => last.destroy())
        return response.once("finish", () => socket.end())
      }
      const upgrade = Socket.fromWebSocket(
        Effect.acquireRelease(
          Effect.flatMap(accepting, (webSocketServer) =>
            Effect.async<globalThis.WebSocket>((resume) =>
              webSocketServer.handleUpgrade(source, socket, head, (webSocket) => {
                upgraded = true
                WebSockets.remember(source, webSocket)
                // Of the browser's interface it has all that the platform uses.
                resume(Effect.succeed(webSocket as unknown as globalThis.WebSocket))
              })
            )
          ),
          (webSocket) => Effect.sync(() => webSocket.close())
        )
      )
      socket.on("error", () => socket.destroy())
      const fiber = answer(new Incoming(source, toSocket, upgrade))
      socket.once("close", () => {
        if (!upgraded) fiber.unsafeInterruptAsFork(clientAbortFiberId)
      })
    })

    return {
      use: (app) =>
        Effect.sync(() => {
          handled = toHandled(app)
        }),
      stopAccepting: Effect.sync(() => {
        server.close()
        server.closeIdleConnections()
      }),
      idle: FiberSet.awaitEmpty(requests),
      interrupt: FiberSet.clear(requests)
    }
  })
