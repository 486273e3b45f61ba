/**
 * The whole path in front of four fake vendors: the real settings, router, SDKs and sandbox, with
 * each provider's address in the settings and its key in the environment. And the check that the
 * session log, the ledger, the audit log and the vendors tell the same story about money.
 */
import { assert } from "@effect/vitest"
import { Effect, Fiber, type Scope, Stream } from "effect"
import { AgentRuntime, type RunRequest } from "../../src/agent/AgentRuntime.ts"
import { SessionStore } from "../../src/agent/SessionStore.ts"
import { owner, type SessionId } from "../../src/domain/Ids.ts"
import type { RunEvent } from "../../src/domain/RunEvent.ts"
import type { SessionEvent } from "../../src/domain/SessionEvent.ts"
import { Audit } from "../../src/kernel/Audit.ts"
import { Database } from "../../src/kernel/Database.ts"
import { Budget } from "../../src/model/Budget.ts"
import * as Path from "./path.ts"
import * as FakeAnthropic from "./providers/FakeAnthropic.ts"
import * as FakeGoogle from "./providers/FakeGoogle.ts"
import * as FakeOpenAi from "./providers/FakeOpenAi.ts"
import type { Fake } from "./providers/FakeServer.ts"

/** One per provider, so that a key that went to the wrong vendor is refused by it. */
export const keys = {
  anthropic: "sk-ant-e2e-3f9a1c77d0b24e5581",
  google: "AIzaE2E-9d0c4b7a6f5e4d3c2b1a0f9e8d7c6b5a4",
  openrouter: "sk-or-v1-e2e-77aa55cc33ee11ff99",
  lab: "labkey-e2e-0123456789abcdef"
}
export type VendorName = keyof typeof keys

export const models = {
  anthropic: "anthropic/claude-sonnet-4-6",
  google: "google/gemini-2.5-flash",
  openrouter: "openrouter/anthropic/claude-sonnet-4.6",
  lab: "lab/qwen3:8b"
} satisfies Record<VendorName, string>

export const vendorNames: ReadonlyArray<VendorName> = ["anthropic", "google", "openrouter", "lab"]

/** USD per million tokens; each rate another, so that a mixed-up one shows. */
export const labPrice = {
  inputPerMillion: 0.7,
  outputPerMillion: 1.9,
  cacheReadPerMillion: 0.11,
  cacheWritePerMillion: 0.93,
  contextWindow: 100_000
}

export interface Stage {
  readonly place: Path.Place
  readonly fakes: Readonly<Record<VendorName, Fake>>
  /** Requests that each vendor has had, in its order. */
  readonly asked: () => Readonly<Record<VendorName, number>>
}

export interface StageOptions extends Path.PlaceOptions {
  readonly router?: object
  readonly prices?: object
  /** Beside the four. */
  readonly providers?: object
  /** The keys that the vendors accept, and that stand in the environment. */
  readonly keys?: Readonly<Record<VendorName, string>>
}

/** Fakes, settings and an empty data folder; gone with the scope. */
export const stage = (options: StageOptions = {}): Effect.Effect<Stage, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { env, keys: accepted = keys, prices, providers, router, sections, ...rest } = options
    const fakes = {
      anthropic: yield* FakeAnthropic.make({ key: accepted.anthropic }),
      google: yield* FakeGoogle.make({ key: accepted.google }),
      openrouter: yield* FakeOpenAi.makeOpenRouter({ key: accepted.openrouter }),
      lab: yield* FakeOpenAi.make({ key: accepted.lab })
    }
    const place = yield* Path.place({
      ...rest,
      env: {
        ANTHROPIC_API_KEY: accepted.anthropic,
        GOOGLE_AI_API_KEY: accepted.google,
        OPENROUTER_API_KEY: accepted.openrouter,
        LAB_KEY: accepted.lab,
        ...env
      },
      sections: {
        providers: {
          anthropic: { baseUrl: fakes.anthropic.baseUrl },
          google: { baseUrl: fakes.google.baseUrl },
          openrouter: { baseUrl: fakes.openrouter.baseUrl },
          lab: { kind: "openai-compatible", baseUrl: fakes.lab.baseUrl, apiKeyEnv: "LAB_KEY" },
          ...providers
        },
        prices: { [models.lab]: labPrice, ...prices },
        router: { backoffBaseMs: 1, backoffMaxMs: 200, maxRetries: 1, cooldownMs: 0, ...router },
        ...sections
      }
    })
    const asked = () => ({
      anthropic: fakes.anthropic.requests.length,
      google: fakes.google.requests.length,
      openrouter: fakes.openrouter.requests.length,
      lab: fakes.lab.requests.length
    })
    return { place, fakes, asked }
  })

/** As `agents.defaults`: who is asked, in this order. */
export const chain = (primary: VendorName, ...failover: ReadonlyArray<VendorName>) => ({
  model: { primary: models[primary], failover: failover.map((name) => models[name]) }
})

export interface Watched {
  /** Grows while the run goes on. */
  readonly events: ReadonlyArray<RunEvent>
  /** Waits for the first event that is so. */
  readonly until: (is: (event: RunEvent) => boolean) => Effect.Effect<void>
  /** The run's end; fails as the run does. */
  readonly end: Effect.Effect<void, unknown>
}

/** Starts a run in the background and keeps what a viewer would have seen, also of a run that fails. */
export const watch = (message: string, rest: Partial<RunRequest> = {}) =>
  Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const events: Array<RunEvent> = []
    const fiber = yield* Effect.fork(
      Stream.runForEach(runtime.run({ principal: owner, message, ...rest }), (event) =>
        Effect.sync(() => void events.push(event))
      )
    )
    const until: Watched["until"] = (is) =>
      Effect.suspend(() => (events.some(is) ? Effect.void : Effect.zipRight(Effect.sleep("5 millis"), until(is))))
    return { events, until, end: Fiber.join(fiber) } satisfies Watched
  })

/** To its end or failure; what was seen, and why it failed if it did. */
export const runAll = (message: string, rest: Partial<RunRequest> = {}) =>
  Effect.gen(function* () {
    const watched = yield* watch(message, rest)
    const exit = yield* Effect.either(watched.end)
    return { events: watched.events, failure: exit._tag === "Left" ? exit.left : null }
  })

/** What a viewer has before them at the end: the text of attempts that were declared void is gone. */
export const shownText = (events: ReadonlyArray<RunEvent>): string => {
  let kept = ""
  let current = ""
  for (const event of events) {
    if (event._tag === "ModelStarted") {
      kept += current
      current = ""
    } else if (event._tag === "AnswerDelta") current += event.text
    else if (event._tag === "ModelAttemptFailed" && event.discard) current = ""
  }
  return kept + current
}

interface LeaseRow {
  readonly id: string
  readonly run: string
  readonly model: string
  readonly tokens: number
  readonly cost: number
  readonly settled_tokens: number | null
  readonly settled_cost: number | null
}

const isAsked = (event: SessionEvent) => event._tag === "ModelAsked"
const isEnd = (event: SessionEvent) => event._tag === "ModelAnswered" || event._tag === "ModelFailed"

/** Every lease of the ledger, oldest first. */
export const leases = Effect.gen(function* () {
  const { desk } = yield* Database
  const rows = yield* desk.read((db) =>
    db.all("SELECT id, run, model, tokens, cost, settled_tokens, settled_cost FROM budget_leases ORDER BY at, id")
  )
  // The columns are those of the statement above.
  return rows as unknown as ReadonlyArray<LeaseRow>
})

/**
 * Log, ledger, audit and budget agree about every attempt of every session: it was reserved, recorded
 * and settled, at one amount. Returns the leases.
 */
export const reconcile = Effect.gen(function* () {
  const store = yield* SessionStore
  const audit = yield* Audit
  const sessions = yield* store.list({ limit: 1000 })
  const logs = yield* Effect.forEach(sessions, ({ id }) => store.log(id))
  const events = logs.flatMap((log) => log.map((logged) => logged.event))
  const rows = yield* leases
  const entries = yield* audit.tail({ limit: 1000 })

  const asked = events.filter(isAsked)
  assert.sameMembers(
    asked.map((e) => String(e.lease)),
    rows.map((row) => row.id),
    "each attempt in a session log has a lease, and each lease an attempt"
  )
  const spent = { tokens: 0, cost: 0 }
  for (const row of rows) {
    const [audited, more] = entries.filter(
      ({ event }) => event.type === "model.asked" && event.data["lease"] === row.id
    )
    assert.isUndefined(more, "asked once in the audit log")
    assert.deepInclude(audited?.event.data, { model: row.model, tokens: row.tokens, cost: row.cost })
    assert.isAbove(row.cost, 0, "nothing is asked without a price")
    assert.isNotNull(row.settled_tokens, "no lease stays open")

    const ends = events.filter(isEnd).filter((e) => String(e.lease) === row.id)
    assert.lengthOf(ends, 1, "an attempt ends once")
    const end = ends[0]!
    assert.strictEqual(Number(end.cost), row.settled_cost)
    const closing = entries.filter(
      ({ event }) =>
        (event.type === "model.answered" || event.type === "model.failed") && event.data["lease"] === row.id
    )
    assert.lengthOf(closing, 1)
    const data: unknown = closing[0]?.event.data
    if (end._tag === "ModelAnswered") {
      assert.strictEqual(end.usage.totalTokens, row.settled_tokens)
      assert.deepInclude(data, { tokens: row.settled_tokens, cost: row.settled_cost })
    } else {
      assert.deepInclude(data, { charged: row.settled_cost, failure: end.failure })
    }
    spent.tokens += row.settled_tokens ?? 0
    spent.cost += row.settled_cost ?? 0
  }
  const [budget] = yield* (yield* Budget).show
  for (const period of budget!.periods) {
    assert.deepInclude(period, {
      spentTokens: spent.tokens,
      spent: spent.cost,
      reservedTokens: 0,
      reserved: 0
    } as object)
  }
  return rows
})

export const sessionOf = (events: ReadonlyArray<RunEvent>): SessionId => Path.of(events, "RunStarted")[0]!.session

export const logOf = (events: ReadonlyArray<RunEvent>) =>
  Effect.gen(function* () {
    const store = yield* SessionStore
    return (yield* store.log(sessionOf(events))).map((logged) => logged.event)
  })
