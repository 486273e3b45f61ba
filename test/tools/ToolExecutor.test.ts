import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Redacted, Schema } from "effect"
import { Taint, ToolLabels, untainted, worstLabels } from "../../src/domain/Labels.ts"
import { SandboxUnavailable, ToolOutcome } from "../../src/domain/Tool.ts"
import * as Events from "../../src/kernel/Events.ts"
import { Secrets } from "../../src/kernel/Redaction.ts"
import * as Approvals from "../../src/tools/Approvals.ts"
import * as ToolExecutor from "../../src/tools/ToolExecutor.ts"
import * as ToolPolicy from "../../src/tools/ToolPolicy.ts"
import * as ToolRegistry from "../../src/tools/ToolRegistry.ts"
import { layerCryptoMemory, settingsWith } from "../support/keyring.ts"
import { agentWith, contextOf, recordingAudit, toolNamed } from "../support/tools.ts"

const local = new ToolLabels({ source: "trusted", readsPrivate: true, effect: "local" })
const web = new ToolLabels({ source: "untrusted", readsPrivate: false, effect: "external" })

const outcome = (content: string, over: Partial<ToolOutcome> = {}) =>
  new ToolOutcome({ content, isError: false, truncated: false, durationMs: 7, ...over })

/** Everything real but the audit log, the tools and the caller's journal; all of which write into one list. */
const world = (
  run: Parameters<typeof toolNamed>[3]["run"] = () => Effect.succeed(outcome("done", { exitCode: 0 })),
  labels = local
) => {
  const audit = recordingAudit()
  const steps: Array<string> = []
  audit.state.onAppend = ({ type }) => void steps.push(`audit ${type}`)
  const step = (name: string) => Effect.sync(() => void steps.push(name))
  const tool = toolNamed("tool", "builtin", labels, {
    parameters: Schema.Struct({ path: Schema.String }),
    run: (permitted) => Effect.zipRight(step("run"), run(permitted)),
    sinks: () => ["a.example"]
  })
  const journal = {
    called: (display: string) => step(`called ${display}`),
    approvalAsked: () => step("journal asked"),
    approvalAnswered: (_: unknown, approved: boolean) => step(`journal answered ${approved}`),
    intended: () => step("journal intended")
  }
  const path = ToolExecutor.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(Approvals.layer, ToolPolicy.layer)),
    Layer.provide(ToolRegistry.layerOf([tool])),
    Layer.provideMerge(Events.layer),
    Layer.provide([layerCryptoMemory, settingsWith(null), audit.layer])
  )
  const execute = (
    args: unknown = { path: "a" },
    over: Parameters<typeof agentWith>[0] & { readonly taint?: Taint; readonly name?: string } = {}
  ) =>
    Effect.gen(function* () {
      const executor = yield* ToolExecutor.ToolExecutor
      const { name, taint, ...agent } = over
      const context = contextOf(agentWith({ profile: "full", ...agent }), name ?? "tool", args, taint ? { taint } : {})
      return yield* executor.execute(context, journal)
    })
  return { audit, steps, journal, path, execute }
}

/** Answers every question, as a person at the keyboard would. */
const person = (approve: boolean) =>
  Effect.gen(function* () {
    const approvals = yield* Approvals.Approvals
    yield* approvals.attach
    const answering = Effect.flatMap(approvals.pending, (requests) =>
      Effect.forEach(requests, ({ callHash, id }) => approvals.answer({ id, callHash, approve, scope: "once" }))
    )
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.yieldNow(), Effect.orDie(answering))))
  })

describe("ToolExecutor", () => {
  it.effect("a permitted call: recorded twice before it runs, once after", () => {
    const { audit, execute, path, steps } = world()
    return Effect.gen(function* () {
      const executed = yield* execute()
      expect(executed.how).toBe("ran")
      expect(executed.outcome).toMatchObject({ content: "done", isError: false, exitCode: 0, durationMs: 7 })
      expect(executed.taint).toEqual(new Taint({ sources: [], privateSeen: true }))
      expect(steps[0]).toBe('called tool {"path":"a"}')
      expect(steps.slice(1, 3).sort()).toEqual(["audit tool.intended", "journal intended"])
      expect(steps.slice(3)).toEqual(["run", "audit tool.finished"])
      const [intended, finished] = audit.events
      expect(intended?.data).toMatchObject({ tool: "tool", by: "policy" })
      expect(intended?.data["args"]).toMatch(/^[0-9a-f]{64}$/)
      expect(finished?.data).toMatchObject({ code: "ok", exitCode: 0, bytes: 4, truncated: false })
    }).pipe(Effect.provide(path))
  })

  it.effect("audit down: nothing runs, and that is a failure, not an outcome", () => {
    const { audit, execute, path, steps } = world()
    return Effect.gen(function* () {
      audit.state.down = true
      expect((yield* Effect.flip(execute()))._tag).toBe("AuditUnavailable")
      expect((yield* Effect.flip(execute({ nonsense: 1 })))._tag).toBe("AuditUnavailable")
      expect((yield* Effect.flip(execute({ path: "a" }, { requireApproval: ["*"] })))._tag).toBe("AuditUnavailable")
      expect(steps).not.toContain("run")
    }).pipe(Effect.provide(path))
  })

  it.effect("a journal that cannot write: nothing runs", () => {
    const { journal, path, steps } = world()
    return Effect.gen(function* () {
      const executor = yield* ToolExecutor.ToolExecutor
      const context = contextOf(agentWith({ profile: "full" }), "tool", { path: "a" })
      const failing = { ...journal, intended: () => Effect.fail("disk full" as const) }
      expect(yield* Effect.flip(executor.execute(context, failing))).toBe("disk full")
      expect(steps).not.toContain("run")
    }).pipe(Effect.provide(path))
  })

  it.effect("the intent is durable before the tool starts, however slow the log is", () => {
    const { journal, path, steps } = world()
    return Effect.gen(function* () {
      const executor = yield* ToolExecutor.ToolExecutor
      const gate = yield* Deferred.make<void>()
      const reached = yield* Deferred.make<void>()
      const slow = {
        ...journal,
        intended: () => Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(gate))
      }
      const context = contextOf(agentWith({ profile: "full" }), "tool", { path: "a" })
      const fiber = yield* Effect.fork(executor.execute(context, slow))
      yield* Deferred.await(reached)
      yield* Effect.yieldNow()
      expect(steps).not.toContain("run")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      expect(steps).toContain("run")
    }).pipe(Effect.provide(path))
  })

  it.effect("a denied call, bad arguments and an unknown tool are outcomes; nothing ran, and the log knows", () => {
    const { audit, execute, path, steps } = world()
    return Effect.gen(function* () {
      const denied = yield* execute({ path: "a" }, { profile: "deny-all" })
      expect(denied).toMatchObject({ how: "denied", taint: untainted })
      expect(denied.outcome).toMatchObject({ isError: true })
      expect(denied.outcome.content).toContain("tool tool is not allowed for agent main")
      expect((yield* execute({ path: "a", cwd: "/" })).outcome.content).toContain("cwd is not an argument of this tool")
      expect((yield* execute({}, { name: "rm\u001b[2J" })).outcome.content).toContain("there is no tool of this name")
      const nested = JSON.parse(`${"[".repeat(5000)}${"]".repeat(5000)}`)
      expect((yield* execute(nested)).how).toBe("denied")
      expect(steps).not.toContain("run")
      expect(audit.types()).toEqual(Array.from({ length: 4 }, () => "tool.denied"))
      expect(steps.find((step) => step.includes("rm"))).toBe("called rm\\x1b[2J {}")
    }).pipe(Effect.provide(path))
  })

  it.scoped("approved: asked, answered, then recorded and run", () => {
    const { execute, path, steps } = world()
    return Effect.gen(function* () {
      yield* person(true)
      const executed = yield* execute({ path: "a" }, { requireApproval: ["tool"] })
      expect(executed.how).toBe("ran")
      expect(steps.filter((step) => !step.includes("intended"))).toEqual([
        'called tool {"path":"a"}',
        "audit approval.asked",
        "journal asked",
        "audit approval.given",
        "journal answered true",
        "run",
        "audit tool.finished"
      ])
    }).pipe(Effect.provide(path))
  })

  it.scoped("declined, or nobody there: an outcome that says so, and nothing ran", () => {
    const { execute, path, steps } = world()
    return Effect.gen(function* () {
      const alone = yield* execute({ path: "a" }, { requireApproval: ["*"] })
      expect(alone.outcome.content).toContain("nobody is there to approve it")
      expect(steps.some((step) => step.startsWith("journal"))).toBe(false)
      yield* person(false)
      const declined = yield* execute({ path: "a" }, { requireApproval: ["*"] })
      expect(declined).toMatchObject({ how: "denied", taint: untainted })
      expect(declined.outcome.content).toContain("the human declined it")
      expect(steps).toContain("journal answered false")
      expect(steps).not.toContain("run")
    }).pipe(Effect.provide(path))
  })

  it.effect("a tainted session asks before a tool with an effect, whatever the settings", () => {
    const { execute, path, steps } = world()
    return Effect.gen(function* () {
      const taint = new Taint({ sources: ["http_fetch:evil.example"], privateSeen: false })
      const executed = yield* execute({ path: "a" }, { requireApproval: [], taint })
      expect(executed.how).toBe("denied")
      expect(executed.outcome.content).toContain("http_fetch:evil.example")
      expect(steps).not.toContain("run")
    }).pipe(Effect.provide(path))
  })

  it.effect("a failing tool and a broken one are outcomes", () =>
    Effect.gen(function* () {
      const failing = world(() => Effect.fail(new ToolRegistry.ToolFailed({ tool: "tool", detail: "no such file" })))
      const failed = yield* failing.execute().pipe(Effect.provide(failing.path))
      expect(failed).toMatchObject({
        how: "ran",
        outcome: { isError: true, content: "tool tool failed: no such file" }
      })
      const breaking = world(() => Effect.die(new TypeError("internal secret path /x")))
      const broke = yield* breaking.execute().pipe(Effect.provide(breaking.path))
      expect(broke.outcome.content).toBe("tool tool broke; whether it had an effect is unknown")
      expect(breaking.audit.events.at(-1)?.data).toMatchObject({ code: "defect" })
    })
  )

  it.effect("X08: an unavailable sandbox cannot be taken for output of the tool", () => {
    const { audit, execute, path } = world(() =>
      Effect.fail(new SandboxUnavailable({ reason: "bubblewrap is missing", fix: "apt install bubblewrap" }))
    )
    return Effect.gen(function* () {
      const { how, outcome } = yield* execute()
      expect(how).toBe("ran")
      expect(outcome.isError).toBe(true)
      expect(outcome.content).toBe(
        "the sandbox is unavailable, so no tool can run: bubblewrap is missing\napt install bubblewrap"
      )
      expect(audit.types()).toEqual(["tool.intended", "sandbox.failed", "tool.finished"])
    }).pipe(Effect.provide(path))
  })

  it.effect("what comes back has no secrets, no control bytes and a bounded size, and untrusted sources taint", () => {
    const secret = "planted-secret-9431"
    Secrets.register(Redacted.make(secret))
    const content = `\u001b[31m${secret} ${Buffer.from(secret).toString("base64")}\u0000 ${"é".repeat(5000)}`
    const { execute, path, steps } = world(() => Effect.succeed(outcome(content)), web)
    return Effect.gen(function* () {
      const executed = yield* execute({ path: secret }, { limits: { maxOutputBytes: 1024 } })
      expect(executed.outcome.content).toMatch(/^\[redacted\] \[redacted\]\S*\\x00 é/)
      expect(executed.outcome.content).not.toContain(secret.slice(0, 10))
      expect(Buffer.byteLength(executed.outcome.content)).toBeLessThanOrEqual(1024)
      expect(executed.outcome.truncated).toBe(true)
      expect(executed.taint).toEqual(new Taint({ sources: ["tool:a.example"], privateSeen: false }))
      expect(steps.join()).not.toContain(secret)
    }).pipe(Effect.provide(path))
  })

  it.effect("nothing of the arguments or the result is in the audit log", () => {
    const { audit, execute, path } = world(() => Effect.succeed(outcome("result-canary")), worstLabels)
    return Effect.gen(function* () {
      yield* execute({ path: "argument-canary" })
      yield* execute({ path: "argument-canary", extra: "argument-canary" })
      expect(JSON.stringify(audit.events)).not.toMatch(/canary/)
    }).pipe(Effect.provide(path))
  })

  it.effect("a call that is stopped while it runs is recorded as unknown", () => {
    const { audit, execute, path, steps } = world(() => Effect.never)
    return Effect.gen(function* () {
      const fiber = yield* Effect.fork(execute())
      yield* Effect.repeat(Effect.yieldNow(), { until: () => steps.includes("run") })
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      expect(audit.types()).toEqual(["tool.intended", "tool.unknown"])
    }).pipe(Effect.provide(path))
  })
})
