/**
 * FakeServer: what the fake providers have in common. A real HTTP server on 127.0.0.1 that answers
 * each request with the next reply of a script, in the vendor's own protocol.
 *
 * Guarantees: a request that the real vendor would refuse is refused here too, with the vendor's
 * error body, and does not use up a reply; when the script has run out the answer is an error, never
 * a made-up success; every request is recorded with what became of its connection.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Deferred, Effect, FiberSet, Option, Schema, type Scope } from "effect"

const CallReply = Schema.Struct({
  name: Schema.String,
  arguments: Schema.Unknown,
  id: Schema.optional(Schema.String)
})

/** In the vendor-neutral terms of `Usage`. A word stands for nonsense of that kind. */
const BillReply = Schema.Union(
  Schema.Struct({
    input: Schema.Number,
    output: Schema.Number,
    cacheRead: Schema.optional(Schema.Number),
    cacheWrite: Schema.optional(Schema.Number)
  }),
  Schema.Literal("missing", "negative", "huge", "fraction", "text")
)

const millis = Schema.optional(Schema.Number)

export const AnswerReply = Schema.Struct({
  kind: Schema.Literal("answer"),
  text: Schema.optional(Schema.String),
  calls: Schema.optional(Schema.Array(CallReply)),
  bill: Schema.optional(BillReply),
  finish: Schema.optional(Schema.Literal("stop", "tool_calls", "max_tokens", "refused")),
  /** Characters per delta; 12 if not given. */
  deltaChars: Schema.optional(Schema.Number),
  /** Wait before the response begins. */
  firstByteMs: millis,
  /** Wait before each frame but the first. */
  gapMs: millis,
  /** Where the answer breaks off. `start`: headers only; `text`: inside a text frame; `call`: inside a tool call; `end`: all content, no end. */
  cut: Schema.optional(Schema.Literal("start", "text", "call", "end")),
  /** How: by default the connection is destroyed; `clean` ends the response as if it were whole. */
  cutBy: Schema.optional(Schema.Literal("reset", "clean")),
  /** Send only the first half of the last call's arguments, yet end in good order. */
  halfCall: Schema.optional(Schema.Boolean),
  /** Send an error of this kind inside the stream after the first delta. */
  failsWith: Schema.optional(Schema.Literal("overloaded", "rate_limit", "internal"))
})
export type AnswerReply = typeof AnswerReply.Type

export const FailureReply = Schema.Struct({
  kind: Schema.Literal("failure"),
  reason: Schema.Literal(
    "auth",
    "forbidden",
    "no_credit",
    "no_model",
    "rate_limit",
    "overloaded",
    "internal",
    "timeout",
    "bad_request",
    "context_too_long",
    "content_refused",
    "too_large"
  ),
  /** Instead of the vendor's usual one. */
  status: Schema.optional(Schema.Number),
  retryAfter: Schema.optional(
    Schema.Union(
      Schema.Struct({ seconds: Schema.Number }),
      Schema.Struct({ ms: Schema.Number }),
      Schema.Struct({ date: Schema.String }),
      /** In the error body, where only Google puts it. */
      Schema.Struct({ bodySeconds: Schema.Number })
    )
  ),
  /** Text that the provider repeats in its message, as real ones do with prompts and keys. */
  echo: Schema.optional(Schema.String),
  firstByteMs: millis
})
export type FailureReply = typeof FailureReply.Type

export const Reply = Schema.Union(
  AnswerReply,
  FailureReply,
  Schema.Struct({
    kind: Schema.Literal("raw"),
    status: Schema.optional(Schema.Number),
    headers: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String })),
    body: Schema.String
  }),
  /** Takes the request and never answers. */
  Schema.Struct({ kind: Schema.Literal("hang") }),
  /** Destroys the connection without a word. */
  Schema.Struct({ kind: Schema.Literal("reset") })
)
export type Reply = typeof Reply.Type

export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

export interface Recorded extends Received {
  /** Refused by the vendor's own rules, with these words. */
  readonly refused: string | null
  /** True once the client has closed the connection before the reply was over. */
  aborted: boolean
}

/** One event of an answer on the wire. */
export interface Frame {
  readonly part: "start" | "text" | "call" | "end"
  readonly text: string
}

export interface ErrorBody {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface Vendor {
  readonly name: string
  /** Appended to the server's origin to make the base URL that a client is given. */
  readonly basePath: string
  readonly frames: (answer: AnswerReply, request: Received) => ReadonlyArray<Frame>
  readonly failure: (failure: FailureReply) => ErrorBody
  /** Null when the real vendor would take the request. */
  readonly refuse: (request: Received, key: string | null) => ErrorBody | null
}

export interface Fake {
  readonly vendor: string
  readonly port: number
  readonly baseUrl: string
  /** Adds replies, used in order, one per accepted request. */
  readonly script: (replies: ReadonlyArray<Reply>) => void
  /** Answers whatever the script does not. */
  readonly always: (reply: Reply | ((request: Received) => Reply)) => void
  /** Live: grows as requests come. */
  readonly requests: ReadonlyArray<Recorded>
  /** Waits until the client has given up on a reply, however many it has given up on before this call. */
  readonly nextAbort: Effect.Effect<void>
}

export interface FakeOptions {
  /** The key that is accepted. Null: none is asked for. */
  readonly key?: string | null
  readonly port?: number
}

const json = Schema.encodeSync(Schema.parseJson(Schema.Unknown))
const decodeJson = Schema.decodeUnknownOption(Schema.parseJson(Schema.Unknown))
const decodeScript = Schema.decodeUnknown(Schema.parseJson(Schema.Array(Reply)))
const decodeReply = Schema.decodeUnknown(Schema.parseJson(Reply))

const readBody = (request: IncomingMessage): Effect.Effect<string> =>
  Effect.async((resume) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => resume(Effect.succeed(Buffer.concat(chunks).toString("utf8"))))
  })

const retryHeaders = (failure: FailureReply): Record<string, string> => {
  const after = failure.retryAfter
  if (after === undefined || "bodySeconds" in after) return {}
  if ("seconds" in after) return { "retry-after": String(after.seconds) }
  return "ms" in after ? { "retry-after-ms": String(after.ms) } : { "retry-after": after.date }
}

const sendJson = (response: ServerResponse, { status, body, headers }: ErrorBody) => {
  response.writeHead(status, { "content-type": "application/json", ...headers })
  response.end(json(body))
}

/** Frames up to where the answer breaks off, and the piece of the frame in which it does. */
const cutOff = (frames: ReadonlyArray<Frame>, cut: AnswerReply["cut"]): ReadonlyArray<string> => {
  if (cut === undefined) return frames.map((f) => f.text)
  if (cut === "start") return []
  if (cut === "end") return frames.filter((f) => f.part !== "end").map((f) => f.text)
  const parts = frames.map((f) => f.part)
  const last = parts.lastIndexOf(cut)
  if (last === -1) throw new RangeError(`the answer has no ${cut} to cut`)
  const at = frames[last]?.text ?? ""
  return [...frames.slice(0, last).map((f) => f.text), at.slice(0, Math.floor(at.length / 2))]
}

const write = (response: ServerResponse, text: string): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (response.destroyed) resume(Effect.void)
    else response.write(text, () => resume(Effect.void))
  })

const answer = (vendor: Vendor, reply: AnswerReply, request: Received, response: ServerResponse) =>
  Effect.gen(function* () {
    yield* Effect.sleep(reply.firstByteMs ?? 0)
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" })
    response.flushHeaders()
    let first = true
    for (const text of cutOff(vendor.frames(reply, request), reply.cut)) {
      if (!first) yield* Effect.sleep(reply.gapMs ?? 0)
      first = false
      yield* write(response, text)
      if (response.destroyed) return
    }
    if (reply.cut === undefined || reply.cutBy === "clean") response.end()
    else {
      // A moment for what was written to arrive: a reset overtakes it otherwise.
      yield* Effect.sleep(20)
      response.destroy()
    }
  })

const give = (vendor: Vendor, reply: Reply, request: Received, response: ServerResponse): Effect.Effect<void> => {
  switch (reply.kind) {
    case "answer":
      return answer(vendor, reply, request, response)
    case "failure":
      return Effect.gen(function* () {
        yield* Effect.sleep(reply.firstByteMs ?? 0)
        const { status, body, headers } = vendor.failure(reply)
        sendJson(response, { status: reply.status ?? status, body, headers: { ...headers, ...retryHeaders(reply) } })
      })
    case "raw":
      return Effect.sync(() => {
        response.writeHead(reply.status ?? 200, { "content-type": "text/event-stream", ...reply.headers })
        response.end(reply.body)
      })
    case "hang":
      return Effect.never
    case "reset":
      return Effect.sync(() => response.destroy())
  }
}

export const makeFake = (vendor: Vendor, options: FakeOptions = {}): Effect.Effect<Fake, never, Scope.Scope> =>
  Effect.gen(function* () {
    const key = options.key === undefined ? fakeKey : options.key
    const replies: Array<Reply> = []
    let fallback: ((request: Received) => Reply) | null = null
    const requests: Array<Recorded> = []
    let waiting: Array<Deferred.Deferred<void>> = []
    const fork = yield* FiberSet.makeRuntime<never>()

    const control = (path: string, body: string, response: ServerResponse) =>
      Effect.gen(function* () {
        if (path === "/__script") replies.push(...(yield* decodeScript(body)))
        else if (path === "/__always") {
          const reply = yield* decodeReply(body)
          fallback = () => reply
        }
        sendJson(response, { status: 200, body: path === "/__requests" ? requests : { waiting: replies.length } })
      }).pipe(
        Effect.catchAll((error) =>
          Effect.sync(() => sendJson(response, { status: 400, body: { error: error.message } }))
        )
      )

    const handle = (incoming: IncomingMessage, response: ServerResponse) =>
      Effect.gen(function* () {
        const text = yield* readBody(incoming)
        const path = incoming.url ?? "/"
        if (path.startsWith("/__")) return yield* control(path, text, response)
        const received: Received = {
          method: incoming.method ?? "",
          path,
          headers: Object.fromEntries(
            Object.entries(incoming.headers).map(([name, value]) => [
              name,
              Array.isArray(value) ? value.join(", ") : (value ?? "")
            ])
          ),
          body: Option.getOrElse(decodeJson(text), () => text)
        }
        const refused = vendor.refuse(received, key)
        const record: Recorded = { ...received, refused: refused === null ? null : json(refused.body), aborted: false }
        requests.push(record)
        if (refused !== null) return sendJson(response, refused)
        let destroyedByUs = false
        const closed = Effect.async<void>((resume) => {
          response.once("close", () => {
            if (!response.writableFinished && !destroyedByUs) {
              record.aborted = true
              const before = waiting
              waiting = []
              for (const deferred of before) Deferred.unsafeDone(deferred, Effect.void)
            }
            resume(Effect.void)
          })
        })
        const reply = replies.shift() ??
          fallback?.(received) ?? { kind: "failure", reason: "bad_request", echo: "the script has run out" }
        const giving = give(vendor, reply, received, response).pipe(
          Effect.tap(() =>
            Effect.sync(() => {
              destroyedByUs = true
            })
          )
        )
        yield* Effect.raceFirst(giving, closed)
      })

    const server = createServer((incoming, response) => {
      fork(handle(incoming, response))
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(options.port ?? 0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    const address = server.address() as AddressInfo
    return {
      vendor: vendor.name,
      port: address.port,
      baseUrl: `http://127.0.0.1:${address.port}${vendor.basePath}`,
      script: (more) => void replies.push(...more),
      always: (reply) => {
        fallback = typeof reply === "function" ? reply : () => reply
      },
      requests,
      nextAbort: Effect.gen(function* () {
        if (requests.some((r) => r.aborted)) return
        const deferred = yield* Deferred.make<void>()
        waiting.push(deferred)
        yield* Deferred.await(deferred)
      })
    }
  })

/** The key that every fake accepts unless told otherwise. */
export const fakeKey = "sk-fake-4f1c9b7720ad"

/** Text in deltas. */
export const pieces = (text: string, size = 12): ReadonlyArray<string> =>
  Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size))

/** Arguments as JSON text, or the first half of it. */
export const argumentText = (reply: AnswerReply, index: number): string => {
  const text = json(reply.calls?.[index]?.arguments ?? {})
  return reply.halfCall === true && index === (reply.calls?.length ?? 0) - 1
    ? text.slice(0, Math.ceil(text.length / 2))
    : text
}

/** Counts as each vendor is to report them; `null`: none at all. Numbers that make no sense where the reply asks for it. */
export const billOf = (
  reply: AnswerReply
): {
  readonly input: unknown
  readonly output: unknown
  readonly cacheRead: number
  readonly cacheWrite: number
} | null => {
  const none = { cacheRead: 0, cacheWrite: 0 }
  const bill = reply.bill ?? { input: 10, output: 5 }
  switch (bill) {
    case "missing":
      return null
    case "negative":
      return { input: -5, output: 5, ...none }
    case "huge":
      return { input: 10, output: 9e15, ...none }
    case "fraction":
      return { input: 10.5, output: 5, ...none }
    case "text":
      return { input: 10, output: "NaN", ...none }
    default:
      return {
        input: bill.input,
        output: bill.output,
        cacheRead: bill.cacheRead ?? 0,
        cacheWrite: bill.cacheWrite ?? 0
      }
  }
}

export const event = (name: string, data: unknown): string => `event: ${name}\ndata: ${json(data)}\n\n`
export const data = (value: unknown): string => `data: ${json(value)}\n\n`
