/**
 * Egress: the only way a tool's request leaves this machine, and only to where the owner said.
 *
 * Guarantees: every hop of a redirect is checked like the first; the address that was checked is
 * the address that is connected to (names are resolved once, here); private, loopback, link-local,
 * metadata and embedded-IPv4 addresses are refused unless the owner named that address and port;
 * no cookies, no credentials, no proxy from the environment; size, time and idle time are capped,
 * after decompression.
 */
import { lookup as systemLookup } from "node:dns"
import * as Http from "node:http"
import * as Https from "node:https"
import { isIP } from "node:net"
import { PassThrough, type Readable } from "node:stream"
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib"
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import { isPublic } from "./egress/Address.ts"
import { isAllowed, isNamed, type Target, targetOf } from "./egress/AllowList.ts"

/** Not allowed: nothing was sent to where this was meant to go. */
export class EgressRefused extends Schema.TaggedError<EgressRefused>()("EgressRefused", {
  url: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `refused to fetch ${this.url}: ${this.reason}`
  }
}

/** Allowed, but the other side or the network did not answer within the limits. */
export class EgressFailed extends Schema.TaggedError<EgressFailed>()("EgressFailed", {
  url: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `cannot fetch ${this.url}: ${this.reason}`
  }
}

export interface EgressRequest {
  readonly url: string
  readonly method: "GET" | "HEAD"
  /** The agent's `tools.egress`. */
  readonly allow: ReadonlyArray<string>
}

export interface EgressAnswer {
  /** After redirects. */
  readonly url: string
  readonly status: number
  readonly contentType: string
  /** Decoded by the charset it states, or UTF-8. Untrusted and raw. */
  readonly body: string
  readonly truncated: boolean
  /** Milliseconds. */
  readonly durationMs: number
}

export class Egress extends Context.Tag("ai-desk/tools/Egress")<
  Egress,
  {
    /** The answer of the last hop, also when its status is an error. Interruption closes the connection. */
    readonly fetch: (request: EgressRequest) => Effect.Effect<EgressAnswer, EgressRefused | EgressFailed>
  }
>() {}

export interface EgressOptions {
  /** All addresses of a name. */
  readonly resolve: (host: string) => Effect.Effect<ReadonlyArray<string>, string>
  /** PEM certificates to trust instead of the built-in ones. */
  readonly ca?: string
  /** After decompression. */
  readonly maxBytes: number
  readonly totalMs: number
  readonly idleMs: number
  readonly maxRedirects: number
}

const systemResolve: EgressOptions["resolve"] = (host) =>
  Effect.async((resume) => {
    systemLookup(host, { all: true, verbatim: true }, (error, found) => {
      resume(
        error === null ? Effect.succeed(found.map(({ address }) => address)) : Effect.fail(error.code ?? "unknown")
      )
    })
  })

export const defaults: EgressOptions = {
  resolve: systemResolve,
  maxBytes: 1_048_576,
  totalMs: 20_000,
  idleMs: 10_000,
  maxRedirects: 5
}

const textLike =
  /^(?:text\/[\w.+-]+|application\/(?:json|xml|javascript|ecmascript|yaml|x-yaml|toml|x-ndjson|ld\+json|x-www-form-urlencoded|[\w.-]+\+(?:json|xml|yaml))|image\/svg\+xml)$/

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** URL as it may stand in a message: bounded, and without query, which may carry a key. */
const named = (url: string): string => {
  if (!URL.canParse(url)) return "what was given"
  const plain = new URL(url).origin + new URL(url).pathname
  return plain.length > 200 ? `${plain.slice(0, 200)}…` : plain
}

const decoders: Record<string, () => NodeJS.ReadWriteStream & Readable> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  identity: () => new PassThrough()
}

interface Hop {
  readonly status: number
  readonly location: string | undefined
  readonly contentType: string
  readonly body: Uint8Array
  readonly truncated: boolean
}

const decodeBody = (bytes: Uint8Array, contentType: string): string => {
  const label = /charset\s*=\s*"?([\w.:-]{1,40})/i.exec(contentType)?.[1] ?? "utf-8"
  try {
    return new TextDecoder(label).decode(bytes)
  } catch {
    // An unknown label: UTF-8 shows what can be shown.
    return new TextDecoder("utf-8").decode(bytes)
  }
}

/** One request to one checked address. Never follows, never retries. */
const hop = (
  target: Target,
  address: string,
  method: "GET" | "HEAD",
  options: EgressOptions
): Effect.Effect<Hop, EgressFailed | EgressRefused> =>
  Effect.async((resume) => {
    const where = named(target.url.href)
    let done = false
    const finish = (effect: Effect.Effect<Hop, EgressFailed | EgressRefused>): void => {
      if (done) return
      done = true
      request.destroy()
      resume(effect)
    }
    const failed = (reason: string) => finish(Effect.fail(new EgressFailed({ url: where, reason })))
    const common: Https.RequestOptions = {
      method,
      // The address that was checked, not the name: nothing resolves again.
      host: address,
      port: target.port,
      path: `${target.url.pathname}${target.url.search}`,
      headers: {
        host: `${isIP(target.host) === 6 ? `[${target.host}]` : target.host}${target.url.port === "" ? "" : `:${target.port}`}`,
        accept: "text/*, application/json, application/xml;q=0.9, */*;q=0.1",
        "accept-encoding": "gzip, br",
        "user-agent": "Ai_DESK http_fetch"
      },
      maxHeaderSize: 16_384,
      timeout: options.idleMs
    }
    const onResponse = (response: Http.IncomingMessage): void => {
      const status = response.statusCode ?? 0
      const location = response.headers.location
      const contentType = response.headers["content-type"] ?? "text/plain"
      const answer = (body: Uint8Array, truncated: boolean) =>
        finish(Effect.succeed({ status, location, contentType, body, truncated }))
      if (method === "HEAD" || (redirects.has(status) && location !== undefined)) return answer(new Uint8Array(), false)
      const kind = (contentType.split(";")[0] ?? "").trim().toLowerCase()
      if (!textLike.test(kind)) {
        return finish(
          Effect.fail(new EgressRefused({ url: where, reason: `its content type ${kind.slice(0, 80)} is not text` }))
        )
      }
      const coding = (response.headers["content-encoding"] ?? "identity").trim().toLowerCase()
      const decoder = Object.hasOwn(decoders, coding) ? decoders[coding] : undefined
      if (decoder === undefined) return failed(`its content encoding ${coding.slice(0, 40)} is not supported`)
      const chunks: Array<Uint8Array> = []
      let size = 0
      const decoded = decoder()
      decoded.on("data", (chunk: Buffer) => {
        if (done) return
        chunks.push(chunk.subarray(0, options.maxBytes - size))
        size += chunk.length
        if (size > options.maxBytes) answer(Buffer.concat(chunks), true)
      })
      decoded.on("end", () =>
        response.complete ? answer(Buffer.concat(chunks), false) : failed("the answer broke off")
      )
      decoded.on("error", () => failed(`its content is not valid ${coding}`))
      response.on("error", () => failed("the answer broke off"))
      response.on("aborted", () => failed("the answer broke off"))
      response.pipe(decoded)
    }
    // An agent of its own: nothing shared, nothing kept open, no proxy of the environment.
    const request = target.secure
      ? Https.request(
          {
            ...common,
            agent: new Https.Agent({ keepAlive: false }),
            rejectUnauthorized: true,
            ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
            ...(options.ca === undefined ? {} : { ca: options.ca })
          },
          onResponse
        )
      : Http.request({ ...common, agent: new Http.Agent({ keepAlive: false }) }, onResponse)
    request.on("timeout", () => failed(`nothing was heard for ${options.idleMs} ms`))
    request.on("error", (error: NodeJS.ErrnoException) => failed(error.code ?? "the connection failed"))
    request.end()
    return Effect.sync(() => {
      done = true
      request.destroy()
    })
  })

/** The address to connect to, all addresses of the name having been checked. */
const checkedAddress = (
  target: Target,
  allow: ReadonlyArray<string>,
  options: EgressOptions
): Effect.Effect<string, EgressRefused | EgressFailed> =>
  Effect.gen(function* () {
    const url = named(target.url.href)
    const addresses =
      isIP(target.host) === 0
        ? yield* Effect.mapError(
            options.resolve(target.host),
            (code) => new EgressFailed({ url, reason: `the host name cannot be resolved (${code})` })
          )
        : [target.host]
    const [first] = addresses
    if (first === undefined) return yield* new EgressFailed({ url, reason: "the host name has no address" })
    // One bad address among good ones is how a name is rebound.
    const bad = addresses.find((address) => !isPublic(address) && !isNamed(address, target.port, allow))
    if (bad !== undefined) {
      return yield* new EgressRefused({
        url,
        reason: `it leads to ${bad}, which is not a public address; if that is meant, add ${isIP(bad) === 6 ? `[${bad}]` : bad}:${target.port} to tools.egress`
      })
    }
    return first
  })

export const make = (options: EgressOptions): typeof Egress.Service => ({
  fetch: Effect.fn("Egress.fetch")(function* ({ allow, method, url }) {
    const started = yield* Clock.currentTimeMillis
    const walk = (
      text: string,
      hops: number,
      from: Target | null
    ): Effect.Effect<EgressAnswer, EgressRefused | EgressFailed> =>
      Effect.gen(function* () {
        const shown = named(text)
        const target = targetOf(text)
        if (typeof target === "string") return yield* new EgressRefused({ url: shown, reason: target })
        if (!isAllowed(target, allow)) {
          return yield* new EgressRefused({
            url: shown,
            reason:
              allow.length === 0
                ? "this agent may reach no host (tools.egress is empty)"
                : `${target.host}:${target.port} over ${target.secure ? "https" : "http"} is not in the agent's tools.egress`
          })
        }
        if (from?.secure === true && !target.secure) {
          return yield* new EgressRefused({ url: shown, reason: "a redirect from https to plain http" })
        }
        const address = yield* checkedAddress(target, allow, options)
        const answer = yield* hop(target, address, method, options)
        if (redirects.has(answer.status) && answer.location !== undefined) {
          if (hops >= options.maxRedirects) {
            return yield* new EgressRefused({ url: shown, reason: `more than ${options.maxRedirects} redirects` })
          }
          const next = URL.canParse(answer.location, target.url.href)
            ? new URL(answer.location, target.url).href
            : answer.location
          return yield* walk(next, hops + 1, target)
        }
        return {
          url: target.url.href,
          status: answer.status,
          contentType: answer.contentType,
          body: decodeBody(answer.body, answer.contentType),
          truncated: answer.truncated,
          durationMs: (yield* Clock.currentTimeMillis) - started
        }
      })
    return yield* Effect.timeoutFail(walk(url, 0, null), {
      duration: Duration.millis(options.totalMs),
      onTimeout: () => new EgressFailed({ url: named(url), reason: `it took longer than ${options.totalMs} ms` })
    })
  })
})

export const layerWith = (options: Partial<EgressOptions>): Layer.Layer<Egress> =>
  Layer.succeed(Egress, make({ ...defaults, ...options }))

export const layer: Layer.Layer<Egress> = layerWith({})
