/** The `Providers` layer: who may be asked, with which key, at which address, and what is refused before anything is sent. */
import { mkdirSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it, vi } from "@effect/vitest"
import { Effect, Layer, Logger, Predicate, Stream } from "effect"
import { userText } from "../../../src/domain/Message.ts"
import { ModelRef } from "../../../src/domain/Model.ts"
import type { BudgetLease, Scanned } from "../../../src/domain/Proof.ts"
import { mintScanned } from "../../../src/domain/Proof.ts"
import { Credentials } from "../../../src/kernel/Credentials.ts"
import { DecryptFailed } from "../../../src/kernel/Crypto.ts"
import { Settings } from "../../../src/kernel/Settings.ts"
import { claudeOAuthStatus, layer as providersLayer, Providers } from "../../../src/model/Provider.ts"
import * as FakeAnthropic from "../../support/providers/FakeAnthropic.ts"
import { data, event, type Fake, fakeKey } from "../../support/providers/FakeServer.ts"
import {
  ask,
  configFor,
  failureOf,
  layerFor,
  leaseFor,
  requestOf,
  settingsFor,
  tool,
  vendors,
  withFake
} from "./support.ts"

const [anthropic, google, openrouter, lab] = vendors
if (anthropic === undefined || google === undefined || openrouter === undefined || lab === undefined) {
  throw new RangeError("a vendor is missing from the table")
}

const fixed = (config: unknown, keys: Record<string, string> = {}, home?: string) => {
  const settings = settingsFor(config, home)
  return layerFor(
    () => settings,
    () => keys
  )
}

const getFailure = (model: string) =>
  Effect.gen(function* () {
    return yield* Effect.flip((yield* Providers).get(ModelRef.make(model)))
  })

/** The environment that the SDKs would read, put back afterwards. */
const withEnv =
  (env: Readonly<Record<string, string>>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
      }),
      () => effect,
      () => Effect.sync(() => vi.unstubAllEnvs())
    )

/** A field of a recorded request's body, by path. */
const at = (fake: Fake, request: number, ...path: ReadonlyArray<string | number>): unknown =>
  path.reduce<unknown>(
    (value, key) => (Predicate.isObject(value) ? Reflect.get(value, key) : undefined),
    fake.requests[request]?.body
  )

describe("Providers", () => {
  it.effect("refuses a model without a key and says how to set one", () =>
    Effect.gen(function* () {
      for (const name of ["anthropic", "google", "openrouter"]) {
        const error = yield* getFailure(`${name}/some-model`)
        expect(error).toMatchObject({ failure: "auth", partial: false })
        expect(error.detail).toContain(`ai-desk credential set ${name}`)
      }
    }).pipe(Effect.provide(fixed({})))
  )

  it.effect("refuses a provider that nobody configured and shows how to", () =>
    Effect.gen(function* () {
      const error = yield* getFailure("nowhere/model")
      expect(error.failure).toBe("bad_request")
      expect(error.detail).toContain('"nowhere": {"kind": "openai-compatible", "baseUrl"')
      // Names that every object has are no providers.
      expect((yield* getFailure("constructor/model")).failure).toBe("bad_request")
    }).pipe(Effect.provide(fixed({})))
  )

  it.effect("says that a stored key cannot be read instead of going on without it", () =>
    Effect.gen(function* () {
      const error = yield* getFailure("anthropic/claude-sonnet-4-6")
      expect(error.failure).toBe("auth")
      expect(error.detail).toContain("cannot be read")
      expect(yield* (yield* Providers).available).toEqual(["rehearsal"])
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          providersLayer,
          Layer.merge(
            Layer.mock(Credentials, {
              get: () =>
                Effect.fail(
                  new DecryptFailed({ table: "credentials", row: "1", column: "secret", reason: "unknown_key" })
                )
            }),
            Layer.succeed(Settings, {
              current: Effect.sync(() => settingsFor({})),
              reload: Effect.sync(() => settingsFor({})),
              changes: Stream.empty
            })
          )
        )
      )
    )
  )

  it.effect("lists what could be used now", () =>
    Effect.gen(function* () {
      expect(yield* (yield* Providers).available).toEqual(["google", "lab", "rehearsal"])
    }).pipe(
      Effect.provide(
        fixed(
          {
            providers: {
              lab: { kind: "openai-compatible", baseUrl: "http://127.0.0.1:1/v1" },
              anthropic: { baseUrl: "http://127.0.0.1:1" }
            }
          },
          { google: "k" }
        )
      )
    )
  )

  it.live("takes a new key and a new address with the very next call", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const one = yield* FakeAnthropic.make({ key: "key-one" })
        const two = yield* FakeAnthropic.make({ key: "key-two" })
        for (const fake of [one, two]) fake.always({ kind: "answer", text: "ok" })
        let settings = settingsFor(configFor(anthropic, one.baseUrl))
        let keys = { anthropic: "key-one" }
        yield* Effect.gen(function* () {
          yield* ask(anthropic.model, requestOf())
          keys = { anthropic: "key-two" }
          expect((yield* failureOf(anthropic.model)).failure).toBe("auth")
          settings = settingsFor(configFor(anthropic, two.baseUrl))
          yield* ask(anthropic.model, requestOf())
        }).pipe(
          Effect.provide(
            layerFor(
              () => settings,
              () => keys
            )
          )
        )
        expect(one.requests.map((r) => r.refused === null)).toEqual([true, false])
        expect(two.requests.map((r) => r.headers["authorization"])).toEqual(["Bearer key-two"])
      })
    )
  )

  it.live.each(vendors)("sends nothing for $name without genuine proofs", (vendor) =>
    withFake(vendor, (fake) =>
      Effect.gen(function* () {
        fake.always({ kind: "answer", text: "never" })
        const provider = yield* (yield* Providers).get(vendor.model)
        const scanned = mintScanned(requestOf())
        const lease = leaseFor(vendor.model)
        // Copies have every field of the real thing, and are not it.
        const copiedLease: BudgetLease = { ...lease }
        const copiedRequest: Scanned<ReturnType<typeof requestOf>> = { ...scanned }
        const other = leaseFor(ModelRef.make("rehearsal/rehearsal-1"))
        const attempts = [
          [provider.stream(scanned, copiedLease), "nothing was reserved"],
          [provider.stream(copiedRequest, lease), "never scanned"],
          [provider.stream(scanned, other), "reservation is not for"]
        ] as const
        for (const [stream, words] of attempts) {
          const error = yield* Effect.flip(Stream.runDrain(stream))
          expect(error.failure).toBe("bad_request")
          expect(error.detail).toContain(words)
        }
        expect(fake.requests).toHaveLength(0)
      })
    )
  )

  it.live("needs no key for a server that wants none, and sends it none", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const fake = yield* lab.fake({ key: null })
        fake.always({ kind: "answer", text: "ok" })
        yield* ask(lab.model, requestOf()).pipe(Effect.provide(fixed(configFor(lab, fake.baseUrl))))
        expect(fake.requests[0]?.refused).toBeNull()
        expect(fake.requests[0]?.headers["authorization"]).toBeUndefined()
      })
    )
  )

  it.live("takes nothing from the environment that the SDKs would", () =>
    withFake(anthropic, (fake) =>
      Effect.gen(function* () {
        fake.always({ kind: "answer", text: "ok" })
        yield* ask(anthropic.model, requestOf())
        expect(fake.requests[0]?.headers["authorization"]).toBe(`Bearer ${fakeKey}`)
      })
    ).pipe(
      withEnv({
        ANTHROPIC_API_KEY: "from-env",
        ANTHROPIC_AUTH_TOKEN: "from-env",
        ANTHROPIC_BASE_URL: "http://127.0.0.1:1",
        ANTHROPIC_CUSTOM_HEADERS: "Authorization: Bearer from-env"
      })
    )
  )

  it.live("takes nothing from the environment for OpenAI-compatible servers and Google either", () =>
    Effect.gen(function* () {
      for (const vendor of [openrouter, lab, google]) {
        yield* withFake(vendor, (fake) =>
          Effect.gen(function* () {
            fake.always({ kind: "answer", text: "ok" })
            yield* ask(vendor.model, requestOf())
            expect(fake.requests[0]?.refused).toBeNull()
            expect(fake.requests[0]?.headers["openai-organization"]).toBeUndefined()
          })
        )
      }
    }).pipe(
      withEnv({
        OPENAI_API_KEY: "from-env",
        OPENAI_BASE_URL: "http://127.0.0.1:1",
        OPENAI_ORG_ID: "from-env",
        OPENAI_CUSTOM_HEADERS: "Authorization: Bearer from-env",
        GOOGLE_GENAI_USE_VERTEXAI: "true",
        GOOGLE_GEMINI_BASE_URL: "http://127.0.0.1:1",
        GOOGLE_GENAI_API_VERSION: "v9"
      })
    )
  )

  it.live("a refused connection and a broken TLS handshake are network failures, told apart", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const fake = yield* FakeAnthropic.make()
        const failureAt = (baseUrl: string) =>
          failureOf(anthropic.model).pipe(Effect.provide(fixed(configFor(anthropic, baseUrl), { anthropic: fakeKey })))
        const tls = yield* failureAt(fake.baseUrl.replace("http:", "https:"))
        expect(tls).toMatchObject({ failure: "network", partial: false })
        // A port that was ours a moment ago, and at which nobody listens any more.
        const closed = yield* Effect.scoped(Effect.map(FakeAnthropic.make(), (gone) => gone.baseUrl))
        const refused = yield* failureAt(closed)
        expect(refused).toMatchObject({ failure: "network", partial: false, unsent: true })
        // A handshake can break after something was sent: nobody can prove that it was not.
        expect(tls.unsent).toBeUndefined()
        expect(refused.detail).not.toBe(tls.detail)
      })
    )
  )

  it.live("asks Anthropic to cache what stays the same, within its four marks", () =>
    withFake(anthropic, (fake) =>
      Effect.gen(function* () {
        fake.always({ kind: "answer", text: "ok" })
        yield* ask(anthropic.model, requestOf([userText("first"), userText("second")]))
        const mark = { type: "ephemeral" }
        expect(at(fake, 0, "system", 0, "cache_control")).toEqual(mark)
        expect(at(fake, 0, "tools", 0, "cache_control")).toBeUndefined()
        expect(at(fake, 0, "tools", 1, "cache_control")).toEqual(mark)
        expect(at(fake, 0, "messages", 0, "content", 0, "cache_control")).toBeUndefined()
        expect(at(fake, 0, "messages", 0, "content", 1, "cache_control")).toEqual(mark)
      })
    )
  )

  it.live("tells every vendor the output allowance and the tools as declared", () =>
    Effect.gen(function* () {
      const request = requestOf([userText("hi")], {
        maxOutputTokens: 777,
        tools: [tool("read_file", { path: { type: "string" } })]
      })
      for (const vendor of vendors) {
        yield* withFake(vendor, (fake) =>
          Effect.gen(function* () {
            fake.always({ kind: "answer", text: "ok" })
            yield* ask(vendor.model, request)
            const body = JSON.stringify(fake.requests[0]?.body)
            expect(body).toMatch(/"(max_tokens|maxOutputTokens)":777/)
            expect(body).toContain('"read_file"')
            expect(body).toContain('"path":{"type":"string"}')
            expect(body).toContain("You are a test.")
          })
        )
      }
    })
  )

  it.live("reads Google's wait from the error body", () =>
    withFake(google, (fake) =>
      Effect.gen(function* () {
        fake.script([{ kind: "failure", reason: "rate_limit", retryAfter: { bodySeconds: 34.5 } }])
        expect((yield* failureOf(google.model)).retryAfterMs).toBe(34_500)
      })
    )
  )

  it.live("does not take Anthropic's answer for whole before the provider says that it is", () =>
    withFake(anthropic, (fake) =>
      Effect.gen(function* () {
        const events = [
          event("message_start", { type: "message_start", message: { usage: { input_tokens: 5, output_tokens: 1 } } }),
          event("content_block_start", {
            type: "content_block_start",
            index: 0,
            content_block: { type: "text", text: "a" }
          }),
          event("message_delta", {
            type: "message_delta",
            delta: { stop_reason: "end_turn" },
            usage: { output_tokens: 9 }
          })
        ].join("")
        const stop = event("message_stop", { type: "message_stop" })
        fake.script([
          { kind: "raw", body: events },
          { kind: "raw", body: events + stop }
        ])
        expect(yield* failureOf(anthropic.model)).toMatchObject({ failure: "network", partial: true })
        expect((yield* ask(anthropic.model, requestOf())).completed.usage?.outputTokens).toBe(9)
      })
    )
  )

  it.live("asks Google once, also where its SDK would continue an answer by itself", () =>
    withFake(google, (fake) =>
      Effect.gen(function* () {
        const chunk = {
          candidates: [
            {
              index: 0,
              content: { role: "model", parts: [{ text: "half" }] },
              finishReason: "CONTINUATION",
              continuationToken: "bW9yZQ=="
            }
          ]
        }
        fake.always({ kind: "raw", body: data(chunk) })
        expect((yield* ask(google.model, requestOf())).completed.finish).toBe("max_tokens")
        expect(fake.requests).toHaveLength(1)
      })
    )
  )

  it.live("tells calls apart that a careless server sends whole under one index", () =>
    withFake(lab, (fake) =>
      Effect.gen(function* () {
        const call = (id: string, name: string) =>
          `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"${id}","function":{"name":"${name}","arguments":"{}"}}]}}]}\n\n`
        const end = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        // No [DONE] either, as from several small servers.
        fake.script([{ kind: "raw", body: call("a", "read_file") + call("b", "list_files") + end }])
        const { completed } = yield* ask(lab.model, requestOf())
        expect(completed.finish).toBe("tool_calls")
        expect(completed.message.content).toMatchObject([
          { id: "a", name: "read_file" },
          { id: "b", name: "list_files" }
        ])
        expect(completed.usage).toBeUndefined()
      })
    )
  )

  it.live("deep nesting in arguments is refused, not walked into", () =>
    withFake(lab, (fake) =>
      Effect.gen(function* () {
        const text = `${"[".repeat(100_000)}${"]".repeat(100_000)}`
        const body = JSON.stringify({
          choices: [
            {
              index: 0,
              delta: { tool_calls: [{ index: 0, id: "a", function: { name: "t", arguments: text } }] },
              finish_reason: "stop"
            }
          ]
        })
        fake.script([{ kind: "raw", body: `data: ${body}\n\n` }])
        expect((yield* failureOf(lab.model)).failure).toBe("network")
      })
    )
  )
})

describe("Claude Code's log-in", () => {
  const token = "sk-ant-oat-planted-token"
  const withHome = <A, E, R>(
    expiresAt: number | "garbage" | "nothing",
    use: (home: string) => Effect.Effect<A, E, R>
  ) =>
    Effect.acquireUseRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "home-"))),
      (home) => {
        if (expiresAt !== "nothing") {
          mkdirSync(join(home, ".claude"))
          const text =
            expiresAt === "garbage"
              ? "{"
              : JSON.stringify({ claudeAiOauth: { accessToken: token, refreshToken: "r", expiresAt } })
          writeFileSync(join(home, ".claude", ".credentials.json"), text, { mode: 0o600 })
        }
        return use(home)
      },
      (home) => Effect.promise(() => rm(home, { recursive: true }))
    )
  const far = 4_000_000_000_000

  it.live.each([
    ["nothing", false, "absent"],
    ["garbage", true, "unusable"],
    [1000, true, "expired"],
    [far, false, "detected"],
    [far, true, "in_use"]
  ] as const)("is reported: file %s, switched on %s → %s", ([expiresAt, use, state]) =>
    withHome(expiresAt, (home) =>
      Effect.gen(function* () {
        const status = yield* claudeOAuthStatus
        expect(status.state).toBe(state)
        expect(status.note === undefined).toBe(state === "absent")
        expect(JSON.stringify(status)).not.toContain(token)
        const names = yield* (yield* Providers).available
        expect(names.includes("anthropic")).toBe(state === "in_use")
      }).pipe(Effect.provide(fixed({ claudeOAuth: { use } }, {}, home)))
    )
  )

  it.live("is used only after the opt-in, with a warning, and only where there is no key", () =>
    withHome(far, (home) =>
      Effect.scoped(
        Effect.gen(function* () {
          const fake = yield* FakeAnthropic.make({ key: token })
          fake.always({ kind: "answer", text: "ok" })
          const config = (use: boolean) => ({ ...configFor(anthropic, fake.baseUrl), claudeOAuth: { use } })
          const warnings: Array<string> = []
          const logger = Logger.replace(
            Logger.defaultLogger,
            Logger.make(({ message }) => void warnings.push(String(message)))
          )
          const off = yield* getFailure(anthropic.model).pipe(Effect.provide(fixed(config(false), {}, home)))
          expect(off.failure).toBe("auth")
          expect(fake.requests).toHaveLength(0)

          yield* Effect.gen(function* () {
            yield* ask(anthropic.model, requestOf())
            yield* ask(anthropic.model, requestOf())
          }).pipe(Effect.provide(Layer.merge(fixed(config(true), {}, home), logger)))
          expect(fake.requests.map((r) => r.refused)).toEqual([null, null])
          expect(fake.requests[0]?.headers["anthropic-beta"]).toContain("oauth")
          expect(warnings).toHaveLength(1)
          expect(warnings[0]).toContain("terms")
          expect(warnings[0]).not.toContain(token)

          const withKey = yield* failureOf(anthropic.model).pipe(
            Effect.provide(fixed(config(true), { anthropic: "an-api-key" }, home))
          )
          expect(withKey.failure).toBe("auth")
          expect(fake.requests[2]?.headers["authorization"]).toBe("Bearer an-api-key")
        })
      )
    )
  )
})
