/**
 * Gateway: the server's life, from the settings to the last connection.
 *
 * Guarantees: it listens only once everything that guards it stands; it is announced only once it
 * answers; a second one on the same data folder is refused and told who the first is; told to stop,
 * it takes no more requests, lets those under way finish for a while, ends the rest, records that it
 * stopped, and has let go of everything within ten seconds.
 */
import { createServer, type Server as HttpServer } from "node:http"
import { createServer as createSecureServer } from "node:https"
import { Clock, Context, Deferred, Effect, Exit, Scope } from "effect"
import { Announcement } from "../domain/Announcement.ts"
import { AuditEvent } from "../domain/Audit.ts"
import { Audit } from "../kernel/Audit.ts"
import { DataDir } from "../kernel/DataDir.ts"
import { type LoadedSettings, Settings } from "../kernel/Settings.ts"
import * as ControlSocket from "./ControlSocket.ts"
import * as Dispatch from "./Dispatch.ts"
import { Door } from "./Door.ts"
import { Drain } from "./Drain.ts"
import { Health } from "./Health.ts"
import * as Listen from "./Listen.ts"
import * as Server from "./Server.ts"
import { Tls } from "./Tls.ts"

/** What the gateway stands on, and what it serves. */
export interface Site {
  readonly context: Context.Context<Settings | DataDir | Audit | Door | Drain | Health | Tls>
  readonly parts: ReadonlyArray<Dispatch.Part>
  /** What only the control socket offers. */
  readonly control: ReadonlyArray<Dispatch.Part>
}

export interface How {
  /** In place of the settings' own. */
  readonly port?: number | undefined
}

export interface Running {
  readonly announcement: Announcement
  readonly settings: LoadedSettings
  /** Ends it all; ten seconds at most. */
  readonly stop: Effect.Effect<void>
}

/** A person who stops a gateway waits no longer than ten seconds for all of this together, ms. */
const finishMs = 4_000
const interruptMs = 3_000
const closeMs = 2_500

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

/** In the caller's scope: closing it stops the gateway. */
export const serve = <E>(how: How, build: Effect.Effect<Site, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const inside = yield* Scope.make()
    const started = yield* start(how, build).pipe(
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

const start = <E>(how: How, build: Effect.Effect<Site, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const site = yield* Effect.interruptible(build)
    const dataDir = Context.get(site.context, DataDir)
    const door = Context.get(site.context, Door)
    const drain = Context.get(site.context, Drain)
    const { identity } = Context.get(site.context, Health)
    const settings = yield* Context.get(site.context, Settings).current
    const { gateway } = settings.config
    const source = settings.path ?? "default settings"

    yield* Listen.checkBind(gateway, source)
    const tls = Context.get(site.context, Tls)
    const secured = yield* tls.options
    const secure =
      secured === null
        ? null
        : createSecureServer({ ...Server.nodeOptions, handshakeTimeout: Server.nodeOptions.headersTimeout, ...secured })
    const server: HttpServer = secure ?? createServer(Server.nodeOptions)
    const dispatch = yield* Dispatch.make(site.parts)
    const serving = yield* Server.attach(server, door.guard(dispatch))
    yield* serving.limit(gateway.rateLimit.maxConnections)
    const instead = settings.path === null ? "ai-desk gateway --port N" : `set gateway.port in ${settings.path}`
    const at = yield* Listen.listen(server, { host: gateway.bind, port: how.port ?? gateway.port }, instead)
    if (secure !== null) yield* tls.keepFresh(secure)

    const local = yield* Dispatch.make([...site.control, ...site.parts])
    const control = yield* ControlSocket.open(dataDir, door.local(local))
    const announcement = new Announcement({
      pid: process.pid,
      socket: control.path,
      url: Listen.urlOf(at, secure !== null),
      version: identity.version,
      instance: identity.instance,
      config: settings.path,
      startedAt: yield* Clock.currentTimeMillis
    })
    yield* Effect.provide(record("gateway.started", announcement), site.context)
    const announced = yield* Scope.make()
    yield* Scope.extend(ControlSocket.announce(dataDir, announcement), announced)
    yield* Effect.addFinalizer((exit) => Scope.close(announced, exit))
    yield* drain.ready
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
