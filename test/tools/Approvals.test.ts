import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Either, Exit, Fiber, Layer, Ref, Schema, Scope, Stream, TestClock } from "effect"
import { ToolLabels } from "../../src/domain/Labels.ts"
import { isGenuine } from "../../src/domain/Proof.ts"
import { type ApprovalRequest, ToolOutcome } from "../../src/domain/Tool.ts"
import * as Events from "../../src/kernel/Events.ts"
import * as Approvals from "../../src/tools/Approvals.ts"
import * as ToolPolicy from "../../src/tools/ToolPolicy.ts"
import * as ToolRegistry from "../../src/tools/ToolRegistry.ts"
import { layerCryptoMemory, settingsWith } from "../support/keyring.ts"
import { agentWith, contextOf, otherSession, recordingAudit, session, toolNamed } from "../support/tools.ts"

const tool = toolNamed(
  "danger",
  "builtin",
  new ToolLabels({ source: "trusted", readsPrivate: false, effect: "local" }),
  {
    parameters: Schema.Struct({ path: Schema.String }),
    run: () => Effect.succeed(new ToolOutcome({ content: "", isError: false, truncated: false, durationMs: 0 })),
    display: (args) => `danger ${JSON.stringify(args)} \u202e\u001b[2J`
  }
)

const expireMs = 300_000

const world = () => {
  const audit = recordingAudit()
  const path = Layer.mergeAll(Approvals.layer, ToolPolicy.layer).pipe(
    Layer.provideMerge(ToolRegistry.layerOf([tool])),
    Layer.provideMerge(Events.layer),
    Layer.provide([layerCryptoMemory, settingsWith(null), audit.layer])
  )
  return { audit, path }
}

const needs = (path = "a", over: Parameters<typeof contextOf>[3] & { readonly agent?: string } = {}) =>
  Effect.gen(function* () {
    const policy = yield* ToolPolicy.ToolPolicy
    const agent = agentWith({ id: over.agent ?? "main", profile: "full", requireApproval: ["*"] })
    const decision = yield* policy.decide(contextOf(agent, "danger", { path }, over))
    return decision._tag === "NeedsApproval" ? decision : yield* Effect.die("was permitted")
  })

/** Asks in the background; `request` is what the human sees, `fiber` ends with leave or refusal. */
const ask = (...args: Parameters<typeof needs>) =>
  Effect.gen(function* () {
    const approvals = yield* Approvals.Approvals
    const seen = yield* Deferred.make<ApprovalRequest>()
    const fiber = yield* Effect.fork(
      approvals.request(yield* needs(...args), (request) => Effect.asVoid(Deferred.succeed(seen, request)))
    )
    return { fiber, request: yield* Deferred.await(seen) }
  })

const answer = (
  request: ApprovalRequest,
  over: { approve?: boolean; scope?: "once" | "session"; callHash?: string } = {}
) =>
  Effect.gen(function* () {
    const approvals = yield* Approvals.Approvals
    const { callHash, id } = request
    yield* approvals.answer({ id, callHash, approve: true, scope: "once", ...over })
  })

const attach = Effect.flatMap(Approvals.Approvals, (approvals) => approvals.attach)

describe("Approvals", () => {
  it.scoped("gives leave for exactly what was asked, recorded before it is given", () => {
    const { audit, path } = world()
    return Effect.gen(function* () {
      yield* attach
      const { fiber, request } = yield* ask("x")
      expect(audit.types()).toEqual(["approval.asked"])
      expect(request.display).toBe('danger {"path":"x"} \\u{202e}\\x1b[2J')
      expect(request.expiresAt - request.askedAt).toBe(expireMs)
      yield* answer(request)
      const permitted = yield* Fiber.join(fiber)
      expect(audit.types()).toEqual(["approval.asked", "approval.given"])
      expect(permitted).toMatchObject({ tool: "danger", arguments: { path: "x" }, by: "approval", session })
      expect(permitted.callHash).toBe(request.callHash)
      expect(isGenuine(permitted)).toBe(true)
      expect(JSON.stringify(audit.events)).not.toContain("path")
    }).pipe(Effect.provide(path))
  })

  it.scoped("P05: an answer counts once, for this request, for this call", () => {
    const { audit, path } = world()
    return Effect.gen(function* () {
      yield* attach
      const one = yield* ask("one")
      const two = yield* ask("two")
      const reason = (request: ApprovalRequest, over = {}) =>
        Effect.map(Effect.flip(answer(request, over)), (error) =>
          error._tag === "ApprovalInvalid" ? error.reason : ""
        )
      // The hash of another call, and of one whose arguments were changed after it was shown.
      expect(yield* reason(one.request, { callHash: two.request.callHash })).toBe("other_call")
      expect(yield* reason(one.request, { callHash: "" })).toBe("other_call")
      yield* answer(one.request)
      expect(yield* reason(one.request)).toBe("already_answered")
      yield* Fiber.join(one.fiber)
      // Leave for one call is none for the next, even the same one.
      const again = yield* ask("one")
      expect(again.request.id).not.toBe(one.request.id)
      yield* answer(again.request, { approve: false })
      expect((yield* Effect.flip(Fiber.join(again.fiber))).message).toContain("declined")
      yield* answer(two.request, { approve: false, scope: "session" })
      expect(Exit.isFailure(yield* Fiber.await(two.fiber))).toBe(true)
      expect(audit.types().filter((type) => type === "approval.given")).toHaveLength(1)
    }).pipe(Effect.provide(path))
  })

  it.scoped(
    "P05: a session grant repeats the very same call, in the same session, of the same agent, until forgotten",
    () => {
      const { audit, path } = world()
      return Effect.gen(function* () {
        yield* attach
        const approvals = yield* Approvals.Approvals
        const first = yield* ask("x")
        yield* answer(first.request, { scope: "session" })
        yield* Fiber.join(first.fiber)
        const quiet = (...args: Parameters<typeof needs>) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.fork(approvals.request(yield* needs(...args), () => Effect.void))
            yield* TestClock.adjust(Duration.millis(expireMs))
            return Exit.isSuccess(yield* Fiber.await(fiber))
          })
        expect(yield* quiet("x")).toBe(true)
        expect(audit.types().at(-1)).toBe("approval.given")
        expect(yield* quiet("y")).toBe(false)
        expect(yield* quiet("x", { session: otherSession })).toBe(false)
        expect(yield* quiet("x", { agent: "other" })).toBe(false)
      }).pipe(Effect.provide(path))
    }
  )

  it.scoped("P05: nothing of it survives a restart", () =>
    Effect.gen(function* () {
      const before = yield* Effect.gen(function* () {
        yield* attach
        const { fiber, request } = yield* ask("x")
        yield* answer(request, { scope: "session" })
        yield* Fiber.join(fiber)
        return request
      }).pipe(Effect.provide(world().path))
      yield* Effect.gen(function* () {
        yield* attach
        const invalid = yield* Effect.flip(answer(before))
        expect(invalid).toMatchObject({ _tag: "ApprovalInvalid", reason: "unknown" })
        // The same call has to be asked again.
        const { request } = yield* ask("x")
        expect(request.id).not.toBe(before.id)
      }).pipe(Effect.provide(world().path))
    })
  )

  it.scoped("P07: no answer in time is a no, and a late answer is refused", () => {
    const { audit, path } = world()
    return Effect.gen(function* () {
      yield* attach
      const approvals = yield* Approvals.Approvals
      const { fiber, request } = yield* ask("x")
      yield* TestClock.adjust(Duration.millis(expireMs - 1))
      expect(yield* approvals.pending).toHaveLength(1)
      yield* TestClock.adjust(Duration.millis(1))
      expect((yield* Effect.flip(Fiber.join(fiber))).message).toContain("nobody approved it within 300 s")
      expect(yield* approvals.pending).toEqual([])
      expect(yield* Effect.flip(answer(request))).toMatchObject({ reason: "expired" })
      expect(audit.types()).toEqual(["approval.asked", "approval.expired"])
    }).pipe(Effect.provide(path))
  })

  it.scoped("P07: with nobody there it is declined at once, without a question", () => {
    const { audit, path } = world()
    return Effect.gen(function* () {
      const approvals = yield* Approvals.Approvals
      const asked = yield* Ref.make(0)
      const tryIt = Effect.flatMap(needs(), (n) => approvals.request(n, () => Ref.update(asked, (x) => x + 1)))
      expect((yield* Effect.flip(tryIt)).message).toContain("nobody is there to approve it")
      // One who came and went is not there either.
      yield* Effect.scoped(approvals.attach)
      expect((yield* Effect.flip(tryIt))._tag).toBe("ToolDenied")
      expect(yield* Ref.get(asked)).toBe(0)
      expect(audit.types()).toEqual(["approval.declined", "approval.declined"])
    }).pipe(Effect.provide(path))
  })

  it.scoped("what cannot be recorded is neither asked nor granted", () => {
    const { audit, path } = world()
    return Effect.gen(function* () {
      yield* attach
      const approvals = yield* Approvals.Approvals
      const shown = yield* Ref.make(0)
      audit.state.down = true
      const request = Effect.flatMap(needs(), (n) => approvals.request(n, () => Ref.update(shown, (x) => x + 1)))
      expect((yield* Effect.flip(request))._tag).toBe("AuditUnavailable")
      expect(yield* Ref.get(shown)).toBe(0)
      audit.state.down = false
      const waiting = yield* ask("x")
      audit.state.down = true
      expect((yield* Effect.flip(answer(waiting.request, { scope: "session" })))._tag).toBe("AuditUnavailable")
      const ended = yield* Effect.either(Fiber.join(waiting.fiber))
      expect(Either.isLeft(ended) ? ended.left._tag : "leave was given").toBe("AuditUnavailable")
      audit.state.down = false
      // The grant was not kept: it is asked again.
      const again = yield* ask("x")
      yield* answer(again.request)
      yield* Fiber.join(again.fiber)
    }).pipe(Effect.provide(path))
  })

  it.scoped("a run that is stopped takes its question with it", () => {
    const { audit, path } = world()
    return Effect.gen(function* () {
      yield* attach
      const approvals = yield* Approvals.Approvals
      const { fiber, request } = yield* ask("x")
      yield* Fiber.interrupt(fiber)
      expect(yield* approvals.pending).toEqual([])
      expect(yield* Effect.flip(answer(request))).toMatchObject({ reason: "expired" })
      expect(audit.types()).toEqual(["approval.asked", "approval.expired"])
    }).pipe(Effect.provide(path))
  })

  it.scoped("whoever fails to show it ends it", () => {
    const { path } = world()
    return Effect.gen(function* () {
      yield* attach
      const approvals = yield* Approvals.Approvals
      const failing = Effect.flatMap(needs(), (n) => approvals.request(n, () => Effect.fail("no screen" as const)))
      expect(yield* Effect.flip(failing)).toBe("no screen")
      expect(yield* approvals.pending).toEqual([])
    }).pipe(Effect.provide(path))
  })

  it.effect("shutdown refuses what is pending", () => {
    const { path } = world()
    return Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(path, scope)
      const { fiber } = yield* Effect.zipRight(attach, ask("x")).pipe(Effect.provide(context), Scope.extend(scope))
      yield* Scope.close(scope, Exit.void)
      const left = yield* Effect.flip(Fiber.join(fiber))
      expect(left.message).toContain("not approved before shutdown")
    })
  })

  it.scoped("of many answers at once exactly one counts", () => {
    const { audit, path } = world()
    return Effect.gen(function* () {
      yield* attach
      const { fiber, request } = yield* ask("x")
      const tries = yield* Effect.all(
        Array.from({ length: 50 }, (_, i) => Effect.either(answer(request, { approve: i % 2 === 0 }))),
        { concurrency: "unbounded" }
      )
      expect(tries.filter(Either.isRight)).toHaveLength(1)
      yield* Fiber.await(fiber)
      expect(audit.events.filter(({ type }) => /given|declined/.test(type))).toHaveLength(1)
    }).pipe(Effect.provide(path))
  })

  it.scoped("the changes tell the pending ones, then each new one and each that has ended, each once", () => {
    const { path } = world()
    return Effect.gen(function* () {
      yield* attach
      const approvals = yield* Approvals.Approvals
      const a = yield* ask("a")
      const events = yield* Events.Events
      const published = yield* Effect.fork(Stream.runCollect(Stream.take(events.stream, 2)))
      const changes = yield* approvals.changes
      const listening = yield* Effect.fork(Stream.runCollect(Stream.take(changes, 6)))
      yield* TestClock.adjust(Duration.millis(10))
      const b = yield* ask("b")
      yield* answer(a.request, { approve: true })
      yield* Fiber.await(a.fiber)
      yield* answer(b.request, { approve: false })
      yield* Fiber.await(b.fiber)
      const c = yield* ask("c")
      yield* Fiber.interrupt(c.fiber)
      const told = [...(yield* Fiber.join(listening))].map((change) =>
        change._tag === "ApprovalPending" ? ["asked", change.request.id] : [change.how, change.approval]
      )
      expect(told).toEqual([
        ["asked", a.request.id],
        ["asked", b.request.id],
        ["approved", a.request.id],
        ["declined", b.request.id],
        ["asked", c.request.id],
        ["expired", c.request.id]
      ])
      expect([...(yield* Fiber.join(published))].map(({ _tag }) => _tag)).toEqual(["ApprovalPending", "ApprovalClosed"])
    }).pipe(Effect.provide(path))
  })
})
