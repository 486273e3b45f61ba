/**
 * Lifetimes: whatever a credential holds open ends with it. Each answer that is under way says how it
 * is ended; one watch per credential waits for its end, however many answers there are.
 *
 * Guarantees: an answer that begins after its credential ended is ended as well; an answer that is
 * done is not held on to, and one that is done in a moment is let (logging out is answered); a
 * WebSocket takes no message any more from the moment of the end.
 */
import type { RequestError } from "@effect/platform/HttpServerError"
import { CloseEvent, Socket } from "@effect/platform/Socket"
import { Effect, Fiber, type Scope } from "effect"
import type { CallerInfo } from "../../domain/Caller.ts"

/** Of the codes that are free for applications: as 401, in what a browser lets a page see. */
export const closeCode = 4401
/** Milliseconds for an answer to be done, or for the other end of a WebSocket to read why and to close. */
export const graceMs = 400

/** Watches of credentials that hold nothing open are kept up to so many, for the next request. */
const mostIdle = 256

/** How one answer is ended. */
export interface End {
  readonly atOnce: Effect.Effect<void>
  /** Unless it is over by then. */
  readonly afterGrace: Effect.Effect<void>
}

interface Watch {
  readonly ends: Set<End>
  readonly fiber: Fiber.RuntimeFiber<void>
}

export interface Lifetimes {
  /** Until the scope closes, which says that the answer is over. */
  readonly hold: (caller: CallerInfo, end: End) => Effect.Effect<void, never, Scope.Scope>
}

export const make = (
  ended: (caller: CallerInfo) => Effect.Effect<void>
): Effect.Effect<Lifetimes, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const watches = new Map<string, Watch>()

    const watch = (key: string, caller: CallerInfo): Effect.Effect<Watch> =>
      Effect.gen(function* () {
        const ends = new Set<End>()
        const finish = (end: End) =>
          Effect.raceFirst(Effect.zipRight(end.atOnce, Effect.never), Effect.sleep(graceMs)).pipe(
            Effect.zipRight(Effect.suspend(() => (ends.has(end) ? end.afterGrace : Effect.void)))
          )
        const fiber = yield* ended(caller).pipe(
          Effect.zipRight(
            Effect.suspend(() => {
              if (watches.get(key)?.ends === ends) watches.delete(key)
              return Effect.forEach([...ends], finish, { concurrency: "unbounded", discard: true })
            })
          ),
          Effect.interruptible,
          Effect.forkIn(scope)
        )
        const made = { ends, fiber }
        watches.set(key, made)
        return made
      })

    const forget: Effect.Effect<void> = Effect.suspend(() => {
      if (watches.size <= mostIdle) return Effect.void
      const idle = [...watches].filter(([, { ends }]) => ends.size === 0)
      for (const [key] of idle) watches.delete(key)
      return Effect.forEach(idle, ([, { fiber }]) => Fiber.interruptFork(fiber), { discard: true })
    })

    const hold = (caller: CallerInfo, end: End) =>
      Effect.gen(function* () {
        const key = `${caller.by} ${caller.credential ?? caller.principal} ${caller.beside ?? ""}`
        const found = watches.get(key)
        if (found === undefined) yield* forget
        const { ends } = found ?? (yield* watch(key, caller))
        ends.add(end)
        yield* Effect.addFinalizer(() => Effect.sync(() => ends.delete(end)))
      })
    return { hold }
  })

/** How an answer over this connection is ended: by the connection, and a WebSocket with a word before. */
export const endOf = (connection: { readonly destroy: () => void }) => {
  let close: Effect.Effect<void> = Effect.void

  const closing = (socket: Socket, state: { over: boolean }): Effect.Effect<void> =>
    Effect.suspend(() => {
      state.over = true
      return Effect.scoped(
        Effect.flatMap(socket.writer, (write) => write(new CloseEvent(closeCode, "the credential has ended")))
      )
    }).pipe(Effect.ignoreLogged)

  /** The WebSocket of the request, once it is asked for. */
  const upgrade = (opened: Effect.Effect<Socket, RequestError>): Effect.Effect<Socket, RequestError> =>
    Effect.map(opened, (socket) => {
      const state = { over: false }
      close = closing(socket, state)
      const unlessOver =
        <Message, A>(handler: (message: Message) => A) =>
        (message: Message): A | void =>
          state.over ? undefined : handler(message)
      return Socket.of({
        ...socket,
        run: (handler, options) => socket.run(unlessOver(handler), options),
        runRaw: (handler, options) => socket.runRaw(unlessOver(handler), options)
      })
    })

  const end: End = {
    atOnce: Effect.suspend(() => close),
    afterGrace: Effect.sync(() => connection.destroy())
  }
  return { end, upgrade }
}
