/**
 * SocketClient: an HttpClient that speaks to a running gateway over its control socket. It knows no
 * more of HTTP than that takes; the platform's own client brings a whole fetch with it, which takes
 * longer to load than most answers take to come.
 */
import { type IncomingMessage, request as httpRequest } from "node:http"
import { PassThrough, Readable } from "node:stream"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { Effect } from "effect"
import type { Announcement } from "../../domain/Announcement.ts"
import { GatewayLost } from "./GatewayLost.ts"

const textOf = (incoming: IncomingMessage, lost: GatewayLost): Promise<string> => {
  const { promise, reject, resolve } = Promise.withResolvers<string>()
  let text = ""
  incoming
    .setEncoding("utf8")
    .on("data", (chunk: string) => {
      text += chunk
    })
    .once("end", () => resolve(text))
    .once("error", () => reject(lost))
    .once("close", () => reject(lost))
  return promise
}

/** Starts to read what comes, so it is made once. */
const streamOf = (incoming: IncomingMessage, lost: GatewayLost) => {
  const through = new PassThrough()
  incoming
    .once("error", () => through.destroy(lost))
    // After the end it changes nothing.
    .once("close", () => (incoming.complete ? undefined : through.destroy(lost)))
    .pipe(through)
  return Readable.toWeb(through)
}

/** As much of the web's Response as is looked at. */
const responseOf = (incoming: IncomingMessage, lost: GatewayLost) => {
  let body: ReturnType<typeof streamOf> | undefined
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    text: () => textOf(incoming, lost),
    arrayBuffer: () => textOf(incoming, lost).then((text) => new TextEncoder().encode(text).buffer),
    // Asked for more than once.
    get body() {
      body ??= streamOf(incoming, lost)
      return body
    }
  }
}

export const make = ({ pid, socket }: Announcement): HttpClient.HttpClient =>
  HttpClient.make((request, { pathname, search }, signal) =>
    Effect.async((resume) => {
      const { body } = request
      const failed = (cause: unknown) =>
        resume(Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause })))
      if (body._tag !== "Empty" && body._tag !== "Uint8Array")
        return failed(new TypeError(`a body of kind ${body._tag}`))
      const sent = httpRequest({
        socketPath: socket,
        method: request.method,
        path: `${pathname}${search}`,
        headers: { ...request.headers, host: "localhost" },
        agent: false,
        signal
      })
      let connected = false
      sent
        .once("socket", (connection) => connection.once("connect", () => (connected = true)))
        .once("error", () => failed(new GatewayLost({ pid, begun: connected })))
        .once("response", (incoming) => {
          // Read elsewhere, or nowhere; a listener must be there all the same.
          incoming.on("error", () => undefined)
          const answer = responseOf(incoming, new GatewayLost({ pid, begun: true }))
          resume(Effect.succeed(HttpClientResponse.fromWeb(request, answer as unknown as Response)))
        })
      sent.end(body._tag === "Uint8Array" ? body.body : undefined)
    })
  )
