/**
 * Settings: the owner's `ai-desk.json`, the environment and the config folder's `.env`, decoded
 * once at the door. The only reader of `process.env`.
 *
 * Guarantees: a bad file at start is one clear message and nothing starts; a bad file on reload
 * keeps the last good settings, and so does a file that has gone; `.env` is read from the config's
 * folder only, never from a workspace; a workspace that contains the data folder or the config is
 * refused.
 */
import { watch as watchFolder } from "node:fs"
import { userInfo } from "node:os"
import { basename, isAbsolute, resolve } from "node:path"
import { Context, Effect, Either, Layer, PubSub, type Redacted, Ref, Schedule, Schema, Stream, Struct } from "effect"
import type { Agent } from "../domain/Agent.ts"
import type { Config } from "../domain/Config.ts"
import { ConfigRejected, ConfigReloaded } from "../domain/GatewayEvent.ts"
import { systemCode } from "./DurableFile.ts"
import { Events } from "./Events.ts"
import { decodeText } from "./settings/Decode.ts"
import type { Env } from "./settings/DotEnv.ts"
import { load, lookup, type Reading, type Sources, whereabouts as whereaboutsOf } from "./settings/Load.ts"
import { SettingsInvalid, SettingsProblem } from "./settings/Problems.ts"

export { describeFields, type FieldRow, type JsonObject, jsonSchema } from "./settings/Describe.ts"
export { type Env, variables } from "./settings/DotEnv.ts"
export { SettingsInvalid, SettingsProblem } from "./settings/Problems.ts"

/** The config file cannot be watched for changes. */
export class WatchFailed extends Schema.TaggedError<WatchFailed>()("WatchFailed", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `changes of ${this.path} are not noticed (${this.code})`
  }
  get fix(): string {
    return "restart after changing the settings, or raise the limits on inotify watches"
  }
}

export interface LoadedSettings {
  readonly config: Config
  /** Absolute path of the file, or null when the defaults are in force. */
  readonly path: string | null
  /** Absolute; the config's folder, or the folder the command was started in. */
  readonly dir: string
  /** Absolute. */
  readonly dataDir: string
  /** `agents.list` with `agents.defaults` merged in and paths made absolute; the default agent first. */
  readonly agents: ReadonlyArray<Agent>
  readonly masterKey: Redacted.Redacted<string> | null
  /** A `file` also stands for a service manager's credential. */
  readonly masterKeySource: "environment" | ".env" | "file" | null
  /** From ANTHROPIC_API_KEY, GOOGLE_AI_API_KEY, OPENROUTER_API_KEY and `providers.<name>.apiKeyEnv`, by provider name. */
  readonly providerKeys: ReadonlyMap<string, Redacted.Redacted<string>>
  /** From the variable that `telemetry.headersEnv` names. */
  readonly telemetryHeaders?: Redacted.Redacted<string>
  /** Home folder, for Claude Code's OAuth file. */
  readonly home: string
  /** Things that are allowed but deserve a word, such as a quarantined unknown key of a newer release. */
  readonly warnings: ReadonlyArray<string>
}

export class Settings extends Context.Tag("ai-desk/kernel/Settings")<
  Settings,
  {
    readonly current: Effect.Effect<LoadedSettings>
    /** Reads again. On failure the last good settings stay in force. */
    readonly reload: Effect.Effect<LoadedSettings, SettingsInvalid>
    /** Every settings that came into force after the first. */
    readonly changes: Stream.Stream<LoadedSettings>
  }
>() {}

export interface SettingsOptions {
  /** As given with --config; relative to `cwd`. */
  readonly configPath?: string | undefined
  /** Defaults to the folder the process was started in. */
  readonly cwd?: string | undefined
  /** Defaults to the process's own environment. */
  readonly env?: Env | undefined
}

const sourcesOf = (options: SettingsOptions): Sources => {
  const env = options.env ?? process.env
  const home = env.HOME !== undefined && isAbsolute(env.HOME) ? env.HOME : userInfo().homedir
  return { configPath: options.configPath ?? null, cwd: resolve(options.cwd ?? process.cwd()), env, home }
}

/** Where the config file is or would be, and whether someone asked for that place. */
export const configPath = (options: SettingsOptions = {}): Effect.Effect<string> =>
  Effect.sync(() => lookup(sourcesOf(options)).path)

/** Where the settings file (null: none is there) and the data folder are; nothing of it is judged yet. */
export const whereabouts = (
  options: SettingsOptions = {}
): Effect.Effect<{ readonly path: string | null; readonly dataDir: string }> =>
  Effect.sync(() => whereaboutsOf(sourcesOf(options)))

/** What the environment alone says, as a first set-up finds it: the config that is about to be written does not count. */
export const withoutConfig = (options: SettingsOptions, dir: string): Effect.Effect<LoadedSettings, SettingsInvalid> =>
  Effect.suspend(() => {
    const sources = sourcesOf({ ...options, configPath: undefined })
    const env = { ...sources.env, AI_DESK_CONFIG: undefined }
    return Either.map(load({ ...sources, env, cwd: dir }), (reading) => reading.settings)
  })

/** What is wrong with a text as `ai-desk.json`, unknown keys included; empty when nothing is. Does not look at the machine. */
export const check = (text: string): ReadonlyArray<SettingsProblem> => {
  const decoded = decodeText(text)
  return [...decoded.errors, ...decoded.unknown]
}

export interface CheckReport {
  /** The file, `default settings` or `environment`. */
  readonly source: string
  /** Empty when all is well. Unknown keys count as problems here. */
  readonly problems: ReadonlyArray<SettingsProblem>
  readonly warnings: ReadonlyArray<string>
}

/** A dry run of a start: file, environment, workspaces. For `config check`. */
export const checkFile = (options: SettingsOptions = {}): Effect.Effect<CheckReport> =>
  Effect.sync(() =>
    Either.match(load(sourcesOf(options)), {
      onLeft: (failure) => ({ source: failure.source, problems: failure.problems, warnings: [] }),
      onRight: ({ settings, unknown }) => ({
        source: settings.path ?? "default settings",
        problems: unknown,
        warnings: settings.warnings
      })
    })
  )

/** A dry run of a reload: the settings that would be in force if these bytes stood in the file. */
export const preview = (options: SettingsOptions, bytes: Uint8Array): Either.Either<LoadedSettings, SettingsInvalid> =>
  Either.map(load(sourcesOf(options), bytes), (reading) => reading.settings)

const changed = (at: string, expected: string, found: string, fix: string, source: string): SettingsInvalid =>
  new SettingsInvalid({ source, problems: [new SettingsProblem({ at, expected, found, fix })] })

/** What a running server cannot change: where and how it is reached, and how people prove who they are. */
const pinned = {
  "gateway.bind": ({ bind }: Gateway) => bind,
  "gateway.port": ({ port }: Gateway) => port,
  "gateway.tls": ({ tls }: Gateway) => tls,
  "gateway.reverseProxy": ({ reverseProxy }: Gateway) => reverseProxy,
  "gateway.auth.mode": ({ auth }: Gateway) => auth.mode
}
type Gateway = Config["gateway"]

/** Of what is pinned, the values of before stay in force, and a warning says so. */
const keepPinned = (before: LoadedSettings, after: LoadedSettings): LoadedSettings => {
  const old = before.config.gateway
  const wanted = after.config.gateway
  const changes = Object.entries(pinned).filter(([, of]) => JSON.stringify(of(old)) !== JSON.stringify(of(wanted)))
  if (changes.length === 0) return after
  const gateway: Gateway = {
    ...Struct.omit(wanted, "tls", "reverseProxy"),
    bind: old.bind,
    port: old.port,
    ...(old.tls === undefined ? {} : { tls: old.tls }),
    ...(old.reverseProxy === undefined ? {} : { reverseProxy: old.reverseProxy }),
    auth: { ...wanted.auth, mode: old.auth.mode }
  }
  return {
    ...after,
    config: { ...after.config, gateway },
    warnings: [...after.warnings, ...changes.map(([name]) => `${name} has changed; that takes effect after a restart`)]
  }
}

/** What may not change while the process runs. */
const accept = (before: LoadedSettings, after: LoadedSettings): Either.Either<LoadedSettings, SettingsInvalid> => {
  if (before.path !== null && after.path === null) {
    // An editor may be between deleting and writing. The defaults must not creep in meanwhile.
    return Either.left(changed("the file", "the file of before", "nothing", "put it back, or restart", before.path))
  }
  return before.dataDir === after.dataDir
    ? Either.right(keepPinned(before, after))
    : Either.left(
        changed("AI_DESK_DATA_DIR", "the data folder of before", "another one", "restart to change it", "environment")
      )
}

const make = (sources: Sources) =>
  Effect.gen(function* () {
    const inForce = yield* Ref.make<Reading>(yield* load(sources))
    const hub = yield* Effect.acquireRelease(PubSub.sliding<LoadedSettings>(16), PubSub.shutdown)
    const oneAtATime = yield* Effect.makeSemaphore(1)
    const reload = Effect.gen(function* () {
      const before = yield* Ref.get(inForce)
      const reading = yield* load(sources)
      const settings = yield* accept(before.settings, reading.settings)
      yield* Ref.set(inForce, { ...reading, settings })
      if (reading.fingerprint !== before.fingerprint) yield* PubSub.publish(hub, settings)
      return settings
    }).pipe(oneAtATime.withPermits(1), Effect.withSpan("Settings.reload"))
    return Settings.of({
      current: Effect.map(Ref.get(inForce), (reading) => reading.settings),
      reload,
      changes: Stream.fromPubSub(hub)
    })
  })

export const layer = (options: SettingsOptions = {}): Layer.Layer<Settings, SettingsInvalid> =>
  Layer.scoped(
    Settings,
    Effect.suspend(() => make(sourcesOf(options)))
  )

/** Editors write in several steps; after this long without another step the file is taken as finished, ms. */
const quietMs = 100

/** A file that is bad after the quiet time may still be half-written by a slow writer. */
const secondLook = Schedule.intersect(Schedule.spaced(quietMs), Schedule.recurs(2))

/**
 * Reloads when the config file or its `.env` changes, for as long as the scope lives, and publishes
 * the outcome. The folder is watched, not the file: most editors replace the file. Fails when the
 * system cannot watch.
 */
export const watch = Effect.gen(function* () {
  const settings = yield* Settings
  const events = yield* Events
  const { dir, path } = yield* settings.current
  const names = new Set([basename(path ?? "ai-desk.json"), ".env"])
  const steps = Stream.asyncPush<void, WatchFailed>(
    (emit) =>
      Effect.acquireRelease(
        Effect.try({
          try: () =>
            watchFolder(dir, (_, name) => {
              if (name === null || names.has(name)) emit.single(undefined)
            }).on("error", (cause) => emit.fail(new WatchFailed({ path: dir, code: systemCode(cause) }))),
          catch: (cause) => new WatchFailed({ path: dir, code: systemCode(cause) })
        }),
        (watcher) => Effect.sync(() => watcher.close())
      ),
    { bufferSize: 1, strategy: "sliding" }
  )
  yield* steps.pipe(
    Stream.debounce(quietMs),
    Stream.runForEach(() =>
      settings.reload.pipe(
        Effect.retry(secondLook),
        Effect.matchEffect({
          onFailure: (failure) =>
            Effect.zipRight(
              Effect.logWarning(`the settings of before stay in force: ${failure.message}`),
              events.publish(new ConfigRejected({ detail: failure.message }))
            ),
          onSuccess: () => events.publish(new ConfigReloaded())
        })
      )
    )
  )
})

/** `watch` in the background. A system that cannot watch is no reason not to run: it is logged. */
export const layerWatch: Layer.Layer<never, never, Settings | Events> = Layer.scopedDiscard(
  watch.pipe(
    Effect.catchTag("WatchFailed", (failure) => Effect.logWarning(`${failure.message}; ${failure.fix}`)),
    Effect.forkScoped
  )
)
