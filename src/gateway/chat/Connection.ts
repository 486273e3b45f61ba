/**
 * Connection: one chat, from its first frame to its last.
 *
 * Guarantees: nothing that a client sends breaks more than its own frame; what is bad, too much or
 * unread is answered, and past a limit ends the connection with a code that says why; an owner counts
 * as somebody who can answer approvals for exactly as long as the connection stands; nobody else sees
 * approvals, or answers them; when it ends, nothing of it is left but the runs that it started.
 */
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import type { Socket } from "@effect/platform/Socket"
import { Deferred, Effect, ExecutionStrategy, Exit, Fiber, FiberSet, Mailbox, Schema, Scope, Stream } from "effect"
import type { RawData, WebSocket } from "ws"
import { Forbidden, TooManyRequests } from "../../contract/access.ts"
import { type ChatFailure, ClientFrame, closeCodes, type Dropped, FrameInvalid } from "../../contract/chat.ts"
import { type CallerInfo, may } from "../../domain/Caller.ts"
import type { SessionId } from "../../domain/Ids.ts"
import type { Approvals } from "../../tools/Approvals.ts"
import * as Json from "../door/Json.ts"
import { toGroundFailed } from "../handlers/ground.ts"
import type { LiveRuns, Started } from "../LiveRuns.ts"
import type { RateLimiter } from "../RateLimiter.ts"
import { inWords } from "../Refusals.ts"
import { failureOf } from "../RunFailures.ts"
import * as Outbox from "./Outbox.ts"

export interface Services {
  readonly live: typeof LiveRuns.Service
  readonly approvals: typeof Approvals.Service
  readonly limiter: typeof RateLimiter.Service
  /** Returns when the gateway begins to stop. */
  readonly draining: Effect.Effect<void>
}

/** A frame is a message of a person and little around it. */
const limits: Json.JsonLimits = { depth: 16, keys: 256, values: 1024 }
/** Unread frames before the client's next ones wait in its own buffers. */
const inboxSize = 32
/** Sessions that one connection watches. */
const mostWatched = 64
/** Messages that wait for their acceptance. */
const mostSends = 16
/** Frames in a row that are not of the protocol. */
const mostBad = 10
/** Frames in a row after the client was told that it sends too many. */
const mostRefused = 100
/** Milliseconds between pings; twice without an answer, and nobody is there. */
const heartbeatMs = 20_000
/** Milliseconds that a client has to read why it is dropped. */
const farewellMs = 2_000

type Reason = (typeof Dropped.Type)["reason"]
const farewells: Readonly<Record<Reason, readonly [code: number, detail: string]>> = {
  slow: [closeCodes.tooSlow, "what was sent was not read in time; connect again, and watch after the last event id"],
  bad_frames: [closeCodes.badFrames, "too many frames that are not of this protocol"],
  too_many: [closeCodes.tooMany, "too many messages, also after being told to wait"],
  stopping: [closeCodes.goingAway, "the gateway is stopping; connect again in a moment"],
  ended: [closeCodes.ended, "the gateway closed this connection"]
}

const decodeFrame = Schema.decodeUnknown(ClientFrame)
const known: Readonly<Record<ClientFrame["_tag"], true>> = {
  Send: true,
  Watch: true,
  Unwatch: true,
  Stop: true,
  Answer: true,
  Resume: true,
  Ping: true
}
const tags: ReadonlySet<unknown> = new Set(Object.keys(known))

const invalid = (detail: string) => new FrameInvalid({ detail })

const read = (data: string | Uint8Array): Effect.Effect<ClientFrame, FrameInvalid> =>
  Effect.gen(function* () {
    if (typeof data !== "string") return yield* invalid("expected text, found bytes")
    const { value } = yield* Json.read(Buffer.from(data), limits).pipe(
      Effect.mapError(({ detail }) => invalid(detail.replace(/^the body/, "the frame")))
    )
    const tag: unknown = typeof value === "object" && value !== null && "_tag" in value ? value._tag : undefined
    if (!tags.has(tag)) return yield* invalid(`_tag must be one of ${[...tags].join(", ")}`)
    return yield* Effect.catchTag(decodeFrame(value), "ParseError", (error) =>
      Effect.flatMap(HttpApiDecodeError.fromParseError(error), (problem) =>
        Effect.fail(invalid(inWords(ofTag(String(tag), problem)).message))
      )
    )
  })

/** Of a union's problems, those of the member that was meant. */
const ofTag = (_tag: string, problem: HttpApiDecodeError): HttpApiDecodeError => {
  const meant = problem.issues.filter(({ path }) => path.at(-1) !== "_tag")
  return new HttpApiDecodeError({ issues: meant.length === 0 ? problem.issues : meant, message: problem.message })
}

/** Serves until the connection ends, whoever ends it. */
export const serve = (
  { approvals, draining, limiter, live }: Services,
  caller: CallerInfo,
  id: string,
  socket: Socket,
  nodeSocket: () => WebSocket | undefined
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const opened = yield* Deferred.make<void>()
    const inbox = yield* Mailbox.make<string | Uint8Array>()
    const outbox = yield* Outbox.make(nodeSocket, live.idOf)
    const sends = yield* FiberSet.make<void>()
    const watches = new Map<SessionId, Scope.CloseableScope>()
    const scope = yield* Effect.scope
    let unread = 0
    let said: Reason | null = null

    /** Once; the first reason stands. */
    const drop = (reason: Reason): Effect.Effect<void> =>
      Effect.suspend(() => {
        const to = nodeSocket()
        if (said !== null || to === undefined) return Effect.void
        said = reason
        const [code, detail] = farewells[reason]
        if (to.readyState === to.OPEN) {
          to.send(JSON.stringify({ _tag: "Dropped", reason, detail }))
          to.close(code, detail)
        }
        return Effect.asVoid(
          Effect.forkDaemon(
            Effect.delay(
              Effect.sync(() => to.terminate()),
              farewellMs
            )
          )
        )
      })

    const fail = (to: { key?: unknown; session?: unknown; run?: unknown; approval?: unknown }, failure: ChatFailure) =>
      // Each is a part of a frame that was decoded.
      outbox.answer({ _tag: "Failed", ...to, failure } as Parameters<typeof outbox.answer>[0])

    const unwatch = (session: SessionId) =>
      Effect.suspend(() => {
        const found = watches.get(session)
        watches.delete(session)
        outbox.unwatch(session)
        return found === undefined ? Effect.void : Scope.close(found, Exit.void)
      })

    const watch = (session: SessionId, after: string | undefined) =>
      Effect.gen(function* () {
        yield* unwatch(session)
        if (watches.size >= mostWatched) {
          return fail({ session }, new Forbidden({ detail: `one connection watches at most ${mostWatched} sessions` }))
        }
        const own = yield* Scope.fork(scope, ExecutionStrategy.sequential)
        watches.set(session, own)
        const { snapshot, take } = yield* Scope.extend(live.watch({ session, caller, after, wake: outbox.wake }), own)
        if (watches.get(session) !== own) return
        if (snapshot !== null) outbox.answer({ _tag: "Snapshot", snapshot })
        outbox.watch(session, take)
      }).pipe(
        Effect.catchAllCause((cause) =>
          Effect.zipRight(
            unwatch(session),
            Effect.map(failureOf(cause), (failure) => fail({ session }, failure))
          )
        )
      )

    const startedNow = (started: Started) =>
      watches.has(started.session) ? Effect.void : watch(started.session, started.again ? undefined : started.before)

    const inBackground = (to: Parameters<typeof fail>[0], effect: Effect.Effect<void>) =>
      Effect.flatMap(FiberSet.size(sends), (size) =>
        size >= mostSends
          ? Effect.sync(() => fail(to, new TooManyRequests({ reason: "rate", retryAfterMs: 1000 })))
          : Effect.asVoid(FiberSet.run(sends, effect))
      )

    const handle = (frame: ClientFrame): Effect.Effect<void> => {
      switch (frame._tag) {
        case "Send": {
          const { agent, key, message, session } = frame
          const request = {
            key,
            message,
            principal: caller.principal,
            ...(caller.allowance === null ? {} : { allowance: caller.allowance }),
            ...(agent === undefined ? {} : { agent }),
            ...(session === undefined ? {} : { session })
          }
          return inBackground(
            { key },
            Effect.matchEffect(live.start(request), {
              onFailure: (failure) => Effect.sync(() => fail({ key }, failure)),
              onSuccess: (started) => {
                const { again, run, state } = started
                outbox.answer({ _tag: "Accepted", key, run, session: started.session, again, state })
                return startedNow(started)
              }
            })
          )
        }
        case "Resume":
          return inBackground(
            { session: frame.session },
            Effect.matchEffect(live.resume(frame.session, caller), {
              onFailure: (failure) => Effect.sync(() => fail({ session: frame.session }, failure)),
              onSuccess: startedNow
            })
          )
        case "Stop":
          return inBackground(
            { run: frame.run },
            Effect.map(live.stop(frame.run, caller), (stopped) =>
              outbox.answer({ _tag: "Stopped", run: frame.run, stopped })
            )
          )
        case "Watch":
          return watch(frame.session, frame.after)
        case "Unwatch":
          return unwatch(frame.session)
        case "Answer": {
          const { _tag, ...decision } = frame
          const to = { approval: decision.id }
          if (!may(caller)) {
            return Effect.sync(() => fail(to, new Forbidden({ detail: "only the owner answers approvals" })))
          }
          return Effect.matchEffect(approvals.answer(decision), {
            onFailure: (error) =>
              Effect.sync(() => fail(to, error._tag === "AuditUnavailable" ? toGroundFailed(error) : error)),
            onSuccess: () => Effect.void
          })
        }
        case "Ping":
          return Effect.sync(() => outbox.answer({ _tag: "Pong" }))
      }
    }

    let bad = 0
    let refused = 0
    const receive = (data: string | Uint8Array): Effect.Effect<void> =>
      limiter.take(id).pipe(
        Effect.zipRight(read(data)),
        Effect.matchEffect({
          onFailure: (failure) => {
            fail({}, failure)
            if (failure._tag === "FrameInvalid") bad += 1
            else refused += 1
            if (bad >= mostBad) return drop("bad_frames")
            return refused >= mostRefused ? drop("too_many") : Effect.void
          },
          onSuccess: (frame) => {
            bad = 0
            refused = 0
            return handle(frame)
          }
        })
      )

    const reading = Effect.gen(function* () {
      while (said === null) {
        const data = yield* inbox.take
        unread -= 1
        if (unread === inboxSize) nodeSocket()?.resume()
        yield* receive(data)
      }
    }).pipe(Effect.catchAll(() => Effect.void))

    const beating = Effect.gen(function* () {
      let answered = true
      nodeSocket()?.on("pong", () => {
        answered = true
      })
      while (true) {
        answered = false
        nodeSocket()?.ping()
        yield* Effect.sleep(heartbeatMs)
        if (!answered) return yield* drop("slow")
      }
    })

    const attending = Effect.gen(function* () {
      yield* approvals.attach
      const changes = yield* approvals.changes
      yield* Stream.runForEach(changes, (change) =>
        Effect.sync(() =>
          outbox.answer(
            change._tag === "ApprovalPending"
              ? { _tag: "Pending", request: change.request }
              : { _tag: "Closed", approval: change.approval, how: change.how }
          )
        )
      )
    }).pipe(Effect.scoped)

    const onMessage = (data: string | Uint8Array | RawData) => {
      unread += 1
      if (unread > inboxSize) nodeSocket()?.pause()
      inbox.unsafeOffer(typeof data === "string" || data instanceof Uint8Array ? data : new Uint8Array())
    }
    const pumping = yield* socket
      .runRaw(onMessage, { onOpen: Effect.asVoid(Deferred.succeed(opened, undefined)) })
      .pipe(
        // However a connection ends, it has ended.
        Effect.catchAll((error) => Effect.logDebug("a chat ended", error.message)),
        Effect.forkDaemon
      )
    const working = Effect.gen(function* () {
      yield* Deferred.await(opened)
      const { principal, scopes } = caller
      outbox.answer({ _tag: "Hello", epoch: live.epoch, principal, scopes })
      const slow = Effect.zipRight(outbox.run, drop("slow"))
      const stopping = Effect.zipRight(draining, drop("stopping"))
      const own = may(caller) ? [attending] : []
      yield* Effect.all([reading, slow, beating, stopping, ...own], { concurrency: "unbounded", discard: true })
    })
    yield* Effect.forkScoped(working)
    yield* Fiber.join(pumping).pipe(
      Effect.onInterrupt(() =>
        Effect.zipRight(drop("ended"), Effect.raceFirst(Fiber.await(pumping), Effect.sleep(farewellMs / 4))).pipe(
          Effect.zipRight(Effect.sync(() => nodeSocket()?.terminate())),
          Effect.zipRight(Fiber.interrupt(pumping))
        )
      )
    )
  }).pipe(Effect.scoped)
