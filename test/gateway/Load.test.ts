/**
 * Many at once against the whole gateway on a real port: 200 chats over WebSockets and Server-Sent
 * Events, whose model says numbered words. Each client gets exactly its own words, each once and in
 * order; also one whose connection is cut in the middle and who comes back with the last event it saw.
 */
import * as Sse from "@effect/experimental/Sse"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { RunEventJson } from "../../src/contract/runs.ts"
import { AssistantMessage, TextPart, textOf } from "../../src/domain/Message.ts"
import { Completed, TextDelta } from "../../src/domain/Model.ts"
import type { RunEvent } from "../../src/domain/RunEvent.ts"
import { Providers } from "../../src/model/Provider.ts"
import * as Chat from "../support/chat.ts"
import * as Path from "../support/path.ts"
import { usageOf } from "../support/scripted-provider.ts"
import * as Served from "../support/served.ts"

const clients = 200
const words = 40
/** Said before the pause, in which all chats are under way and some connections are cut. */
const early = 20
/** Every third client loses its connection once. */
const isCut = (n: number) => n % 3 === 0
const cuts = Array.from({ length: clients }, (_, n) => n).filter(isCut).length

const wordsOf = (name: string) => Array.from({ length: words }, (_, i) => `${name}.${i} `)

/** Says each client its own words, and pauses in the middle until all are there and the connections are cut. */
const crowd = Effect.gen(function* () {
  const resumed = yield* Deferred.make<void>()
  const seen = { paused: 0, cut: 0 }
  const goOn = Effect.suspend(() =>
    seen.paused === clients && seen.cut === cuts ? Effect.asVoid(Deferred.succeed(resumed, undefined)) : Effect.void
  )
  const providers = Layer.succeed(
    Providers,
    Providers.of({
      available: Effect.succeed(["rehearsal"]),
      get: () =>
        Effect.succeed({
          name: "rehearsal",
          stream: (request) => {
            const last = request.value.messages.at(-1)
            const said = wordsOf(/client-\d+/.exec(last?._tag === "User" ? textOf(last) : "")?.[0] ?? "nobody")
            const pause = Effect.suspend(() => {
              seen.paused += 1
              return Effect.zipRight(goOn, Deferred.await(resumed))
            })
            return Stream.fromIterable(said).pipe(
              Stream.rechunk(1),
              Stream.zipWithIndex,
              Stream.tap(([, i]) => (i === early ? pause : Effect.yieldNow())),
              Stream.map(([text]) => new TextDelta({ text })),
              Stream.concat(
                Stream.make(
                  new Completed({
                    message: new AssistantMessage({ content: [new TextPart({ text: said.join("") })] }),
                    finish: "stop",
                    usage: usageOf(10, words)
                  })
                )
              )
            )
          }
        })
    })
  )
  const lost = Effect.suspend(() => {
    seen.cut += 1
    return goOn
  })
  return { providers, lost }
})

const answerOf = (events: ReadonlyArray<RunEvent>) =>
  events.map((event) => (event._tag === "AnswerDelta" ? event.text : "")).join("")
const isOver = (events: ReadonlyArray<RunEvent>) => events.some(({ _tag }) => _tag === "RunEnded")

interface Gateway {
  readonly url: string
  readonly token: string
  readonly lost: Effect.Effect<void>
}

/** All events that one client of the WebSocket was shown, over one connection or two. */
const overWebSocket = ({ lost, token, url }: Gateway, n: number) =>
  Effect.gen(function* () {
    const ws = `${url.replace("http", "ws")}/dashboard/api/chat`
    const shown = (client: Chat.Client) => Chat.events(client.frames).map(({ event }) => event)
    const first = yield* Chat.connect(ws, token)
    first.send({ _tag: "Send", key: `message-${n}`, message: `I am client-${n}` })
    const { session } = yield* first.next("Accepted")
    if (!isCut(n)) {
      yield* first.until(() => isOver(shown(first)))
      return shown(first)
    }
    yield* first.until(() => answerOf(shown(first)).includes(`.${early - 5} `))
    yield* first.close
    yield* first.closed
    yield* lost
    const second = yield* Chat.connect(ws, token)
    second.send({ _tag: "Watch", session, after: Chat.events(first.frames).at(-1)?.id })
    yield* second.until(() => isOver(shown(second)))
    return [...shown(first), ...shown(second)]
  })

const decode = Schema.decodeUnknownSync(RunEventJson)
const framesOf = (text: string) => {
  const frames: Array<Sse.Event> = []
  Sse.makeParser((event) => {
    if (event._tag === "Event") frames.push(event)
  }).feed(text)
  return frames
}
const eventsOf = (frames: ReadonlyArray<Sse.Event>) =>
  frames.map(({ data, event }) => {
    assert.strictEqual(event, "run", data)
    return decode(data)
  })

/** The same of a client of the event stream. */
const overHttp = ({ lost, token, url }: Gateway, n: number) =>
  Effect.gen(function* () {
    const headers = { authorization: `Bearer ${token}` }
    let text = ""
    const half = yield* Deferred.make<void>()
    const begun = yield* Effect.fork(
      Served.ask(url, "/dashboard/api/runs", {
        method: "POST",
        headers,
        body: JSON.stringify({ detached: true, key: `message-${n}`, message: `I am client-${n}` }),
        onText: (sofar) => {
          text = sofar
          if (isCut(n) && sofar.includes(`.${early - 5} `)) Deferred.unsafeDone(half, Effect.void)
        }
      })
    )
    if (!isCut(n)) {
      const answer = yield* Fiber.join(begun)
      assert.strictEqual(answer.status, 200, answer.text)
      return eventsOf(framesOf(answer.text))
    }
    yield* Deferred.await(half)
    yield* Fiber.interrupt(begun)
    yield* lost
    const before = framesOf(text)
    const first = decode(before[0]?.data)
    const run = first._tag === "RunStarted" ? first.run : "none"
    const rest = yield* Served.ask(url, `/dashboard/api/runs/${run}/events`, {
      headers: { ...headers, "last-event-id": before.at(-1)?.id ?? "" }
    })
    assert.strictEqual(rest.status, 200, rest.text)
    return eventsOf([...before, ...framesOf(rest.text)])
  })

describe("200 chats at once", () => {
  it.scopedLive(
    "lose no word, repeat none and mix none up, over connections that hold and ones that are cut",
    () =>
      Effect.gen(function* () {
        const place = yield* Path.place({
          // Each reserves what its answer may cost at most, all at the same time.
          defaults: { budget: { daily: { tokens: 1_000_000_000 } } },
          sections: {
            gateway: { rateLimit: { maxPerSecond: 10_000, maxConnections: 2 * clients } },
            cache: { enabled: false }
          }
        })
        const { lost, providers } = yield* crowd
        const { announcement } = yield* Served.serve(place, 0, { providers })
        const made = yield* Served.ask({ socket: announcement.socket }, "/dashboard/api/tokens", {
          method: "POST",
          body: JSON.stringify({ label: "load", scopes: ["owner"] })
        })
        const { token } = Schema.decodeUnknownSync(Schema.parseJson(Schema.Struct({ token: Schema.String })))(made.text)
        const gateway: Gateway = { url: announcement.url, token, lost }
        const all = yield* Effect.forEach(
          Array.from({ length: clients }, (_, n) => n),
          (n) => (n % 2 === 0 ? overWebSocket : overHttp)(gateway, n),
          { concurrency: "unbounded" }
        )
        for (const [n, events] of all.entries()) {
          assert.strictEqual(answerOf(events), wordsOf(`client-${n}`).join(""))
          assert.deepStrictEqual(
            events.flatMap((event) => (event._tag === "RunEnded" ? [event.end] : [])),
            ["answered"]
          )
        }
      }),
    60_000
  )
})
