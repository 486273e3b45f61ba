import { expect, layer } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, Schema, Stream, TestClock } from "effect"
import { type Agent, Caps } from "../../src/domain/Agent.ts"
import { AuditEvent } from "../../src/domain/Audit.ts"
import { NanoUsd } from "../../src/domain/Money.ts"
import { type BudgetLease, isGenuine } from "../../src/domain/Proof.ts"
import { Audit } from "../../src/kernel/Audit.ts"
import { Database } from "../../src/kernel/Database.ts"
import { Events } from "../../src/kernel/Events.ts"
import { Allowance } from "../../src/domain/Caller.ts"
import { owner, PrincipalId } from "../../src/domain/Ids.ts"
import * as Budget from "../../src/model/Budget.ts"
import * as Holder from "../../src/model/budget/Holder.ts"
import * as Ledger from "../../src/model/budget/Ledger.ts"
import { agentWith, ground, one, runId, settingsOf } from "../support/scripted-provider.ts"

const usd = (n: number): NanoUsd => NanoUsd.make(n)
const caps = (tokens: number | undefined, cost: number | undefined, action: Caps["action"]): Caps =>
  new Caps({
    action,
    ...(tokens === undefined ? {} : { tokens }),
    ...(cost === undefined ? {} : { cost: usd(cost) })
  })
const ask = (agent: Agent, tokens: number, cost = tokens, run = runId(1)): Budget.Reservation => ({
  agent,
  principal: owner,
  allowance: null,
  run,
  model: one,
  tokens,
  cost: usd(cost)
})

const environment = ground(() => settingsOf({}))
/** One process' view of the ledger. */
const instance = Effect.flatMap(Holder.current, Budget.make)
const noon = Date.UTC(2026, 10, 22, 12)
const day = 86_400_000

const Row = Schema.Struct({
  period: Schema.String,
  period_key: Schema.String,
  spent_tokens: Schema.Number,
  reserved_tokens: Schema.Number,
  spent: Schema.Number,
  reserved: Schema.Number
})
const rowsNamed = (account: string) =>
  Effect.flatMap(Database, ({ desk }) =>
    desk.read((db) => db.all("SELECT * FROM budget_periods WHERE agent = ? ORDER BY period_key", account))
  ).pipe(Effect.flatMap(Schema.decodeUnknown(Schema.Array(Row))))
const rowsOf = (agent: Agent) => rowsNamed(agent.id)
const tokenOf = (name: string): PrincipalId => PrincipalId.make(`token:${name}`)

const auditOf = (agent: Agent) =>
  Effect.gen(function* () {
    const audit = yield* Audit
    // Notes are not waited for; an append that follows them is durable only with them.
    yield* audit.append(new AuditEvent({ type: "run.ended", agent: agent.id, data: {} }))
    const entries = yield* audit.tail({ agent: agent.id, limit: 1000 })
    return entries.map((entry) => entry.event.type).filter((type) => type !== "run.ended")
  })

layer(environment)("Budget", (it) => {
  it.scoped("mints a lease for what fits and settles it once", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(noon)
      const { service } = yield* instance
      const agent = agentWith({ budget: { daily: caps(100, 1000, "block") } })
      const lease = yield* service.reserve(ask(agent, 60, 600))
      expect(isGenuine(lease)).toBe(true)
      yield* service.settle(lease, { tokens: 10, cost: usd(100) })
      yield* service.settle(lease, { tokens: 50, cost: usd(500) })
      const rows = yield* rowsOf(agent)
      expect(rows.map((r) => [r.period, r.period_key, r.spent_tokens, r.reserved_tokens, r.spent, r.reserved])).toEqual(
        [
          ["monthly", "2026-11", 10, 0, 100, 0],
          ["daily", "2026-11-22", 10, 0, 100, 0],
          ["run", runId(1), 10, 0, 100, 0]
        ]
      )
    })
  )

  it.scoped("refuses each cap by itself, and a refusal reserves nothing anywhere", () =>
    Effect.gen(function* () {
      const { service } = yield* instance
      for (const [scope, budget] of [
        ["run", { perRun: caps(100, undefined, "block") }],
        ["daily", { daily: caps(100, undefined, "block") }],
        ["monthly", { monthly: caps(undefined, 100, "block") }]
      ] as const) {
        const agent = agentWith({ budget })
        yield* service.reserve(ask(agent, 70))
        const refused = yield* Effect.flip(service.reserve(ask(agent, 31)))
        expect(refused).toMatchObject({ _tag: "BudgetExceeded", scope, cap: 100, used: 70, requested: 31 })
        expect((yield* rowsOf(agent)).map((r) => r.reserved_tokens)).toEqual([70, 70, 70])
        yield* service.reserve(ask(agent, 30))
        expect(yield* auditOf(agent)).toEqual(["budget.refused"])
      }
    })
  )

  it.scoped("pauses on what is spent for good, until resumed or the period is over", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(noon)
      const { service } = yield* instance
      const agent = agentWith({ budget: { daily: caps(100, undefined, "pause") } })
      const first = yield* service.reserve(ask(agent, 80))
      // Would fit once the first is settled: no pause.
      expect((yield* Effect.flip(service.reserve(ask(agent, 30))))._tag).toBe("BudgetExceeded")
      yield* service.settle(first, { tokens: 80, cost: usd(80) })
      expect((yield* Effect.flip(service.reserve(ask(agent, 30))))._tag).toBe("BudgetExceeded")
      expect((yield* Effect.flip(service.reserve(ask(agent, 1))))._tag).toBe("AgentPaused")
      expect(yield* service.resume(agent.id)).toBe(true)
      expect(yield* service.resume(agent.id)).toBe(false)
      yield* service.reserve(ask(agent, 1))
      expect((yield* Effect.flip(service.reserve(ask(agent, 30))))._tag).toBe("BudgetExceeded")
      expect((yield* Effect.flip(service.reserve(ask(agent, 1))))._tag).toBe("AgentPaused")
      yield* TestClock.adjust(day)
      yield* service.reserve(ask(agent, 100))
      const types = yield* auditOf(agent)
      expect(types.filter((type) => type === "budget.paused")).toHaveLength(2)
      expect(types.filter((type) => type === "budget.resumed")).toHaveLength(2)
    })
  )

  it.scoped("pauses an agent whose very first request is too large", () =>
    Effect.gen(function* () {
      const { service } = yield* instance
      const agent = agentWith({ budget: { monthly: caps(10, undefined, "pause") } })
      yield* Effect.flip(service.reserve(ask(agent, 11)))
      expect((yield* Effect.flip(service.reserve(ask(agent, 1))))._tag).toBe("AgentPaused")
    })
  )

  it.scoped("a soft cap is passed, and announced once per period", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(noon)
      const events = yield* Events
      const heard = yield* Effect.fork(Stream.runCollect(Stream.take(events.stream, 2)))
      yield* Effect.yieldNow()
      const { service } = yield* instance
      const agent = agentWith({ budget: { daily: caps(undefined, 100, "warn") } })
      for (let n = 0; n < 4; n++) yield* service.reserve(ask(agent, 60))
      expect(yield* auditOf(agent)).toEqual(["budget.warned"])
      yield* TestClock.adjust(day)
      for (let n = 0; n < 4; n++) yield* service.reserve(ask(agent, 60))
      expect(yield* auditOf(agent)).toEqual(["budget.warned", "budget.warned"])
      expect([...(yield* heard)].map((event) => event._tag)).toEqual(["BudgetWarned", "BudgetWarned"])
    })
  )

  it.scoped("a settlement beyond the lease counts in full, is audited, and stops the next call", () =>
    Effect.gen(function* () {
      const { service } = yield* instance
      const agent = agentWith({ budget: { daily: caps(100, undefined, "block") } })
      const lease = yield* service.reserve(ask(agent, 50))
      yield* service.settle(lease, { tokens: 150, cost: usd(150) })
      expect((yield* rowsOf(agent)).find((r) => r.period === "daily")?.spent_tokens).toBe(150)
      expect((yield* Effect.flip(service.reserve(ask(agent, 1))))._tag).toBe("BudgetExceeded")
      expect(yield* auditOf(agent)).toEqual(["budget.overrun", "budget.refused"])
    })
  )

  for (const bad of [Number.NaN, -1, 0.5, Number.POSITIVE_INFINITY]) {
    it.scoped(`a settlement of ${bad} is charged as the whole lease; a reservation of it is refused`, () =>
      Effect.gen(function* () {
        const { service } = yield* instance
        const agent = agentWith()
        const lease = yield* service.reserve(ask(agent, 50))
        yield* service.settle(lease, { tokens: bad, cost: usd(1) })
        expect((yield* rowsOf(agent)).map((r) => [r.spent_tokens, r.reserved])).toEqual([
          [50, 0],
          [50, 0],
          [50, 0]
        ])
        const refused = yield* Effect.exit(service.reserve({ ...ask(agent, 1), tokens: bad }))
        expect(refused._tag).toBe("Failure")
      })
    )
  }

  it.scoped("keeps the period of the reservation, and a clock set back opens none", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(noon)
      const { service } = yield* instance
      const agent = agentWith({ budget: { daily: caps(100, undefined, "block") } })
      const before = yield* service.reserve(ask(agent, 60))
      yield* TestClock.setTime(noon + day)
      const after = yield* service.reserve(ask(agent, 90))
      yield* service.settle(before, { tokens: 60, cost: usd(60) })
      yield* TestClock.setTime(noon)
      expect((yield* Effect.flip(service.reserve(ask(agent, 20))))._tag).toBe("BudgetExceeded")
      yield* TestClock.setTime(noon - 40 * day)
      expect((yield* Effect.flip(service.reserve(ask(agent, 20))))._tag).toBe("BudgetExceeded")
      yield* service.settle(after, { tokens: 90, cost: usd(90) })
      const daily = (yield* rowsOf(agent)).filter((r) => r.period === "daily")
      expect(daily.map((r) => [r.period_key, r.spent_tokens, r.reserved_tokens])).toEqual([
        ["2026-11-22", 60, 0],
        ["2026-11-23", 90, 0]
      ])
    })
  )

  it.scoped("after a clock that ran far ahead, resume takes today's date again", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(noon + 3000 * day)
      const { service } = yield* instance
      const agent = agentWith({ budget: { daily: caps(100, undefined, "pause") } })
      yield* service.reserve(ask(agent, 100))
      yield* TestClock.setTime(noon)
      expect((yield* Effect.flip(service.reserve(ask(agent, 20))))._tag).toBe("BudgetExceeded")
      yield* service.resume(agent.id)
      yield* service.reserve(ask(agent, 20))
      expect((yield* rowsOf(agent)).some((r) => r.period_key === "2026-11-22")).toBe(true)
    })
  )

  it.scoped("a cap lowered in the settings holds at once, and a new cap knows what was spent before", () =>
    Effect.gen(function* () {
      const { service } = yield* instance
      const free = agentWith()
      const lease = yield* service.reserve(ask(free, 80))
      yield* service.settle(lease, { tokens: 80, cost: usd(80) })
      for (const budget of [{ daily: caps(90, undefined, "block") }, { perRun: caps(undefined, 50, "block") }]) {
        const capped = agentWith({ id: free.id, budget })
        expect((yield* Effect.flip(service.reserve(ask(capped, 20))))._tag).toBe("BudgetExceeded")
      }
    })
  )

  it.scoped("shows every agent of the settings and of the ledger", () => {
    const known = agentWith({ budget: { daily: caps(100, 1000, "pause") } })
    const gone = agentWith()
    return Effect.gen(function* () {
      yield* TestClock.setTime(noon)
      const { service } = yield* instance
      yield* service.reserve(ask(gone, 5))
      const shown = yield* service.show
      expect(shown.map((entry) => entry.agent)).toEqual([known.id, gone.id])
      expect(shown[0]).toMatchObject({
        paused: false,
        periods: [
          { period: "daily", key: "2026-11-22", spentTokens: 0, capTokens: 100, cap: 1000, action: "pause" },
          { period: "monthly", key: "2026-11" }
        ]
      })
      expect(shown[1]?.periods[0]?.reservedTokens).toBe(5)
    }).pipe(Effect.provide(ground(() => settingsOf({}, [known]))))
  })

  it.scoped("settles leases of a process that is gone in full, and never those of one that lives", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(noon)
      const me = yield* Holder.current
      const other = yield* Budget.make({ ...me, id: "other" })
      const ended = yield* Budget.make({ ...me, id: "ended", started: "1" })
      const elsewhere = yield* Budget.make({ ...me, id: "elsewhere", host: "another machine" })
      const { service } = yield* Budget.make(me)
      const agent = agentWith({ budget: { daily: caps(100, undefined, "block") } })
      yield* other.service.reserve(ask(agent, 10))
      const late = yield* ended.service.reserve(ask(agent, 20))
      yield* elsewhere.service.reserve(ask(agent, 30))
      yield* service.reserve(ask(agent, 40))
      const daily = Effect.map(rowsOf(agent), (rows) => rows.find((row) => row.period === "daily"))
      expect(yield* service.recover).toBe(1)
      expect(yield* daily).toMatchObject({ spent_tokens: 20, reserved_tokens: 80 })
      expect(yield* service.recover).toBe(0)
      yield* ended.service.settle(late, { tokens: 0, cost: usd(0) })
      expect(yield* daily).toMatchObject({ spent_tokens: 20, reserved_tokens: 80 })
      // Of another machine nobody can tell, until it has been silent for long.
      yield* TestClock.adjust(Holder.silenceMs + 1)
      expect(yield* service.recover).toBe(1)
      expect(yield* daily).toMatchObject({ spent_tokens: 50, reserved_tokens: 50 })
      expect(yield* auditOf(agent)).toEqual(["budget.recovered", "budget.recovered"])
    })
  )

  it.scoped("a process elsewhere that gives signs of life keeps its leases", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(noon)
      const me = yield* Holder.current
      const elsewhere = yield* Budget.make({ ...me, id: "elsewhere", host: "another machine" })
      const { service } = yield* Budget.make(me)
      yield* elsewhere.service.reserve(ask(agentWith(), 30))
      yield* Effect.forkScoped(elsewhere.watch)
      yield* Effect.yieldNow()
      for (let beats = 0; beats < 10; beats++) {
        yield* TestClock.adjust(Holder.heartbeatMs)
        yield* Effect.async<void>((resume) => void setTimeout(() => resume(Effect.void), 5))
      }
      expect(yield* service.recover).toBe(0)
    })
  )

  it.scoped(
    "a token's own cap holds over all agents, refuses without a pause, and leaves the agent's sums as they were",
    () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(noon)
        const { service } = yield* instance
        const someone = tokenOf("someone")
        for (const action of ["pause", "block", "warn"] as const) {
          const spender = {
            principal: tokenOf(action),
            allowance: new Allowance({ daily: caps(100, undefined, action) })
          }
          const [one, two] = [agentWith(), agentWith({ budget: { daily: caps(50, undefined, "pause") } })]
          const lease = yield* service.reserve({ ...ask(one, 70), ...spender })
          const refused = yield* Effect.flip(service.reserve({ ...ask(two, 40), ...spender }))
          expect(refused).toMatchObject({
            _tag: "BudgetExceeded",
            scope: "token-daily",
            cap: 100,
            used: 70,
            requested: 40
          })
          // Beyond both: the caller's own refusal comes first and pauses nobody.
          yield* Effect.flip(service.reserve({ ...ask(two, 60), ...spender }))
          expect(yield* rowsOf(two)).toEqual([])
          expect(yield* auditOf(two)).toEqual(["budget.refused", "budget.refused"])
          yield* service.reserve({ ...ask(two, 30), ...spender })
          yield* service.settle(lease, { tokens: 10, cost: usd(10) })
          yield* service.reserve({ ...ask(one, 60), ...spender })
          expect(yield* service.spending(spender.principal, spender.allowance)).toMatchObject([
            { period: "daily", key: "2026-11-22", spentTokens: 10, reservedTokens: 90, capTokens: 100 },
            { period: "monthly", key: "2026-11", spentTokens: 10, reservedTokens: 90 }
          ])
          // Another token and the owner have their own.
          yield* service.reserve({ ...ask(one, 90), principal: someone })
          yield* service.reserve(ask(one, 90))
        }
      })
  )

  it.scoped(
    "a token's monthly money cap holds, each day and month is counted anew, and a cap set later knows what was spent",
    () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(noon)
        const { service } = yield* instance
        const principal = tokenOf("monthly")
        const agent = agentWith()
        yield* service.settle(yield* service.reserve({ ...ask(agent, 5, 80), principal }), { tokens: 5, cost: usd(80) })
        const allowance = new Allowance({
          daily: caps(100, undefined, "block"),
          monthly: caps(undefined, 100, "block")
        })
        const more = (cost: number) => service.reserve({ ...ask(agent, 5, cost), principal, allowance })
        expect(yield* Effect.flip(more(21))).toMatchObject({ scope: "token-monthly", unit: "usd", used: 80 })
        yield* TestClock.adjust(day)
        expect(yield* Effect.flip(more(21))).toMatchObject({ scope: "token-monthly" })
        yield* more(20)
        yield* TestClock.adjust(10 * day)
        yield* more(100)
        // A clock set back opens no new period for it either.
        yield* TestClock.setTime(noon)
        expect(yield* Effect.flip(more(1))).toMatchObject({ scope: "token-monthly", used: 100 })
        expect((yield* service.show).map((shown) => String(shown.agent)).filter((id) => id.includes("token"))).toEqual(
          []
        )
      })
  )

  it.scoped("what a crash left reserved is charged to the token too", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(noon)
      const me = yield* Holder.current
      const ended = yield* Budget.make({ ...me, id: "ended-with-token", started: "1" })
      const { service } = yield* Budget.make(me)
      const spender = { principal: tokenOf("crash"), allowance: new Allowance({ daily: caps(50, undefined, "block") }) }
      yield* ended.service.reserve({ ...ask(agentWith(), 20), ...spender })
      yield* service.recover
      expect((yield* service.spending(spender.principal, spender.allowance))[0]).toMatchObject({
        spentTokens: 20,
        reservedTokens: 0
      })
    })
  )

  it.scoped("200 runs at once never pass the cap and fill it", () =>
    Effect.gen(function* () {
      const { service } = yield* instance
      const agent = agentWith({ budget: { daily: caps(1000, 5000, "block"), monthly: caps(1000, undefined, "pause") } })
      const over: Array<unknown> = []
      const { desk } = yield* Database
      const look = Effect.tap(
        desk.read((db) =>
          db.all(
            `SELECT * FROM budget_periods WHERE agent = ? AND period <> 'run'
               AND (spent_tokens + reserved_tokens > 1000 OR spent + reserved > 5000)`,
            agent.id
          )
        ),
        (rows) => Effect.sync(() => over.push(...rows))
      )
      const oneRun = (n: number) =>
        Effect.gen(function* () {
          for (let call = 0; call < 3; call++) {
            const got = yield* Effect.either(service.reserve(ask(agent, 10, 20, runId(n))))
            yield* look
            if (Either.isRight(got) && n % 3 > 0)
              yield* service.settle(got.right, { tokens: 10 - (n % 5), cost: usd(n % 20) })
            yield* look
          }
        })
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, n) => n),
        oneRun,
        { concurrency: "unbounded", discard: true }
      )
      expect(over).toEqual([])
      const daily = (yield* rowsOf(agent)).find((r) => r.period === "daily")
      expect((daily?.spent_tokens ?? 0) + (daily?.reserved_tokens ?? 0)).toBeGreaterThan(990)
    })
  )
})

const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("reserve" as const),
      who: fc.nat(2),
      /** 0: the owner, who has no account. */
      token: fc.nat(2),
      tokens: fc.nat(40),
      cost: fc.nat(400),
      run: fc.nat(3)
    })
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("settle" as const),
      which: fc.nat(50),
      share: fc.double({ min: 0, max: 1, noNaN: true })
    })
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), who: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("recover" as const), who: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("clock" as const), hours: fc.integer({ min: -60, max: 60 }) })
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("resume" as const) }) }
)

type Operation = typeof operation extends fc.Arbitrary<infer A> ? A : never

layer(environment)("Budget, whatever happens in whatever order", (it) => {
  it.scoped("spent + reserved <= cap, for agents and tokens, and the sums are those of the leases", () =>
    Effect.gen(function* () {
      const me = yield* Holder.current
      const { desk } = yield* Database
      let life = 0
      const start = Effect.suspend(() => {
        const id = `life-${life++}`
        return Effect.map(Budget.make({ ...me, id }), ({ service }) => ({ id, service }))
      })
      const history = (operations: ReadonlyArray<Operation>) =>
        Effect.gen(function* () {
          yield* TestClock.setTime(noon)
          const agent = agentWith({
            budget: {
              daily: caps(100, 900, "block"),
              monthly: caps(250, undefined, "pause"),
              perRun: caps(undefined, 500, "block")
            }
          })
          const spenders = [1, 2].map((n) => ({
            principal: tokenOf(`${agent.id}-${n}`),
            allowance: new Allowance({ daily: caps(60, undefined, "pause"), monthly: caps(undefined, 500, "block") })
          }))
          const processes = [yield* start, yield* start, yield* start]
          const open: Array<{ readonly lease: BudgetLease; readonly who: string }> = []
          for (const op of operations) {
            switch (op.kind) {
              case "reserve": {
                const { id, service } = processes[op.who]!
                const got = yield* Effect.either(
                  service.reserve({ ...ask(agent, op.tokens, op.cost, runId(op.run)), ...spenders[op.token - 1] })
                )
                if (Either.isRight(got)) open.push({ lease: got.right, who: id })
                break
              }
              case "settle": {
                const [entry] = open.length === 0 ? [] : open.splice(op.which % open.length, 1)
                const holder = processes.find(({ id }) => id === entry?.who)
                if (entry === undefined || holder === undefined) break
                const { lease } = entry
                yield* holder.service.settle(lease, {
                  tokens: Math.floor(lease.tokens * op.share),
                  cost: usd(Math.floor(lease.cost * op.share))
                })
                break
              }
              case "crash": {
                const { id } = processes[op.who]!
                yield* desk.write((db) => db.run("UPDATE budget_holders SET started = 'gone' WHERE id = ?", id))
                processes[op.who] = yield* start
                break
              }
              case "recover":
                yield* processes[op.who]!.service.recover
                break
              case "clock":
                yield* TestClock.setTime(noon + op.hours * 3_600_000)
                break
              case "resume":
                yield* processes[0]!.service.resume(agent.id)
            }
            const rows = yield* rowsOf(agent)
            for (const row of rows) {
              const cap = { daily: [100, 900], monthly: [250, Infinity], run: [Infinity, 500] }[row.period]!
              expect(row.spent_tokens + row.reserved_tokens).toBeLessThanOrEqual(cap[0]!)
              expect(row.spent + row.reserved).toBeLessThanOrEqual(cap[1]!)
              const sums = yield* desk.read((db) =>
                db.get(
                  `SELECT COALESCE(SUM(settled_tokens), 0) AS spent_tokens, COALESCE(SUM(settled_cost), 0) AS spent,
                     COALESCE(SUM(CASE WHEN settled_at IS NULL THEN tokens ELSE 0 END), 0) AS reserved_tokens,
                     COALESCE(SUM(CASE WHEN settled_at IS NULL THEN cost ELSE 0 END), 0) AS reserved
                   FROM budget_leases WHERE agent = ? AND ? = CASE ? WHEN 'daily' THEN day_key WHEN 'monthly' THEN month_key ELSE run END`,
                  agent.id,
                  row.period_key,
                  row.period
                )
              )
              const { period: _, period_key: __, ...found } = row
              expect(found).toEqual(sums)
            }
            for (const { principal } of spenders) {
              const account = Ledger.accountOf(principal)
              for (const row of yield* rowsNamed(account)) {
                const cap = { "token-daily": [60, Infinity], "token-monthly": [Infinity, 500] }[row.period]!
                expect(row.spent_tokens + row.reserved_tokens).toBeLessThanOrEqual(cap[0]!)
                expect(row.spent + row.reserved).toBeLessThanOrEqual(cap[1]!)
                const sums = yield* desk.read((db) =>
                  db.get(
                    `SELECT COALESCE(SUM(settled_tokens), 0) AS spent_tokens, COALESCE(SUM(settled_cost), 0) AS spent,
                       COALESCE(SUM(CASE WHEN settled_at IS NULL THEN tokens ELSE 0 END), 0) AS reserved_tokens,
                       COALESCE(SUM(CASE WHEN settled_at IS NULL THEN cost ELSE 0 END), 0) AS reserved
                     FROM budget_leases WHERE account = ? AND account_day LIKE ?`,
                    account,
                    `${row.period_key}%`
                  )
                )
                const { period: _, period_key: __, ...found } = row
                expect(found).toEqual(sums)
              }
            }
          }
        })
      const samples = fc.sample(fc.array(operation, { minLength: 5, maxLength: 60 }), { numRuns: 25 })
      yield* Effect.forEach(samples, history, { discard: true })
    })
  )
})
