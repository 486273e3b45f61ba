/**
 * The model services over real databases, with one thing made up: what the providers answer. Every
 * call a provider gets is recorded with what was durable at that moment, so that a test can say
 * "nothing is asked before it is reserved and audited".
 */
import { Chunk, Clock, Effect, Fiber, Layer, Option, Schema, Stream, TestClock } from "effect"
import { Agent } from "../../src/domain/Agent.ts"
import type { AuditEntry } from "../../src/domain/Audit.ts"
import { Config } from "../../src/domain/Config.ts"
import { AgentId, type LeaseId, owner, RunId } from "../../src/domain/Ids.ts"
import { AssistantMessage, TextPart, userText } from "../../src/domain/Message.ts"
import {
  Completed,
  ModelError,
  type ModelEvent,
  type ModelFailure,
  ModelRef,
  ModelRequest,
  TextDelta,
  Usage
} from "../../src/domain/Model.ts"
import { type BudgetLease, isGenuine, mintScanned } from "../../src/domain/Proof.ts"
import * as Audit from "../../src/kernel/Audit.ts"
import { Database } from "../../src/kernel/Database.ts"
import * as Events from "../../src/kernel/Events.ts"
import { type LoadedSettings, Settings } from "../../src/kernel/Settings.ts"
import * as Budget from "../../src/model/Budget.ts"
import * as Pricing from "../../src/model/Pricing.ts"
import { Providers } from "../../src/model/Provider.ts"
import * as ResponseCache from "../../src/model/ResponseCache.ts"
import * as Router from "../../src/model/Router.ts"
import { testAgent } from "./agent.ts"
import { layerTemporary } from "./database.ts"

export const [one, two, three] = (["a/one", "b/two", "c/three"] as const).map((ref) => ModelRef.make(ref)) as [
  ModelRef,
  ModelRef,
  ModelRef
]

const price = { inputPerMillion: 1000, outputPerMillion: 1000, contextWindow: 100_000 }
export const prices = { [one]: price, [two]: price, [three]: price }

let names = 0
/** An agent that no other test has used. */
export const agentWith = (overrides: Partial<Agent> = {}): Agent =>
  testAgent({
    workspace: "/nowhere",
    id: AgentId.make(`agent-${names++}`),
    model: { primary: one, failover: [two, three] },
    maxOutputTokens: 100,
    ...overrides
  })

export const runId = (n: number): RunId => RunId.make(`run-${String(n).padStart(26, "0")}`)

/** Settings that a test can change while it runs. */
export const settingsOf = (input: object, agents: ReadonlyArray<Agent> = []): LoadedSettings => ({
  config: Schema.decodeUnknownSync(Config)({ prices, ...input }),
  path: null,
  dir: "/",
  dataDir: "/",
  agents,
  masterKey: null,
  masterKeySource: null,
  providerKeys: new Map(),
  home: "/",
  warnings: []
})
export const layerSettings = (settings: () => LoadedSettings): Layer.Layer<Settings> =>
  Layer.succeed(
    Settings,
    Settings.of({ current: Effect.sync(settings), reload: Effect.sync(settings), changes: Stream.empty })
  )

export const usageOf = (inputTokens: number, outputTokens: number): Usage =>
  new Usage({ inputTokens, outputTokens, cacheReadTokens: 0, cacheWriteTokens: 0 })

export type Script = (lease: BudgetLease) => Stream.Stream<ModelEvent, ModelError>

export const completed = (text: string, usage?: Usage): Completed =>
  new Completed({
    message: new AssistantMessage({ content: text === "" ? [] : [new TextPart({ text })] }),
    finish: "stop",
    ...(usage === undefined ? {} : { usage })
  })

export const says =
  (text: string, usage: Usage | undefined = usageOf(10, 5)): Script =>
  () =>
    Stream.make(new TextDelta({ text }), completed(text, usage))

export const errorOf = (model: ModelRef, failure: ModelFailure, more: Partial<ModelError> = {}): ModelError =>
  new ModelError({
    model,
    failure,
    detail: "scripted",
    partial: more.partial ?? false,
    status: more.status,
    retryAfterMs: more.retryAfterMs,
    unsent: more.unsent
  })

export const fails =
  (failure: ModelFailure, more: Partial<ModelError> = {}): Script =>
  (lease) =>
    Stream.fail(errorOf(lease.model, failure, more))

/** Begins to answer, then fails. */
export const breaksOff =
  (text: string, failure: ModelFailure): Script =>
  (lease) =>
    Stream.concat(Stream.make(new TextDelta({ text })), Stream.fail(errorOf(lease.model, failure, { partial: true })))

export const hangs: Script = () => Stream.never
export const saysThenHangs =
  (text: string): Script =>
  () =>
    Stream.concat(Stream.make(new TextDelta({ text })), Stream.never)

export interface Called {
  readonly model: ModelRef
  readonly lease: LeaseId
  readonly tokens: number
  readonly cost: number
  readonly genuine: boolean
  /** At the moment of the call: the reservation is in the ledger, and the audit row in the log. */
  readonly reserved: boolean
  readonly audited: boolean
}

export interface Stage {
  readonly layer: Layer.Layer<Providers, never, Database | Audit.Audit>
  readonly calls: Array<Called>
}

/** Each model plays its scripts in turn and repeats the last. A model without any has no key. */
export const stage = (scripts: Readonly<Record<string, ReadonlyArray<Script>>>): Stage => {
  const calls: Array<Called> = []
  const played = new Map<string, number>()
  const layer = Layer.effect(
    Providers,
    Effect.gen(function* () {
      const { desk } = yield* Database
      const audit = yield* Audit.Audit
      return Providers.of({
        available: Effect.succeed(Object.keys(scripts)),
        get: (model) => {
          const mine = scripts[model]
          if (mine === undefined) return Effect.fail(errorOf(model, "auth", { unsent: true }))
          return Effect.succeed({
            name: model,
            stream: (request, lease) =>
              Stream.unwrap(
                Effect.gen(function* () {
                  const rows = yield* desk.read((db) =>
                    db.all("SELECT id FROM budget_leases WHERE id = ? AND settled_at IS NULL", lease.id)
                  )
                  const entries = yield* audit.tail({ type: "model.asked", limit: 1000 })
                  calls.push({
                    model: lease.model,
                    lease: lease.id,
                    tokens: lease.tokens,
                    cost: lease.cost,
                    genuine: isGenuine(request) && isGenuine(lease),
                    reserved: rows.length === 1,
                    audited: entries.some((entry) => entry.event.data["lease"] === lease.id)
                  })
                  const turn = played.get(model) ?? 0
                  played.set(model, turn + 1)
                  return (mine[Math.min(turn, mine.length - 1)] ?? hangs)(lease)
                }).pipe(Effect.orDie)
              )
          })
        }
      })
    })
  )
  return { layer, calls }
}

/** The audit log's own timers run by the real clock: a test that jumps a month must not sit through a month of checkpoints. */
const layerAudit = Layer.scopedContext(Effect.withClock(Layer.build(Audit.layer), Clock.make()))

export const ground = (settings: () => LoadedSettings) =>
  Layer.mergeAll(layerAudit, Events.layer, layerSettings(settings)).pipe(Layer.provideMerge(layerTemporary))

/** All model services over the ground. */
export const modelLayer = (settings: () => LoadedSettings, { layer }: Stage) =>
  Router.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(Pricing.layer, Budget.layer, ResponseCache.layer, layer)),
    Layer.provideMerge(ground(settings))
  )

export const requestOf = (text: string, maxOutputTokens = 100): ModelRequest =>
  ModelRequest.make({ system: "", messages: [userText(text)], tools: [], maxOutputTokens })

export interface Noted {
  readonly what: "asked" | "answered" | "failed"
  readonly lease: LeaseId
  readonly charged?: number
}

/** A call with a journal that remembers what it was told. */
export const callOf = (agent: Agent, text = "hi", run = runId(1)) => {
  const journal: Array<Noted> = []
  const call: Router.ModelCall<never> = {
    agent,
    principal: owner,
    allowance: null,
    run,
    chain: [agent.model.primary, ...agent.model.failover],
    request: mintScanned(requestOf(text)),
    journal: {
      asked: ({ id }) => Effect.sync(() => void journal.push({ what: "asked", lease: id })),
      answered: ({ id }, { cost }) =>
        Effect.sync(() => void journal.push({ what: "answered", lease: id, charged: cost })),
      failed: ({ id }, _error, charged) => Effect.sync(() => void journal.push({ what: "failed", lease: id, charged }))
    }
  }
  return { call, journal }
}

const turnOfTheLoop = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Runs to the end under the test clock, which is moved on whenever nothing else is left to do. */
export const passing = <A, E, R>(effect: Effect.Effect<A, E, R>, stepMs = 250): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    for (;;) {
      for (let turn = 0; turn < 4; turn++) yield* turnOfTheLoop
      if (Option.isSome(yield* Fiber.poll(fiber))) return yield* Fiber.join(fiber)
      yield* TestClock.adjust(stepMs)
    }
  })

export const eventsOf = <E>(call: Router.ModelCall<E>) =>
  Effect.flatMap(Router.Router, (router) => Effect.map(Stream.runCollect(router.stream(call)), Chunk.toReadonlyArray))

export const auditTypes = (entries: ReadonlyArray<AuditEntry>): ReadonlyArray<string> =>
  entries.map((entry) => entry.event.type)
