/** The Responses API by the official client: whole and streamed, with tools, and what it refuses. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import OpenAI from "openai"
import { Caps } from "../../../src/domain/Agent.ts"
import { Allowance } from "../../../src/domain/Caller.ts"
import * as Compatible from "../../support/compatible.ts"
import { promise, refusedWith } from "../../support/compatible.ts"
import { models } from "../../support/e2e-vendors.ts"

const callers = {
  client: Compatible.token("client"),
  poor: Compatible.token("poor", { allowance: new Allowance({ monthly: new Caps({ tokens: 10, action: "block" }) }) })
}
const defaults = { defaults: { model: { primary: models.lab, failover: [] }, tools: { profile: "deny-all" } } }
const stage = Compatible.stage(callers, defaults)

const weather: OpenAI.Responses.FunctionTool = {
  type: "function",
  name: "weather",
  description: "The weather at a place.",
  parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
  strict: false
}

describe("responses", () => {
  it.scopedLive("answers text, with instructions and earlier turns", () =>
    Effect.gen(function* () {
      const { fakes, url } = yield* stage
      const client = Compatible.openAiAt(url, "client")
      fakes.lab.always({ kind: "answer", text: "Four.", bill: { input: 12, output: 3, cacheRead: 5 } })
      for (const model of ["main", models.lab]) {
        const response = yield* promise(() =>
          client.responses.create({
            model,
            instructions: "One word.",
            input: [
              { role: "user", content: "One and one?" },
              { type: "message", role: "assistant", content: "Two." },
              { role: "user", content: [{ type: "input_text", text: "Doubled?" }] }
            ]
          })
        )
        assert.deepInclude(response, { status: "completed", output_text: "Four.", model, error: null })
        assert.deepInclude(response.usage, { input_tokens: 17, output_tokens: 3, total_tokens: 20 })
        assert.strictEqual(response.usage?.input_tokens_details.cached_tokens, 5)
      }
      const simple = yield* promise(() => client.responses.create({ model: "main", input: "Just a text" }))
      assert.strictEqual(simple.output_text, "Four.")
    })
  )

  it.scopedLive("streams numbered events that add up to the response", () =>
    Effect.gen(function* () {
      const { fakes, url } = yield* stage
      const client = Compatible.openAiAt(url, "client")
      const text = "A rather longer answer that comes in a good many pieces."
      const place = { place: "Oslo" }
      const script = [
        {
          kind: "answer" as const,
          text,
          calls: [
            { id: "call_a", name: "weather", arguments: place },
            { id: "call_b", name: "weather", arguments: {} }
          ]
        }
      ]
      const asked = { model: models.lab, input: "weather?", tools: [weather] }
      fakes.lab.script(script)
      const events = yield* promise(async () =>
        Compatible.all(await client.responses.create({ ...asked, stream: true }))
      )
      assert.deepStrictEqual(
        events.map((event) => event.sequence_number),
        events.map((_, i) => i)
      )
      const types = events.map(({ type }) => type)
      assert.deepStrictEqual(
        types.filter((type, i) => type !== types[i - 1]),
        [
          "response.created",
          "response.in_progress",
          "response.output_item.added",
          "response.content_part.added",
          "response.output_text.delta",
          "response.output_text.done",
          "response.content_part.done",
          "response.output_item.done",
          ...Array.from({ length: 2 }, () => [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done"
          ]).flat(),
          "response.completed"
        ] as ReadonlyArray<string>
      )
      fakes.lab.script(script)
      const final = yield* promise(() => client.responses.stream(asked).finalResponse())
      assert.strictEqual(final.output_text, text)
      assert.deepStrictEqual(
        final.output.map((item) =>
          item.type === "function_call" ? [item.call_id, JSON.parse(item.arguments)] : item.type
        ),
        ["message", ["call_a", place], ["call_b", {}]]
      )
    })
  )

  it.scopedLive("results of calls go back to the model that made them", () =>
    Effect.gen(function* () {
      const { fakes, url } = yield* stage
      const client = Compatible.openAiAt(url, "client")
      fakes.lab.script([
        {
          kind: "answer",
          calls: [
            { id: "call_a", name: "weather", arguments: { place: "Oslo" } },
            { id: "call_b", name: "weather", arguments: { place: "Rome" } }
          ]
        },
        { kind: "answer", text: "Cold and warm." }
      ])
      const input: Array<OpenAI.Responses.ResponseInputItem> = [{ role: "user", content: "weather?" }]
      const first = yield* promise(() => client.responses.create({ model: "main", input, tools: [weather] }))
      const calls = first.output.filter((item) => item.type === "function_call")
      input.push(...calls)
      for (const { call_id } of calls) input.push({ type: "function_call_output", call_id, output: `for ${call_id}` })
      const second = yield* promise(() => client.responses.create({ model: "main", input, tools: [weather] }))
      assert.strictEqual(second.output_text, "Cold and warm.")
      const { messages } = fakes.lab.requests[1]!.body as {
        messages: ReadonlyArray<{ role: string; tool_calls?: ReadonlyArray<unknown>; tool_call_id?: string }>
      }
      assert.deepStrictEqual(
        messages.map(({ role, tool_call_id, tool_calls }) => tool_call_id ?? tool_calls?.length ?? role),
        ["system", "user", 2, "call_a", "call_b"]
      )
    })
  )

  it.scopedLive("says that an answer was cut, and why a stream failed", () =>
    Effect.gen(function* () {
      const { fakes, url } = yield* stage
      const client = Compatible.openAiAt(url, "client")
      fakes.lab.script([{ kind: "answer", text: "Too lo", finish: "max_tokens" }])
      const cut = yield* promise(() =>
        client.responses.create({ model: models.lab, input: "long?", max_output_tokens: 16 })
      )
      assert.deepInclude(cut, { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } })
      fakes.lab.always({ kind: "answer", text: "Half of what was to", failsWith: "internal", deltaChars: 4 })
      const seen: Array<string> = []
      yield* refusedWith(OpenAI.APIError, async () => {
        for await (const event of await client.responses.create({ model: models.lab, input: "x", stream: true })) {
          seen.push(event.type)
        }
      })
      assert.include(seen, "response.failed")
      assert.notInclude(seen, "response.completed")
    })
  )

  it.scopedLive("refuses what it does not keep, and what a token may not spend", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* stage
      const client = Compatible.openAiAt(url, "client")
      const bad: ReadonlyArray<readonly [object, string]> = [
        [{ previous_response_id: "resp_1" }, "previous_response_id"],
        [{ conversation: "conv_1" }, "conversation"],
        [{ background: true }, "background"],
        [{ tools: [{ type: "function" }] }, "tools.0.name"],
        [{ input: [{ type: "message", role: "nobody", content: "x" }] }, "input"],
        [{ tools: [{ type: "web_search" }], tool_choice: { type: "function", name: "web_search" } }, "tool_choice"],
        [{ input: [{ type: "item_reference", id: "x" }] }, "input.0"],
        [{ input: [{ type: "function_call_output", call_id: "x", output: "y" }] }, "input.0.call_id"],
        [{ input: [{ role: "user", content: [{ type: "input_image", image_url: "data:," }] }] }, "input.0.content.0"]
      ]
      for (const [more, param] of bad) {
        const error = yield* refusedWith(OpenAI.BadRequestError, () =>
          client.responses.create({ model: "main", input: "hi", ...more })
        )
        assert.strictEqual(error.param, param)
      }
      const poor = Compatible.openAiAt(url, "poor", 3)
      yield* refusedWith(OpenAI.RateLimitError, () => poor.responses.create({ model: "main", input: "hi" }))
      yield* refusedWith(OpenAI.RateLimitError, () =>
        poor.responses.create({ model: "main", input: "hi", stream: true })
      )
      assert.deepStrictEqual(Object.values(asked()), [0, 0, 0, 0])
    })
  )
})
