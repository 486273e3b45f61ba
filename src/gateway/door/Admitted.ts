/**
 * Admitted: the request as the app behind the door sees it. Its body has been read and looked through,
 * so that asking for it costs nothing and gives every asker the same; its address is the client's, not
 * the proxy's; its WebSocket ends with the credential that opened it.
 */
import type { IncomingMessage } from "node:http"
import type * as Headers from "@effect/platform/Headers"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import type { HttpMethod } from "@effect/platform/HttpMethod"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { RequestError } from "@effect/platform/HttpServerError"
import { MultipartError } from "@effect/platform/Multipart"
import type { Socket } from "@effect/platform/Socket"
import * as UrlParams from "@effect/platform/UrlParams"
import { Effect, Inspectable, Option, Stream } from "effect"
import type { Body } from "./Body.ts"

type Request = HttpServerRequest.HttpServerRequest

const noForms = new MultipartError({ reason: "Parse", cause: "multipart bodies are not taken" })

export class Admitted extends Inspectable.Class implements HttpServerRequest.HttpServerRequest {
  readonly [HttpServerRequest.TypeId]: HttpServerRequest.TypeId = HttpServerRequest.TypeId
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly source: unknown
  readonly url: string
  readonly headers: Headers.Headers
  readonly remoteAddress: Option.Option<string>
  readonly multipart = Effect.fail(noForms)
  readonly multipartStream = Stream.fail(noForms)
  readonly upgrade: Effect.Effect<Socket, RequestError>
  readonly #inner: Request
  readonly #body: Body

  constructor(inner: Request, body: Body, upgrade: Request["upgrade"], address: Option.Option<string>) {
    super()
    this.#inner = inner
    this.#body = body
    this.source = inner.source
    this.url = inner.url
    this.headers = inner.headers
    this.upgrade = upgrade
    this.remoteAddress = address
  }

  get originalUrl(): string {
    return this.#inner.originalUrl
  }
  get method(): HttpMethod {
    return this.#inner.method
  }
  get cookies(): Readonly<Record<string, string>> {
    return this.#inner.cookies
  }

  get #text(): string {
    return this.#body.kind === "none" ? "" : this.#body.text
  }
  get text(): Effect.Effect<string> {
    return Effect.succeed(this.#text)
  }
  /** Null for no body, as the platform has it. */
  get json(): Effect.Effect<unknown> {
    return Effect.succeed(this.#body.kind === "json" ? this.#body.value : null)
  }
  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams> {
    return Effect.sync(() => UrlParams.fromInput(new URLSearchParams(this.#text)))
  }
  get arrayBuffer(): Effect.Effect<ArrayBuffer> {
    return Effect.sync(() => new Uint8Array(Buffer.from(this.#text)).buffer)
  }
  get stream(): Stream.Stream<Uint8Array> {
    return this.#body.kind === "none" ? Stream.empty : Stream.sync(() => Buffer.from(this.#text))
  }

  modify(changes: Parameters<Request["modify"]>[0]): Admitted {
    const address = Option.orElse(Option.fromNullable(changes.remoteAddress), () => this.remoteAddress)
    return new Admitted(this.#inner.modify(changes), this.#body, this.upgrade, address)
  }

  override toString(): string {
    return `${this.method} ${this.url.split("?", 1)[0] ?? ""}`
  }
  toJSON(): unknown {
    return { method: this.method, path: this.url.split("?", 1)[0] ?? "" }
  }
}

/** Node's own request behind a platform's; undefined for one that came over no socket. */
export const nodeOf = ({ source }: Request): IncomingMessage | undefined =>
  typeof source === "object" && source !== null && "socket" in source && "rawHeaders" in source
    ? // Node's class is the only one with both; its module is not loaded for a type alone.
      (source as IncomingMessage)
    : undefined
