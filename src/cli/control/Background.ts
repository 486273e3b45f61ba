/**
 * Background: a gateway that outlives the command that started it. The command returns when the
 * gateway answers; one that does not come up is reported with its own last words.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from "node:fs"
import { dirname, join } from "node:path"
import { Clock, Effect, Option, Schema } from "effect"
import type { Announcement } from "../../domain/Announcement.ts"
import type { AppOptions } from "../../domain/App.ts"
import type { DataDirInUse } from "../../kernel/DataDir.ts"
import { Settings, layer as settingsLayer } from "../../kernel/Settings.ts"
import { Output } from "../Output.ts"
import * as Detached from "./Detached.ts"
import * as Running from "./Running.ts"

/** There is one on the same data folder. */
export class GatewayRunning extends Schema.TaggedError<GatewayRunning>()("GatewayRunning", {
  pid: Schema.Int,
  url: Schema.String
}) {
  override get message(): string {
    return `this gateway is already running: process ${this.pid}, ${this.url}`
  }
  get fix(): string {
    return "use it as it is, or stop it first: ai-desk gateway stop"
  }
}

export class NotRunning extends Schema.TaggedError<NotRunning>()("NotRunning", { dataDir: Schema.String }) {
  override get message(): string {
    return `no gateway runs on the data folder ${this.dataDir}`
  }
  get fix(): string {
    return "start one: ai-desk gateway"
  }
}

export class DidNotStart extends Schema.TaggedError<DidNotStart>()("DidNotStart", {
  detail: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

export class DidNotStop extends Schema.TaggedError<DidNotStop>()("DidNotStop", { pid: Schema.Int }) {
  override get message(): string {
    return `process ${this.pid} has not ended within ${stopMs / 1000} s`
  }
  get fix(): string {
    return `end it: kill -9 ${this.pid}; nothing that was accepted is lost`
  }
}

/** Says who has the folder, when it is a gateway. */
export const taken = (error: DataDirInUse): Effect.Effect<never, DataDirInUse | GatewayRunning> =>
  Effect.flatMap(Running.onFolder(error.path), (found) =>
    Effect.fail(
      found === null || found.pid !== error.pid ? error : new GatewayRunning({ pid: found.pid, url: found.url })
    )
  )

/** Longer than any start on a busy machine takes, ms. */
const startMs = 60_000
/** The gateway takes ten seconds at most. */
const stopMs = 15_000
const pollMs = 50

/** Looks again and again until there is something. */
const until = <A, E, R>(look: Effect.Effect<A | null, E, R>, patienceMs: number): Effect.Effect<A | null, E, R> =>
  Effect.gen(function* () {
    const deadline = (yield* Clock.currentTimeMillis) + patienceMs
    for (;;) {
      const found = yield* look
      if (found !== null || (yield* Clock.currentTimeMillis) > deadline) return found
      yield* Effect.sleep(pollMs)
    }
  })

/** Of a log, what was written after so many bytes; at most its last 64 KiB. */
const writtenSince = (log: string, start: number): Effect.Effect<string> =>
  Effect.sync(() => {
    const fd = openSync(log, "r")
    try {
      const { size } = fstatSync(fd)
      const bytes = Buffer.alloc(Math.min(Math.max(0, size - start), 65_536))
      readSync(fd, bytes, 0, bytes.length, size - bytes.length)
      return bytes.toString("utf8")
    } finally {
      closeSync(fd)
    }
  })

/** What a verb says when it fails. */
const lastWords = (text: string) => ({
  detail: /^error: (.*)$/m.exec(text)?.[1] ?? "the gateway ended while it started",
  fix: /^ {2}fix: (.*)$/m.exec(text)?.[1]
})

export interface Wanted {
  readonly port: number | undefined
  readonly log: string | undefined
}

export const start = (options: AppOptions, { log, port }: Wanted) =>
  Effect.gen(function* () {
    const output = yield* Output
    const { dataDir, path } = yield* Effect.flatMap(Settings, (settings) => settings.current).pipe(
      Effect.provide(settingsLayer({ configPath: options.config, cwd: options.cwd, env: options.env }))
    )
    if (path === null) {
      return yield* new DidNotStart({
        detail: "there is no ai-desk.json yet, and the set-up needs somebody in front of it",
        fix: "run ai-desk onboard first, or ai-desk gateway without --background"
      })
    }
    const before = yield* Running.onFolder(dataDir)
    if (before !== null) return yield* new GatewayRunning({ pid: before.pid, url: before.url })
    const file = log ?? join(dataDir, "gateway.log")
    yield* Effect.sync(() => mkdirSync(dirname(file), { recursive: true, mode: 0o700 }))
    const words = [
      ...["gateway", "--config", path, "--log", file],
      ...(port === undefined ? [] : ["--port", String(port)])
    ]
    const child = yield* Detached.start(words, { cwd: options.cwd, env: options.env, log: file })
    const failed = Effect.gen(function* () {
      const code = yield* child.ended
      const { detail, fix } = lastWords(yield* writtenSince(file, child.logged))
      return yield* new DidNotStart({ detail, fix: fix ?? `look into ${file} (it ended with ${code})` })
    })
    const answers = until(
      Effect.map(Running.onFolder(dataDir), (found) => (found?.pid === child.pid ? found : null)),
      startMs
    )
    const up: Announcement | null = yield* Effect.raceFirst(answers, failed)
    if (up === null) {
      return yield* new DidNotStart({
        detail: `process ${child.pid} was started and does not answer`,
        fix: `look into ${file}`
      })
    }
    yield* output.result({ ...up, log: file }, () =>
      [`running: process ${up.pid}`, `address  ${up.url}`, `log      ${file}`, "stop     ai-desk gateway stop"].join(
        "\n"
      )
    )
  })

/** Whether a process is still there; one of another user counts as gone, because it is none of ours. */
const lives = (pid: number): boolean => Option.isSome(Option.liftThrowable(() => process.kill(pid, 0))())

/** Tells it to stop and waits for its end; the process id that it had. */
export const stop = (dataDir: string) =>
  Effect.gen(function* () {
    const found = yield* Running.onFolder(dataDir)
    if (found === null) return yield* new NotRunning({ dataDir })
    const { pid } = found
    yield* Effect.sync(() => process.kill(pid, "SIGTERM"))
    const gone = yield* until(
      Effect.sync(() => (lives(pid) ? null : true)),
      stopMs
    )
    return gone === null ? yield* new DidNotStop({ pid }) : pid
  })
