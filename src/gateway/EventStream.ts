/**
 * EventStream: the gateway's events for many listeners over HTTP.
 *
 * Guarantees: an event is encoded once, whoever listens; a listener is a place in the sequence, with
 * no copy and no fiber of its own beside its answer's; who comes back with the id of the last event it
 * saw gets every one after it once, or is told to look anew; one that does not read is told and ended,
 * or cut off, and slows nobody down; when the gateway stops, every listener is told and ended.
 */
import { Chunk, Clock, Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { GatewayEventJson } from "../contract/events.ts"
import { GatewayDraining, type GatewayEvent } from "../domain/GatewayEvent.ts"
import { randomBytes } from "../kernel/Crypto.ts"
import { Events } from "../kernel/Events.ts"
import { redactRegistered } from "../kernel/Redaction.ts"
import { Drain } from "./Drain.ts"

export interface Listener {
  /** Id of the last event that was seen. */
  readonly after?: string | undefined
  /** Ends the connection of a listener that does not even read why. */
  readonly cut: () => void
}

export class EventStream extends Context.Tag("ai-desk/gateway/EventStream")<
  EventStream,
  {
    /** Frames of Server-Sent Events, for as long as they are read. */
    readonly frames: (listener: Listener) => Stream.Stream<Uint8Array>
    /** Listeners at this moment. */
    readonly listeners: Effect.Effect<number>
  }
>() {}

/** Events that a listener may be behind, and that one who comes back may have missed. */
const maxEvents = 1000
/** Bytes of those. */
const maxBytes = 1024 * 1024
/** Proxies close what is silent for a minute; ms. */
const heartbeatMs = 15_000
/** Milliseconds after which a browser whose connection broke tries again. */
const retryMs = 2000

const utf8 = new TextEncoder()
const encodeEvent = Schema.encodeSync(GatewayEventJson)
const comment = utf8.encode(": still here\n\n")
const retry = utf8.encode(`retry: ${retryMs}\n\n`)
const dropped = utf8.encode("event: dropped\ndata: {}\n\n")

interface Place {
  next: number
  beat: number
  readonly cut: () => void
  /** Heartbeats since it fell so far behind that events are gone. */
  lost: number
}

const make = Effect.gen(function* () {
  const events = yield* Events
  const drain = yield* Drain
  const epoch = `${(yield* Clock.currentTimeMillis).toString(36)}${Buffer.from(randomBytes(4)).toString("hex")}`
  let ring: Array<Uint8Array> = []
  /** Number of `ring[0]`; numbers count from 1. */
  let first = 1
  let bytes = 0
  let beat = 0
  let over = false
  const places = new Set<Place>()
  let waiting: Array<() => void> = []

  const end = () => first + ring.length
  const idAt = (n: number) => `${epoch}.${n}`

  const wakeAll = () => {
    const woken = waiting
    waiting = []
    for (const wake of woken) wake()
  }

  const push = (event: GatewayEvent) => {
    // Through the text: what a tool shows of itself may hold what a model repeated.
    const data = redactRegistered(encodeEvent(event))
    const frame = utf8.encode(`id: ${idAt(end())}\nevent: ${event._tag}\ndata: ${String(data)}\n\n`)
    ring.push(frame)
    bytes += frame.length
    let gone = 0
    while (ring.length - gone > maxEvents || (bytes > maxBytes && ring.length - gone > 1)) {
      bytes -= ring[gone]?.length ?? 0
      gone += 1
    }
    if (gone > 0) {
      ring = ring.slice(gone)
      first += gone
    }
    wakeAll()
  }

  /** Where to go on; null when that is not known any more. */
  const placeAfter = (id: string): number | null => {
    const [of, n = ""] = id.split(".")
    const next = Number(n) + 1
    return of === epoch && /^\d{1,15}$/.test(n) && next >= first && next <= end() ? next : null
  }

  const listening = yield* events.listen
  yield* Effect.forkScoped(Stream.runForEach(listening, (event) => Effect.sync(() => push(event))))
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.zipRight(
        Effect.sleep(heartbeatMs),
        Effect.sync(() => {
          beat += 1
          for (const place of places) {
            place.lost = place.next < first ? place.lost + 1 : 0
            if (place.lost >= 2) place.cut()
          }
          wakeAll()
        })
      )
    )
  )
  const finish = () => {
    if (over) return
    over = true
    push(new GatewayDraining())
  }
  yield* Effect.forkScoped(Effect.zipRight(drain.begun, Effect.sync(finish)))
  yield* Effect.addFinalizer(() => Effect.sync(finish))

  const awaitMore = Effect.async<void>((resume) => {
    waiting.push(() => resume(Effect.void))
  })

  const pull = (place: Place): Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<never>> =>
    Effect.suspend(() => {
      if (place.next < first) {
        if (place.lost === Number.POSITIVE_INFINITY) return Effect.fail(Option.none())
        place.lost = Number.POSITIVE_INFINITY
        return Effect.succeed(Chunk.of(dropped))
      }
      if (place.next < end()) {
        const frames = ring.slice(place.next - first)
        place.next = end()
        place.beat = beat
        return Effect.succeed(Chunk.unsafeFromArray(frames))
      }
      if (over) return Effect.fail(Option.none())
      if (place.beat !== beat) {
        place.beat = beat
        return Effect.succeed(Chunk.of(comment))
      }
      return Effect.zipRight(awaitMore, pull(place))
    })

  return EventStream.of({
    frames: ({ after, cut }) =>
      Stream.unwrapScoped(
        Effect.gen(function* () {
          const known = after === undefined ? end() : placeAfter(after)
          const place: Place = { next: known ?? end(), beat, cut, lost: 0 }
          yield* Effect.acquireRelease(
            Effect.sync(() => places.add(place)),
            () => Effect.sync(() => places.delete(place))
          )
          const reset = utf8.encode(`id: ${idAt(place.next - 1)}\nevent: reset\ndata: {}\n\n`)
          const begin = known === null ? [retry, reset] : [retry]
          return Stream.concat(Stream.fromIterable(begin), Stream.repeatEffectChunkOption(pull(place)))
        })
      ),
    listeners: Effect.sync(() => places.size)
  })
})

export const layer = Layer.scoped(EventStream, make)
