/** The settings and agents groups over HTTP: what is shown, what may be changed, and by whom. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { AgentsApi } from "../../../src/contract/agents.ts"
import { AuditApi } from "../../../src/contract/audit.ts"
import { SettingsApi } from "../../../src/contract/settings.ts"
import { localOwner } from "../../../src/domain/Caller.ts"
import { AgentId, PrincipalId } from "../../../src/domain/Ids.ts"
import * as Gateway from "../../support/gateway.ts"
import * as Path from "../../support/path.ts"

const planted = `sk-ant-api03-${"Ab1".repeat(16)}`
const main = AgentId.make("main")
const other = AgentId.make("other")
const any = { "if-match": "*" }
const withSecrets = {
  defaults: { model: { primary: "rehearsal/rehearsal-1" }, sandbox: { env: { API_KEY: "planted-value" } } },
  sections: {
    providers: {
      own: { kind: "openai-compatible", baseUrl: "http://127.0.0.1:9/v1", headers: { "X-Key": "planted-value" } }
    },
    mcp: { servers: { files: { command: "run", args: [`--key=${planted}`], env: { TOKEN: "planted-value" } } } }
  },
  env: { ANTHROPIC_API_KEY: planted }
}

describe("settings", () => {
  it.live("are shown as in force and as written, without a secret, with a version that is the ETag", () =>
    Effect.gen(function* () {
      const place = yield* Path.place(withSecrets)
      const gateway = yield* Gateway.open(place)
      const { settings } = yield* gateway.client(SettingsApi, "settings")
      const shown = yield* settings.show()
      assert.strictEqual(shown.file, place.config)
      assert.strictEqual(shown.masterKey, "environment")
      assert.deepStrictEqual(shown.providersWithKey, ["anthropic"])
      const raw = yield* gateway.raw("settings", "GET", "/dashboard/api/settings")
      const agent = yield* gateway.raw("agents", "GET", "/dashboard/api/agents/main")
      const agents = yield* gateway.raw("agents", "GET", "/dashboard/api/agents")
      for (const { status, text } of [raw, agent, agents]) {
        assert.strictEqual(status, 200)
        assert.notInclude(text, planted)
        assert.notInclude(text, "planted-value")
        assert.notInclude(text, Path.masterKey)
      }
      assert.include(raw.text, '"X-Key":"(hidden)"')
      const schema = yield* settings.schema()
      assert.property(schema.properties, "gateway")
    }).pipe(Effect.scoped)
  )

  it.live(
    "are changed by a merge patch for the version that was read, in force at once and recorded for who did it",
    () =>
      Effect.gen(function* () {
        const place = yield* Path.place()
        const caller = { ...localOwner, principal: PrincipalId.make("token-x") }
        const gateway = yield* Gateway.open(place, {}, caller)
        const { settings } = yield* gateway.client(SettingsApi, "settings")
        const { version } = yield* settings.show()
        const edited = yield* settings.edit({
          headers: { "if-match": `"${version}"` },
          payload: { cache: { ttlSeconds: 61 }, gateway: { port: 18790 } }
        })
        assert.deepStrictEqual([edited.changed, edited.needsRestart], [["cache", "gateway"], true])
        assert.deepNestedInclude(yield* settings.show(), { version: edited.version, "settings.cache.ttlSeconds": 61 })
        const late = yield* Effect.flip(settings.edit({ headers: { "if-match": version }, payload: { cache: null } }))
        assert.deepInclude(late, { _tag: "SettingsConflict", version: edited.version })
        const { audit } = yield* gateway.client(AuditApi, "audit")
        const [entry] = yield* audit.tail({ urlParams: { type: "config.changed", limit: 5 } })
        assert.strictEqual(entry?.event.principal, "token-x")
      }).pipe(Effect.scoped)
  )

  it.live(
    "answer a change without a version with 428, a stale one with 412, a wrong one with 422 and where it is wrong",
    () =>
      Effect.gen(function* () {
        const place = yield* Path.place()
        const before = readFileSync(place.config, "utf8")
        const gateway = yield* Gateway.open(place)
        const ask = (body: string, headers: Record<string, string>) =>
          gateway.raw("settings", "PATCH", "/dashboard/api/settings", body, headers)
        const none = yield* ask('{"cache":null}', {})
        assert.deepStrictEqual([none.status, JSON.parse(none.text)._tag], [428, "VersionMissing"])
        const stale = yield* ask('{"cache":{"ttlSeconds":1}}', { "if-match": '"old"' })
        assert.deepStrictEqual([stale.status, JSON.parse(stale.text)._tag], [412, "SettingsConflict"])
        assert.isString(JSON.parse(stale.text).fix)
        const wrong = yield* ask('{"gateway":{"auth":{"mode":"none"}}}', any)
        assert.strictEqual(wrong.status, 422)
        assert.include(JSON.parse(wrong.text).message, "gateway.auth.mode")
        const polluting = yield* ask('{"__proto__":{"polluted":1},"gateway":{"__proto__":{"polluted":1}}}', any)
        assert.strictEqual(polluting.status, 422)
        assert.isUndefined(Reflect.get({}, "polluted"))
        assert.strictEqual(readFileSync(place.config, "utf8"), before)
      }).pipe(Effect.scoped)
  )
})

describe("agents", () => {
  it.live("are added, changed and removed in the file; a change is in force with the next question", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const gateway = yield* Gateway.open(place)
      const { agents } = yield* gateway.client(AgentsApi, "agents")
      yield* agents.create({
        headers: any,
        payload: { id: other, entry: { systemPrompt: "Be brief.", workspace: "./other" } }
      })
      const twice = yield* Effect.flip(agents.create({ headers: any, payload: { id: other, entry: {} } }))
      assert.deepInclude(twice, { _tag: "AgentConflict", reason: "exists" })
      const { version } = yield* agents.show({ path: { agent: other } })
      yield* agents.edit({
        path: { agent: other },
        headers: { "if-match": version },
        payload: { model: { primary: "rehearsal/other" }, tools: { deny: ["http_fetch"] }, systemPrompt: null }
      })
      const shown = yield* agents.show({ path: { agent: other } })
      assert.strictEqual(shown.agent.model.primary, "rehearsal/other")
      assert.include(shown.agent.tools.deny, "http_fetch")
      assert.notProperty(shown.entry, "systemPrompt")
      yield* agents.remove({ path: { agent: other }, headers: any })
      assert.deepStrictEqual(
        (yield* agents.list()).map(({ id }) => String(id)),
        ["main"]
      )
      const last = yield* Effect.flip(agents.remove({ path: { agent: main }, headers: any }))
      assert.deepInclude(last, { _tag: "AgentConflict", reason: "last" })
      const gone = yield* Effect.all([
        Effect.flip(agents.show({ path: { agent: other } })),
        Effect.flip(agents.edit({ path: { agent: other }, headers: any, payload: {} })),
        Effect.flip(agents.remove({ path: { agent: other }, headers: any }))
      ])
      assert.deepStrictEqual(
        gone.map(({ _tag }) => _tag),
        ["AgentNotFound", "AgentNotFound", "AgentNotFound"]
      )
    }).pipe(Effect.scoped)
  )

  it.live(
    "that are there by default become entries of the file when they are changed, and stay when another is added",
    () =>
      Effect.gen(function* () {
        const place = yield* Path.place({
          sections: { agents: { defaults: { model: { primary: "rehearsal/rehearsal-1" } } } }
        })
        const gateway = yield* Gateway.open(place)
        const { agents } = yield* gateway.client(AgentsApi, "agents")
        yield* agents.edit({ path: { agent: main }, headers: any, payload: { maxOutputTokens: 77 } })
        assert.strictEqual((yield* agents.show({ path: { agent: main } })).agent.maxOutputTokens, 77)
        const second = yield* Path.place({ sections: { agents: {} } })
        const { agents: fresh } = yield* (yield* Gateway.open(second)).client(AgentsApi, "agents")
        yield* fresh.create({ headers: any, payload: { id: other, entry: { workspace: "./other" } } })
        assert.deepStrictEqual(
          (yield* fresh.list()).map(({ id }) => String(id)),
          ["main", "other"]
        )
      }).pipe(Effect.scoped)
  )

  it.live("are listed for a caller as far as their credential is limited to some", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const caller = { ...localOwner, scopes: ["chat" as const], models: ["other"] }
      const gateway = yield* Gateway.open(place, {}, caller)
      const { agents } = yield* gateway.client(AgentsApi, "agents")
      assert.lengthOf(yield* agents.list(), 0)
      assert.strictEqual((yield* Effect.flip(agents.show({ path: { agent: main } })))._tag, "Forbidden")
    }).pipe(Effect.scoped)
  )
})
