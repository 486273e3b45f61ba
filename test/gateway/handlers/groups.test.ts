/** The groups that are not runs: what they answer over HTTP, and with which status they refuse. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import * as SessionStore from "../../../src/agent/SessionStore.ts"
import { AgentsApi } from "../../../src/contract/agents.ts"
import { AuditApi } from "../../../src/contract/audit.ts"
import { BudgetApi } from "../../../src/contract/budget.ts"
import { CacheApi } from "../../../src/contract/cache.ts"
import { CredentialsApi } from "../../../src/contract/credentials.ts"
import { KeysApi } from "../../../src/contract/keys.ts"
import { SessionsApi } from "../../../src/contract/sessions.ts"
import { ProviderName } from "../../../src/domain/Model.ts"
import { AgentId, type SessionId } from "../../../src/domain/Ids.ts"
import { AuditEntry, AuditUnavailable } from "../../../src/domain/Audit.ts"
import { SessionCorrupt } from "../../../src/domain/Session.ts"
import { Audit, layer as auditLayer } from "../../../src/kernel/Audit.ts"
import { DatabaseError } from "../../../src/kernel/Database.ts"
import { Budget, layer as budgetLayer } from "../../../src/model/Budget.ts"
import * as Gateway from "../../support/gateway.ts"
import * as Path from "../../support/path.ts"

const key = "sk-planted-9876543210fedcba"
const decodeEntry = Schema.decodeUnknownSync(Schema.parseJson(AuditEntry))

describe("agents", () => {
  it.live("are listed as the settings give them, the default one first", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway.open(yield* Path.place())
      const agents = yield* (yield* gateway.client(AgentsApi, "agents")).agents.list()
      assert.deepStrictEqual(
        agents.map(({ id, isDefault }) => [String(id), isDefault]),
        [["main", true]]
      )
    }).pipe(Effect.scoped)
  )
})

describe("credentials", () => {
  it.live("go in and never come out, not even in the audit log", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway.open(yield* Path.place())
      const { credentials } = yield* gateway.client(CredentialsApi, "credentials")
      const provider = ProviderName.make("anthropic")
      const stored = yield* credentials.set({ path: { provider }, payload: { secret: Redacted.make(key) } })
      assert.notInclude(JSON.stringify(stored), key)
      assert.lengthOf(yield* credentials.list(), 1)
      const refused = yield* gateway.raw("credentials", "PUT", "/dashboard/api/credentials/anthropic", '{"secret":""}')
      assert.strictEqual(refused.status, 400, refused.text)
      assert.deepStrictEqual(yield* credentials.remove({ path: { provider } }), { removed: true })
      assert.deepStrictEqual(yield* credentials.remove({ path: { provider } }), { removed: false })
      const audit = yield* gateway.raw("audit", "POST", "/dashboard/api/audit/export")
      assert.include(audit.text, "credential")
      const changes = audit.text
        .trimEnd()
        .split("\n")
        .map((line) => decodeEntry(line).event)
      assert.deepStrictEqual(
        changes.filter(({ type }) => type.startsWith("credential.")).map(({ principal, type }) => [type, principal]),
        [
          ["credential.set", "owner"],
          ["credential.removed", "owner"]
        ]
      )
      assert.notInclude(audit.text, key)
    }).pipe(Effect.scoped)
  )
})

describe("sessions", () => {
  it.live("are listed, read and exported; the export alone is recorded", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Path.run("What can you do?").pipe(Effect.provide(Path.agentLayer(place)))
      const gateway = yield* Gateway.open(place)
      const { sessions } = yield* gateway.client(SessionsApi, "sessions")
      const { audit } = yield* gateway.client(AuditApi, "audit")
      const [summary] = yield* sessions.list({ urlParams: { limit: 5 } })
      const path = { id: summary!.id }
      const exported = Effect.map(audit.tail({ urlParams: { type: "session.exported", limit: 10 } }), (entries) =>
        entries.map((entry) => String(entry.event.session))
      )
      const shown = yield* sessions.show({ path })
      assert.strictEqual(shown.log.length, summary!.events)
      assert.deepStrictEqual(yield* exported, [])
      assert.deepStrictEqual(yield* sessions.export({ path }), shown)
      assert.deepStrictEqual(yield* exported, [String(path.id)])
      assert.lengthOf(yield* sessions.list({ urlParams: { limit: 5, agent: AgentId.make("other") } }), 0)
      const unknown = yield* gateway.raw("sessions", "GET", "/dashboard/api/sessions/sess-00000000000000000000000001")
      assert.strictEqual(unknown.status, 404)
      assert.include(unknown.text, "SessionNotFound")
      assert.strictEqual(
        (yield* gateway.raw("sessions", "POST", "/dashboard/api/sessions/sess-00000000000000000000000001/export"))
          .status,
        404
      )
    }).pipe(Effect.scoped)
  )

  it.live("that cannot be read are named with their own status, and the disk's failures with 503", () =>
    Effect.gen(function* () {
      const damaged = Layer.effect(
        SessionStore.SessionStore,
        Effect.map(SessionStore.SessionStore, (store) => ({
          ...store,
          summary: (id: SessionId) => new SessionCorrupt({ id, seq: 3, detail: "it was changed" }),
          list: () => new DatabaseError({ file: "desk.db", reason: "io", detail: "the disk is gone" })
        }))
      ).pipe(Layer.provide(SessionStore.layer))
      const gateway = yield* Gateway.open(yield* Path.place(), { sessions: damaged })
      const corrupt = yield* gateway.raw("sessions", "GET", "/dashboard/api/sessions/sess-00000000000000000000000001")
      assert.strictEqual(corrupt.status, 500)
      assert.include(corrupt.text, "SessionCorrupt")
      const gone = yield* gateway.raw("sessions", "GET", "/dashboard/api/sessions")
      assert.strictEqual(gone.status, 503)
      assert.include(gone.text, "the disk is gone")
      const { sessions } = yield* gateway.client(SessionsApi, "sessions")
      const typed = yield* Effect.flip(sessions.list({ urlParams: { limit: 5 } }))
      assert.deepInclude(typed, { _tag: "GroundFailed", kind: "DatabaseError" })
    }).pipe(Effect.scoped)
  )
})

describe("budget and cache", () => {
  it.live("show what is there, and say whether there was anything to lift or remove", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Path.run("What can you do?").pipe(Effect.provide(Path.agentLayer(place)))
      const gateway = yield* Gateway.open(place)
      const { budget } = yield* gateway.client(BudgetApi, "budget")
      const [main] = yield* budget.show()
      assert.isAbove(main!.periods[0]!.spentTokens, 0)
      assert.deepStrictEqual(yield* budget.resume({ path: { agent: "main" } }), { resumed: false })
      const nobody = yield* gateway.raw("budget", "POST", "/dashboard/api/budget/nobody/resume")
      assert.strictEqual(nobody.status, 404)
      assert.include(nobody.text, "AgentNotFound")
      const { cache } = yield* gateway.client(CacheApi, "cache")
      assert.strictEqual((yield* cache.stats()).entries, 1)
      assert.deepStrictEqual(yield* cache.purge(), { removed: 0 })
      assert.deepStrictEqual(yield* cache.clear(), { removed: 1 })
      assert.strictEqual((yield* cache.stats()).entries, 0)
    }).pipe(Effect.scoped)
  )

  it.live("whose ground fails are refused with 503", () =>
    Effect.gen(function* () {
      const failing = Layer.effect(
        Budget,
        Effect.map(Budget, (service) => ({
          ...service,
          show: new DatabaseError({ file: "desk.db", reason: "io", detail: "the disk is gone" })
        }))
      ).pipe(Layer.provide(budgetLayer))
      const gateway = yield* Gateway.open(yield* Path.place(), { budget: failing })
      assert.strictEqual((yield* gateway.raw("budget", "GET", "/dashboard/api/budget")).status, 503)
    }).pipe(Effect.scoped)
  )
})

describe("audit", () => {
  it.live("verifies, filters, and exports every entry as a line, the export first of all", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Path.run("What can you do?").pipe(Effect.provide(Path.agentLayer(place)))
      const gateway = yield* Gateway.open(place)
      const { audit } = yield* gateway.client(AuditApi, "audit")
      assert.isTrue((yield* audit.verify()).ok)
      const ended = yield* audit.tail({ urlParams: { type: "run.ended", limit: 10 } })
      assert.deepStrictEqual(
        ended.map(({ event }) => event.type),
        ["run.ended"]
      )
      assert.lengthOf(yield* audit.tail({ urlParams: { agent: "nobody", limit: 10 } }), 0)
      const lines = (yield* gateway.raw("audit", "POST", "/dashboard/api/audit/export")).text.trimEnd().split("\n")
      const entries = lines.map((line) => decodeEntry(line))
      assert.deepStrictEqual(
        entries.map(({ seq }) => seq),
        entries.map((_, i) => entries[0]!.seq + i)
      )
      assert.strictEqual(entries.at(-1)?.event.type, "audit.exported")
    }).pipe(Effect.scoped)
  )

  it.live("an export that cannot be recorded does not happen", () =>
    Effect.gen(function* () {
      const refusing = Layer.effect(
        Audit,
        Effect.map(Audit, (audit) => ({ ...audit, append: () => new AuditUnavailable({ reason: "disk gone" }) }))
      ).pipe(Layer.provide(auditLayer))
      const place = yield* Path.place()
      yield* Path.run("What can you do?").pipe(Effect.provide(Path.agentLayer(place)))
      const gateway = yield* Gateway.open(place, { audit: refusing })
      const audit = yield* gateway.raw("audit", "POST", "/dashboard/api/audit/export")
      assert.strictEqual(audit.status, 503)
      assert.notInclude(audit.text, "run.ended")
      const { sessions } = yield* gateway.client(SessionsApi, "sessions")
      const [summary] = yield* sessions.list({ urlParams: { limit: 1 } })
      const session = yield* gateway.raw("sessions", "POST", `/dashboard/api/sessions/${summary!.id}/export`)
      assert.strictEqual(session.status, 503)
      assert.notInclude(session.text, "What can you do?")
    }).pipe(Effect.scoped)
  )
})

describe("keys", () => {
  it.live("a weak new master key is refused, and the old one goes on", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const gateway = yield* Gateway.open(place)
      const { keys } = yield* gateway.client(KeysApi, "keys")
      const weak = yield* Effect.flip(keys.rotatePassphrase({ payload: { newPassphrase: Redacted.make("short") } }))
      assert.strictEqual(weak._tag, "WeakPassphrase")
      const rotated = yield* keys.rotateData()
      assert.deepInclude(rotated, { what: "data", damaged: [] })
    }).pipe(Effect.scoped)
  )
})
