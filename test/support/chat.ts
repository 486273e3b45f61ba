/**
 * Real clients of a real server: the groups of an opened app behind Node's HTTP server, with the caller
 * that the bearer names, and WebSocket clients whose frames are all kept and decoded by the contract.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Effect, Schema } from "effect"
import { WebSocket } from "ws"
import * as App from "../../src/App.ts"
import type { GroupName } from "../../src/contract/Api.ts"
import { type ServerFrame, ServerFrameJson, subprotocol } from "../../src/contract/chat.ts"
import { Caller, type CallerInfo, localOwner, nobody } from "../../src/domain/Caller.ts"
import { PrincipalId } from "../../src/domain/Ids.ts"
import * as Server from "../../src/gateway/Server.ts"
import type { Place } from "./path.ts"

export const callerNamed = (name: string): CallerInfo =>
  name === "owner"
    ? localOwner
    : name.startsWith("chat")
      ? { ...nobody, principal: PrincipalId.make(name), scopes: ["chat"], by: "token", credential: name }
      : name.startsWith("read")
        ? { ...nobody, principal: PrincipalId.make(name), scopes: ["read"], by: "token", credential: name }
        : nobody

/** Serves these groups until the scope closes; returns where. */
export const serve = (
  { options }: Place,
  groups: ReadonlyArray<GroupName> = ["chat", "runs", "approvals", "sessions"],
  replaced: Partial<App.Parts> = {}
) =>
  Effect.gen(function* () {
    const app = yield* App.open(options, { ...App.parts, ...replaced })
    const handlers = new Map(
      yield* Effect.forEach(groups, (group) =>
        Effect.map(Effect.orDie(app.handler(group)), (handler) => [group as string, handler] as const)
      )
    )
    const server = createServer(Server.nodeOptions)
    yield* Server.attach(
      server,
      Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers, url }) => {
        const handler = handlers.get(url.split(/[/?]/)[3] ?? "")
        const caller = callerNamed(headers["authorization"]?.replace("Bearer ", "") ?? "")
        return handler === undefined
          ? Effect.die(`no group for ${url}`)
          : Effect.provideService(handler, Caller, caller)
      })
    )
    const port = yield* Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    })
    return { url: `http://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}/dashboard/api/chat` }
  })

const decode = Schema.decodeUnknownSync(ServerFrameJson)

export interface Client {
  readonly socket: WebSocket
  /** All frames so far, in order. */
  readonly frames: ReadonlyArray<ServerFrame>
  readonly send: (frame: object) => void
  /** Waits until there are frames that satisfy it all together. */
  readonly until: (is: (frames: ReadonlyArray<ServerFrame>) => boolean) => Effect.Effect<void>
  /** The first frame of a kind, from a place on. */
  readonly next: <T extends ServerFrame["_tag"]>(
    tag: T,
    is?: (frame: Extract<ServerFrame, { _tag: T }>) => boolean
  ) => Effect.Effect<Extract<ServerFrame, { _tag: T }>>
  readonly closed: Effect.Effect<{ readonly code: number; readonly reason: string }>
  readonly close: Effect.Effect<void>
}

/** Connected when it returns; what refuses the upgrade is a failure with its status. */
export const connect = (ws: string, as = "owner", protocols: ReadonlyArray<string> = [subprotocol]) =>
  Effect.acquireRelease(
    Effect.async<Client, number>((resume) => {
      const socket = new WebSocket(ws, [...protocols], { headers: { authorization: `Bearer ${as}` } })
      const frames: Array<ServerFrame> = []
      const waiting = new Set<() => void>()
      let end: { readonly code: number; readonly reason: string } | undefined
      const look = () => {
        for (const check of waiting) check()
      }
      const when = <A>(find: () => A | undefined): Effect.Effect<A> =>
        Effect.async<A>((done) => {
          const check = () => {
            const found = find()
            if (found === undefined) return
            waiting.delete(check)
            done(Effect.succeed(found))
          }
          waiting.add(check)
          check()
          return Effect.sync(() => waiting.delete(check))
        }).pipe(
          Effect.timeoutFail({
            duration: "20 seconds",
            onTimeout: () => `waited in vain; ${frames.length} frames, the last ${JSON.stringify(frames.slice(-4))}`
          }),
          Effect.orDie
        )
      socket.on("message", (data) => {
        frames.push(decode(String(data)))
        look()
      })
      socket.on("close", (code, reason) => {
        end = { code, reason: String(reason) }
        look()
      })
      socket.on("unexpected-response", (_, response) => resume(Effect.fail(response.statusCode ?? 0)))
      socket.on("error", () => resume(Effect.fail(0)))
      // Not enumerable: a failing test that shows a client would walk through all of Node behind the
      // socket, for minutes and gigabytes.
      const shown = (client: Client) => Object.defineProperty(client, "socket", { enumerable: false })
      socket.on("open", () =>
        resume(
          Effect.succeed(
            shown({
              socket,
              frames,
              send: (frame) => socket.send(JSON.stringify(frame)),
              until: (is) => Effect.asVoid(when(() => (is(frames) ? true : undefined))),
              next: <T extends ServerFrame["_tag"]>(tag: T, is = (_: Extract<ServerFrame, { _tag: T }>) => true) =>
                when(() =>
                  frames.find((one): one is Extract<ServerFrame, { _tag: T }> => one._tag === tag && is(one as never))
                ),
              closed: when(() => end),
              close: Effect.sync(() => socket.terminate())
            })
          )
        )
      )
    }),
    (client) => Effect.sync(() => client.socket.terminate())
  )

/** The status with which the upgrade is refused. */
export const refusal = (ws: string, as?: string, protocols?: ReadonlyArray<string>): Effect.Effect<number> =>
  Effect.scoped(
    Effect.matchEffect(connect(ws, as, protocols), {
      onFailure: Effect.succeed,
      onSuccess: () => Effect.dieMessage("the upgrade was not refused")
    })
  )

export const events = (frames: ReadonlyArray<ServerFrame>) =>
  frames.flatMap((frame) => (frame._tag === "Event" ? [frame] : []))
export const textOf = (frames: ReadonlyArray<ServerFrame>) =>
  events(frames)
    .map(({ event }) => (event._tag === "AnswerDelta" ? event.text : ""))
    .join("")
