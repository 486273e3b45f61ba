/**
 * Money and tokens at the running gateway: many clients at once at the cap of an agent and at their
 * own, by every compatible endpoint; models without a price; vendors that bill nonsense. At the end
 * the ledger, the audit log and the answers tell the same sum.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Schema } from "effect"
import { AgentBudget } from "../../src/domain/Budget.ts"
import * as Attack from "../support/attack.ts"
import * as E2e from "../support/e2e-vendors.ts"
import { ask } from "../support/served.ts"

const bill = { input: 50, output: 10 }
const each = 60
/** Nano-USD, by the lab's price. */
const eachCost = 50 * 700 + 10 * 1900
const agentCap = 6000
const tokenCap = 1500

const decode = Schema.decodeUnknownSync(Schema.parseJson(Schema.Array(AgentBudget)))
const say = "What does it cost?"

describe("fifty requests at once", () => {
  it.live(
    "stay under the cap of the agent and of each token, and every one is in the ledger",
    () =>
      Effect.gen(function* () {
        const { fakes, place } = yield* E2e.stage({
          env: { AI_DESK_LOG_LEVEL: "error" },
          sections: {
            agents: {
              defaults: { ...E2e.chain("lab"), tools: { profile: "deny-all" } },
              list: [
                {
                  id: "main",
                  default: true,
                  workspace: "workspace",
                  budget: { daily: { tokens: agentCap, action: "block" } }
                },
                { id: "free", workspace: "workspace", model: { primary: "lab/without-price", failover: [] } }
              ]
            },
            cache: { enabled: false },
            gateway: { rateLimit: { maxPerSecond: 10_000, maxConnections: 500 } }
          }
        })
        fakes.lab.always({ kind: "answer", text: "Little.", bill, firstByteMs: 30 })
        const { token, url } = yield* Attack.target(place)
        const read = yield* token("read", ["read"])
        const rich = [
          yield* token("one", ["client"]),
          yield* token("two", ["client"]),
          yield* token("three", ["client"])
        ]
        const poor = yield* token("poor", ["client"], { allowance: { daily: { tokens: tokenCap, action: "block" } } })
        const shown = Effect.gen(function* () {
          const { status, text } = yield* ask(url, "/dashboard/api/budget", { headers: Attack.bearer(read) })
          assert.strictEqual(status, 200, text)
          const main = decode(text).find(({ agent }) => agent === "main")
          const daily = main?.periods.find(({ period }) => period === "daily")
          if (daily === undefined) throw new Error(text)
          return daily
        })

        const asked = (secret: string, n: number, model: string) => {
          const stream = n % 2 === 1
          const [path, body] = [
            ["/v1/chat/completions", { messages: [{ role: "user", content: `${say} ${n}` }], max_tokens: 100 }],
            ["/v1/responses", { input: `${say} ${n}`, max_output_tokens: 100 }],
            ["/v1/messages", { messages: [{ role: "user", content: `${say} ${n}` }], max_tokens: 100 }]
          ][n % 3] as [string, object]
          return ask(url, path, {
            method: "POST",
            headers: Attack.bearer(secret),
            body: JSON.stringify({ model, stream, ...body })
          })
        }

        // --- one token at its own cap
        const ofPoor = yield* Effect.forEach(
          Array.from({ length: 50 }, (_, n) => n),
          (n) => asked(poor, n, n % 2 === 0 ? "main" : E2e.models.lab),
          { concurrency: "unbounded" }
        )
        const paid = ofPoor.filter(({ status }) => status === 200).length
        assert.isTrue(
          ofPoor.every(({ status }) => status === 200 || status === 429),
          ofPoor.map((a) => a.status).join(" ")
        )
        assert.isAbove(paid, 0)
        assert.isAtMost(paid * each, tokenCap)
        assert.strictEqual(fakes.lab.requests.length, paid, "who was refused never reached the vendor")

        // --- several clients at the agent's cap, watched meanwhile
        let passed = 0
        const watch = yield* shown.pipe(
          Effect.tap(({ reservedTokens, spentTokens }) =>
            Effect.sync(() => {
              if (spentTokens + reservedTokens > agentCap) passed += 1
            })
          ),
          Effect.repeat(Schedule.spaced(20)),
          Effect.fork
        )
        const answers = yield* Effect.forEach(
          Array.from({ length: 150 }, (_, n) => n),
          (n) => asked(rich[n % rich.length] ?? "", n, "main"),
          { concurrency: 50 }
        )
        yield* Fiber.interrupt(watch)
        assert.strictEqual(passed, 0)
        assert.isTrue(
          answers.every(({ status }) => status === 200 || status === 429),
          answers.map((a) => a.status).join(" ")
        )
        const answered = paid + answers.filter(({ status }) => status === 200).length
        assert.isAbove(answers.filter(({ status }) => status === 429).length, 0, "the cap was reached")
        assert.strictEqual(fakes.lab.requests.length, answered)
        const spent = yield* shown
        assert.deepInclude(spent, { reservedTokens: 0, reserved: 0 } as object)
        assert.isAtMost(spent.spentTokens, agentCap)
        assert.strictEqual(spent.spentTokens, answered * each)
        assert.strictEqual(spent.spent, answered * eachCost)

        // --- what has no price is not asked for, under whatever name
        const before = fakes.lab.requests.length
        for (const model of ["free", "agent/free", "lab/without-price", "nobody/nothing"]) {
          for (const n of [0, 1, 2]) {
            const { status, text } = yield* asked(rich[0] ?? "", n, model)
            assert.isTrue(status >= 400 && status < 500, `${model}: ${status} ${text}`)
          }
        }
        assert.strictEqual(fakes.lab.requests.length, before)
        assert.strictEqual((yield* shown).spentTokens, spent.spentTokens)

        // --- the audit log has each of them, at the same sum
        const { text } = yield* ask(url, "/dashboard/api/audit?type=model.answered&limit=1000", {
          headers: Attack.bearer(read)
        })
        const charged = [...text.matchAll(/"cost":(\d+)/g)].map(([, cost]) => Number(cost))
        assert.strictEqual(charged.length, answered, text.slice(0, 400))
        assert.strictEqual(
          charged.reduce((sum, cost) => sum + cost, 0),
          spent.spent
        )
      }).pipe(Effect.scoped),
    60_000
  )

  it.live("cost what was reserved when the vendor's bill is nonsense, and never nothing", () =>
    Effect.gen(function* () {
      const { fakes, place } = yield* E2e.stage({
        sections: {
          agents: {
            defaults: { ...E2e.chain("lab"), tools: { profile: "deny-all" } },
            list: [{ id: "main", default: true, workspace: "workspace" }]
          },
          cache: { enabled: false },
          gateway: { rateLimit: { maxPerSecond: 10_000 } }
        }
      })
      const { token, url } = yield* Attack.target(place)
      const client = yield* token("client", ["client", "read"])
      const total = Effect.map(ask(url, "/dashboard/api/budget", { headers: Attack.bearer(client) }), ({ text }) =>
        Number(decode(text)[0]?.periods[0]?.spent)
      )
      let before = yield* total
      for (const nonsense of ["missing", "negative", "huge", "fraction", "text"] as const) {
        for (const stream of [false, true]) {
          fakes.lab.script([{ kind: "answer", text: "Hm.", bill: nonsense }])
          const body = JSON.stringify({
            model: "main",
            stream,
            messages: [{ role: "user", content: `${say} ${nonsense} ${stream}` }],
            max_tokens: 100
          })
          const { status } = yield* ask(url, "/v1/chat/completions", {
            method: "POST",
            headers: Attack.bearer(client),
            body
          })
          assert.isBelow(status, 503, nonsense)
          const after = yield* total
          assert.isAtLeast(after - before, 100 * 1900, `${nonsense}: what it may have cost`)
          assert.isBelow(after - before, 100_000_000, `${nonsense}: no more than was reserved`)
          before = after
        }
      }
    }).pipe(Effect.scoped)
  )
})
