/** The audit group's pages: every entry once, in both directions, whatever the filter. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { AuditApi, AuditEntries } from "../../../src/contract/audit.ts"
import { localOwner } from "../../../src/domain/Caller.ts"
import { PrincipalId } from "../../../src/domain/Ids.ts"
import * as Gateway from "../../support/gateway.ts"
import * as Path from "../../support/path.ts"

const decode = Schema.decodeUnknownSync(Schema.parseJson(AuditEntries))
const entries = "/dashboard/api/audit/entries"

describe("audit entries", () => {
  it.live("are paged through once each, older and newer, and what comes later is found from where one stopped", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Path.run("What can you do?").pipe(Effect.provide(Path.agentLayer(place)))
      const caller = { ...localOwner, principal: PrincipalId.make("token-x") }
      const gateway = yield* Gateway.open(place, {}, caller)
      const { audit } = yield* gateway.client(AuditApi, "audit")
      const get = (query: string) =>
        Effect.map(gateway.raw("audit", "GET", `${entries}?${query}`), ({ text }) => decode(text))
      const all = yield* audit.tail({ urlParams: { limit: 1000 } })
      assert.isAtLeast(all.length, 4)

      for (const limit of [1, 3, 500]) {
        const back: Array<number> = []
        let page = yield* get(`limit=${limit}`)
        const head = page.newer
        for (;;) {
          back.unshift(...page.entries.map(({ seq }) => seq))
          if (page.older === null) break
          page = yield* get(`limit=${limit}&cursor=${page.older}`)
        }
        assert.deepStrictEqual(
          back,
          all.map(({ seq }) => seq),
          `older, ${limit} at a time`
        )
        const forth = page.entries.map(({ seq }) => seq)
        for (;;) {
          const { newer } = page
          page = yield* get(`limit=${limit}&cursor=${newer}`)
          if (page.entries.length === 0) break
          forth.push(...page.entries.map(({ seq }) => seq))
        }
        assert.deepStrictEqual(
          forth,
          all.map(({ seq }) => seq),
          `newer, ${limit} at a time`
        )
        assert.strictEqual(page.newer, head)
      }

      const { newer } = yield* get("limit=1")
      yield* gateway.raw("audit", "POST", "/dashboard/api/audit/export")
      const later = yield* get(`cursor=${newer}`)
      assert.deepStrictEqual(
        later.entries.map(({ event }) => event.type),
        ["audit.exported"]
      )
      assert.deepStrictEqual((yield* get("principal=token-x")).entries, later.entries)
      assert.deepStrictEqual(
        (yield* get("type=run.ended")).entries.map(({ event }) => event.type),
        ["run.ended"]
      )
      assert.lengthOf((yield* get("until=1")).entries, 0)
      assert.lengthOf((yield* get(`since=${all[0]!.at}&until=8640000000000000`)).entries, all.length + 1)
      const { status } = yield* gateway.raw("audit", "GET", `${entries}?cursor=AAAA`)
      assert.strictEqual(status, 400)
    }).pipe(Effect.scoped)
  )

  it.live("are signed on demand, up to the newest", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Path.run("What can you do?").pipe(Effect.provide(Path.agentLayer(place)))
      const { audit } = yield* (yield* Gateway.open(place)).client(AuditApi, "audit")
      const before = yield* audit.verify()
      const signed = yield* audit.checkpoint()
      const [head] = yield* audit.tail({ urlParams: { limit: 1 } })
      assert.deepStrictEqual(signed, { seq: head!.seq, hash: head!.hash })
      const after = yield* audit.verify()
      assert.isTrue(after.ok)
      assert.isAtLeast(after.checkpoints, before.checkpoints)
    }).pipe(Effect.scoped)
  )
})
