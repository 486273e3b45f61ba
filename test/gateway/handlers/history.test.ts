/** The history group: what is found, by whom, page by page; what leaves is safe to open. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { AuditApi } from "../../../src/contract/audit.ts"
import { HistoryApi } from "../../../src/contract/history.ts"
import { SessionsApi } from "../../../src/contract/sessions.ts"
import { type CallerInfo, localOwner } from "../../../src/domain/Caller.ts"
import { PrincipalId } from "../../../src/domain/Ids.ts"
import { cell, csv } from "../../../src/gateway/Csv.ts"
import * as Gateway from "../../support/gateway.ts"
import * as Path from "../../support/path.ts"

const someone = PrincipalId.make("token-a")
const chat: CallerInfo = { ...localOwner, principal: someone, scopes: ["chat"], by: "token" }
const list = "/dashboard/api/history"

/** Four sessions: three of the owner's, one of a chat token's. */
const filled = Effect.gen(function* () {
  const place = yield* Path.place()
  yield* Effect.gen(function* () {
    yield* Path.run("The quick brown FOX jumps")
    yield* Path.run("=HYPERLINK(1) about a lazy dog")
    yield* Path.run("Nothing of note")
    yield* Path.run("A fox of my own", { principal: someone })
  }).pipe(Effect.provide(Path.agentLayer(place)))
  return place
})

describe("history", () => {
  it.live("finds sessions by words of their messages, in any case, and pages through them once each", () =>
    Effect.gen(function* () {
      const place = yield* filled
      const gateway = yield* Gateway.open(place)
      const { history } = yield* gateway.client(HistoryApi, "history")
      const titles = (q: string) =>
        Effect.map(history.list({ urlParams: { q, limit: 50 } }), ({ sessions }) => sessions.map(({ title }) => title))
      assert.deepStrictEqual(yield* titles("fox"), ["A fox of my own", "The quick brown FOX jumps"])
      assert.deepStrictEqual(yield* titles("FOX quick"), ["The quick brown FOX jumps"])
      assert.deepStrictEqual(yield* titles("unheard"), [])
      const seen: Array<string> = []
      let cursor: string | null = ""
      while (cursor !== null) {
        const query: string = cursor === "" ? "" : `&cursor=${cursor}`
        const { text } = yield* gateway.raw("history", "GET", `${list}?limit=1${query}`)
        const page: { sessions: Array<{ id: string }>; next: string | null } = JSON.parse(text)
        seen.push(...page.sessions.map(({ id }) => id))
        cursor = page.next
      }
      assert.lengthOf(new Set(seen), 4)
      assert.lengthOf(seen, 4)
      const mine = yield* history.list({ urlParams: { principal: someone, limit: 50 } })
      assert.lengthOf(mine.sessions, 1)
      assert.lengthOf((yield* history.list({ urlParams: { until: 1, limit: 50 } })).sessions, 0)
      assert.strictEqual((yield* gateway.raw("history", "GET", `${list}?cursor=abc`)).status, 400)
      assert.strictEqual((yield* gateway.raw("history", "GET", `${list}?limit=0`)).status, 400)
    }).pipe(Effect.scoped)
  )

  it.live("shows a chat token its own sessions only, and others' as if they were not there", () =>
    Effect.gen(function* () {
      const place = yield* filled
      const all = (yield* (yield* (yield* Gateway.open(place)).client(HistoryApi, "history")).history.list({
        urlParams: { limit: 50 }
      })).sessions
      const gateway = yield* Gateway.open(place, {}, chat)
      const { history } = yield* gateway.client(HistoryApi, "history")
      const { sessions } = yield* gateway.client(SessionsApi, "sessions")
      for (const urlParams of [{ limit: 50 }, { principal: "owner", limit: 50 }, { q: "fox", limit: 50 }]) {
        const page = yield* history.list({ urlParams })
        assert.deepStrictEqual(
          page.sessions.map(({ principal }) => principal),
          [someone]
        )
      }
      assert.deepStrictEqual(
        (yield* sessions.list({ urlParams: { limit: 9 } })).map(({ principal }) => principal),
        [someone]
      )
      for (const { id, principal } of all) {
        const shown = yield* gateway.raw("sessions", "GET", `/dashboard/api/sessions/${id}`)
        const replayed = yield* gateway.raw("history", "GET", `${list}/${id}`)
        const expected = principal === someone ? 200 : 404
        assert.deepStrictEqual([shown.status, replayed.status], [expected, expected])
      }
    }).pipe(Effect.scoped)
  )

  it.live("replays a session in order and in parts, and exports it as a table without formulas, recorded", () =>
    Effect.gen(function* () {
      const place = yield* filled
      const gateway = yield* Gateway.open(place)
      const { history } = yield* gateway.client(HistoryApi, "history")
      const [found] = (yield* history.list({ urlParams: { q: "lazy dog", limit: 5 } })).sessions
      const path = { id: found!.id }
      const whole = yield* history.replay({ path, urlParams: { from: 0, limit: 1000 } })
      assert.lengthOf(whole.steps, found!.events)
      assert.strictEqual(whole.next, null)
      assert.strictEqual(whole.steps[0]?.afterMs, 0)
      const part = yield* history.replay({ path, urlParams: { from: 1, limit: 2 } })
      assert.deepStrictEqual(part.steps, whole.steps.slice(1, 3))
      assert.strictEqual(part.next, 3)
      const table = yield* gateway.raw("history", "POST", `${list}/${path.id}/csv`)
      assert.strictEqual(table.status, 200)
      assert.include(table.text, `"'=HYPERLINK(1) about a lazy dog"`)
      const { audit } = yield* gateway.client(AuditApi, "audit")
      const [entry] = yield* audit.tail({ urlParams: { type: "session.exported", limit: 5 } })
      assert.strictEqual(entry?.event.session, path.id)
    }).pipe(Effect.scoped)
  )
})

describe("a table", () => {
  it("has no cell that a spreadsheet takes for a formula, and every cell reads back", () => {
    const start = fc.constantFrom("=", "+", "-", "@", "\t=", " =", "\r=", "＝", "＠", "|", "")
    fc.assert(
      fc.property(start, fc.string({ unit: "binary" }), (first, rest) => {
        const made = cell(first + rest)
        assert.match(made, /^"[^]*"$/)
        const inner = made.slice(1, -1).replaceAll('""', '"')
        assert.notMatch(inner, /^[\s\0]*[=+\-@＝＋－＠|]/)
        assert.include(
          [first + rest, `'${first + rest}`].map((text) => text.toWellFormed().replaceAll("\0", "\ufffd")),
          inner
        )
      })
    )
    assert.strictEqual(csv(["a", "b"], [[1, 'x"y']]), '"a","b"\r\n1,"x""y"\r\n')
  })
})
