import { createServer, type RequestListener, type Server } from "node:http"
import { type AddressInfo, createServer as createTcp } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Config } from "../../src/domain/Config.ts"
import * as Listen from "../../src/gateway/Listen.ts"

const gateway = (settings: object) => Schema.decodeUnknownSync(Config)({ gateway: settings }).gateway

describe("where the gateway may listen", () => {
  const tls = { certFile: "c.pem", keyFile: "k.pem" }
  const reverseProxy = { trusted: ["10.0.0.1"], publicUrl: "https://desk.example.org" }
  const reachable = [
    "0.0.0.0",
    "::",
    "192.168.1.5",
    "10.0.0.2",
    "desk.example.org",
    "2001:db8::1",
    "127.evil.example",
    "128.0.0.1"
  ]

  for (const bind of ["127.0.0.1", "127.8.9.1", "::1", "localhost"]) {
    it(`${bind} is this machine alone`, () => expect(Listen.bindProblem(gateway({ bind }))).toBeNull())
  }
  for (const bind of reachable) {
    it(`${bind} needs an encrypted way`, () => {
      expect(Listen.bindProblem(gateway({ bind }))).toMatchObject({ at: "gateway.bind", found: bind })
      expect(Listen.bindProblem(gateway({ bind, auth: { mode: "password" } }))).not.toBeNull()
      for (const way of [{ tls }, { reverseProxy }, { auth: { mode: "certificate" } }]) {
        expect(Listen.bindProblem(gateway({ bind, ...way }))).toBeNull()
      }
    })
  }
})

/** A program on a free port of this machine. */
const program = (answer: RequestListener) =>
  Effect.acquireRelease(
    Effect.async<Server>((resume) => {
      const server = createServer(answer).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  ).pipe(Effect.map((server) => (server.address() as AddressInfo).port))

const clash = (port: number) =>
  Effect.flip(Listen.listen(createServer(), { host: "127.0.0.1", port }, "set gateway.port"))

describe("a port that is taken", () => {
  it.scopedLive("by another gateway is told by its health route", () =>
    Effect.gen(function* () {
      const port = yield* program((request, response) =>
        request.url === "/healthz"
          ? response.end('{"service":"ai-desk","version":"9.8.7","instance":"x"}')
          : response.writeHead(401).end()
      )
      const failure = yield* clash(port)
      expect(failure).toMatchObject({ _tag: "PortTaken", by: "ai-desk" })
      expect(failure.message).toBe(
        `127.0.0.1:${port} is taken by another ai-desk (version 9.8.7), which serves another data folder`
      )
      expect(failure.fix).toBe("stop the other ai-desk, or use another port: set gateway.port")
    })
  )
  for (const [page, name] of [
    ["<title>OpenClaw Control</title>", "OpenClaw"],
    ["<title>clawdbot</title>", "OpenClaw"],
    ["<h1>ZeroClaw</h1>", "ZeroClaw"],
    ["Ollama is running", "Ollama"]
  ] as const) {
    it.scopedLive(`by ${name} (${page}) is named`, () =>
      Effect.gen(function* () {
        const port = yield* program((request, response) =>
          request.url === "/" ? response.end(page) : response.writeHead(404).end("not found")
        )
        const failure = yield* clash(port)
        expect(failure.message).toBe(`127.0.0.1:${port} is taken by ${name}, which uses the same port`)
        expect(failure.fix).toContain(`stop ${name}, or use another port`)
      })
    )
  }
  it.scopedLive("by any other program says what it says of itself, and does not take its word for ours", () =>
    Effect.gen(function* () {
      const port = yield* program((request, response) =>
        response
          .setHeader("server", "nginx/1.2")
          .end(request.url === "/healthz" ? '{"service":"other","version":"1","instance":"x"}' : "hello")
      )
      const failure = yield* clash(port)
      expect(failure.message).toBe(`127.0.0.1:${port} is taken by another program (nginx/1.2)`)
    })
  )
  it.scopedLive("by something that never answers does not hold the start up", () =>
    Effect.gen(function* () {
      const port = yield* Effect.acquireRelease(
        Effect.async<readonly [number, () => void]>((resume) => {
          const sockets = new Set<{ destroy: () => unknown }>()
          const server = createTcp((socket) => void sockets.add(socket.on("error", () => undefined))).listen(
            0,
            "127.0.0.1",
            () =>
              resume(
                Effect.succeed([
                  (server.address() as AddressInfo).port,
                  () => {
                    for (const socket of sockets) socket.destroy()
                    server.close()
                  }
                ])
              )
          )
        }),
        ([, close]) => Effect.sync(close)
      )
      expect((yield* clash(port[0])).message).toBe(`127.0.0.1:${port[0]} is taken by another program`)
    })
  )
  it.live("an address that this machine does not have is said to be that", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(Listen.listen(createServer(), { host: "192.0.2.1", port: 0 }, ""))
      expect(failure).toMatchObject({ _tag: "ListenFailed", code: "EADDRNOTAVAIL" })
      expect(failure.fix).toContain("must be an address of this machine")
    })
  )
})
