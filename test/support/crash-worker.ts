/**
 * A process that runs one message and kills itself with SIGKILL at a named point of the path.
 *
 *   node test/support/crash-worker.ts PLACE POINT MESSAGE [KEY]     PLACE: JSON of a `Place`
 *
 * A point is `<part>:<what>:<before|after>`; it is reached by wrapping the part's layer, so that the
 * product itself knows nothing of it.
 */
import { Effect, Layer, Stream } from "effect"
import { AgentRuntime } from "../../src/agent/AgentRuntime.ts"
import * as SessionStore from "../../src/agent/SessionStore.ts"
import * as App from "../../src/App.ts"
import { MessageKey, owner } from "../../src/domain/Ids.ts"
import * as Audit from "../../src/kernel/Audit.ts"
import * as Budget from "../../src/model/Budget.ts"
import * as Provider from "../../src/model/Provider.ts"
import * as Sandbox from "../../src/tools/Sandbox.ts"
import { agentLayer, type Place } from "./path.ts"

const [, , placeJson = "{}", point = "", message = "", key] = process.argv
// Our own test wrote it a moment ago.
const place = JSON.parse(placeJson) as Place

const reach = (name: string) =>
  Effect.sync(() => {
    if (name === point) process.kill(process.pid, "SIGKILL")
  })

const around = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
  reach(`${name}:before`).pipe(Effect.zipRight(effect), Effect.zipLeft(reach(`${name}:after`)))

const replaced: App.Parts = {
  ...App.parts,
  sessions: Layer.effect(
    SessionStore.SessionStore,
    Effect.map(SessionStore.SessionStore, (store) => ({
      ...store,
      append: (session, events) => around(`log:${events[0]._tag}`, store.append(session, events))
    }))
  ).pipe(Layer.provide(App.parts.sessions)),
  budget: Layer.effect(
    Budget.Budget,
    Effect.map(Budget.Budget, (budget) => ({
      ...budget,
      reserve: (reservation) => around("budget:reserve", budget.reserve(reservation)),
      settle: (lease, settlement) => around("budget:settle", budget.settle(lease, settlement))
    }))
  ).pipe(Layer.provide(App.parts.budget)),
  audit: Layer.effect(
    Audit.Audit,
    Effect.map(Audit.Audit, (audit) => ({
      ...audit,
      append: (event) => around(`audit:${event.type}`, audit.append(event))
    }))
  ).pipe(Layer.provide(App.parts.audit)),
  providers: Layer.effect(
    Provider.Providers,
    Effect.map(Provider.Providers, (providers) => ({
      ...providers,
      get: (model) =>
        Effect.map(providers.get(model), (provider) => ({
          ...provider,
          stream: (request, lease) =>
            Stream.fromEffect(reach("model:ask:before")).pipe(
              Stream.drain,
              Stream.concat(provider.stream(request, lease)),
              Stream.tap((event) => reach(`model:${event._tag}:after`))
            )
        }))
    }))
  ).pipe(Layer.provide(App.parts.providers)),
  sandbox: (hidden) =>
    Layer.effect(
      Sandbox.Sandbox,
      Effect.map(Sandbox.Sandbox, (sandbox) => ({
        ...sandbox,
        run: (permitted, command) => around("sandbox:run", sandbox.run(permitted, command))
      }))
    ).pipe(Layer.provide(App.parts.sandbox(hidden)))
}

const keyed = key === undefined ? {} : { key: MessageKey.make(key) }

const main = Effect.gen(function* () {
  const runtime = yield* AgentRuntime
  yield* Stream.runForEach(runtime.run({ principal: owner, message, ...keyed }), (event) =>
    Effect.sync(() => process.stdout.write(`${event._tag}\n`))
  )
})

await Effect.runPromise(main.pipe(Effect.provide(agentLayer(place, replaced)), Effect.scoped))
