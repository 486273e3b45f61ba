/**
 * Outgoing: writes the platform's response to Node's. Headers of a stream go out at once, before its
 * first part; a reader that is slower than the stream holds the stream back, and nothing piles up.
 */
import type { ServerResponse } from "node:http"
import * as Cookies from "@effect/platform/Cookies"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Chunk, Effect, Stream } from "effect"

const ended = (to: ServerResponse, body?: string | Uint8Array): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    // The callback never comes for a connection that has gone; "close" always does.
    const done = () => resume(Effect.void)
    to.once("close", done)
    to.end(body, done)
  })

const headersOf = (response: HttpServerResponse.HttpServerResponse): Record<string, string | Array<string>> =>
  Cookies.isEmpty(response.cookies)
    ? response.headers
    : { ...response.headers, "set-cookie": Cookies.toSetCookieHeaders(response.cookies) }

const streamed = (to: ServerResponse, stream: Stream.Stream<Uint8Array, unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    to.flushHeaders()
    const drained = Effect.unsafeMakeLatch(true)
    const open = () => drained.unsafeOpen()
    to.on("drain", open).on("close", open)
    return stream.pipe(
      // Of whatever kind it is: the answer has begun, so a failure can only be cut off and logged.
      Stream.orDie,
      Stream.runForEachChunk((chunk) => {
        if (Chunk.isEmpty(chunk)) return Effect.void
        let room = true
        for (const bytes of chunk) room = to.write(bytes)
        if (room || to.destroyed) return Effect.void
        drained.unsafeClose()
        return drained.await
      }),
      Effect.interruptible,
      Effect.matchCauseEffect({
        onSuccess: () => ended(to),
        // Cut off, so that the reader does not take what it has for the whole. The cause is the writer's to log.
        onFailure: (cause) =>
          Effect.zipRight(
            Effect.sync(() => to.destroy()),
            Effect.failCause(cause)
          )
      }),
      Effect.catchAllCause((cause) => Effect.logDebug("a stream broke off", cause))
    )
  })

export const write = (to: ServerResponse, isHead: boolean, response: HttpServerResponse.HttpServerResponse) =>
  Effect.suspend((): Effect.Effect<void> => {
    if (to.writableEnded || to.destroyed) return Effect.void
    const { body } = response
    to.writeHead(response.status, headersOf(response))
    if (isHead) return ended(to)
    switch (body._tag) {
      case "Empty":
        return ended(to)
      case "Uint8Array":
        return ended(to, body.body)
      case "Stream":
        return streamed(to, body.stream)
      case "Raw":
      case "FormData":
        return Effect.zipRight(ended(to), Effect.dieMessage(`a response of kind ${body._tag} is not written here`))
    }
  })
