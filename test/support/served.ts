/** The whole gateway on a real port: in this process, or as a process of its own with signals and an exit code. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { type IncomingMessage, request as httpRequest } from "node:http"
import { join } from "node:path"
import { Deferred, Effect, Schedule, Schema } from "effect"
import * as App from "../../src/App.ts"
import { type Announcement, AnnouncementJson, announcementFile } from "../../src/domain/Announcement.ts"
import type { Place } from "./path.ts"

const root = join(import.meta.dirname, "../..")

/** In this process, until the scope closes. */
export const serve = ({ options }: Place, port = 0, replaced: Partial<App.Parts> = {}) =>
  App.serve(
    options,
    { port, version: "1.2.3", reachable: () => Effect.void, tell: () => Effect.void },
    { ...App.parts, ...replaced }
  )

export const announced = ({ dataDir }: Pick<Place, "dataDir">): Announcement | null => {
  const path = join(dataDir, announcementFile)
  return existsSync(path) ? Schema.decodeSync(AnnouncementJson)(readFileSync(path, "utf8")) : null
}

export interface Running {
  readonly child: ChildProcess
  readonly announcement: Announcement
  /** Exit code, or the signal that ended it. */
  readonly ended: Effect.Effect<number | NodeJS.Signals>
  readonly text: () => string
}

const patience = Schedule.intersect(Schedule.spaced(50), Schedule.recurs(1200))

/** `ai-desk gateway` as a process; returns when it answers. */
export const started = (place: Place, ...words: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number | NodeJS.Signals>()
    let text = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [join(root, "src/main.ts"), "gateway", "--port", "0", ...words], {
          cwd: place.dir,
          env: {
            PATH: process.env["PATH"],
            NODE_OPTIONS: process.env["NODE_OPTIONS"],
            TEST_NETWORK_LOG: process.env["TEST_NETWORK_LOG"],
            NODE_COMPILE_CACHE: join(root, "node_modules/.cache/compiled"),
            ...place.options.env
          },
          stdio: ["ignore", "pipe", "pipe"]
        })
      ),
      (running) => Effect.sync(() => running.kill("SIGKILL"))
    )
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
    }
    child.once("close", (code, signal) => Deferred.unsafeDone(ended, Effect.succeed(code ?? signal ?? -1)))
    const announcement = yield* Effect.suspend(() => {
      if (child.exitCode !== null) return Effect.dieMessage(`the gateway ended while it started:\n${text}`)
      const found = announced(place)
      return found?.pid === child.pid && found !== null ? Effect.succeed(found) : Effect.fail("not yet")
    }).pipe(Effect.retry(patience))
    const running: Running = { child, announcement, ended: Deferred.await(ended), text: () => text }
    return running
  })

export interface Answer {
  readonly status: number
  readonly text: string
  /** The other side cut it off. */
  readonly broken: boolean
}

export interface Asking {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Called with all that has come so far, whenever there is more. */
  readonly onText?: (text: string) => void
}

/** One request, over TCP to a URL or over a Unix socket; to the end of its answer. */
export const ask = (
  to: string | { readonly socket: string },
  path: string,
  asking: Asking = {}
): Effect.Effect<Answer> =>
  Effect.async((resume) => {
    const where =
      typeof to === "string" ? { host: new URL(to).hostname, port: new URL(to).port } : { socketPath: to.socket }
    const { body, headers, method = "GET", onText } = asking
    const kind = body === undefined ? {} : { "content-type": "application/json" }
    const request = httpRequest(
      { ...where, path, method, headers: { ...kind, ...headers }, agent: false },
      (response: IncomingMessage) => {
        let text = ""
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk
          onText?.(text)
        })
        response.on("error", () => undefined)
        response.once("close", () =>
          resume(Effect.succeed({ status: response.statusCode ?? 0, text, broken: !response.complete }))
        )
      }
    )
    request.on("error", () => resume(Effect.succeed({ status: 0, text: "", broken: true })))
    request.end(body)
    return Effect.sync(() => request.destroy())
  })
