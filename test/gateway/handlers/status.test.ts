/** The status group: what it says is what is so. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { AuditApi } from "../../../src/contract/audit.ts"
import { CredentialsApi } from "../../../src/contract/credentials.ts"
import { StatusApi } from "../../../src/contract/status.ts"
import { localOwner } from "../../../src/domain/Caller.ts"
import { ProviderName } from "../../../src/domain/Model.ts"
import { DatabaseError } from "../../../src/kernel/Database.ts"
import { Budget, layer as budgetLayer } from "../../../src/model/Budget.ts"
import * as Gateway from "../../support/gateway.ts"
import * as Path from "../../support/path.ts"

const sections = {
  agents: {
    defaults: { model: { primary: "rehearsal/rehearsal-1" } },
    list: [
      { id: "main", workspace: "./workspace" },
      { id: "waiting", workspace: "./other", model: { primary: "anthropic/claude-haiku-4-5" } }
    ]
  },
  mcp: { servers: { on: { command: "x" }, off: { command: "x", enabled: false } } }
}

describe("status", () => {
  it.live("says of each agent whether it could work, and what was done and spent", () =>
    Effect.gen(function* () {
      const place = yield* Path.place({ sections })
      yield* Path.run("What can you do?").pipe(Effect.provide(Path.agentLayer(place)))
      const gateway = yield* Gateway.open(place)
      const { status } = yield* gateway.client(StatusApi, "status")
      const first = yield* status.show()
      assert.deepStrictEqual(
        first.agents.map(({ id, state }) => [String(id), state]),
        [
          ["main", "ready"],
          ["waiting", "unready"]
        ]
      )
      assert.deepStrictEqual([first.openRuns, first.pendingApprovals, first.cache.entries], [[], 0, 1])
      assert.strictEqual(first.configured.mcpServers, 1)
      assert.isAbove(first.budget.find(({ agent }) => agent === "main")!.periods[0]!.spentTokens, 0)
      const { credentials } = yield* gateway.client(CredentialsApi, "credentials")
      const key = Redacted.make("sk-planted-9876543210fedcba")
      yield* credentials.set({ path: { provider: ProviderName.make("anthropic") }, payload: { secret: key } })
      const second = yield* status.show()
      assert.deepStrictEqual(
        second.agents.map(({ state }) => state),
        ["ready", "ready"]
      )
      const { audit } = yield* gateway.client(AuditApi, "audit")
      const [head] = yield* audit.tail({ urlParams: { limit: 1 } })
      assert.deepStrictEqual(second.auditHead, { seq: head!.seq, at: head!.at, hash: head!.hash })
      assert.notInclude((yield* gateway.raw("status", "GET", "/dashboard/api/status")).text, Redacted.value(key))
    }).pipe(Effect.scoped)
  )

  it.live("is for those who may look at the whole gateway, and says so when its ground fails", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const chat = yield* Gateway.open(place, {}, { ...localOwner, scopes: ["chat"], by: "token" })
      assert.strictEqual((yield* chat.raw("status", "GET", "/dashboard/api/status")).status, 403)
      const failing = Layer.effect(
        Budget,
        Effect.map(Budget, (service) => ({
          ...service,
          show: new DatabaseError({ file: "desk.db", reason: "io", detail: "the disk is gone" })
        }))
      ).pipe(Layer.provide(budgetLayer))
      const second = yield* Path.place()
      const gateway = yield* Gateway.open(second, { budget: failing })
      const refused = yield* gateway.raw("status", "GET", "/dashboard/api/status")
      assert.deepStrictEqual([refused.status, JSON.parse(refused.text).message], [503, JSON.parse(refused.text).detail])
    }).pipe(Effect.scoped)
  )
})
