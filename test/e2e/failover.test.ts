/**
 * What a failing vendor leads to, through the whole path with the real SDKs: which model is asked
 * next, how often, what the viewer is told, and what is charged. What ought to follow from each kind
 * of failure is stated here in a table of its own.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ModelUnavailable } from "../../src/domain/Model.ts"
import type { RunEvent } from "../../src/domain/RunEvent.ts"
import * as E2e from "../support/e2e-vendors.ts"
import * as Path from "../support/path.ts"
import * as FakeOpenAi from "../support/providers/FakeOpenAi.ts"
import type { AnswerReply, Reply } from "../support/providers/FakeServer.ts"

/** Each place of the chain is another vendor with another SDK, and takes longer prompts than the one before. */
const places = ["anthropic", "google", "openrouter"] as const

const price = (contextWindow: number) => ({ inputPerMillion: 2, outputPerMillion: 8, contextWindow })
const prices = {
  [E2e.models.anthropic]: price(100_000),
  [E2e.models.google]: price(200_000),
  [E2e.models.openrouter]: price(400_000)
}

interface Case {
  readonly what: string
  readonly reply: Reply
  readonly failure: string
  /** Times that the same model is asked before the path goes on; one repeat is allowed by the settings. */
  readonly asked: 1 | 2
  readonly then: "failover" | "stop"
  readonly charged: "nothing" | "whole"
}

const failure = (reason: Extract<Reply, { kind: "failure" }>["reason"], more: object = {}): Reply => ({
  kind: "failure",
  reason,
  ...more
})

const cases: ReadonlyArray<Case> = [
  {
    what: "a key that is not accepted",
    reply: failure("auth"),
    failure: "auth",
    asked: 1,
    then: "failover",
    charged: "nothing"
  },
  { what: "no credit", reply: failure("no_credit"), failure: "auth", asked: 1, then: "failover", charged: "nothing" },
  {
    what: "a rate limit",
    reply: failure("rate_limit"),
    failure: "rate_limit",
    asked: 2,
    then: "failover",
    charged: "nothing"
  },
  {
    what: "a rate limit with a long wait",
    reply: failure("rate_limit", { retryAfter: { seconds: 3600 } }),
    failure: "rate_limit",
    asked: 1,
    then: "failover",
    charged: "nothing"
  },
  {
    what: "an overload",
    reply: failure("overloaded"),
    failure: "overloaded",
    asked: 2,
    then: "failover",
    charged: "nothing"
  },
  {
    what: "an internal error",
    reply: failure("internal"),
    failure: "overloaded",
    asked: 2,
    then: "failover",
    charged: "nothing"
  },
  {
    what: "a gateway's time-out",
    reply: failure("timeout", { status: 504 }),
    failure: "timeout",
    asked: 1,
    then: "failover",
    charged: "whole"
  },
  {
    what: "a lost connection",
    reply: { kind: "reset" },
    failure: "network",
    asked: 2,
    then: "failover",
    charged: "whole"
  },
  {
    what: "a prompt that is too long",
    reply: failure("context_too_long"),
    failure: "context_too_long",
    asked: 1,
    then: "failover",
    charged: "nothing"
  },
  // Anthropic has no word for it but the one for bad requests, which leads to the same.
  {
    what: "refused content",
    reply: failure("content_refused"),
    failure: "content_refused",
    asked: 1,
    then: "stop",
    charged: "nothing"
  },
  {
    what: "a bad request",
    reply: failure("bad_request"),
    failure: "bad_request",
    asked: 1,
    then: "stop",
    charged: "nothing"
  }
]

const says = (text: string): AnswerReply => ({ kind: "answer", text, bill: { input: 40, output: 20 } })

const failures = (events: ReadonlyArray<RunEvent>) =>
  Path.of(events, "ModelAttemptFailed").map((e) => `${e.model.split("/")[0]} ${e.failure} ${e.next}`)

describe("each failure at each place of the chain", () => {
  it.live.each(cases)("$what", ({ asked, charged, failure: kind, reply, then }) =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({
        defaults: E2e.chain(...places),
        prices,
        sections: { cache: { enabled: false } }
      })
      yield* Effect.gen(function* () {
        let rowsBefore = 0
        for (const [position, failing] of places.entries()) {
          const before = stage.asked()
          // Those before it fail in a way that moves on at once; those after it answer.
          for (const earlier of places.slice(0, position)) stage.fakes[earlier].script([failure("forbidden")])
          stage.fakes[failing].script(Array.from({ length: asked }, () => reply))
          const next = then === "failover" ? places[position + 1] : undefined
          if (next !== undefined) stage.fakes[next].script([says(`from ${next}`)])

          const { events, failure: ended } = yield* E2e.runAll(`What is up? (${failing})`)

          const after = stage.asked()
          assert.deepStrictEqual(
            places.map((name) => after[name] - before[name]),
            places.map((_, i) =>
              i < position ? 1 : i === position ? asked : i === position + 1 && next !== undefined ? 1 : 0
            ),
            failing
          )
          const last = next === undefined ? "stop" : "failover"
          const named = kind === "content_refused" && failing === "anthropic" ? "bad_request" : kind
          assert.deepStrictEqual(failures(events), [
            ...places.slice(0, position).map((name) => `${name} auth failover`),
            ...(asked === 2 ? [`${failing} ${named} retry`] : []),
            `${failing} ${named} ${last}`
          ])
          if (next === undefined) {
            assert.instanceOf(ended, ModelUnavailable)
            assert.lengthOf((ended as ModelUnavailable).attempts, position + asked)
            assert.lengthOf(Path.of(events, "AnswerDelta"), 0)
            assert.deepInclude((yield* E2e.logOf(events)).at(-1), { _tag: "TurnEnded", end: "failed" })
          } else {
            assert.isNull(ended)
            assert.deepInclude(Path.of(events, "RunEnded")[0], { end: "answered", text: `from ${next}` })
          }

          // Every attempt had a lease, an audit row and an end, and the failed ones cost what they must.
          const rows = (yield* E2e.reconcile).slice(rowsBefore)
          rowsBefore += rows.length
          assert.lengthOf(rows, position + asked + (next === undefined ? 0 : 1))
          for (const row of rows.filter((r) => r.model === E2e.models[failing])) {
            assert.strictEqual(row.settled_cost, charged === "whole" ? row.cost : 0)
          }
        }
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  it.live("a prompt that is too long is not sent to a model that takes no longer ones", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: E2e.chain("openrouter", "google", "anthropic"), prices })
      stage.fakes.openrouter.script([failure("context_too_long")])
      yield* Effect.gen(function* () {
        const { events } = yield* E2e.runAll("What is up?")
        assert.deepStrictEqual(failures(events), ["openrouter context_too_long stop"])
        assert.deepStrictEqual(stage.asked(), { anthropic: 0, google: 0, openrouter: 1, lab: 0 })
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )
})

describe("the provider's own patience", () => {
  it.live.each(["anthropic", "google", "openrouter", "lab"] as const)(
    "%s: a short retry-after is waited for",
    (vendor) =>
      Effect.gen(function* () {
        const stage = yield* E2e.stage({ defaults: E2e.chain(vendor), router: { backoffMaxMs: 5000 } })
        const retryAfter = vendor === "google" ? { bodySeconds: 0.07 } : { ms: 70 }
        stage.fakes[vendor].script([failure("rate_limit", { retryAfter }), says("now")])
        yield* Effect.gen(function* () {
          const { events } = yield* E2e.runAll("What is up?")
          assert.deepStrictEqual(
            Path.of(events, "ModelAttemptFailed").map(({ afterMs, next }) => [next, afterMs]),
            [["retry", 70]]
          )
          assert.strictEqual(Path.of(events, "RunEnded")[0]?.text, "now")
          yield* E2e.reconcile
        }).pipe(Effect.provide(Path.agentLayer(stage.place)))
      }).pipe(Effect.scoped)
  )
})

describe("an answer that breaks off", () => {
  const begun = "This is the beginning of an answer that never comes to its end, whatever happens."
  const whole = "And this is another answer, from its first word to its last."

  const breaks: ReadonlyArray<readonly [what: string, reply: AnswerReply]> = [
    ["the connection is cut in the text", { ...says(begun), cut: "text" }],
    ["the stream ends in good order without an end", { ...says(begun), cut: "end", cutBy: "clean" }],
    ["an error arrives inside the stream", { ...says(begun), failsWith: "internal" }],
    [
      "half a tool call",
      {
        ...says(begun),
        calls: [{ name: "read_file", arguments: { path: "notes.md" }, id: "call_half" }],
        halfCall: true
      }
    ]
  ]

  for (const vendor of ["anthropic", "google", "openrouter", "lab"] as const) {
    it.live.each(breaks)(`${vendor}: %s`, ([, reply]) =>
      Effect.gen(function* () {
        const next = vendor === "lab" ? "anthropic" : "lab"
        const stage = yield* E2e.stage({ defaults: E2e.chain(vendor, next), files: { "notes.md": "n" } })
        stage.fakes[vendor].script([reply, reply])
        stage.fakes[next].script([says(whole)])
        yield* Effect.gen(function* () {
          const { events } = yield* E2e.runAll("What is up?")
          // Something was shown, and the viewer was told twice that it is void.
          const failed = Path.of(events, "ModelAttemptFailed")
          assert.deepStrictEqual(
            failed.map((e) => [e.discard, e.next]),
            [
              [true, "retry"],
              [true, "failover"]
            ]
          )
          assert.include(
            Path.of(events, "AnswerDelta")
              .map((e) => e.text)
              .join(""),
            "This is the"
          )
          assert.strictEqual(E2e.shownText(events), whole)
          assert.strictEqual(Path.of(events, "RunEnded")[0]?.text, whole)
          // Neither the log nor the next model has heard of the beginning, and no tool ran.
          assert.notInclude(JSON.stringify(yield* E2e.logOf(events)), "This is the beginning")
          assert.notInclude(JSON.stringify(stage.fakes[next].requests[0]?.body), "This is the beginning")
          assert.lengthOf(Path.of(events, "ToolCalled"), 0)
          // What may have been billed is charged whole.
          const rows = yield* E2e.reconcile
          assert.lengthOf(rows, 3)
          assert.isTrue(rows.slice(0, 2).every((row) => row.settled_cost === row.cost))
        }).pipe(Effect.provide(Path.agentLayer(stage.place)))
      }).pipe(Effect.scoped)
    )
  }

  it.live("a model that falls silent in the middle is given up, and its connection closed", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: E2e.chain("lab", "anthropic"), router: { idleTimeoutMs: 700 } })
      const { anthropic, lab } = stage.fakes
      lab.script([{ ...says(begun), gapMs: 1500 }])
      anthropic.script([says(whole)])
      yield* Effect.gen(function* () {
        const { events } = yield* E2e.runAll("What is up?")
        assert.strictEqual(E2e.shownText(events), whole)
        assert.isTrue(Path.of(events, "ModelAttemptFailed")[0]?.discard)
        assert.deepStrictEqual(failures(events), ["lab timeout failover"])
        yield* lab.nextAbort
        const rows = yield* E2e.reconcile
        assert.strictEqual(rows[0]?.settled_cost, rows[0]?.cost)
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )
})

describe("nobody there", () => {
  it.live("a server that is not running is asked twice and costs nothing, and the next one answers", () =>
    Effect.gen(function* () {
      // It was there a moment ago.
      const { baseUrl } = yield* Effect.scoped(FakeOpenAi.make())
      const stage = yield* E2e.stage({
        defaults: { model: { primary: "gone/model", failover: [E2e.models.lab] } },
        providers: { gone: { kind: "openai-compatible", baseUrl } },
        prices: { "gone/model": price(100_000) }
      })
      stage.fakes.lab.script([says("here")])
      yield* Effect.gen(function* () {
        const { events } = yield* E2e.runAll("What is up?")
        assert.deepStrictEqual(failures(events), ["gone network retry", "gone network failover"])
        assert.strictEqual(Path.of(events, "RunEnded")[0]?.text, "here")
        const rows = yield* E2e.reconcile
        assert.deepStrictEqual(
          rows.map((row) => [row.model, row.settled_cost === 0]),
          [
            ["gone/model", true],
            ["gone/model", true],
            [E2e.models.lab, false]
          ]
        )
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  const elsewhere: ReadonlyArray<readonly [what: string, reply: Reply, failure: string]> = [
    ["a proxy's error page", { kind: "raw", status: 502, body: "<html><h1>502 Bad Gateway</h1></html>" }, "overloaded"],
    [
      "a page instead of an answer",
      { kind: "raw", body: "<!doctype html><p>Log in to the hotel's network</p>" },
      "network"
    ]
  ]
  it.live.each(elsewhere)("%s is no answer", ([, reply, kind]) =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({ defaults: E2e.chain("openrouter", "lab") })
      stage.fakes.openrouter.always(reply)
      stage.fakes.lab.script([says("here")])
      yield* Effect.gen(function* () {
        const { events } = yield* E2e.runAll("What is up?")
        assert.deepStrictEqual(failures(events), [`openrouter ${kind} retry`, `openrouter ${kind} failover`])
        assert.strictEqual(E2e.shownText(events), "here")
        yield* E2e.reconcile
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )

  it.live.each(["anthropic", "google", "openrouter", "lab"] as const)(
    "%s: a redirect is not followed, key and all",
    (vendor) =>
      Effect.gen(function* () {
        // Takes any key: whoever arrives there would be served.
        const thief = yield* FakeOpenAi.make({ key: null })
        thief.always(says("Thank you for the key."))
        const stage = yield* E2e.stage({ defaults: E2e.chain(vendor), router: { maxRetries: 0 } })
        stage.fakes[vendor].always({
          kind: "raw",
          status: 307,
          headers: { location: `${thief.baseUrl}/chat/completions` },
          body: ""
        })
        yield* Effect.gen(function* () {
          const { failure: ended } = yield* E2e.runAll("What is up?")
          assert.instanceOf(ended, ModelUnavailable)
          assert.lengthOf(thief.requests, 0)
          assert.lengthOf(stage.fakes[vendor].requests, 1)
          yield* E2e.reconcile
        }).pipe(Effect.provide(Path.agentLayer(stage.place)))
      }).pipe(Effect.scoped)
  )

  it.live("a model that keeps failing is left alone by the runs that follow", () =>
    Effect.gen(function* () {
      const stage = yield* E2e.stage({
        defaults: E2e.chain("anthropic", "lab"),
        router: { cooldownMs: 600_000 },
        sections: { cache: { enabled: false } }
      })
      stage.fakes.anthropic.always(failure("auth"))
      stage.fakes.lab.always(says("here"))
      yield* Effect.gen(function* () {
        for (const run of [1, 2, 3]) {
          const { events } = yield* E2e.runAll(`What is up? (${run})`)
          assert.strictEqual(E2e.shownText(events), "here")
        }
        assert.deepStrictEqual(stage.asked(), { anthropic: 1, google: 0, openrouter: 0, lab: 3 })
        yield* E2e.reconcile
      }).pipe(Effect.provide(Path.agentLayer(stage.place)))
    }).pipe(Effect.scoped)
  )
})
