/**
 * Gateway: the server's life, from the settings to the last connection.
 *
 * Guarantees: it listens only once everything that guards it stands; it is announced only once it
 * answers; a second one on the same data folder is refused and told who the first is; told to stop,
 * it takes no more requests, lets those under way finish for a while, ends the rest, records that it
 * stopped, and has let go of everything within ten seconds.
 */
import { createServer, type Server as HttpServer } from "node:http"
import { createServer as createSecureServer, Server as SecureServer } from "node:https"
import { Clock, Context, Deferred, Effect, Exit, Scope, Stream } from "effect"
import { Announcement } from "../domain/Announcement.ts"
import { AuditEvent } from "../domain/Audit.ts"
import type { Config } from "../domain/Config.ts"
import { Audit } from "../kernel/Audit.ts"
import { DataDir } from "../kernel/DataDir.ts"
import { type LoadedSettings, Settings, type SettingsInvalid } from "../kernel/Settings.ts"
import { policy } from "./Boundary.ts"
import { configure, type Limits } from "./Connections.ts"
import * as ControlSocket from "./ControlSocket.ts"
import * as Dispatch from "./Dispatch.ts"
import { type App, Door } from "./Door.ts"
import { Drain } from "./Drain.ts"
import { Health } from "./Health.ts"
import * as Listen from "./Listen.ts"
import * as Server from "./Server.ts"
import type { AssetMissing } from "./pages/Assets.ts"
import type { Wizard } from "./SetupWizard.ts"
import { Tls } from "./Tls.ts"

/** What the gateway stands on, and what it serves. */
export interface Site {
  readonly context: Context.Context<Settings | DataDir | Audit | Door | Drain | Health | Tls>
  readonly parts: ReadonlyArray<Dispatch.Part>
  /** What only the control socket offers. */
  readonly control: ReadonlyArray<Dispatch.Part>
  /** Loads what the first message needs, so that it does not have to wait. Fails with why it cannot be had. */
  readonly warm: Effect.Effect<void, Dispatch.StartProblem>
  /** Ends all runs, so that their logs and whoever watches them are told. */
  readonly endRuns: Effect.Effect<void>
}

export interface How {
  /** In place of the settings' own. */
  readonly port?: number | undefined
}

/** What answers until there is a settings file. */
export interface SettingUp {
  readonly wizard: Effect.Effect<Wizard, SettingsInvalid | AssetMissing>
  /** From the environment alone. */
  readonly settings: LoadedSettings
  /** Called when the wizard can be reached. */
  readonly reachable: (url: string) => Effect.Effect<void>
}

export interface Running {
  readonly announcement: Announcement
  readonly settings: LoadedSettings
  /** Ends it all; ten seconds at most. */
  readonly stop: Effect.Effect<void>
}

/** A person who stops a gateway waits no longer than ten seconds for all of this together, ms. */
const finishMs = 4_000
const endRunsMs = 2_000
const interruptMs = 1_500
const closeMs = 2_000
/** For the last words of ended runs to go out. */
const lastWordsMs = 250

/** Waits for the effect, but not for long; what is not done by then goes on without us. */
const within = (millis: number, effect: Effect.Effect<unknown>): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const inTime = yield* Deferred.make<boolean>()
    yield* effect.pipe(
      Effect.exit,
      Effect.zipRight(Deferred.succeed(inTime, true)),
      Effect.interruptible,
      Effect.forkDaemon
    )
    const clock = yield* Deferred.succeed(inTime, false).pipe(
      Effect.delay(millis),
      Effect.interruptible,
      Effect.forkDaemon
    )
    const done = yield* Deferred.await(inTime)
    yield* Effect.sync(() => clock.unsafeInterruptAsFork(clock.id()))
    return done
  })

const record = (type: "gateway.started" | "gateway.stopped", { instance, version }: Announcement) =>
  Effect.flatMap(Audit, (audit) =>
    audit.append(new AuditEvent({ type, principal: "owner", data: { instance, version } }))
  )

interface Listening {
  readonly server: HttpServer
  readonly serving: Server.Serving
  readonly at: Listen.Address
  readonly limit: (config: Config) => void
}

const limitsOf = ({ gateway }: Config): Limits => ({
  maxConnections: gateway.rateLimit.maxConnections,
  trusts: policy(gateway).trusts
})

const listen = (server: HttpServer, app: App, { config, path }: LoadedSettings, { port }: How) =>
  Effect.gen(function* () {
    const { gateway } = config
    yield* Listen.checkBind(gateway, path ?? "default settings")
    const serving = yield* Server.attach(server, app)
    const limit = configure(server, limitsOf(config))
    const instead = path === null ? "ai-desk gateway --port N" : `set gateway.port in ${path}`
    const at = yield* Listen.listen(server, { host: gateway.bind, port: port ?? gateway.port }, instead)
    const listening: Listening = { server, serving, at, limit: (next) => limit(limitsOf(next)) }
    return listening
  })

/** Returns when there is a settings file. The port is kept, so that the page that wrote it stays where it is. */
const setUp = (how: How, { reachable, settings, wizard }: SettingUp) =>
  Effect.gen(function* () {
    const { app, finished } = yield* wizard
    const listening = yield* listen(createServer(Server.nodeOptions), app, settings, how)
    yield* reachable(`${Listen.urlOf(listening.at, false)}/setup`)
    yield* Effect.interruptible(finished)
    return listening
  })

/** By the settings: with TLS or without. */
const open = (site: Site, settings: LoadedSettings, app: App, how: How) =>
  Effect.gen(function* () {
    const tls = Context.get(site.context, Tls)
    const secured = yield* tls.options
    if (secured === null) return yield* listen(createServer(Server.nodeOptions), app, settings, how)
    const server = createSecureServer({
      ...Server.nodeOptions,
      handshakeTimeout: Server.nodeOptions.headersTimeout,
      ...secured
    })
    const listening = yield* listen(server, app, settings, how)
    yield* tls.keepFresh(server)
    return listening
  })

/** What of new settings concerns the server itself. All else reads the settings whenever it needs them. */
const follow = (site: Site, { limit }: Listening) =>
  Effect.flatMap(Settings, ({ changes }) =>
    Stream.runForEach(changes, ({ config, warnings }) =>
      Effect.gen(function* () {
        yield* Effect.sync(() => limit(config))
        yield* Effect.logInfo("new settings are in force")
        for (const warning of warnings) yield* Effect.logWarning(warning)
      })
    )
  ).pipe(Effect.provide(site.context), Effect.interruptible, Effect.forkScoped)

const start = <E>(how: How, build: Effect.Effect<Site, E, Scope.Scope>, settingUp: SettingUp | null) =>
  Effect.gen(function* () {
    const before = settingUp === null ? null : yield* setUp(how, settingUp)
    const site = yield* Effect.interruptible(build)
    const dataDir = Context.get(site.context, DataDir)
    const door = Context.get(site.context, Door)
    const drain = Context.get(site.context, Drain)
    const { identity } = Context.get(site.context, Health)
    const settings = yield* Context.get(site.context, Settings).current

    const guarded = door.guard(yield* Dispatch.make(site.parts))
    const listening = before ?? (yield* open(site, settings, guarded, how))
    const { at, server, serving } = listening
    if (before !== null) yield* serving.use(guarded)

    const local = yield* Dispatch.make([...site.control, ...site.parts])
    const control = yield* ControlSocket.open(dataDir, door.local(local))
    const announcement = new Announcement({
      pid: process.pid,
      socket: control.path,
      url: Listen.urlOf(at, server instanceof SecureServer),
      version: identity.version,
      instance: identity.instance,
      config: settings.path,
      startedAt: yield* Clock.currentTimeMillis
    })
    yield* Effect.provide(record("gateway.started", announcement), site.context)
    const announced = yield* Scope.make()
    yield* Scope.extend(ControlSocket.announce(dataDir, announcement), announced)
    yield* Effect.addFinalizer((exit) => Scope.close(announced, exit))
    yield* follow(site, listening)
    yield* drain.ready
    yield* site.warm.pipe(
      Effect.catchAll(({ message }) => Effect.logWarning(`messages cannot be answered: ${message}`)),
      Effect.interruptible,
      Effect.forkScoped
    )
    yield* Effect.logInfo(`listening on ${announcement.url}`)

    const both = [serving, control.serving]
    const each = (what: (one: Server.Serving) => Effect.Effect<void>) =>
      Effect.forEach(both, what, { concurrency: "unbounded", discard: true })
    const drained = Effect.gen(function* () {
      yield* Effect.logInfo("stopping")
      // From here on nobody is sent here any more.
      yield* Scope.close(announced, Exit.void)
      yield* drain.begin
      yield* each((one) => one.stopAccepting)
      if (
        !(yield* within(
          finishMs,
          each((one) => one.idle)
        ))
      ) {
        yield* Effect.logInfo("ending what still goes on")
        yield* within(endRunsMs, site.endRuns)
        yield* within(
          lastWordsMs,
          each((one) => one.idle)
        )
        yield* within(
          interruptMs,
          each((one) => one.interrupt)
        )
      }
      yield* Effect.provide(record("gateway.stopped", announcement), site.context).pipe(
        Effect.catchAll((failure) => Effect.logError(failure.message))
      )
    })
    return { announcement, settings, drain: drained }
  })

/** Returns once it answers, and is announced. In the caller's scope: closing it stops the gateway. */
export const serve = <E>(how: How, build: Effect.Effect<Site, E, Scope.Scope>, settingUp: SettingUp | null = null) =>
  Effect.gen(function* () {
    const inside = yield* Scope.make()
    const started = yield* start(how, build, settingUp).pipe(
      Scope.extend(inside),
      Effect.onError((cause) => Scope.close(inside, Exit.failCause(cause)))
    )
    const stop = yield* Effect.cached(
      Effect.zipRight(
        started.drain,
        Effect.flatMap(within(closeMs, Scope.close(inside, Exit.void)), (closed) =>
          closed ? Effect.void : Effect.logWarning("not everything was closed in time")
        )
      )
    )
    yield* Effect.addFinalizer(() => stop)
    const running: Running = { announcement: started.announcement, settings: started.settings, stop }
    return running
  }).pipe(Effect.uninterruptible)
