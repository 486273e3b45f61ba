/** What the provider tests share: the real `Providers` layer in front of a fake vendor. */
import { Chunk, Effect, Layer, Option, Redacted, Schema, type Scope, Stream } from "effect"
import { Config } from "../../../src/domain/Config.ts"
import { AgentId, LeaseId, RunId } from "../../../src/domain/Ids.ts"
import { type Message, userText } from "../../../src/domain/Message.ts"
import {
  type Completed,
  ModelError,
  type ModelEvent,
  ModelRef,
  ModelRequest,
  ToolSpec
} from "../../../src/domain/Model.ts"
import { NanoUsd } from "../../../src/domain/Money.ts"
import { mintLease, mintScanned } from "../../../src/domain/Proof.ts"
import { Credentials } from "../../../src/kernel/Credentials.ts"
import { type LoadedSettings, Settings } from "../../../src/kernel/Settings.ts"
import { layer as providersLayer, Providers } from "../../../src/model/Provider.ts"
import * as FakeAnthropic from "../../support/providers/FakeAnthropic.ts"
import * as FakeGoogle from "../../support/providers/FakeGoogle.ts"
import * as FakeOpenAi from "../../support/providers/FakeOpenAi.ts"
import { type Fake, fakeKey, type FakeOptions } from "../../support/providers/FakeServer.ts"

export interface Vendor {
  readonly name: string
  readonly model: ModelRef
  readonly fake: (options?: FakeOptions) => Effect.Effect<Fake, never, Scope.Scope>
  /** Whether the vendor bills what is written to its cache apart. */
  readonly cacheWrites: boolean
  /** Whether it can be used without a key. */
  readonly keyless: boolean
}

export const vendors: ReadonlyArray<Vendor> = [
  {
    name: "anthropic",
    model: ModelRef.make("anthropic/claude-sonnet-4-6"),
    fake: FakeAnthropic.make,
    cacheWrites: true,
    keyless: false
  },
  {
    name: "google",
    model: ModelRef.make("google/gemini-2.5-flash"),
    fake: FakeGoogle.make,
    cacheWrites: false,
    keyless: false
  },
  {
    name: "openrouter",
    model: ModelRef.make("openrouter/anthropic/claude-sonnet-4.6"),
    fake: FakeOpenAi.makeOpenRouter,
    cacheWrites: true,
    keyless: false
  },
  {
    name: "lab",
    model: ModelRef.make("lab/qwen3:8b"),
    fake: FakeOpenAi.make,
    cacheWrites: true,
    keyless: true
  }
]

const decodeConfig = Schema.decodeUnknownSync(Config)

export const settingsFor = (config: unknown, home = "/nonexistent"): LoadedSettings => ({
  config: decodeConfig(config),
  path: null,
  dir: "/nonexistent",
  dataDir: "/nonexistent/data",
  agents: [],
  masterKey: null,
  masterKeySource: null,
  providerKeys: new Map(),
  home,
  warnings: []
})

/** `settings` and `keys` are read anew at each call, as the real services do. */
export const layerFor = (settings: () => LoadedSettings, keys: () => Readonly<Record<string, string>>) =>
  providersLayer.pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.succeed(Settings, {
          current: Effect.sync(settings),
          reload: Effect.sync(settings),
          changes: Stream.empty
        }),
        Layer.mock(Credentials, {
          get: (name) => Effect.sync(() => Option.map(Option.fromNullable(keys()[name]), (key) => Redacted.make(key)))
        })
      )
    )
  )

export const configFor = (vendor: Vendor, baseUrl: string, more: object = {}) => ({
  providers: {
    [vendor.name]: { ...(vendor.name === "lab" ? { kind: "openai-compatible" } : {}), baseUrl, ...more }
  }
})

export const leaseFor = (model: ModelRef) =>
  mintLease({
    id: LeaseId.make("lease-01JDTESTTESTTESTTESTTEST00"),
    agent: AgentId.make("main"),
    run: RunId.make("run-01JDTESTTESTTESTTESTTEST00"),
    model,
    tokens: 1_000_000,
    cost: NanoUsd.make(1_000_000)
  })

export const tool = (name: string, properties: Record<string, unknown> = {}) =>
  new ToolSpec({
    name,
    description: `The tool ${name}.`,
    parameters: { $schema: "https://json-schema.org/draft/2020-12/schema", type: "object", properties, required: [] }
  })

export const requestOf = (
  messages: readonly [Message, ...ReadonlyArray<Message>] = [userText("Say hello.")],
  more: Partial<Pick<ModelRequest, "system" | "tools" | "maxOutputTokens" | "temperature">> = {}
) =>
  new ModelRequest({
    system: "You are a test.",
    tools: [tool("read_file", { path: { type: "string" } }), tool("list_files")],
    maxOutputTokens: 1000,
    ...more,
    messages
  })

export const streamOf = (model: ModelRef, request: ModelRequest): Stream.Stream<ModelEvent, ModelError, Providers> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const provider = yield* (yield* Providers).get(model)
      return provider.stream(mintScanned(request), leaseFor(model))
    })
  )

/** All events, the last of which must be the only `Completed`. */
export const ask = (model: ModelRef, request: ModelRequest) =>
  Effect.gen(function* () {
    const events = Chunk.toReadonlyArray(yield* Stream.runCollect(streamOf(model, request)))
    const [completed, ...more] = events.filter((e): e is Completed => e._tag === "Completed")
    if (completed === undefined || more.length > 0 || events.at(-1) !== completed) {
      return yield* Effect.dieMessage("a stream must end with exactly one Completed")
    }
    return { events, completed }
  })

/** The error of a call that must fail. */
export const failureOf = (
  model: ModelRef,
  request: ModelRequest = requestOf()
): Effect.Effect<ModelError, never, Providers> =>
  ask(model, request).pipe(
    Effect.flip,
    Effect.catchAll(() => Effect.dieMessage("the call was expected to fail, and did not"))
  )

/** A fake of the vendor and the real providers in front of it. */
export const withFake = <A, E>(
  vendor: Vendor,
  use: (fake: Fake) => Effect.Effect<A, E, Providers | Scope.Scope>,
  options: { readonly key?: string; readonly fake?: FakeOptions; readonly config?: object } = {}
): Effect.Effect<A, E> =>
  Effect.scoped(
    Effect.gen(function* () {
      const fake = yield* vendor.fake(options.fake)
      const settings = settingsFor(configFor(vendor, fake.baseUrl, options.config))
      const keys = { [vendor.name]: options.key ?? fakeKey }
      return yield* use(fake).pipe(
        Effect.provide(
          layerFor(
            () => settings,
            () => keys
          )
        )
      )
    })
  )

export const isModelError = Schema.is(ModelError)
