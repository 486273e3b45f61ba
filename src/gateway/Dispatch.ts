/**
 * Dispatch: which part of the gateway answers a path. A part is started when it is first asked for,
 * once, however many ask at the time; one that cannot be started is a 503 in its own place, and
 * everything else goes on. What no part answers is a 404.
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Schema } from "effect"
import { GroundFailed } from "../contract/failures.ts"
import { Caller, may } from "../domain/Caller.ts"
import type { App } from "./Door.ts"
import * as Refusals from "./Refusals.ts"

/** Why a part did not start, in the words of whatever failed. */
export interface StartProblem {
  readonly _tag: string
  readonly message: string
  readonly fix?: string | undefined
}

export interface Part {
  /** By the path without its query. */
  readonly answers: (path: string) => boolean
  readonly app: Effect.Effect<App, StartProblem>
}

/** `/a/b` itself and what is below it, and not `/a/bc`. */
export const below =
  (...roots: ReadonlyArray<string>) =>
  (path: string): boolean =>
    roots.some((root) => path === root || path.startsWith(`${root}/`))

export const exactly =
  (...paths: ReadonlyArray<string>) =>
  (path: string): boolean =>
    paths.includes(path)

const encodeFailed = Schema.encodeSync(GroundFailed)

/** The owner is told what is wrong; others, that something is. */
const cannotStart = ({ _tag, fix, message }: StartProblem): App =>
  Effect.gen(function* () {
    yield* Effect.logError(`a part of the gateway cannot be started: ${message}`)
    const failed = may(yield* Caller)
      ? new GroundFailed({ kind: _tag, detail: message, ...(fix === undefined ? {} : { fix }) })
      : new GroundFailed({
          kind: "StartFailed",
          detail: "this part of the gateway cannot be started; its log says why"
        })
    return HttpServerResponse.unsafeJson({ ...encodeFailed(failed), message: failed.message }, { status: 503 })
  })

export const pathOf = (url: string): string => url.split("?", 1)[0] ?? ""

/** A part that has nothing to say but that it is there. */
export const done: App = Effect.succeed(HttpServerResponse.empty())

/** The first part that answers the path does. */
export const make = (parts: ReadonlyArray<Part>): Effect.Effect<App> =>
  Effect.map(
    Effect.forEach(parts, ({ answers, app }) =>
      Effect.map(Effect.cached(Effect.catchAll(app, (problem) => Effect.succeed(cannotStart(problem)))), (cached) => ({
        answers,
        app: cached
      }))
    ),
    (started) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) => {
        const path = pathOf(url)
        const part = started.find(({ answers }) => answers(path))
        return part === undefined ? Refusals.notFound : Effect.flatten(part.app)
      })
  )
