/**
 * Answers the runs group: a run as Server-Sent Events. The stream ends with the run; a client that
 * goes away stops it, unless it is detached. A failure is a frame of its own, so that it arrives typed
 * also after the start.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Chunk, Effect, Option, Queue, Schema, Stream } from "effect"
import { AgentRuntime, type RunError, type RunRequest } from "../../agent/AgentRuntime.ts"
import { Forbidden } from "../../contract/access.ts"
import { type RunFailure, type RunNotFound, RunsApi, SessionSnapshotJson } from "../../contract/runs.ts"
import { Caller, type CallerInfo, may } from "../../domain/Caller.ts"
import type { RunId, SessionId } from "../../domain/Ids.ts"
import { MessageStored, type RunEvent } from "../../domain/RunEvent.ts"
import type { NothingToResume } from "../../domain/Session.ts"
import { Approvals } from "../../tools/Approvals.ts"
import { LiveRuns, type Started } from "../LiveRuns.ts"
import { cleaner } from "../live/Clean.ts"
import { encodeFailure, failureOf } from "../RunFailures.ts"

const encodeSnapshot = Schema.encodeSync(SessionSnapshotJson)

interface Frame {
  readonly id: string | null
  readonly event: "run" | "failed" | "snapshot"
  readonly data: string
}

/** JSON has no raw line breaks, so one data line holds a whole frame. */
const frameText = ({ data, event, id }: Frame): string =>
  `${id === null ? "" : `id: ${id}\n`}event: ${event}\ndata: ${data}\n\n`

const encoder = new TextEncoder()
const comment = encoder.encode(": still here\n\n")

const respond = (frames: Stream.Stream<Uint8Array>) =>
  HttpServerResponse.stream(frames, { contentType: "text/event-stream", headers: { "cache-control": "no-store" } })

const failedFrame = (failure: RunFailure): Frame => ({ id: null, event: "failed", data: encodeFailure(failure) })

/** Ids count from 1. */
const attachedFrames = (events: Stream.Stream<RunEvent, RunError | NothingToResume>) =>
  Stream.suspend(() => {
    const clean = cleaner()
    return Stream.mapConcat(events, (event) => clean(event).map((data): Frame => ({ id: null, event: "run", data })))
  }).pipe(
    Stream.catchAllCause((cause) => Stream.unwrap(Effect.map(failureOf(cause), (f) => Stream.succeed(failedFrame(f))))),
    Stream.zipWithIndex,
    Stream.map(([frame, index]) => encoder.encode(frameText({ ...frame, id: String(index + 1) })))
  )

/** Events of one read, so that a fast run does not hold up others. */
const atOnce = 256
/** Proxies close what is silent for a minute; ms. */
const heartbeatMs = 15_000

export const layer = HttpApiBuilder.group(RunsApi, "runs", (handlers) =>
  Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const approvals = yield* Approvals
    const live = yield* LiveRuns
    /** The client counts as somebody who can answer for exactly as long as it reads. */
    const attended = <A, E>(approver: boolean, events: Stream.Stream<A, E>) =>
      approver ? Stream.unwrapScoped(Effect.as(approvals.attach, events)) : events
    const onlyOwner = (caller: CallerInfo, approver: boolean) =>
      approver && !may(caller)
        ? new Forbidden({ detail: "only the owner answers approvals: leave approver out" })
        : Effect.void

    /** The events of one run from a place on, to its end. */
    const follow = (caller: CallerInfo, session: SessionId, run: RunId, after: string | undefined) =>
      Effect.gen(function* () {
        const bell = yield* Queue.sliding<void>(1)
        const { snapshot, take } = yield* live.watch({
          session,
          caller,
          after,
          wake: () => bell.unsafeOffer(undefined)
        })
        const first: ReadonlyArray<Frame> =
          snapshot === null ? [] : [{ id: snapshot.id, event: "snapshot", data: encodeSnapshot(snapshot) }]
        const { isLive } = yield* live.find(run, caller)
        const isOver = snapshot !== null && snapshot.live?.run !== run
        const next = Effect.gen(function* () {
          const entries = take(atOnce)
          if (entries === null) return yield* Effect.fail(Option.none())
          if (entries.length === 0) {
            // Watched from after its end on, it has nothing more to say.
            if (!isLive()) return yield* Effect.fail(Option.none())
            const rung = yield* Effect.timeoutOption(Queue.take(bell), heartbeatMs)
            return { frames: Option.isNone(rung) ? [comment] : [], isLast: false }
          }
          const frames = entries.flatMap((entry) =>
            entry.run === run
              ? [encoder.encode(frameText({ id: live.idOf(entry), event: entry.kind, data: entry.json }))]
              : []
          )
          return { frames, isLast: entries.some((entry) => entry.run === run && entry.isLast) }
        })
        const rest = Stream.repeatEffectOption(next).pipe(
          Stream.takeUntil(({ isLast }) => isLast),
          Stream.mapConcatChunk(({ frames }) => Chunk.unsafeFromArray(frames))
        )
        const begin = Stream.fromIterable(first.map((frame) => encoder.encode(frameText(frame))))
        return isOver ? begin : Stream.concat(begin, rest)
      })

    const told = (caller: CallerInfo, started: Started, key: RunRequest["key"]) => {
      const { again, before, ended, run, session, state } = started
      const stored = again && key !== undefined ? [new MessageStored({ run, session, key, again, state })] : []
      const known = [...stored, ...(ended === null ? [] : [ended])]
        .flatMap(cleaner())
        .map((data) => encoder.encode(frameText({ id: null, event: "run", data })))
      const goesOn = !again || state === "running"
      return Stream.concat(
        Stream.fromIterable(known),
        goesOn ? Stream.unwrapScoped(follow(caller, session, run, again ? undefined : before)) : Stream.empty
      )
    }

    const orFailed = (frames: Stream.Stream<Uint8Array, RunError | RunNotFound>) =>
      Stream.catchAllCause(frames, (cause) =>
        Stream.unwrap(
          Effect.map(failureOf(cause), (failure) => Stream.succeed(encoder.encode(frameText(failedFrame(failure)))))
        )
      )

    const detached = (caller: CallerInfo, start: Effect.Effect<Started, RunFailure>, key?: RunRequest["key"]) =>
      Effect.map(Effect.either(start), (started) =>
        started._tag === "Right"
          ? respond(orFailed(told(caller, started.right, key)))
          : respond(Stream.succeed(encoder.encode(frameText({ ...failedFrame(started.left), id: "1" }))))
      )

    return handlers
      .handle("start", ({ payload: { agent, approver, detached: alone, key, message, session } }) =>
        Effect.gen(function* () {
          const caller = yield* Caller
          yield* onlyOwner(caller, approver)
          const request: RunRequest = {
            principal: caller.principal,
            message,
            ...(caller.allowance === null ? {} : { allowance: caller.allowance }),
            ...(agent === undefined ? {} : { agent }),
            ...(session === undefined ? {} : { session }),
            ...(key === undefined ? {} : { key })
          }
          if (alone) return yield* detached(caller, live.start(request), key)
          return respond(attachedFrames(attended(approver, live.attached(caller.principal, runtime.run(request)))))
        })
      )
      .handle("resume", ({ payload: { approver, detached: alone, session } }) =>
        Effect.gen(function* () {
          const caller = yield* Caller
          yield* onlyOwner(caller, approver)
          if (alone) return yield* detached(caller, live.resume(session, caller))
          const events = runtime.resume(session, caller.principal, caller.allowance ?? undefined)
          return respond(attachedFrames(attended(approver, live.attached(caller.principal, events))))
        })
      )
      .handle("stop", ({ path }) =>
        Effect.gen(function* () {
          return { stopped: yield* live.stop(path.run, yield* Caller) }
        })
      )
      .handle("events", ({ headers, path }) =>
        Effect.gen(function* () {
          const caller = yield* Caller
          const { before, session } = yield* live.find(path.run, caller)
          const after = headers["last-event-id"] ?? before
          return respond(orFailed(Stream.unwrapScoped(follow(caller, session, path.run, after))))
        })
      )
  })
)
