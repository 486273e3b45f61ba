/** The transport that an SDK is given, on its own: what it refuses whatever the SDK tries. */
import { spawn } from "node:child_process"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { makeExchange } from "../../../src/model/providers/Exchange.ts"
import * as FakeOpenAi from "../../support/providers/FakeOpenAi.ts"
import { fakeKey } from "../../support/providers/FakeServer.ts"

const body = JSON.stringify({ model: "m", stream: true, messages: [{ role: "user", content: "hi" }] })

describe("Exchange", () => {
  it.live("sends one request and never a second", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const fake = yield* FakeOpenAi.make()
        fake.always({ kind: "answer", text: "ok" })
        const exchange = makeExchange()
        const send = Effect.tryPromise(() =>
          exchange.fetch(`${fake.baseUrl}/chat/completions`, {
            method: "POST",
            headers: { authorization: `Bearer ${fakeKey}` },
            body
          })
        )
        expect(exchange.sent()).toBe(false)
        expect((yield* send).status).toBe(200)
        expect(yield* Effect.flip(send)).toMatchObject({ cause: { name: "SecondRequest" } })
        expect(fake.requests).toHaveLength(1)
        exchange.abort()
      })
    )
  )
})

describe("serve.ts", () => {
  const Hello = Schema.parseJson(Schema.Struct({ vendor: Schema.String, port: Schema.Number, baseUrl: Schema.String }))

  it.live("serves a fake as a process of its own, scripted over HTTP", () =>
    Effect.acquireUseRelease(
      Effect.sync(() =>
        spawn(process.execPath, [new URL("../../support/providers/serve.ts", import.meta.url).pathname, "openai"], {
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (child) =>
        Effect.gen(function* () {
          const line = yield* Effect.async<string>((resume) => {
            child.stdout.once("data", (chunk: Buffer) => resume(Effect.succeed(chunk.toString("utf8"))))
          })
          const { baseUrl, port } = yield* Schema.decode(Hello)(line)
          const post = (url: string, content: string, headers: Record<string, string> = {}) =>
            Effect.tryPromise(() =>
              makeExchange()
                .fetch(url, { method: "POST", body: content, headers })
                .then((reply) => reply.text())
            )
          yield* post(`http://127.0.0.1:${port}/__script`, '[{"kind":"answer","text":"from afar","deltaChars":50}]')
          const answer = yield* post(`${baseUrl}/chat/completions`, body, { authorization: `Bearer ${fakeKey}` })
          expect(answer).toContain('"content":"from afar"')
          expect(yield* post(`http://127.0.0.1:${port}/__requests`, "")).toContain('"refused":null')
          expect(yield* post(`http://127.0.0.1:${port}/__script`, '[{"kind":"nonsense"}]')).toContain("error")
        }),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
  )
})
