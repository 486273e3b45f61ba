/**
 * Incoming: Node's request as the platform's. `source` is Node's own, so that the door can look at the
 * connection (address, client certificate).
 *
 * Guarantees: a body is read once and never beyond `MaxBodySize` (10 MiB where nobody says otherwise);
 * what is larger fails with `BodyTooLarge` as the error's cause; one that breaks off fails, and never
 * counts as a shorter one.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import type { HttpMethod } from "@effect/platform/HttpMethod"
import { RequestError } from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as Multipart from "@effect/platform/Multipart"
import type { Socket } from "@effect/platform/Socket"
import * as UrlParams from "@effect/platform/UrlParams"
import { Deferred, Effect, FiberId, Inspectable, Option, Stream } from "effect"
import { BodyTooLarge } from "../../contract/access.ts"

/** Bytes. The door sets its own, smaller or larger, by `HttpServerRequest.withMaxBodySize`. */
const defaultLimit = 10 * 1024 * 1024

type Upgrade = Effect.Effect<Socket, RequestError>

interface Overrides {
  readonly url?: string
  readonly headers?: Headers.Headers
  readonly remoteAddress?: string
}

type Body = Deferred.Deferred<Uint8Array, RequestError>

export class Incoming extends Inspectable.Class implements HttpServerRequest.HttpServerRequest {
  readonly [HttpServerRequest.TypeId]: HttpServerRequest.TypeId = HttpServerRequest.TypeId
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly source: IncomingMessage
  /** Where the answer is written; made on first use, because an upgraded connection has none. */
  readonly response: () => ServerResponse
  readonly url: string
  readonly headers: Headers.Headers
  readonly upgrade: Upgrade
  readonly #overrides: Overrides
  /** Shared by all that `modify` makes of this request: there is one body. */
  readonly #body: { read: Body | null }
  #cookies: Readonly<Record<string, string>> | undefined

  constructor(
    source: IncomingMessage,
    response: () => ServerResponse,
    upgrade: Upgrade | null = null,
    overrides: Overrides = {},
    body: { read: Body | null } = { read: null }
  ) {
    super()
    this.source = source
    this.response = response
    this.url = overrides.url ?? source.url ?? "/"
    // Node gives lists for few names only, none of which is looked at here.
    this.headers = overrides.headers ?? Headers.fromInput(source.headers as Record<string, string>)
    this.upgrade = upgrade ?? Effect.suspend(() => this.#fail(undefined, "the request asks for no WebSocket"))
    this.#overrides = overrides
    this.#body = body
  }

  #error(cause: unknown, description?: string): RequestError {
    return new RequestError({
      request: this,
      reason: "Decode",
      cause,
      ...(description === undefined ? {} : { description })
    })
  }
  #fail(cause: unknown, description?: string) {
    return Effect.fail(this.#error(cause, description))
  }

  get originalUrl(): string {
    return this.source.url ?? "/"
  }
  get method(): HttpMethod {
    // The router knows no others and answers them with "not found".
    return (this.source.method ?? "GET").toUpperCase() as HttpMethod
  }
  get remoteAddress(): Option.Option<string> {
    return Option.fromNullable(this.#overrides.remoteAddress ?? this.source.socket.remoteAddress)
  }
  get cookies(): Readonly<Record<string, string>> {
    this.#cookies ??= Cookies.parseHeader(this.headers["cookie"] ?? "")
    return this.#cookies
  }

  modify(more: Overrides): Incoming {
    return new Incoming(this.source, this.response, this.upgrade, { ...this.#overrides, ...more }, this.#body)
  }

  #read(limit: number): Effect.Effect<Uint8Array, RequestError> {
    return Effect.async((resume) => {
      const { source } = this
      const chunks: Array<Buffer> = []
      let size = 0
      const done = (result: Effect.Effect<Uint8Array, RequestError>) => {
        source.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onClose)
        resume(result)
      }
      const onData = (chunk: Buffer) => {
        size += chunk.length
        if (size > limit) {
          source.pause()
          return done(this.#fail(new BodyTooLarge({ limit })))
        }
        chunks.push(chunk)
      }
      const onEnd = () => done(Effect.succeed(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)))
      const onClose = () => done(this.#fail(undefined, "the body broke off"))
      if (source.readableEnded || source.destroyed) return onClose()
      source.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onClose)
    })
  }

  get #bytes(): Effect.Effect<Uint8Array, RequestError> {
    return Effect.flatMap(HttpIncomingMessage.MaxBodySize, (given) => {
      const limit = Option.match(given, { onNone: () => defaultLimit, onSome: Number })
      const announced = Number(this.headers["content-length"] ?? 0)
      if (announced > limit) return this.#fail(new BodyTooLarge({ limit }))
      if (this.#body.read !== null) return Deferred.await(this.#body.read)
      const body: Body = Deferred.unsafeMake(FiberId.none)
      this.#body.read = body
      return Effect.zipRight(Effect.intoDeferred(this.#read(limit), body), Deferred.await(body))
    })
  }

  get text(): Effect.Effect<string, RequestError> {
    return Effect.map(this.#bytes, (bytes) => new TextDecoder().decode(bytes))
  }
  get json(): Effect.Effect<unknown, RequestError> {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({
        try: (): unknown => (text === "" ? null : JSON.parse(text)),
        catch: (cause) => this.#error(cause)
      })
    )
  }
  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, RequestError> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }
  get arrayBuffer(): Effect.Effect<ArrayBuffer, RequestError> {
    return Effect.map(this.#bytes, (bytes) => new Uint8Array(bytes).buffer)
  }
  get stream(): Stream.Stream<Uint8Array, RequestError> {
    return Stream.fromEffect(this.#bytes)
  }
  get multipart() {
    return this.#noForms
  }
  get multipartStream() {
    return Stream.fromEffect(this.#noForms)
  }
  /** Nothing of ours takes files; the door refuses such bodies before anybody asks. */
  get #noForms(): Effect.Effect<never, Multipart.MultipartError> {
    return Effect.dieMessage("multipart bodies are not taken")
  }

  override toString(): string {
    return `${this.method} ${this.url.split("?", 1)[0] ?? ""}`
  }
  toJSON(): unknown {
    return { method: this.method, path: this.url.split("?", 1)[0] ?? "" }
  }
}
