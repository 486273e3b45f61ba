/** What a collector gets, and what it must never get. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { cleanTraces, layer, parseHeaders } from "../../src/gateway/Telemetry.ts"
import { Secrets } from "../../src/kernel/Redaction.ts"
import * as Settings from "../../src/kernel/Settings.ts"
import * as Collector from "../support/collector.ts"
import * as Path from "../support/path.ts"
import { Redacted } from "effect"

const canary = "canary-7f3a9c-of-the-prompt"

/** One run under the telemetry of its settings; all of it has been sent when this returns. */
const traced = (message: string, telemetry: (url: string) => object, env: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const collector = yield* Collector.open
    const place = yield* Path.place({
      sections: { telemetry: telemetry(collector.url) },
      files: { "notes.md": `${canary}-in-a-file\n` },
      env
    })
    const events = yield* Effect.gen(function* () {
      const runtime = yield* Layer.toRuntime(
        Layer.provide(
          layer("1.2.3"),
          Settings.layer({ configPath: place.config, cwd: place.dir, env: place.options.env })
        )
      )
      return yield* Path.run(message).pipe(
        Effect.provide(Path.agentLayer(place)),
        Effect.withSpan("outer", { attributes: { secret: canary, "gen_ai.tool.name": "kept" } }),
        Effect.provide(runtime)
      )
    }).pipe(Effect.scoped)
    return { events, received: collector.received }
  })

describe("telemetry", () => {
  it.live("tells a collector of the run, its model calls and tools, by the conventions, as one trace", () =>
    Effect.gen(function* () {
      const { events, received } = yield* traced("Read notes.md", (otlpUrl) => ({ otlpUrl: `${otlpUrl}/` }))
      assert.strictEqual(Path.of(events, "RunEnded")[0]?.end, "answered")
      const spans = Collector.spansOf(received)
      const named = (name: string) => spans.filter((span) => span.name === name)
      const [agent] = named("invoke_agent main")
      assert(agent !== undefined, spans.map(({ name }) => name).join(", "))
      assert.strictEqual(Collector.attribute(agent, "gen_ai.operation.name"), "invoke_agent")
      assert.strictEqual(Collector.attribute(agent, "gen_ai.agent.name"), "main")
      const chats = named("chat rehearsal-1")
      assert.lengthOf(chats, 2)
      for (const chat of chats) {
        assert.strictEqual(chat.kind, 3, "a client's span")
        assert.strictEqual(chat.traceId, agent.traceId)
        assert.strictEqual(Collector.attribute(chat, "gen_ai.operation.name"), "chat")
        assert.strictEqual(Collector.attribute(chat, "gen_ai.provider.name"), "rehearsal")
        assert.strictEqual(Collector.attribute(chat, "gen_ai.request.model"), "rehearsal-1")
        assert.isAbove(Number(Collector.attribute(chat, "gen_ai.usage.input_tokens")), 0)
        assert.isAbove(Number(Collector.attribute(chat, "gen_ai.usage.output_tokens")), 0)
      }
      const [tool] = named("execute_tool read_file")
      assert(tool !== undefined, spans.map(({ name }) => name).join(", "))
      assert.strictEqual(Collector.attribute(tool, "gen_ai.tool.name"), "read_file")
      assert.strictEqual(tool.traceId, agent.traceId)
      for (const resource of Collector.resourcesOf(received)) {
        assert.strictEqual(Collector.attribute(resource, "service.name"), "ai-desk")
        assert.strictEqual(Collector.attribute(resource, "service.version"), "1.2.3")
      }
      const metrics = received.filter(({ path }) => path === "/v1/metrics")
      assert.isAbove(metrics.length, 0)
      assert.include(metrics.at(-1)!.body, "ai_desk_model_tokens_total")
      assert.deepStrictEqual([...new Set(received.map(({ path }) => path))].sort(), ["/v1/metrics", "/v1/traces"])
    }).pipe(Effect.scoped)
  )

  it.live("sends nothing of what was said, read, or wrong, and no secret", () =>
    Effect.gen(function* () {
      const { received } = yield* traced(`Read notes.md and mind ${canary}`, (otlpUrl) => ({ otlpUrl }))
      assert.isAbove(Collector.spansOf(received).length, 5)
      for (const { body, path } of received) {
        assert.notInclude(body, canary, path)
        assert.notInclude(body, Path.masterKey, path)
        assert.notInclude(body, "stacktrace", path)
        assert.notInclude(body, "notes.md", path)
      }
      const [outer] = Collector.spansOf(received).filter(({ name }) => name === "outer")
      assert.deepStrictEqual(
        outer?.attributes.map(({ key }) => key),
        ["gen_ai.tool.name"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("sends the headers of the variable that is named, and takes their values for secrets", () =>
    Effect.gen(function* () {
      const { received } = yield* traced("hello", (otlpUrl) => ({ otlpUrl, headersEnv: "OTLP_HEADERS" }), {
        OTLP_HEADERS: "x-api-key=collector-canary-1,other=a%20b"
      })
      assert.isAbove(received.length, 0)
      for (const { headers } of received) {
        assert.strictEqual(headers["x-api-key"], "collector-canary-1")
        assert.strictEqual(headers["other"], "a b")
      }
    }).pipe(Effect.scoped)
  )

  it.live("sends nothing when no collector is named, or when the headers cannot be read", () =>
    Effect.gen(function* () {
      const none = yield* traced("hello", () => ({}))
      assert.deepStrictEqual(none.received, [])
      const bad = yield* traced("hello", (otlpUrl) => ({ otlpUrl, headersEnv: "OTLP_HEADERS" }), {
        OTLP_HEADERS: "nonsense"
      })
      assert.deepStrictEqual(bad.received, [])
    }).pipe(Effect.scoped)
  )

  it.live("holds nothing up when the collector is away", () =>
    Effect.gen(function* () {
      const { events } = yield* traced("hello", () => ({ otlpUrl: "http://127.0.0.1:9" }))
      assert.strictEqual(Path.of(events, "RunEnded")[0]?.end, "answered")
    }).pipe(Effect.scoped)
  )
})

describe("what is left of a span", () => {
  it("has no events, no error text, no attribute beside the list, and secrets taken out of the rest", () => {
    Secrets.register(Redacted.make("registered-secret-canary"))
    const span = {
      traceId: "1".repeat(32),
      spanId: "2".repeat(16),
      parentSpanId: undefined,
      name: "chat registered-secret-canary",
      kind: 3,
      startTimeUnixNano: "1",
      endTimeUnixNano: "2",
      attributes: [
        { key: "gen_ai.request.model", value: { stringValue: "registered-secret-canary" } },
        { key: "url.full", value: { stringValue: "https://x/?token=1" } },
        { key: "prompt", value: { stringValue: "hello" } }
      ],
      events: [{ name: "exception", attributes: [{ key: "exception.message", value: { stringValue: "inside" } }] }],
      links: [{}],
      status: { code: 2, message: "inside" }
    }
    const cleaned = JSON.stringify(
      cleanTraces({ resourceSpans: [{ resource: {}, scopeSpans: [{ scope: {}, spans: [span] }] }] })
    )
    for (const gone of ["registered-secret-canary", "inside", "url.full", "hello", "prompt"])
      assert.notInclude(cleaned, gone)
    assert.include(cleaned, `"code":2`)
    assert.include(cleaned, "gen_ai.request.model")
  })
})

describe("headers", () => {
  it("are read as OpenTelemetry's own variable has them", () => {
    assert.deepStrictEqual(parseHeaders("A=1, b = two%20words ,c="), { a: "1", b: "two words", c: "" })
    assert.deepStrictEqual(parseHeaders("authorization=Bearer%20x%3D%3D"), { authorization: "Bearer x==" })
    assert.deepStrictEqual(parseHeaders(""), {})
    for (const bad of ["nonsense", "=x", "a b=c", "a=%zz", "a=%0d%0ab"]) assert.isUndefined(parseHeaders(bad), bad)
  })
})
