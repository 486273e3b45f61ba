/**
 * App: the composition root. Each folder's layers are stacked here and nowhere else; requirements
 * are closed here and nowhere else. A group's handlers start with what they need and no more, all
 * of them sharing the parts that they have in common. A part's code is loaded when it is first built,
 * so that a question which needs little is answered quickly.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import type * as HttpApp from "@effect/platform/HttpApp"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Context, Effect, Layer, Scope } from "effect"
import * as Agents from "./agent/Agents.ts"
import { AgentsApi } from "./contract/agents.ts"
import type { GroupName } from "./contract/Api.ts"
import type { AppOptions } from "./domain/App.ts"
import * as Access from "./gateway/Access.ts"
import * as Drain from "./gateway/Drain.ts"
import type { How } from "./gateway/Gateway.ts"
import type { Links as LinksTag } from "./gateway/auth/Links.ts"
import type { Surface } from "./gateway/setup/SettingUp.ts"
import * as agents from "./gateway/handlers/agents.ts"
import type { Health } from "./gateway/Health.ts"
import * as Refusals from "./gateway/Refusals.ts"
import * as Settings from "./kernel/Settings.ts"
import * as SettingsFile from "./kernel/SettingsFile.ts"

/** Answers one request; closed over everything it needs. */
export type Handler = HttpApp.Default<never, Scope.Scope>

/** A layer whose code is loaded when it is built. Keep the result: layers are shared by identity. */
const lazily = <A, E, R>(load: () => Promise<Layer.Layer<A, E, R>>): Layer.Layer<A, E, R> =>
  Layer.unwrapEffect(Effect.promise(load))

/** The parts that touch a disk, a provider, a process or a person; a test puts a failing one in a real one's place. */
export const parts = {
  audit: lazily(() => import("./kernel/Audit.ts").then((m) => m.layer)),
  budget: lazily(() => import("./model/Budget.ts").then((m) => m.layer)),
  providers: lazily(() => import("./model/Provider.ts").then((m) => m.layer)),
  sandbox: (hidden: ReadonlyArray<string>) =>
    lazily(() => import("./tools/Sandbox.ts").then((m) => m.layerHiding(hidden))),
  approvals: lazily(() => import("./tools/Approvals.ts").then((m) => m.layer)),
  sessions: lazily(() => import("./agent/SessionStore.ts").then((m) => m.layer))
}
export type Parts = typeof parts

const Observability = lazily(() => import("./kernel/Observability.ts").then((m) => m.layer))
const logIn = (path: string) => lazily(() => import("./kernel/Observability.ts").then((m) => m.layerFile(path)))
const Events = lazily(() => import("./kernel/Events.ts").then((m) => m.layer))
const DataDir = lazily(() => import("./kernel/DataDir.ts").then((m) => m.layer))
const DataDirWriter = lazily(() => import("./kernel/DataDir.ts").then((m) => m.layerWriter))
const Keyring = lazily(() => import("./kernel/Keyring.ts").then((m) => Layer.provideMerge(m.layerCrypto, m.layer)))
const Database = lazily(() => import("./kernel/Database.ts").then((m) => m.layer))
const Credentials = lazily(() => import("./kernel/Credentials.ts").then((m) => m.layer))
const Tokens = lazily(() => import("./gateway/auth/Tokens.ts").then((m) => m.layer))
const Passwords = lazily(() => import("./gateway/auth/Passwords.ts").then((m) => m.layer))
const WebSessions = lazily(() => import("./gateway/auth/WebSessions.ts").then((m) => m.layer))
const Logins = lazily(() => import("./gateway/auth/Logins.ts").then((m) => m.layer))
const Links = lazily(() => import("./gateway/auth/Links.ts").then((m) => m.layer))
const NoLinks = lazily(() => import("./gateway/auth/Links.ts").then((m) => m.layerNone))
const Lockout = lazily(() => import("./gateway/Lockout.ts").then((m) => m.layer))
const Pins = lazily(() => import("./gateway/Certificates.ts").then((m) => m.layerPins))
const Auth = lazily(() => import("./gateway/Auth.ts").then((m) => m.layer))
const Certificates = lazily(() => import("./gateway/Certificates.ts").then((m) => m.layer))
const Rotation = lazily(() => import("./kernel/Rotation.ts").then((m) => m.layer))
const Pricing = lazily(() => import("./model/Pricing.ts").then((m) => m.layer))
const ResponseCache = lazily(() => import("./model/ResponseCache.ts").then((m) => m.layer))
const Router = lazily(() => import("./model/Router.ts").then((m) => m.layer))
const Egress = lazily(() => import("./tools/Egress.ts").then((m) => m.layer))
const ToolExecutor = lazily(() => import("./tools/ToolExecutor.ts").then((m) => m.layer))
const ToolPolicy = lazily(() => import("./tools/ToolPolicy.ts").then((m) => m.layer))
const ToolRegistry = lazily(() => import("./tools/ToolRegistry.ts").then((m) => m.layer))
const EventStream = lazily(() => import("./gateway/EventStream.ts").then((m) => m.layer))
const LiveRuns = lazily(() => import("./gateway/LiveRuns.ts").then((m) => m.layer))
const AgentRuntime = lazily(() => import("./agent/AgentRuntime.ts").then((m) => m.layer))
const Completions = lazily(() => import("./agent/Completions.ts").then((m) => m.layer))
const Compactor = lazily(() => import("./agent/Compactor.ts").then((m) => m.layer))
const ThreatScanner = lazily(() => import("./agent/ThreatScanner.ts").then((m) => m.layer))
const SecurityAudit = lazily(() => import("./gateway/SecurityAudit.ts").then((m) => m.layer))

/** What a crash left reserved is settled before the first new run, not at the next heartbeat. */
const Recovered = lazily(() =>
  import("./model/Budget.ts").then(({ Budget }) =>
    Layer.effectDiscard(Effect.flatMap(Budget, (budget) => budget.recover))
  )
)

/** A group's routes, still open: what a client may ask, by whom it may be asked, and what answers it. */
const answered = <Id extends string, Group extends HttpApiGroup.HttpApiGroup.Any, E, R, A, LE, LR>(
  load: () => Promise<readonly [HttpApi.HttpApi<Id, Group, E, R>, Layer.Layer<A, LE, LR>]>
) =>
  lazily(() =>
    load().then(([api, handlers]) => HttpApiBuilder.api(api).pipe(Layer.provide(handlers), Layer.provide(Access.layer)))
  )

const routes = {
  agents: HttpApiBuilder.api(AgentsApi).pipe(Layer.provide(agents.layer), Layer.provide(Access.layer)),
  health: answered(() =>
    Promise.all([
      import("./contract/health.ts").then((m) => m.HealthApi),
      import("./gateway/handlers/health.ts").then((m) => m.layer)
    ])
  ),
  runs: answered(() =>
    Promise.all([
      import("./contract/runs.ts").then((m) => m.RunsApi),
      import("./gateway/handlers/runs.ts").then((m) => m.layer)
    ])
  ),
  events: answered(() =>
    Promise.all([
      import("./contract/events.ts").then((m) => m.EventsApi),
      import("./gateway/handlers/events.ts").then((m) => m.layer)
    ])
  ),
  chat: answered(() =>
    Promise.all([
      import("./contract/chat.ts").then((m) => m.ChatApi),
      import("./gateway/handlers/chat.ts").then((m) => m.layer)
    ])
  ),
  approvals: answered(() =>
    Promise.all([
      import("./contract/approvals.ts").then((m) => m.ApprovalsApi),
      import("./gateway/handlers/approvals.ts").then((m) => m.layer)
    ])
  ),
  sessions: answered(() =>
    Promise.all([
      import("./contract/sessions.ts").then((m) => m.SessionsApi),
      import("./gateway/handlers/sessions.ts").then((m) => m.layer)
    ])
  ),
  budget: answered(() =>
    Promise.all([
      import("./contract/budget.ts").then((m) => m.BudgetApi),
      import("./gateway/handlers/budget.ts").then((m) => m.layer)
    ])
  ),
  cache: answered(() =>
    Promise.all([
      import("./contract/cache.ts").then((m) => m.CacheApi),
      import("./gateway/handlers/cache.ts").then((m) => m.layer)
    ])
  ),
  audit: answered(() =>
    Promise.all([
      import("./contract/audit.ts").then((m) => m.AuditApi),
      import("./gateway/handlers/audit.ts").then((m) => m.layer)
    ])
  ),
  credentials: answered(() =>
    Promise.all([
      import("./contract/credentials.ts").then((m) => m.CredentialsApi),
      import("./gateway/handlers/credentials.ts").then((m) => m.layer)
    ])
  ),
  certificates: answered(() =>
    Promise.all([
      import("./contract/certificates.ts").then((m) => m.CertificatesApi),
      import("./gateway/handlers/certificates.ts").then((m) => m.layer)
    ])
  ),
  tokens: answered(() =>
    Promise.all([
      import("./contract/tokens.ts").then((m) => m.TokensApi),
      import("./gateway/handlers/tokens.ts").then((m) => m.layer)
    ])
  ),
  login: answered(() =>
    Promise.all([
      import("./contract/login.ts").then((m) => m.LoginApi),
      import("./gateway/handlers/login.ts").then((m) => m.layer)
    ])
  ),
  security: answered(() =>
    Promise.all([
      import("./contract/security.ts").then((m) => m.SecurityApi),
      import("./gateway/handlers/security.ts").then((m) => m.layer)
    ])
  ),
  history: answered(() =>
    Promise.all([
      import("./contract/history.ts").then((m) => m.HistoryApi),
      import("./gateway/handlers/history.ts").then((m) => m.layer)
    ])
  ),
  status: answered(() =>
    Promise.all([
      import("./contract/status.ts").then((m) => m.StatusApi),
      import("./gateway/handlers/status.ts").then((m) => m.layer)
    ])
  ),
  settings: answered(() =>
    Promise.all([
      import("./contract/settings.ts").then((m) => m.SettingsApi),
      import("./gateway/handlers/settings.ts").then((m) => m.layer)
    ])
  ),
  openai: answered(() =>
    Promise.all([
      import("./contract/openai.ts").then((m) => m.OpenAiApi),
      import("./gateway/handlers/openai.ts").then((m) => m.layer)
    ])
  ),
  anthropic: answered(() =>
    Promise.all([
      import("./contract/anthropic.ts").then((m) => m.AnthropicApi),
      import("./gateway/handlers/anthropic.ts").then((m) => m.layer)
    ])
  ),
  keys: answered(() =>
    Promise.all([
      import("./contract/keys.ts").then((m) => m.KeysApi),
      import("./gateway/handlers/keys.ts").then((m) => m.layer)
    ])
  )
}

/**
 * The folders' layers, each closed over the floors below it. Memoised by identity: whoever builds
 * several shares what they share. The gateway has one kernel, which is the folder's only writer; a
 * verb in a process of its own takes the lock only for what may not be done beside another process.
 */
export const stack = (
  options: AppOptions,
  part: Parts = parts,
  as: "gateway" | "verb" = "verb",
  links: Layer.Layer<LinksTag> = as === "gateway" ? Links : NoLinks
) => {
  const sources = { configPath: options.config, cwd: options.cwd, env: options.env }
  const settings = Settings.layer(sources)
  const log = options.log === undefined ? Observability : logIn(options.log)
  const ground = Layer.provideMerge(log, settings)

  const kernelOn = (dataDir: typeof DataDir | typeof DataDirWriter) => {
    const base = Layer.mergeAll(dataDir, Events).pipe(Layer.provideMerge(ground))
    const keys = Layer.provideMerge(Keyring, base)
    const stored = part.audit.pipe(Layer.provideMerge(Database), Layer.provideMerge(keys))
    return Credentials.pipe(Layer.provideMerge(stored))
  }
  const exclusive = kernelOn(DataDirWriter)
  const shared = as === "gateway" ? exclusive : kernelOn(DataDir)

  const model = Router.pipe(
    Layer.provideMerge(Layer.mergeAll(part.providers, Pricing, part.budget, ResponseCache)),
    Layer.provideMerge(exclusive)
  )
  // Second line under the settings' own refusal of such workspaces: what must never be seen is masked.
  const sandbox = Layer.unwrapEffect(
    Effect.map(
      Effect.flatMap(Settings.Settings, (service) => service.current),
      ({ dataDir, path }) => part.sandbox(path === null ? [dataDir] : [dataDir, path])
    )
  )
  const tools = ToolExecutor.pipe(
    Layer.provideMerge(Layer.mergeAll(ToolPolicy, part.approvals)),
    Layer.provideMerge(ToolRegistry),
    Layer.provideMerge(Layer.mergeAll(sandbox, Egress)),
    Layer.provideMerge(exclusive)
  )
  const agent = Layer.merge(AgentRuntime, Recovered).pipe(
    Layer.provideMerge(Layer.mergeAll(Agents.layer, part.sessions, ThreatScanner, Compactor)),
    Layer.provideMerge(Layer.mergeAll(model, tools))
  )

  const settingsFile = Layer.provideMerge(SettingsFile.layer(sources, shared), ground)

  // Whoever changes them holds the lock, so what a running gateway knows of them is all there is.
  const logins = Logins.pipe(
    Layer.provideMerge(Layer.mergeAll(Tokens, Passwords, WebSessions, Lockout, links)),
    Layer.provideMerge(exclusive)
  )
  const auth = Auth.pipe(Layer.provide(Pins), Layer.provide(Certificates), Layer.provideMerge(logins))

  return { ground, settingsFile, logins, auth, shared, exclusive, sandbox: Layer.provide(sandbox, ground), agent }
}

/** Each group's routes over exactly the parts that they need. */
const groupsOf = (
  { settingsFile, logins, shared, exclusive, sandbox, agent }: ReturnType<typeof stack>,
  part: Parts,
  server: Layer.Layer<Drain.Drain | Health>
) => {
  return {
    health: Layer.provide(routes.health, server),
    agents: routes.agents.pipe(Layer.provide(Agents.layer), Layer.provide(settingsFile)),
    status: routes.status.pipe(Layer.provide(server), Layer.provide(agent)),
    settings: Layer.provide(routes.settings, settingsFile),
    history: routes.history.pipe(Layer.provide(part.sessions), Layer.provide(shared)),
    runs: routes.runs.pipe(Layer.provide(LiveRuns), Layer.provide(agent)),
    chat: routes.chat.pipe(Layer.provide(Layer.mergeAll(LiveRuns, RateLimiter, server)), Layer.provide(agent)),
    events: routes.events.pipe(Layer.provide(EventStream), Layer.provide(server), Layer.provide(shared)),
    approvals: Layer.provide(routes.approvals, agent),
    sessions: routes.sessions.pipe(Layer.provide(part.sessions), Layer.provide(shared)),
    budget: routes.budget.pipe(Layer.provide(Layer.mergeAll(part.budget, Agents.layer)), Layer.provide(shared)),
    cache: routes.cache.pipe(Layer.provide(ResponseCache), Layer.provide(shared)),
    audit: Layer.provide(routes.audit, shared),
    credentials: Layer.provide(routes.credentials, shared),
    certificates: routes.certificates.pipe(Layer.provide(Certificates), Layer.provide(shared)),
    tokens: routes.tokens.pipe(Layer.provide(Layer.merge(Tokens, part.budget)), Layer.provide(exclusive)),
    login: Layer.provide(routes.login, logins),
    security: routes.security.pipe(
      Layer.provide(SecurityAudit),
      Layer.provide(ToolRegistry),
      Layer.provide(Layer.merge(sandbox, Egress)),
      Layer.provide(shared)
    ),
    openai: routes.openai.pipe(Layer.provide(Completions), Layer.provide(agent)),
    anthropic: routes.anthropic.pipe(Layer.provide(Completions), Layer.provide(agent)),
    keys: routes.keys.pipe(Layer.provide(Rotation), Layer.provide(exclusive))
  }
}

type Groups = ReturnType<typeof groupsOf>
export type StartError = Layer.Layer.Error<Groups[keyof Groups]>

export interface App {
  /** The handlers of one group; started on first use, ended with the scope in which the app was opened. */
  readonly handler: (group: GroupName) => Effect.Effect<Handler, StartError>
}

const appOf = (groups: Groups, memoMap: Layer.MemoMap, scope: Scope.Scope): App => ({
  handler: (group) =>
    Effect.gen(function* () {
      const api: Layer.Layer<HttpApi.Api, StartError> = groups[group]
      const router = Layer.mergeAll(
        HttpApiBuilder.Router.Live,
        HttpApiBuilder.Middleware.layer,
        Refusals.layer,
        HttpServer.layerContext
      )
      const context = yield* Layer.buildWithMemoMap(Layer.provideMerge(api, router), memoMap, scope)
      const closed = Effect.map(
        Effect.all([HttpApiBuilder.httpApp, Effect.context<HttpRouter.HttpRouter.DefaultServices>()]),
        ([app, services]): Handler =>
          Effect.mapInputContext(app, (asked: Context.Context<HttpServerRequest.HttpServerRequest | Scope.Scope>) =>
            Context.merge(services, asked)
          )
      )
      return yield* Effect.provide(closed, context)
    })
})

const HealthAs = (version: string) => lazily(() => import("./gateway/Health.ts").then((m) => m.layer(version)))

/** Of a process that serves nobody but itself. */
const noServer = Layer.merge(Drain.layer, HealthAs("0"))

/** Nothing is started yet when this returns. */
export const open = (
  options: AppOptions,
  part: Parts = parts,
  as: "gateway" | "verb" = "verb"
): Effect.Effect<App, never, Scope.Scope> =>
  Effect.gen(function* () {
    const memoMap = yield* Layer.makeMemoMap
    return appOf(groupsOf(stack(options, part, as), part, noServer), memoMap, yield* Effect.scope)
  })

const Tls = lazily(() => import("./gateway/Tls.ts").then((m) => m.layer))
const RateLimiter = lazily(() => import("./gateway/RateLimiter.ts").then((m) => m.layer))
const Door = lazily(() => import("./gateway/Door.ts").then((m) => m.layer))

/** Where a group answers that does not stand under its own name, because its clients look for it elsewhere. */
const elsewhere: Partial<Record<GroupName, ReadonlyArray<string>>> = {
  health: ["/healthz", "/readyz"],
  anthropic: ["/v1/messages"],
  openai: ["/v1/models", "/v1/chat", "/v1/responses"]
}

/** Serves until the scope closes; where nothing is set up yet, the set-up first. */
export const serve = (options: AppOptions, how: How & Surface, part: Parts = parts) =>
  Effect.gen(function* () {
    const Gateway = yield* Effect.promise(() => import("./gateway/Gateway.ts"))
    const Dispatch = yield* Effect.promise(() => import("./gateway/Dispatch.ts"))
    const Pages = yield* Effect.promise(() => import("./gateway/Pages.ts"))
    const Metrics = yield* Effect.promise(() => import("./gateway/Metrics.ts"))
    const { Door: DoorTag } = yield* Effect.promise(() => import("./gateway/Door.ts"))
    const { make: makeLinks, Links: Tag } = yield* Effect.promise(() => import("./gateway/auth/Links.ts"))
    // The link that the set-up ends with leads into the gateway that comes after it.
    const links = Layer.succeed(Tag, makeLinks())
    const site = Effect.gen(function* () {
      const scope = yield* Effect.scope
      const memoMap = yield* Layer.makeMemoMap
      const server = Layer.merge(Drain.layer, HealthAs(how.version))
      const layers = stack(options, part, "gateway", links)
      const groups = groupsOf(layers, part, server)
      const { handler } = appOf(groups, memoMap, scope)
      const doors = Layer.mergeAll(Door, Tls, Settings.layerWatch, server).pipe(
        Layer.provide(Layer.mergeAll(RateLimiter, Certificates))
      )
      const built = yield* Layer.buildWithMemoMap(Layer.provideMerge(doors, layers.auth), memoMap, scope)
      const names: ReadonlyArray<string> = Object.keys(groups)
      let endRuns = Effect.void
      const context = Context.add(built, DoorTag, Metrics.observing(Context.get(built, DoorTag), names))
      const isGroup = (name: string): name is GroupName => names.includes(name)
      return {
        context,
        parts: [
          ...names.filter(isGroup).map((group) => ({
            answers: Dispatch.below(...(elsewhere[group] ?? [`/dashboard/api/${group}`])),
            app: handler(group)
          })),
          { answers: Dispatch.exactly("/metrics"), app: Effect.provideService(Metrics.make, Scope.Scope, scope) },
          {
            answers: Dispatch.exactly("/openapi.json", "/docs", "/docs/"),
            app: Effect.flatMap(
              Effect.promise(() => import("./gateway/OpenApiDocs.ts")),
              (docs) => docs.make
            )
          },
          { answers: Pages.owns, app: Effect.provide(Pages.make, context) }
        ],
        control: names.filter(isGroup).map((group) => ({
          answers: Dispatch.exactly(`/control/start/${group}`),
          app: Effect.as(handler(group), Dispatch.done)
        })),
        warm: Effect.gen(function* () {
          const agent = yield* Layer.buildWithMemoMap(layers.agent, memoMap, scope)
          endRuns = Context.get(
            agent,
            yield* Effect.promise(() => import("./agent/AgentRuntime.ts").then((m) => m.AgentRuntime))
          ).close
          yield* Effect.asVoid(handler("runs"))
        }),
        endRuns: Effect.suspend(() => endRuns)
      }
    })
    const { path } = yield* Settings.whereabouts({ configPath: options.config, cwd: options.cwd, env: options.env })
    if (path !== null || options.config !== undefined) {
      const { layer } = yield* Effect.promise(() => import("./gateway/Telemetry.ts"))
      const telemetry = Layer.provide(layer(how.version), stack(options, part, "gateway", links).ground)
      return yield* Effect.provide(Gateway.serve(how, site), yield* Layer.toRuntime(telemetry))
    }
    const SettingUp = yield* Effect.promise(() => import("./gateway/setup/SettingUp.ts"))
    const ground = (app: AppOptions) => Layer.build(stack(app, part, "gateway", links).logins)
    return yield* Gateway.serve(how, site, yield* SettingUp.make(options, how, ground))
  })

const sandboxLayers = (options: AppOptions) => {
  const { ground, sandbox } = stack(options)
  return Layer.mergeAll(Layer.provide(Agents.layer, ground), sandbox)
}

/** Runs a person's own command in an agent's sandbox, on this terminal. Returns its exit code. */
export const sandboxed = (
  options: AppOptions,
  agentName: string | undefined,
  argv: readonly [string, ...ReadonlyArray<string>]
) =>
  Effect.gen(function* () {
    const agent = yield* Effect.flatMap(Agents.Agents, (service) => service.get(agentName))
    const { Sandbox } = yield* Effect.promise(() => import("./tools/Sandbox.ts"))
    const sandbox = yield* Sandbox
    return yield* sandbox.runInteractive(agent, argv)
  }).pipe(Effect.provide(sandboxLayers(options)))
