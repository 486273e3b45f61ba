/**
 * The official clients against the gateway as a process: real tokens, made on the command line while
 * it runs, through the real door; the vendor behind it is the only fake. What a client may, it gets;
 * what it may not, it is told in the errors that it knows, and no vendor hears of it.
 */
import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import OpenAI from "openai"
import { TokenCreated, TokenInfo } from "../../src/domain/Access.ts"
import { AuditEntry } from "../../src/domain/Audit.ts"
import { cli } from "../cli/support.ts"
import { all, anthropicAt, openAiAt, promise, refusedWith } from "../support/compatible.ts"
import * as Vendors from "../support/e2e-vendors.ts"
import type { Place } from "../support/path.ts"
import { started } from "../support/served.ts"

const { lab } = Vendors.models

const printed = <A, I>(schema: Schema.Schema<A, I>, place: Place, ...words: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { code, stderr, stdout } = yield* cli([...words, "--json"], { cwd: place.dir, env: place.options.env ?? {} })
    assert.strictEqual(code, 0, stderr)
    return Schema.decodeSync(Schema.parseJson(schema))(stdout)
  })

const token = (place: Place, ...words: ReadonlyArray<string>) =>
  Effect.map(printed(TokenCreated, place, "token", "create", ...words), (made) => Redacted.value(made.token))

const running = Effect.gen(function* () {
  const stage = yield* Vendors.stage({ defaults: { ...Vendors.chain("lab"), tools: { profile: "deny-all" } } })
  const { announcement } = yield* started(stage.place)
  return { ...stage, url: announcement.url }
})

const hi = [{ role: "user" as const, content: "hi" }]
const parameters = { type: "object" as const, properties: { place: { type: "string" } } }
const chatTool = { type: "function" as const, function: { name: "weather", description: "The weather.", parameters } }
const call = { id: "call_1", name: "weather", arguments: { place: "Oslo" } }

describe("the official clients, the gateway and a token", () => {
  it.scopedLive("a wrong token, one that only reads, one for another model, one whose money is used up", () =>
    Effect.gen(function* () {
      const { asked, fakes, place, url } = yield* running
      const reader = yield* token(place, "--scope", "read")
      const limited = yield* token(place, "--scope", "client", "--model", "main")
      const poor = yield* token(place, "--scope", "client", "--label", "poor", "--daily-cost", "0.03")

      // Never the same words twice: what was answered before costs nothing.
      let asking = 0
      const words = () => [{ role: "user" as const, content: `question ${asking++}` }]
      const chat = (key: string, model = "main", retries = 0) =>
        openAiAt(url, key, retries).chat.completions.create({ model, messages: words() })
      const message = (key: string, model = "main", retries = 0) =>
        anthropicAt(url, key, retries).messages.create({ model, max_tokens: 8192, messages: words() })

      const wrong = `aidt_${"x".repeat(48)}`
      yield* refusedWith(OpenAI.AuthenticationError, () => chat(wrong))
      yield* refusedWith(Anthropic.AuthenticationError, () => message(wrong))
      yield* refusedWith(OpenAI.PermissionDeniedError, () => chat(reader))
      yield* refusedWith(Anthropic.PermissionDeniedError, () => message(reader))
      yield* refusedWith(OpenAI.PermissionDeniedError, () => chat(limited, lab))
      yield* refusedWith(Anthropic.PermissionDeniedError, () => message(limited, lab))
      const listed = yield* promise(() => all(openAiAt(url, limited).models.list()))
      assert.deepStrictEqual(
        listed.map(({ id }) => id),
        ["main"]
      )
      assert.strictEqual(asked().lab, 0)

      // One answer that leaves too little for the worst case of a second one.
      fakes.lab.always({ kind: "answer", text: "Hello.", bill: { input: 10_000, output: 7000 } })
      const answered = yield* promise(() => chat(poor))
      assert.strictEqual(answered.choices[0]?.message.content, "Hello.")
      assert.strictEqual(asked().lab, 1)
      const empty = yield* refusedWith(OpenAI.RateLimitError, () => chat(poor, "main", 3))
      assert.strictEqual(empty.code, "insufficient_quota")
      yield* refusedWith(Anthropic.RateLimitError, () => message(poor, "main", 3))
      assert.strictEqual(asked().lab, 1, "nobody was asked, and no client tried again for long")
      // The others are not held to it.
      assert.strictEqual((yield* promise(() => chat(limited))).choices[0]?.message.content, "Hello.")

      const tokens = yield* printed(Schema.Array(TokenInfo), place, "token", "list")
      const listedPoor = tokens.find(({ label }) => label === "poor")
      assert.isNumber(listedPoor?.lastUsedAt)
      assert.deepStrictEqual(
        listedPoor?.spending?.map((period) => [period.period, period.spentTokens, period.reservedTokens]),
        [
          ["daily", 17_000, 0],
          ["monthly", 17_000, 0]
        ]
      )
      // 10 000 tokens in and 7000 out, at the vendor's prices.
      assert.strictEqual(listedPoor?.spending?.[0]?.spent as number, 20_300_000)
      const refusals = yield* printed(Schema.Array(AuditEntry), place, "audit", "tail", "--type", "budget.refused")
      assert.lengthOf(refusals, 2)
    })
  )

  it.scopedLive("streams, calls of the client's own tools and their results, in every form", () =>
    Effect.gen(function* () {
      const { fakes, place, url } = yield* running
      const key = yield* token(place, "--scope", "client", "--daily-cost", "5")
      const openai = openAiAt(url, key)
      // As Anthropic's own programs send a gateway's token, beside the key's header.
      const clients = [
        anthropicAt(url, key),
        new Anthropic({ apiKey: null, authToken: key, baseURL: url, maxRetries: 0 })
      ]
      const answer = { kind: "answer", text: "Cold, and it rains.", deltaChars: 4, gapMs: 5 } as const

      fakes.lab.always(answer)
      const chunks = yield* promise(async () =>
        all(await openai.chat.completions.create({ model: "main", messages: hi, stream: true }))
      )
      const pieces = chunks.flatMap(({ choices }) => choices[0]?.delta.content || [])
      assert.isAbove(pieces.length, 1)
      assert.strictEqual(pieces.join(""), answer.text)
      const response = yield* promise(() => openai.responses.stream({ model: "main", input: "hi" }).finalResponse())
      assert.strictEqual(response.output_text, answer.text)
      for (const anthropic of clients) {
        const streamed = yield* promise(() =>
          anthropic.messages.stream({ model: "main", max_tokens: 100, messages: hi }).finalText()
        )
        assert.strictEqual(streamed, answer.text)
      }

      const calls = { kind: "answer", calls: [call] } as const
      fakes.lab.script([calls, answer])
      const runner = openai.chat.completions.runTools({
        model: "main",
        messages: hi,
        stream: true,
        tools: [
          {
            type: "function",
            function: {
              ...chatTool.function,
              parse: JSON.parse,
              function: ({ place }: { place: string }) => `rain in ${place}`
            }
          }
        ]
      })
      assert.strictEqual(yield* promise(() => runner.finalContent()), answer.text)
      assert.include(JSON.stringify(fakes.lab.requests.at(-1)?.body), "rain in Oslo")

      fakes.lab.script([calls, answer])
      const asking = { model: lab, max_tokens: 100, tools: [{ name: "weather", input_schema: parameters }] }
      const used = yield* promise(() => clients[0]!.messages.stream({ ...asking, messages: hi }).finalMessage())
      assert.deepStrictEqual(
        used.content.map((block) => (block.type === "tool_use" ? [block.id, block.name, block.input] : block.type)),
        [[call.id, call.name, call.arguments]]
      )
      const result = { type: "tool_result" as const, tool_use_id: call.id, content: "rain in Bergen" }
      const text = yield* promise(() =>
        clients[0]!.messages
          .stream({
            ...asking,
            messages: [...hi, { role: "assistant", content: used.content }, { role: "user", content: [result] }]
          })
          .finalText()
      )
      assert.strictEqual(text, answer.text)
      assert.include(JSON.stringify(fakes.lab.requests.at(-1)?.body), "rain in Bergen")
    })
  )
})
