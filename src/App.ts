/**
 * App: the composition root. Each folder's layers are stacked here and nowhere else; requirements
 * are closed here and nowhere else. A group's handlers start with what they need and no more, all
 * of them sharing the parts that they have in common.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApp from "@effect/platform/HttpApp"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import { Effect, Layer, Scope } from "effect"
import * as Agents from "./agent/Agents.ts"
import * as AgentRuntime from "./agent/AgentRuntime.ts"
import * as Compactor from "./agent/Compactor.ts"
import * as SessionStore from "./agent/SessionStore.ts"
import * as ThreatScanner from "./agent/ThreatScanner.ts"
import { AgentsApi } from "./contract/agents.ts"
import type { GroupName } from "./contract/Api.ts"
import { ApprovalsApi } from "./contract/approvals.ts"
import { AuditApi } from "./contract/audit.ts"
import { BudgetApi } from "./contract/budget.ts"
import { CacheApi } from "./contract/cache.ts"
import { CredentialsApi } from "./contract/credentials.ts"
import { KeysApi } from "./contract/keys.ts"
import { RunsApi } from "./contract/runs.ts"
import { SecurityApi } from "./contract/security.ts"
import { SessionsApi } from "./contract/sessions.ts"
import type { AppOptions } from "./domain/App.ts"
import * as agents from "./gateway/handlers/agents.ts"
import * as approvals from "./gateway/handlers/approvals.ts"
import * as audit from "./gateway/handlers/audit.ts"
import * as budget from "./gateway/handlers/budget.ts"
import * as cache from "./gateway/handlers/cache.ts"
import * as credentials from "./gateway/handlers/credentials.ts"
import * as keys from "./gateway/handlers/keys.ts"
import * as runs from "./gateway/handlers/runs.ts"
import * as security from "./gateway/handlers/security.ts"
import * as sessions from "./gateway/handlers/sessions.ts"
import * as SecurityAudit from "./gateway/SecurityAudit.ts"
import * as Audit from "./kernel/Audit.ts"
import * as Credentials from "./kernel/Credentials.ts"
import * as Database from "./kernel/Database.ts"
import * as DataDir from "./kernel/DataDir.ts"
import * as Events from "./kernel/Events.ts"
import * as Keyring from "./kernel/Keyring.ts"
import * as Observability from "./kernel/Observability.ts"
import * as Rotation from "./kernel/Rotation.ts"
import * as Settings from "./kernel/Settings.ts"
import * as Budget from "./model/Budget.ts"
import * as Pricing from "./model/Pricing.ts"
import * as Provider from "./model/Provider.ts"
import * as ResponseCache from "./model/ResponseCache.ts"
import * as Router from "./model/Router.ts"
import * as Approvals from "./tools/Approvals.ts"
import * as Egress from "./tools/Egress.ts"
import * as Sandbox from "./tools/Sandbox.ts"
import * as ToolExecutor from "./tools/ToolExecutor.ts"
import * as ToolPolicy from "./tools/ToolPolicy.ts"
import * as ToolRegistry from "./tools/ToolRegistry.ts"

export type WebHandler = (request: Request) => Promise<Response>

/** The parts that touch a disk, a provider, a process or a person; a test puts a failing one in a real one's place. */
export const parts = {
  audit: Audit.layer,
  budget: Budget.layer,
  providers: Provider.layer,
  sandbox: Sandbox.layerHiding,
  approvals: Approvals.layer,
  sessions: SessionStore.layer
}
export type Parts = typeof parts

/** The folders' layers, each closed over the floors below it. Memoised by identity: whoever builds several shares what they share. */
export const stack = (options: AppOptions, part: Parts = parts) => {
  const settings = Settings.layer({ configPath: options.config, cwd: options.cwd, env: options.env })
  const ground = Layer.provideMerge(Observability.layer, settings)

  // Verbs that only read, or whose writes are safe beside another process, do not take the lock.
  const kernelOn = (dataDir: typeof DataDir.layer | typeof DataDir.layerWriter) => {
    const base = Layer.mergeAll(dataDir, Events.layer).pipe(Layer.provideMerge(ground))
    const keys = Keyring.layerCrypto.pipe(Layer.provideMerge(Keyring.layer), Layer.provideMerge(base))
    const stored = part.audit.pipe(Layer.provideMerge(Database.layer), Layer.provideMerge(keys))
    return Credentials.layer.pipe(Layer.provideMerge(stored))
  }
  const shared = kernelOn(DataDir.layer)
  const exclusive = kernelOn(DataDir.layerWriter)

  const model = Router.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(part.providers, Pricing.layer, part.budget, ResponseCache.layer)),
    Layer.provideMerge(exclusive)
  )
  // Second line under the settings' own refusal of such workspaces: what must never be seen is masked.
  const sandbox = Layer.unwrapEffect(
    Effect.map(Effect.flatMap(Settings.Settings, (service) => service.current), ({ dataDir, path }) =>
      part.sandbox(path === null ? [dataDir] : [dataDir, path])
    )
  )
  const tools = ToolExecutor.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(ToolPolicy.layer, part.approvals)),
    Layer.provideMerge(ToolRegistry.layer),
    Layer.provideMerge(Layer.mergeAll(sandbox, Egress.layer)),
    Layer.provideMerge(exclusive)
  )
  // What a crash left reserved is settled before the first new run, not at the next heartbeat.
  const recovered = Layer.effectDiscard(Effect.flatMap(Budget.Budget, (budget) => budget.recover))
  const agent = Layer.merge(AgentRuntime.layer, recovered).pipe(
    Layer.provideMerge(Layer.mergeAll(Agents.layer, part.sessions, ThreatScanner.layer, Compactor.layer)),
    Layer.provideMerge(Layer.mergeAll(model, tools))
  )

  return { ground, shared, exclusive, sandbox: Layer.provide(sandbox, ground), agent }
}

/** Each group's routes over exactly the parts that they need. */
const groupsOf = (options: AppOptions) => {
  const { ground, shared, exclusive, sandbox, agent } = stack(options)
  return {
    agents: HttpApiBuilder.api(AgentsApi).pipe(
      Layer.provide(agents.layer),
      Layer.provide(Agents.layer),
      Layer.provide(ground)
    ),
    runs: HttpApiBuilder.api(RunsApi).pipe(Layer.provide(runs.layer), Layer.provide(agent)),
    approvals: HttpApiBuilder.api(ApprovalsApi).pipe(Layer.provide(approvals.layer), Layer.provide(agent)),
    sessions: HttpApiBuilder.api(SessionsApi).pipe(
      Layer.provide(sessions.layer),
      Layer.provide(SessionStore.layer),
      Layer.provide(shared)
    ),
    budget: HttpApiBuilder.api(BudgetApi).pipe(
      Layer.provide(budget.layer),
      Layer.provide(Layer.mergeAll(Budget.layer, Agents.layer)),
      Layer.provide(shared)
    ),
    cache: HttpApiBuilder.api(CacheApi).pipe(
      Layer.provide(cache.layer),
      Layer.provide(ResponseCache.layer),
      Layer.provide(shared)
    ),
    audit: HttpApiBuilder.api(AuditApi).pipe(Layer.provide(audit.layer), Layer.provide(shared)),
    credentials: HttpApiBuilder.api(CredentialsApi).pipe(Layer.provide(credentials.layer), Layer.provide(shared)),
    security: HttpApiBuilder.api(SecurityApi).pipe(
      Layer.provide(security.layer),
      Layer.provide(SecurityAudit.layer),
      Layer.provide(sandbox),
      Layer.provide(shared)
    ),
    keys: HttpApiBuilder.api(KeysApi).pipe(
      Layer.provide(keys.layer),
      Layer.provide(Rotation.layer),
      Layer.provide(exclusive)
    )
  }
}

type Groups = ReturnType<typeof groupsOf>
export type StartError = Layer.Layer.Error<Groups[keyof Groups]>

export interface App {
  /** The handlers of one group; started on first use, ended with the scope in which the app was opened. */
  readonly handler: (group: GroupName) => Effect.Effect<WebHandler, StartError>
}

/** Nothing is started yet when this returns. */
export const open = (options: AppOptions): Effect.Effect<App, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const memoMap = yield* Layer.makeMemoMap
    const groups: Groups = groupsOf(options)
    const handler = (group: GroupName): Effect.Effect<WebHandler, StartError> =>
      Effect.gen(function* () {
        const api: Layer.Layer<HttpApi.Api, StartError> = groups[group]
        const router = Layer.mergeAll(HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer, HttpServer.layerContext)
        const context = yield* Layer.buildWithMemoMap(Layer.provideMerge(api, router), memoMap, scope)
        return yield* Effect.gen(function* () {
          const app = yield* HttpApiBuilder.httpApp
          return HttpApp.toWebHandlerRuntime(yield* Effect.runtime<HttpRouter.HttpRouter.DefaultServices>())(app)
        }).pipe(Effect.provide(context))
      })
    return { handler }
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
    const sandbox = yield* Sandbox.Sandbox
    return yield* sandbox.runInteractive(agent, argv)
  }).pipe(Effect.provide(sandboxLayers(options)))
