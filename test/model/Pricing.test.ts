import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, TestClock } from "effect"
import { ModelPrice, ModelRef, ToolSpec, ModelRequest, Usage } from "../../src/domain/Model.ts"
import { userText } from "../../src/domain/Message.ts"
import { cost, layer, Pricing, worstCase } from "../../src/model/Pricing.ts"
import * as Tokens from "../../src/model/Tokens.ts"
import { layerSettings, requestOf, settingsOf, usageOf } from "../support/scripted-provider.ts"

const priceOf = (model: string, settings: object = { prices: {} }) =>
  Effect.flatMap(Pricing, (pricing) => pricing.price(ModelRef.make(model))).pipe(
    Effect.provide(layer),
    Effect.provide(layerSettings(() => settingsOf(settings)))
  )

const autumn2026 = Date.UTC(2026, 10, 22)

describe("Pricing", () => {
  it.effect("knows the vendors' models by their own names", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(autumn2026)
      expect(yield* priceOf("anthropic/claude-sonnet-4-6")).toMatchObject({
        inputPerMillion: 3,
        outputPerMillion: 15,
        cacheReadPerMillion: 0.3,
        cacheWritePerMillion: 3.75,
        contextWindow: 1_000_000
      })
      for (const spelling of ["claude-sonnet-4.6", "claude-sonnet-4-6"]) {
        expect(yield* priceOf(`openrouter/anthropic/${spelling}`)).toMatchObject({
          inputPerMillion: 3,
          outputPerMillion: 15
        })
      }
      expect(yield* priceOf("google/gemini-2.5-flash")).toMatchObject({ inputPerMillion: 0.3, outputPerMillion: 2.5 })
      expect(yield* priceOf("rehearsal/rehearsal-1")).toMatchObject({
        inputPerMillion: 0,
        outputPerMillion: 0,
        contextWindow: 200_000
      })
    })
  )

  it.effect("takes the price of the day", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 1, 1))
      const before = yield* priceOf("anthropic/claude-sonnet-4-6")
      expect(before.tiers).toEqual([
        {
          above: 200_000,
          inputPerMillion: 6,
          outputPerMillion: 22.5,
          cacheReadPerMillion: 0.6,
          cacheWritePerMillion: 7.5
        }
      ])
      yield* TestClock.setTime(autumn2026)
      expect((yield* priceOf("anthropic/claude-sonnet-4-6")).tiers).toBeUndefined()
    })
  )

  for (const model of [
    "google/gemini-2.0-pro",
    "openrouter/meta-llama/llama-3.3-70b-instruct:free",
    "ollama/llama3",
    "openai/gpt-4o",
    "anthropic/gemini-2.5-flash",
    "anthropic/constructor"
  ]) {
    it.effect(`refuses ${model}: nobody states its price`, () =>
      Effect.gen(function* () {
        expect(yield* Effect.flip(priceOf(model))).toMatchObject({ _tag: "UnknownPrice", model })
      })
    )
  }

  it.effect("the owner's price wins, may be zero, and names need not be the vendors'", () =>
    Effect.gen(function* () {
      const free = { inputPerMillion: 0, outputPerMillion: 0, contextWindow: 8192 }
      const dear = { inputPerMillion: 100, outputPerMillion: 200, contextWindow: 1000 }
      const settings = { prices: { "ollama/llama3": free, "anthropic/claude-sonnet-4-6": dear } }
      expect(yield* priceOf("ollama/llama3", settings)).toMatchObject({ ...free, cacheWritePerMillion: 0 })
      expect(yield* priceOf("anthropic/claude-sonnet-4-6", settings)).toMatchObject({
        ...dear,
        cacheReadPerMillion: 100,
        cacheWritePerMillion: 125
      })
    })
  )

  it("costs what was used, rounded up, at the rates of its tier", () => {
    const price = new ModelPrice({
      inputPerMillion: 3,
      outputPerMillion: 15,
      cacheReadPerMillion: 0.3,
      cacheWritePerMillion: 3.75,
      contextWindow: 1_000_000,
      tiers: [
        { above: 1000, inputPerMillion: 6, outputPerMillion: 22.5, cacheReadPerMillion: 0.6, cacheWritePerMillion: 7.5 }
      ]
    })
    expect(cost(price, usageOf(1, 0))).toBe(3000)
    expect(
      cost(price, new Usage({ inputTokens: 100, outputTokens: 10, cacheReadTokens: 400, cacheWriteTokens: 500 }))
    ).toBe(300_000 + 150_000 + 120_000 + 1_875_000)
    expect(
      cost(price, new Usage({ inputTokens: 101, outputTokens: 10, cacheReadTokens: 400, cacheWriteTokens: 500 }))
    ).toBe(606_000 + 225_000 + 240_000 + 3_750_000)
    const tiny = new ModelPrice({ ...price, inputPerMillion: 0.0001 })
    expect(cost(tiny, usageOf(1, 0))).toBe(1)
  })

  const rate = fc.double({ min: 0, max: 1000, noNaN: true })
  const rates = { inputPerMillion: rate, outputPerMillion: rate, cacheReadPerMillion: rate, cacheWritePerMillion: rate }
  const share = fc.double({ min: 0, max: 1, noNaN: true })

  it("the worst case is never less than what any usage of the request costs", () => {
    fc.assert(
      fc.property(
        fc.record({ ...rates, contextWindow: fc.integer({ min: 1, max: 5000 }), windowAssumed: fc.boolean() }),
        fc.array(fc.record({ above: fc.nat(3000), ...rates }), { maxLength: 3 }),
        fc.string({ maxLength: 2000, unit: "grapheme" }),
        fc.integer({ min: 1, max: 5000 }),
        fc.tuple(share, share, share, share),
        (base, tiers, text, maxOutput, [prompt, read, write, output]) => {
          const price = new ModelPrice({ ...base, tiers: [...tiers].sort((a, b) => a.above - b.above) })
          const request = requestOf(text, maxOutput)
          const most = worstCase(price, request)
          const total = Math.floor((most.tokens - maxOutput) * prompt)
          const cacheReadTokens = Math.floor(total * read)
          const cacheWriteTokens = Math.floor((total - cacheReadTokens) * write)
          const usage = new Usage({
            inputTokens: total - cacheReadTokens - cacheWriteTokens,
            cacheReadTokens,
            cacheWriteTokens,
            outputTokens: Math.floor(maxOutput * output)
          })
          expect(cost(price, usage)).toBeLessThanOrEqual(most.cost)
          expect(usage.totalTokens).toBeLessThanOrEqual(most.tokens)
        }
      ),
      { numRuns: 500 }
    )
  })
})

describe("Tokens", () => {
  it.effect("no tokenizer makes more tokens than the bound", () =>
    Effect.gen(function* () {
      for (const text of [
        "",
        "hello world",
        "ﷺ".repeat(50),
        "日本語のテキスト",
        "👩‍👩‍👧‍👦 <|endoftext|> ".repeat(20),
        "\ud800"
      ]) {
        const request = requestOf(text)
        const bound = Tokens.upperBound(request)
        expect(yield* Tokens.estimate(text)).toBeLessThanOrEqual(bound)
        // A tokenizer that normalises first sees this many bytes.
        expect(Buffer.byteLength(text.normalize("NFKC"))).toBeLessThanOrEqual(bound)
      }
    })
  )

  it("counts everything that is sent", () => {
    const bare = requestOf("hi")
    const more: ReadonlyArray<ModelRequest> = [
      new ModelRequest({ ...bare, system: "x".repeat(100) }),
      new ModelRequest({ ...bare, messages: [userText("hi"), userText("x".repeat(100))] }),
      new ModelRequest({ ...bare, tools: [new ToolSpec({ name: "t", description: "x".repeat(100), parameters: {} })] }),
      new ModelRequest({
        ...bare,
        tools: [new ToolSpec({ name: "t", description: "", parameters: { x: "x".repeat(100) } })]
      })
    ]
    for (const request of more) expect(Tokens.upperBound(request)).toBeGreaterThanOrEqual(Tokens.upperBound(bare) + 100)
  })

  it.effect("estimates long runs of one letter without taking quadratic time", () =>
    Effect.gen(function* () {
      const tokens = yield* Tokens.estimate("a".repeat(200_000))
      expect(tokens).toBeGreaterThan(1000)
      expect(tokens).toBeLessThan(200_000)
    })
  )
})
