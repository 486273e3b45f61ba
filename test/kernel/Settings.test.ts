import { appendFileSync, rmSync, writeFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Layer, Schedule, Stream } from "effect"
import * as Events from "../../src/kernel/Events.ts"
import {
  check,
  configPath,
  describeFields,
  jsonSchema,
  layer,
  layerWatch,
  Settings,
  variables
} from "../../src/kernel/Settings.ts"
import { project, type ProjectOptions, writeConfig } from "../support/settings.ts"

/** Something that may change while the process runs. */
const limit = (settings: {
  readonly config: { readonly gateway: { readonly rateLimit: { readonly maxConnections: number } } }
}) => settings.config.gateway.rateLimit.maxConnections

/** A project with its real settings, built once and kept for the test. */
const running = (options: ProjectOptions = {}) =>
  Effect.gen(function* () {
    const made = yield* project(options)
    const context = yield* Layer.build(layer(made.options))
    const settings = yield* Effect.provide(Settings, context)
    return { ...made, context, settings }
  })

describe("reload", () => {
  it.scoped("brings a good file into force and tells whoever listens", () =>
    Effect.gen(function* () {
      const { path, settings } = yield* running({ config: { gateway: { rateLimit: { maxConnections: 1 } } } })
      const seen = yield* settings.changes.pipe(Stream.take(2), Stream.runCollect, Effect.fork)
      // Gives the listener its turns to subscribe.
      yield* Effect.repeatN(Effect.yieldNow(), 200)
      writeConfig(path, { gateway: { rateLimit: { maxConnections: 2 } } })
      expect(limit(yield* settings.reload)).toBe(2)
      // Nothing changed, so nobody is told.
      yield* settings.reload
      writeConfig(path, { gateway: { rateLimit: { maxConnections: 3 } } })
      yield* settings.reload
      expect(Chunk.toReadonlyArray(yield* Fiber.join(seen)).map(limit)).toEqual([2, 3])
      expect(limit(yield* settings.current)).toBe(3)
    })
  )

  it.scoped("keeps the last good settings when the file is bad, whatever is bad about it", () =>
    Effect.gen(function* () {
      const { path, settings, dir } = yield* running({ config: { gateway: { rateLimit: { maxConnections: 1 } } } })
      const bad = [
        "",
        "{",
        '{"gateway": {"port": "x"}}',
        '{"gateway": {"auth": {"mod": 1}}}',
        '{"agents": {"list": [{"id": "a", "workspace": "."}]}}'
      ]
      for (const text of bad) {
        writeConfig(path, text)
        const failure = yield* Effect.flip(settings.reload)
        expect(failure.source).toBe(path)
        expect(limit(yield* settings.current)).toBe(1)
      }
      writeConfig(path, { gateway: { rateLimit: { maxConnections: 2 } } })
      expect(limit(yield* settings.reload)).toBe(2)
      expect((yield* settings.current).dir).toBe(dir)
    })
  )

  it.scoped("does not fall back to the defaults when the file has gone", () =>
    Effect.gen(function* () {
      const { path, settings } = yield* running({ config: { gateway: { rateLimit: { maxConnections: 1 } } } })
      rmSync(path)
      expect((yield* Effect.flip(settings.reload)).message).toContain("expected the file of before, found nothing")
      expect(limit(yield* settings.current)).toBe(1)
    })
  )

  it.scoped("does not move the data folder under a running process", () =>
    Effect.gen(function* () {
      const { dir, settings } = yield* running({ dotEnv: "" })
      const before = yield* settings.current
      writeFileSync(`${dir}/.env`, "AI_DESK_DATA_DIR=./other\n")
      const failure = yield* Effect.flip(settings.reload)
      expect([failure.message.includes("AI_DESK_DATA_DIR"), failure.fix]).toEqual([true, "restart to change it"])
      expect((yield* settings.current).dataDir).toBe(before.dataDir)
    })
  )

  it.scoped("switches as a whole: concurrent readers see one file or the other", () =>
    Effect.gen(function* () {
      const config = (n: number) => ({ gateway: { rateLimit: { maxConnections: n, maxPerSecond: n } } })
      const { path, settings } = yield* running({ config: config(1) })
      const reader = settings.current.pipe(
        Effect.map(({ config }) => config.gateway.rateLimit.maxConnections === config.gateway.rateLimit.maxPerSecond),
        Effect.tap(Effect.yieldNow()),
        Effect.replicateEffect(200)
      )
      const writer = Effect.forEach([2, 3, 4, 5], (n) =>
        Effect.suspend(() => {
          writeConfig(path, config(n))
          return settings.reload
        })
      )
      const [whole] = yield* Effect.all([reader, writer], { concurrency: "unbounded" })
      expect(whole.every(Boolean)).toBe(true)
    })
  )
})

describe("what a running server cannot change", () => {
  const changes = {
    bind: "127.0.0.2",
    port: 2,
    tls: { certFile: "c.pem", keyFile: "k.pem" },
    reverseProxy: { trusted: ["10.0.0.1"], publicUrl: "https://desk.example.org" },
    auth: { mode: "password" }
  }
  for (const [name, value] of Object.entries(changes)) {
    it.scoped(`keeps gateway.${name} of before, says so, and takes the rest`, () =>
      Effect.gen(function* () {
        const { path, settings } = yield* running({
          config: { gateway: { port: 1, rateLimit: { maxConnections: 1 } } }
        })
        const before = (yield* settings.current).config.gateway
        for (const connections of [7, 8]) {
          writeConfig(path, { gateway: { port: 1, [name]: value, rateLimit: { maxConnections: connections } } })
          const after = yield* settings.reload
          expect(after.config.gateway).toEqual({
            ...before,
            rateLimit: { ...before.rateLimit, maxConnections: connections }
          })
          expect(
            after.warnings.filter((warning) => warning.endsWith("has changed; that takes effect after a restart"))
          ).toEqual([expect.stringMatching(new RegExp(`^gateway\\.${name === "auth" ? "auth.mode" : name} `))])
        }
        writeConfig(path, { gateway: { port: 1 } })
        expect((yield* settings.reload).warnings).toEqual([])
      })
    )
  }
})

describe("watch", () => {
  it.scopedLive("takes in a burst of edits and a file written in pieces, and rejects a bad one once", () =>
    Effect.gen(function* () {
      const { path, settings, context } = yield* running({ config: { gateway: { rateLimit: { maxConnections: 1 } } } })
      const hub = yield* Layer.build(Events.layer)
      const events = yield* Effect.provide(Events.Events, hub)
      const seen: Array<string> = []
      yield* events.stream.pipe(
        Stream.runForEach((event) => Effect.sync(() => seen.push(event._tag))),
        Effect.forkScoped
      )
      yield* Layer.build(layerWatch).pipe(Effect.provide(context), Effect.provide(hub))
      yield* Effect.sleep(200)
      const until = (wanted: number) =>
        settings.current.pipe(
          Effect.filterOrFail(
            (current) => limit(current) === wanted,
            () => "not yet"
          ),
          Effect.retry(Schedule.intersect(Schedule.spaced(25), Schedule.recurs(400)))
        )
      // Twenty edits in a second, the last one in two pieces.
      for (let n = 100; n < 120; n++) {
        writeConfig(path, { gateway: { rateLimit: { maxConnections: n } } })
        yield* Effect.sleep(50)
      }
      writeFileSync(path, '{"gateway": {"rateLimit": {"maxConn')
      yield* Effect.sleep(40)
      appendFileSync(path, 'ections": 200}}}')
      yield* until(200)
      expect(seen).not.toContain("ConfigRejected")
      expect(seen.filter((tag) => tag === "ConfigReloaded").length).toBeLessThan(20)

      writeConfig(path, "{ nonsense")
      yield* Effect.suspend(() => (seen.includes("ConfigRejected") ? Effect.void : Effect.fail("not yet"))).pipe(
        Effect.retry(Schedule.intersect(Schedule.spaced(25), Schedule.recurs(400)))
      )
      expect(limit(yield* settings.current)).toBe(200)
      writeConfig(path, { gateway: { rateLimit: { maxConnections: 300 } } })
      yield* until(300)
    })
  )
})

describe("what can be said of the settings", () => {
  it("finds nothing wrong with an empty object, and unknown keys with others", () => {
    expect(check("{}")).toEqual([])
    expect(check('{"cach": 1}').map((one) => [one.at, one.nearest])).toEqual([["cach", "cache"]])
  })

  it.effect("says where the config is looked for", () =>
    Effect.gen(function* () {
      expect(yield* configPath({ cwd: "/a", env: {} })).toBe("/a/ai-desk.json")
      expect(yield* configPath({ cwd: "/a", env: { AI_DESK_CONFIG: "b.json" }, configPath: "c/d.json" })).toBe(
        "/a/c/d.json"
      )
    })
  )

  it("describes every field, with the default that is in force", () => {
    const rows = describeFields()
    expect(rows.filter((row) => row.description === "" || row.type === "").map((row) => row.path)).toEqual([])
    expect(new Set(rows.map((row) => row.path)).size).toBe(rows.length)
    const row = (path: string) => rows.find((one) => one.path === path)
    expect(row("gateway.port")).toMatchObject({ type: "a whole number from 0 to 65535", default: "18789" })
    expect(row("agents.defaults.budget.daily.cost")).toMatchObject({ default: "5" })
    expect(row("agents.list[].id")).toMatchObject({ default: "required" })
    expect(row("providers.*.baseUrl")?.description).toContain("API")
    expect(variables.map((variable) => variable.name)).toContain("AI_DESK_MASTER_KEY")
  })

  it("gives editors a schema of the file as it is written", () => {
    const schema: unknown = jsonSchema()
    expect(schema).toMatchObject({
      title: "ai-desk.json",
      type: "object",
      additionalProperties: false,
      properties: {
        gateway: {
          properties: {
            port: { type: "integer", minimum: 0, maximum: 65_535, default: 18_789 },
            auth: { properties: { mode: { enum: ["token", "password", "certificate"], default: "token" } } }
          }
        },
        agents: {
          properties: {
            // Dollars as in the file, not nano-dollars.
            defaults: {
              properties: {
                budget: { properties: { daily: { properties: { cost: { type: "number", default: 5 } } } } }
              }
            },
            list: { type: "array", items: { required: ["id"] } }
          }
        }
      }
    })
    // Every reference leads somewhere: editors refuse a schema with loose ends.
    expect(JSON.stringify(schema)).not.toContain("$ref")
  })
})
