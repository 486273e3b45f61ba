/**
 * One suite for all adapters: whatever the vendor, the same reply must come out as the same events,
 * the same usage and the same failure. Each runs through the vendor's real SDK against a fake that
 * speaks its protocol.
 */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { ToolCallId } from "../../../src/domain/Ids.ts"
import { untainted } from "../../../src/domain/Labels.ts"
import {
  AssistantMessage,
  ImagePart,
  TextPart,
  textOf,
  ToolCallPart,
  toolCallsOf,
  ToolMessage,
  ToolResultPart,
  UserMessage,
  userText
} from "../../../src/domain/Message.ts"
import { type ModelFailure, Usage } from "../../../src/domain/Model.ts"
import { maxToolCalls } from "../../../src/model/providers/Assembler.ts"
import { fakeKey, type FailureReply, type Reply } from "../../support/providers/FakeServer.ts"
import { ask, failureOf, requestOf, streamOf, vendors, withFake } from "./support.ts"

const long = "Good morning, dear reader. ".repeat(12).trim()

describe.each(vendors)("$name", (vendor) => {
  const { model } = vendor

  it.live("streams an answer and counts it to the token", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        const cacheWrite = vendor.cacheWrites ? 12 : 0
        fake.script([{ kind: "answer", text: long, bill: { input: 101, output: 37, cacheRead: 40, cacheWrite } }])
        const { events, completed } = yield* ask(model, requestOf())
        const deltas = events.flatMap((e) => (e._tag === "TextDelta" ? [e.text] : []))
        expect(deltas.length).toBeGreaterThan(5)
        expect(deltas.join("")).toBe(long)
        expect(textOf(completed.message)).toBe(long)
        expect(completed.finish).toBe("stop")
        expect(completed.usage).toEqual(
          new Usage({ inputTokens: 101, outputTokens: 37, cacheReadTokens: 40, cacheWriteTokens: cacheWrite })
        )
        expect(fake.requests).toHaveLength(1)
        expect(fake.requests[0]?.refused).toBeNull()
        expect(fake.requests[0]?.aborted).toBe(false)
      })
    )
  )

  it.live("makes parallel tool calls and takes their results back, paired by id", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.script([
          {
            kind: "answer",
            text: "Let me look.",
            calls: [
              {
                name: "read_file",
                arguments: { path: "notes.md", nested: { list: [1, "zwei", null], quote: 'a "b" \\ c' } }
              },
              { name: "list_files", arguments: {} },
              { name: "read_file", arguments: { path: "übung.txt" } }
            ]
          },
          { kind: "answer", text: "Both read." }
        ])
        const first = yield* ask(model, requestOf([userText("Read two files.")]))
        expect(first.completed.finish).toBe("tool_calls")
        expect(textOf(first.completed.message)).toBe("Let me look.")
        const calls = toolCallsOf(first.completed.message)
        expect(calls.map((c) => [c.name, c.arguments])).toEqual([
          ["read_file", { path: "notes.md", nested: { list: [1, "zwei", null], quote: 'a "b" \\ c' } }],
          ["list_files", {}],
          ["read_file", { path: "übung.txt" }]
        ])
        expect(new Set(calls.map((c) => c.id)).size).toBe(3)
        expect(first.events.flatMap((e) => (e._tag === "ToolCallStarted" ? [[e.id, e.name]] : []))).toEqual(
          calls.map((c) => [c.id, c.name])
        )

        const results = calls.map(
          (c, i) =>
            new ToolResultPart({ id: c.id, name: c.name, content: `result ${i}`, isError: i === 2, taint: untainted })
        )
        const second = yield* ask(
          model,
          requestOf([userText("Read two files."), first.completed.message, new ToolMessage({ results })])
        )
        expect(textOf(second.completed.message)).toBe("Both read.")
        const sent = JSON.stringify(fake.requests[1]?.body)
        for (const i of [0, 1, 2]) expect(sent).toContain(`result ${i}`)
        expect(sent.indexOf("result 0")).toBeLessThan(sent.indexOf("result 2"))
        expect(fake.requests.map((r) => r.refused)).toEqual([null, null])
      })
    )
  )

  it.live("takes a conversation that began with another vendor, whatever its ids and empty texts", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.always({ kind: "answer", text: "ok" })
        const ids = ["functions.read_file:0", "x".repeat(200), "made-lease-0", "call_0"].map((id) =>
          ToolCallId.make(id)
        )
        const { completed } = yield* ask(
          model,
          requestOf(
            [
              userText("one"),
              userText(" "),
              new AssistantMessage({
                content: [
                  new TextPart({ text: "" }),
                  ...ids.map((id) => new ToolCallPart({ id, name: "read_file", arguments: ["not", "an", "object"] }))
                ]
              }),
              new ToolMessage({
                results: ids.map(
                  (id) => new ToolResultPart({ id, name: "read_file", content: "", isError: false, taint: untainted })
                )
              }),
              userText("two"),
              new AssistantMessage({ content: [] }),
              userText("three")
            ],
            { system: "", temperature: 1.5 }
          )
        )
        expect(textOf(completed.message)).toBe("ok")
        expect(fake.requests[0]?.refused).toBeNull()
      })
    )
  )

  it.live("gives a call a new id when the provider repeats one that the conversation has used", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        const calls = [
          { name: "list_files", arguments: {}, id: "dup" },
          { name: "list_files", arguments: {}, id: "dup" }
        ]
        fake.always({ kind: "answer", calls })
        const first = yield* ask(model, requestOf())
        const [a, b] = toolCallsOf(first.completed.message)
        expect(a?.id).toBe("dup")
        expect(b?.id).not.toBe("dup")
        const results = [a!, b!].map(
          (c) => new ToolResultPart({ id: c.id, name: c.name, content: "x", isError: false, taint: untainted })
        )
        const second = yield* ask(
          model,
          requestOf([userText("again"), first.completed.message, new ToolMessage({ results })])
        )
        const ids = toolCallsOf(second.completed.message).map((c) => c.id)
        expect(new Set([...ids, "dup"]).size).toBe(3)
      })
    )
  )

  it.live.each([
    ["stop", "stop"],
    ["max_tokens", "max_tokens"],
    ["refused", "refused"]
  ] as const)("reports the end %s", ([finish, expected]) =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.script([{ kind: "answer", text: "hm", finish }])
        expect((yield* ask(model, requestOf())).completed.finish).toBe(expected)
      })
    )
  )

  it.live.each(["missing", "negative", "huge", "fraction", "text"] as const)("leaves usage out when it is %s", (bill) =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.script([{ kind: "answer", text: "hm", bill }])
        const { completed } = yield* ask(model, requestOf())
        expect(textOf(completed.message)).toBe("hm")
        expect(completed.usage).toBeUndefined()
      })
    )
  )

  const failures: ReadonlyArray<readonly [FailureReply["reason"], ModelFailure]> = [
    ["auth", "auth"],
    ["forbidden", "auth"],
    ["no_credit", "auth"],
    ["no_model", "auth"],
    ["rate_limit", "rate_limit"],
    ["overloaded", "overloaded"],
    ["internal", "overloaded"],
    ["timeout", "timeout"],
    ["bad_request", "bad_request"],
    ["context_too_long", "context_too_long"],
    ["content_refused", vendor.name === "anthropic" ? "bad_request" : "content_refused"],
    ["too_large", "context_too_long"]
  ]
  it.live.each(failures)("classifies %s", ([reason, failure]) =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        const secret = `sk-${"planted"}-canary-93812`
        fake.script([{ kind: "failure", reason, echo: `${secret} ${fakeKey}` }])
        const error = yield* failureOf(model, requestOf([userText(`my secret is ${secret}`)]))
        expect(error.failure).toBe(failure)
        expect(error.status).toBeGreaterThanOrEqual(400)
        expect(error.partial).toBe(false)
        expect(error.model).toBe(model)
        for (const shown of [error.message, JSON.stringify(error), String(error.stack)]) {
          expect(shown).not.toContain(secret)
          expect(shown).not.toContain(fakeKey)
        }
        // One attempt is one request: retries are the router's.
        expect(fake.requests).toHaveLength(1)
      })
    )
  )

  it.live.each([429, 500, 502, 503, 529])(
    "sends once, whatever the SDK would do, at %i without a body it knows",
    (status) =>
      withFake(vendor, (fake) =>
        Effect.gen(function* () {
          fake.always({ kind: "raw", status, headers: { "content-type": "text/html" }, body: "<h1>Bad gateway</h1>" })
          const error = yield* failureOf(model)
          expect(error.failure).toBe(status === 429 ? "rate_limit" : "overloaded")
          expect(error.status).toBe(status)
          expect(error.message).not.toContain("gateway")
          expect(fake.requests).toHaveLength(1)
        })
      )
  )

  it.live("reads how long to wait: seconds, milliseconds, a date; nonsense is no wait at all", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        const wait = (retryAfter: FailureReply["retryAfter"]) =>
          Effect.suspend(() => {
            fake.script([{ kind: "failure", reason: "rate_limit", retryAfter }])
            return Effect.map(failureOf(model), (e) => e.retryAfterMs)
          })
        expect(yield* wait(undefined)).toBeUndefined()
        expect(yield* wait({ seconds: 7 })).toBe(7000)
        expect(yield* wait({ ms: 1250 })).toBe(1250)
        expect(yield* wait({ date: "Thu, 01 Jan 2099 00:00:00 GMT" })).toBe(86_400_000)
        expect(yield* wait({ date: "Thu, 01 Jan 1998 00:00:00 GMT" })).toBe(0)
        expect(yield* wait({ date: "soon" })).toBeUndefined()
        expect(yield* wait({ seconds: -4 })).toBeUndefined()
      })
    )
  )

  const cuts: ReadonlyArray<readonly [string, Reply, boolean]> = [
    ["before the first byte", { kind: "reset" }, false],
    ["before the first event", { kind: "answer", text: long, cut: "start" }, false],
    ["inside the text", { kind: "answer", text: long, cut: "text" }, true],
    [
      "inside a tool call",
      { kind: "answer", calls: [{ name: "read_file", arguments: { path: "a/long/path.md" } }], cut: "call" },
      vendor.name !== "google"
    ],
    ["before the end", { kind: "answer", text: long, cut: "end" }, true],
    ["before the end, in good order", { kind: "answer", text: long, cut: "end", cutBy: "clean" }, true]
  ]
  it.live.each(cuts)("a connection lost %s is a network failure", ([, reply, partial]) =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.script([reply])
        const error = yield* failureOf(model)
        expect(error).toMatchObject({ failure: "network", partial })
        expect(error.unsent).toBeUndefined()
        expect(error.status).toBeUndefined()
      })
    )
  )

  it.live("an error inside the stream keeps its class and is partial", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.script([
          { kind: "answer", text: long, failsWith: "overloaded" },
          { kind: "answer", text: long, failsWith: "rate_limit" }
        ])
        expect(yield* failureOf(model)).toMatchObject({ failure: "overloaded", partial: true })
        expect(yield* failureOf(model)).toMatchObject({ failure: "rate_limit", partial: true })
      })
    )
  )

  it.live("half a tool call is never completed", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        const half = {
          kind: "answer",
          halfCall: true,
          calls: [{ name: "read_file", arguments: { path: "notes.md" } }]
        } as const
        fake.script([half, { ...half, finish: "max_tokens" }])
        expect((yield* failureOf(model)).failure).toBe("network")
        const cut = yield* failureOf(model)
        // Google sends calls whole, so half a call is a broken frame to it, whatever the end says.
        expect(cut.failure).toBe(vendor.name === "google" ? "network" : "bad_request")
      })
    )
  )

  const malformed: ReadonlyArray<readonly [string, string]> = [
    ["text that is no event stream", "this is not SSE at all"],
    ["broken JSON", 'event: message_start\ndata: {"type": "message_start", "mess\n\n'],
    ["JSON of another kind", "event: message_start\ndata: [1, 2, 3]\n\n"],
    [
      "fields of the wrong type",
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":"x","choices":"x","candidates":"x"}\n\n'
    ],
    ["nothing", ""]
  ]
  it.live.each(malformed)("answers made of %s fail as network", ([, body]) =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.script([{ kind: "raw", body }])
        const error = yield* failureOf(model)
        expect(error.failure).toBe("network")
        expect(error.message).not.toContain("mess\n")
      })
    )
  )

  it.live("an answer, a line or a number of calls without end is cut off", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.script([
          { kind: "answer", text: "x".repeat(9 * 1024 * 1024), deltaChars: 256 * 1024 },
          { kind: "answer", text: "x".repeat(6 * 1024 * 1024), deltaChars: 6 * 1024 * 1024 },
          {
            kind: "answer",
            calls: Array.from({ length: maxToolCalls + 1 }, (_, i) => ({
              name: "list_files",
              arguments: {},
              id: `c${i}`
            }))
          }
        ])
        expect((yield* failureOf(model)).detail).toContain("larger than any answer")
        expect((yield* failureOf(model)).detail).toContain("larger than any answer")
        expect((yield* failureOf(model)).detail).toContain("more than 128 tool calls")
      })
    )
  )

  it.live("a redirect is not followed, so the key stays where it belongs", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.always({ kind: "raw", status: 307, headers: { location: `${fake.baseUrl}/elsewhere` }, body: "" })
        const error = yield* failureOf(model)
        expect(error.failure).toBe("network")
        expect(error.detail).toContain("redirect")
        expect(fake.requests).toHaveLength(1)
      })
    )
  )

  const stalls: ReadonlyArray<readonly [string, Reply]> = [
    ["before the provider answers", { kind: "hang" }],
    ["in the middle of an answer", { kind: "answer", text: long, gapMs: 600_000 }]
  ]
  it.live.each(stalls)("interruption %s closes the connection", ([, reply]) =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.script([reply])
        const fiber = yield* Effect.fork(Stream.runDrain(streamOf(model, requestOf())))
        yield* Effect.iterate(0, {
          while: () => fake.requests.length === 0,
          body: (n) => Effect.as(Effect.sleep(5), n + 1)
        })
        yield* Fiber.interrupt(fiber)
        yield* fake.nextAbort
        expect(fake.requests[0]?.aborted).toBe(true)
      })
    ).pipe(Effect.timeoutFail({ duration: "20 seconds", onTimeout: () => "the connection stayed open" as const }))
  )

  it.live("a consumer that has had enough closes the connection", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.script([{ kind: "answer", text: long, gapMs: 20 }])
        const got = yield* Deferred.make<string>()
        yield* streamOf(model, requestOf()).pipe(
          Stream.take(1),
          Stream.runForEach((e) => Deferred.succeed(got, e._tag))
        )
        expect(yield* Deferred.await(got)).toBe("TextDelta")
        yield* fake.nextAbort
      })
    ).pipe(Effect.timeoutFail({ duration: "20 seconds", onTimeout: () => "the connection stayed open" as const }))
  )

  it.live("refuses images before anything is sent", () =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        const image = new ImagePart({ mediaType: "image/png", base64: "iVBORw0KGgo=" })
        const error = yield* failureOf(model, requestOf([new UserMessage({ content: [image] })]))
        expect(error).toMatchObject({ failure: "bad_request", detail: "images are not supported yet", partial: false })
        expect(fake.requests).toHaveLength(0)
      })
    )
  )

  it.live("a key that the provider does not know is an auth failure", () =>
    withFake(
      vendor,
      (fake) =>
        Effect.gen(function* () {
          fake.always({ kind: "answer", text: "never" })
          const error = yield* failureOf(model)
          expect(error.failure).toBe("auth")
          expect(error.message).not.toContain("wrong-key")
        }),
      { key: "wrong-key" }
    )
  )

  it.live("sends the headers that the owner configured", () =>
    withFake(
      vendor,
      (fake) =>
        Effect.gen(function* () {
          fake.always({ kind: "answer", text: "ok" })
          yield* ask(model, requestOf())
          expect(fake.requests[0]?.headers["x-team"]).toBe("blue")
        }),
      { config: { headers: { "x-team": "blue" } } }
    )
  )
})
