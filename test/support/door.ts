/**
 * The door on a real Node server: real settings, database, lock-out and limiter; who may come in is
 * decided by a small Auth of our own, which keeps to the contract of the tag. Clients are raw, so that
 * they can send what no honest one does.
 */
import { createServer, type IncomingHttpHeaders, request as httpRequest, type Server } from "node:http"
import { createServer as createSecureServer, request as httpsRequest } from "node:https"
import { connect } from "node:net"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Deferred, Effect, Layer, Redacted, Schedule, Stream } from "effect"
import { Unauthenticated } from "../../src/contract/access.ts"
import { Caller, type CallerInfo, nobody } from "../../src/domain/Caller.ts"
import { PrincipalId } from "../../src/domain/Ids.ts"
import { Auth } from "../../src/gateway/Auth.ts"
import { trusting } from "../../src/gateway/ClientAddress.ts"
import { configure, serverOptions } from "../../src/gateway/Connections.ts"
import * as Door from "../../src/gateway/Door.ts"
import { toGroundFailed } from "../../src/gateway/handlers/ground.ts"
import * as Lockout from "../../src/gateway/Lockout.ts"
import * as RateLimiter from "../../src/gateway/RateLimiter.ts"
import { layer as auditLayer } from "../../src/kernel/Audit.ts"
import { layerTemporary } from "./database.ts"
import { settingsLayer } from "./settings.ts"
import { certificate, privateKey } from "./tls.ts"

export const goodToken = "good-token-of-the-owner"
export const otherToken = "good-token-of-another"
export const goodSession = { cookie: "a-cookie", proof: "a-proof" }

const holder = (credential: string, by: CallerInfo["by"]): CallerInfo => ({
  ...nobody,
  principal: PrincipalId.make("owner"),
  scopes: ["owner"],
  by,
  credential
})

export class TestAuth extends Context.Tag("test/TestAuth")<
  TestAuth,
  { readonly revoke: (credential: string) => Effect.Effect<void>; readonly asked: () => number }
>() {}

/** Two tokens, one log-in, any certificate. A wrong one is counted by the real lock-out. */
const authLayer = Layer.effectContext(
  Effect.gen(function* () {
    const lockout = yield* Lockout.Lockout
    const ends = new Map<string, Deferred.Deferred<void>>()
    for (const id of ["token-1", "token-2", "session-1"]) ends.set(id, yield* Deferred.make<void>())
    let asked = 0
    const find = ({ bearer, certificate: pin, session }: Parameters<typeof Auth.Service.authenticate>[0]) => {
      const token = bearer === null ? undefined : Redacted.value(bearer)
      if (token === goodToken) return holder("token-1", "token")
      if (token === otherToken) return holder("token-2", "token")
      if (
        session !== null &&
        Redacted.value(session.cookie) === goodSession.cookie &&
        Redacted.value(session.proof) === goodSession.proof
      ) {
        return holder("session-1", "session")
      }
      return pin === null ? null : holder(pin, "certificate")
    }
    const auth = Auth.of({
      authenticate: (presented) =>
        Effect.gen(function* () {
          asked += 1
          const { bearer, certificate: pin, session } = presented
          if (bearer === null && session === null && pin === null)
            return yield* new Unauthenticated({ reason: "missing" })
          const found = find(presented)
          if (found === null) {
            yield* Effect.mapError(lockout.failed(presented.address), (error) =>
              error._tag === "DatabaseError" ? toGroundFailed(error) : error
            )
            return yield* new Unauthenticated({ reason: "invalid" })
          }
          const end = ends.get(found.credential ?? "")
          if (end !== undefined && (yield* Deferred.isDone(end)))
            return yield* new Unauthenticated({ reason: "revoked" })
          return found
        }),
      ended: ({ credential }) => {
        const end = ends.get(credential ?? "")
        return end === undefined ? Effect.never : Deferred.await(end)
      }
    })
    const control = TestAuth.of({
      revoke: (credential) => {
        const end = ends.get(credential)
        return end === undefined
          ? Effect.dieMessage("no such credential")
          : Effect.asVoid(Deferred.succeed(end, undefined))
      },
      asked: () => asked
    })
    return Context.make(Auth, auth).pipe(Context.add(TestAuth, control))
  })
)

/** Everything that the door stands on. Limits are out of the way unless the test sets them. */
export const ground = (gateway: object = {}) =>
  Door.layer.pipe(
    Layer.provideMerge(authLayer),
    Layer.provideMerge(Layer.merge(Lockout.layer, RateLimiter.layer)),
    Layer.provideMerge(auditLayer),
    Layer.provideMerge(
      Layer.merge(
        layerTemporary,
        settingsLayer({ config: { gateway: { rateLimit: { maxPerSecond: 10_000 }, ...gateway } } })
      )
    )
  )

/** What the app behind the door saw. */
export interface Seen {
  requests: number
}

/** Revokes what asks for it; tells back what reached it; streams without end; echoes over a WebSocket; shows a page. */
export const app = (seen: Seen, revoke: (credential: string) => Effect.Effect<void>): Door.App =>
  Effect.gen(function* () {
    seen.requests += 1
    const request = yield* HttpServerRequest.HttpServerRequest
    const caller = yield* Caller
    const path = request.url.split("?", 1)[0] ?? ""
    switch (path) {
      case "/dashboard/api/events":
        return HttpServerResponse.stream(
          Stream.encodeText(Stream.repeat(Stream.make("data: tick\n\n"), Schedule.spaced("20 millis"))),
          { contentType: "text/event-stream" }
        )
      case "/dashboard/api/leave":
        yield* revoke(caller.credential ?? "")
        yield* Effect.sleep("50 millis")
        return HttpServerResponse.unsafeJson({ left: true })
      case "/dashboard/api/slow":
        return yield* Effect.as(Effect.interruptible(Effect.sleep("20 seconds")), HttpServerResponse.empty())
      case "/dashboard/api/chat": {
        const socket = yield* request.upgrade
        const write = yield* socket.writer
        yield* socket.runRaw((message) => write(`echo ${String(message)}`)).pipe(Effect.ignore, Effect.interruptible)
        return HttpServerResponse.empty()
      }
      case "/login":
        return HttpServerResponse.html("<!doctype html><title>log in</title>")
      case "/dashboard/api/broken":
        return yield* Effect.dieMessage("a secret of the inside")
      default: {
        const json = yield* request.json
        const text = yield* request.text
        return HttpServerResponse.unsafeJson({
          method: request.method,
          url: request.url,
          json,
          text: text.length,
          caller: caller.by,
          address: request.remoteAddress._tag === "Some" ? request.remoteAddress.value : null
        })
      }
    }
  }).pipe(Effect.orDie)

export interface Place {
  readonly port: number
  readonly server: Server
  readonly seen: Seen
}

export interface Options {
  readonly maxConnections?: number
  readonly trusted?: ReadonlyArray<string>
  /** In place of the server's own. */
  readonly limits?: object
  readonly tls?: boolean
  readonly wrap?: (app: Door.App) => Door.App
}

/** Listens until the scope closes, and lets go of every connection then. */
export const open = (options: Options = {}) =>
  Effect.gen(function* () {
    const door = yield* Door.Door
    const { revoke } = yield* TestAuth
    const seen: Seen = { requests: 0 }
    const server: Server = options.tls
      ? createSecureServer({ ...serverOptions, cert: certificate, key: privateKey })
      : createServer(serverOptions)
    configure(server, {
      maxConnections: options.maxConnections ?? 1000,
      trusts: trusting(options.trusted ?? []).trusts
    })
    Object.assign(server, options.limits)
    const platform = yield* NodeHttpServer.make(() => server, { port: 0, host: "127.0.0.1" })
    yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
    yield* platform.serve((options.wrap ?? door.guard)(app(seen, revoke)))
    const address = platform.address
    const place: Place = { port: address._tag === "TcpAddress" ? address.port : 0, server, seen }
    return place
  })

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly json: unknown
}

export interface Ask {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string | ReadonlyArray<string>>>
  readonly body?: string | Uint8Array
  /** Null for none. */
  readonly token?: string | null
  readonly tls?: boolean
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** One request of an honest client, but for what the test gives; the owner's unless it says otherwise. */
export const ask = ({ port }: Place, given: Ask = {}): Effect.Effect<Answer> =>
  Effect.async((resume) => {
    const { body, headers, method = "GET", path = "/dashboard/api/agents", tls = false, token = goodToken } = given
    const request = (tls ? httpsRequest : httpRequest)(
      {
        host: "127.0.0.1",
        port,
        method,
        path,
        agent: false,
        rejectUnauthorized: false,
        headers: {
          host: `127.0.0.1:${port}`,
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined
            ? {}
            : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) }),
          ...(headers as Record<string, string>)
        }
      },
      (response) => {
        let text = ""
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
        response.on("error", () => {})
        response.on("close", () =>
          resume(
            Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, text, json: parse(text) })
          )
        )
      }
    )
    request.on("error", (error) =>
      resume(Effect.succeed({ status: 0, headers: {}, text: String(error), json: undefined }))
    )
    request.end(body)
    return Effect.sync(() => request.destroy())
  })

export const post = (place: Place, body: string | Uint8Array, given: Ask = {}): Effect.Effect<Answer> =>
  ask(place, { method: "POST", ...given, body })

/** Sends bytes as they are and gives back what comes until the other side closes. `H` stands for a good Host line. */
export const raw = ({ port }: Place, text: string): Effect.Effect<string> =>
  Effect.async((resume) => {
    let answer = ""
    const socket = connect(port, "127.0.0.1", () => socket.write(text.replace("H\r\n", `Host: 127.0.0.1:${port}\r\n`)))
    socket.setEncoding("latin1").on("data", (chunk: string) => (answer += chunk))
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.succeed(answer)))
    return Effect.sync(() => socket.destroy())
  })
