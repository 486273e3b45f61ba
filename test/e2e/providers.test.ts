/**
 * A message through the whole path with the vendors' real SDKs: what is streamed, what tools do, and
 * what it costs. Expected amounts are worked out here, from the price list itself or from the prices
 * that the settings state, never by the code under test.
 */
import { assert, describe, it } from "@effect/vitest"
import { calcPrice } from "@pydantic/genai-prices"
import { Effect } from "effect"
import { Audit } from "../../src/kernel/Audit.ts"
import { SessionStore } from "../../src/agent/SessionStore.ts"
import * as E2e from "../support/e2e-vendors.ts"
import * as Path from "../support/path.ts"

interface Bill {
  readonly input: number
  readonly output: number
  readonly cacheRead: number
  readonly cacheWrite: number
}

const listed: Readonly<Record<Exclude<E2e.VendorName, "lab">, readonly [provider: string, model: string]>> = {
  anthropic: ["anthropic", "claude-sonnet-4-6"],
  google: ["google", "gemini-2.5-flash"],
  openrouter: ["openrouter", "anthropic/claude-sonnet-4.6"]
}

const usdOf = (vendor: E2e.VendorName, { cacheRead, cacheWrite, input, output }: Bill): number => {
  if (vendor === "lab") {
    const { cacheReadPerMillion, cacheWritePerMillion, inputPerMillion, outputPerMillion } = E2e.labPrice
    const sum =
      input * inputPerMillion +
      output * outputPerMillion +
      cacheRead * cacheReadPerMillion +
      cacheWrite * cacheWritePerMillion
    return sum / 1e6
  }
  const [providerId, model] = listed[vendor]
  const usage = {
    input_tokens: input + cacheRead + cacheWrite,
    cache_read_tokens: cacheRead,
    cache_write_tokens: cacheWrite,
    output_tokens: output
  }
  const found = calcPrice(usage, model, { providerId })
  assert.isNotNull(found, `the price list has ${model}`)
  return found!.total_price
}

/** Whole nano-USD, a fraction rounded up; the 15 digits that a sum of floats is good for. */
const nanoUsd = (usd: number): number => Math.ceil(Number((usd * 1e9).toPrecision(15)))

const answer = "The milk is at the top of the list, dear reader. ".repeat(6).trim()
const notes = "remember the milk: 2 litres, green bottle\n"

describe.each(E2e.vendorNames)("%s", (vendor) => {
  it.live("streams, runs tools in the sandbox and is billed to the token and the nano-USD", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: { ...E2e.chain(vendor) }, files: { "notes.md": notes, "b.txt": "b" } })
      const fake = stage.fakes[vendor]
      // Google does not bill what is written to its cache.
      const cacheWrite = vendor === "google" ? 0 : 211
      const bills: ReadonlyArray<Bill> = [
        { input: 1013, output: 37, cacheRead: 0, cacheWrite },
        { input: 307, output: 131, cacheRead: 1009, cacheWrite: 0 }
      ]
      fake.script([
        {
          kind: "answer",
          text: "Let me look.",
          calls: [
            { name: "list_files", arguments: {}, id: "call_a" },
            { name: "read_file", arguments: { path: "notes.md" }, id: "call_b" }
          ],
          bill: bills[0]!
        },
        { kind: "answer", text: answer, bill: bills[1]! }
      ])
      yield* Effect.gen(function* () {
        const events = yield* Path.run("What is in my notes?")

        const deltas = Path.of(events, "AnswerDelta").map((e) => e.text)
        assert.isAbove(deltas.length, 6, "the answer comes in pieces")
        assert.strictEqual(deltas.join(""), `Let me look.${answer}`)
        assert.deepInclude(Path.of(events, "RunEnded")[0], { end: "answered", text: answer, toolCalls: 2 })

        // Both calls of one answer ran, confined, and their results went back paired by id.
        const started = Path.of(events, "ToolStarted")
        assert.sameMembers(
          started.map((e) => `${e.call} ${e.tool} ${e.confinement}`),
          ["call_a list_files sandbox", "call_b read_file sandbox"]
        )
        const outcomes = new Map(Path.of(events, "ToolEnded").map((e) => [String(e.call), e.outcome]))
        assert.include(outcomes.get("call_a")?.content, "b.txt (1 bytes)")
        assert.strictEqual(outcomes.get("call_b")?.content, notes)
        assert.lengthOf(fake.requests, 2)
        assert.isTrue(fake.requests.every((r) => r.refused === null && !r.aborted))
        const second = JSON.stringify(fake.requests[1]!.body)
        assert.include(second, JSON.stringify(notes).slice(1, -1))
        assert.include(second, "b.txt (1 bytes)")

        // The money, everywhere the same.
        const finished = Path.of(events, "ModelFinished")
        const costs = bills.map((bill) => nanoUsd(usdOf(vendor, bill)))
        assert.deepStrictEqual(
          finished.map(({ cost, usage: u }) => [
            u.inputTokens,
            u.outputTokens,
            u.cacheReadTokens,
            u.cacheWriteTokens,
            cost
          ]),
          bills.map((bill, i) => [bill.input, bill.output, bill.cacheRead, bill.cacheWrite, costs[i]!])
        )
        const total = bills.reduce((sum, b) => sum + b.input + b.output + b.cacheRead + b.cacheWrite, 0)
        const ended = Path.of(events, "RunEnded")[0]!
        assert.strictEqual(ended.cost, costs[0]! + costs[1]!)
        assert.strictEqual(ended.usage.totalTokens, total)
        const rows = yield* E2e.reconcile
        assert.deepStrictEqual(
          rows.map((row) => [row.model, row.settled_cost]),
          costs.map((cost) => [E2e.models[vendor], cost])
        )
        assert.isTrue(rows.every((row) => row.cost >= row.settled_cost! && row.tokens >= row.settled_tokens!))
        const audit = yield* Audit
        const [runEnded] = yield* audit.tail({ type: "run.ended", limit: 10 })
        assert.deepInclude(runEnded?.event.data, { end: "answered", tokens: total, nanoUsd: ended.cost, toolCalls: 2 })

        // Only this vendor was asked, and with its own key.
        assert.deepStrictEqual(stage.asked(), { anthropic: 0, google: 0, openrouter: 0, lab: 0, [vendor]: 2 })
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )
})

describe("what cannot be true", () => {
  it.live("a bill that makes no sense charges the whole reservation", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: { ...E2e.chain("lab") }, sections: { cache: { enabled: false } } })
      yield* Effect.gen(function* () {
        for (const bill of ["missing", "negative", "huge", "fraction", "text"] as const) {
          stage.fakes.lab.script([{ kind: "answer", text: "Fine.", bill }])
          const events = yield* Path.run(`What is up? (${bill})`)
          const reserved = Path.of(events, "BudgetReserved")[0]!
          const ended = Path.of(events, "RunEnded")[0]!
          assert.strictEqual(ended.end, "answered", bill)
          assert.strictEqual(ended.cost, reserved.cost, bill)
          assert.strictEqual(ended.usage.totalTokens, reserved.tokens, bill)
        }
        const rows = yield* E2e.reconcile
        assert.lengthOf(rows, 5)
        assert.isTrue(rows.every((row) => row.settled_cost === row.cost && row.settled_tokens === row.tokens))
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  it.live("a bill above the reservation is taken in full, noted, and stops the next call", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({
        defaults: { ...E2e.chain("lab"), budget: { daily: { tokens: 200_000, action: "block" } } },
        sections: { cache: { enabled: false } }
      })
      stage.fakes.lab.script([
        { kind: "answer", text: "Fine.", bill: { input: 900_000, output: 77 } },
        { kind: "answer", text: "Never asked.", bill: { input: 1, output: 1 } }
      ])
      yield* Effect.gen(function* () {
        const events = yield* Path.run("What is up?")
        assert.strictEqual(Path.of(events, "RunEnded")[0]?.usage.totalTokens, 900_077)
        const audit = yield* Audit
        assert.lengthOf(yield* audit.tail({ type: "budget.overrun", limit: 10 }), 1)
        const refused = yield* Effect.flip(Path.run("And now?"))
        assert.strictEqual(refused._tag, "BudgetExceeded")
        assert.lengthOf(stage.fakes.lab.requests, 1)
        const [row, more] = yield* E2e.reconcile
        assert.isUndefined(more)
        assert.deepInclude(row, {
          settled_tokens: 900_077,
          settled_cost: nanoUsd(usdOf("lab", { input: 900_000, output: 77, cacheRead: 0, cacheWrite: 0 }))
        })
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  it.live("a model that nobody can price is not asked, and costs nothing", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: { model: { primary: "lab/unheard-of", failover: [] } } })
      stage.fakes.lab.always({ kind: "answer", text: "Never asked." })
      yield* Effect.gen(function* () {
        const refused = yield* Effect.flip(Path.run("What is up?"))
        assert.strictEqual(refused._tag, "UnknownPrice")
        assert.lengthOf(stage.fakes.lab.requests, 0)
        assert.lengthOf(yield* E2e.leases, 0)
        const store = yield* SessionStore
        assert.lengthOf(yield* store.open, 0)
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )
})
