/**
 * ToolStep: runs the tool calls of one answer and records how each ended. Calls that only read run
 * side by side; a call with an effect runs alone and in the model's order.
 */
import { Effect, Option } from "effect"
import { AuditEvent } from "../domain/Audit.ts"
import { ApprovalNeeded, ToolCalled, ToolEnded, ToolStarted } from "../domain/RunEvent.ts"
import { ApprovalAsked, ApprovalGiven, ToolFinished, ToolIntended } from "../domain/SessionEvent.ts"
import type { ToolCallPart } from "../domain/Message.ts"
import { untainted } from "../domain/Labels.ts"
import { ToolOutcome } from "../domain/Tool.ts"
import { Audit } from "../kernel/Audit.ts"
import { redactText } from "../kernel/Redaction.ts"
import { ToolExecutor } from "../tools/ToolExecutor.ts"
import { ToolRegistry } from "../tools/ToolRegistry.ts"
import type { RunContext } from "./RunContext.ts"
import { ThreatScanner } from "./ThreatScanner.ts"
import * as Turn from "./Turn.ts"

/** Reading calls at once; each is a process of its own. */
const readers = 4

/** A model may name a tool that there is not, in any words it likes. */
const shownName = (call: ToolCallPart): string => redactText(call.name)

export const make = Effect.gen(function* () {
  const executor = yield* ToolExecutor
  const registry = yield* ToolRegistry
  const scanner = yield* ThreatScanner
  const audit = yield* Audit

  const runOne = (ctx: RunContext, call: ToolCallPart) =>
    Effect.gen(function* () {
      const { run } = ctx
      const taint = (yield* ctx.view).taint
      const executed = yield* executor.execute(
        { agent: ctx.agent, session: ctx.session, run, taint, call },
        {
          called: (display) => ctx.emit(new ToolCalled({ call: call.id, tool: shownName(call), display })),
          approvalAsked: (request) =>
            Effect.zipRight(
              ctx.record(new ApprovalAsked({ run, call: call.id, approval: request.id })),
              ctx.emit(new ApprovalNeeded({ request }))
            ),
          approvalAnswered: (request, approved) =>
            ctx.record(new ApprovalGiven({ run, call: call.id, approval: request.id, approved })),
          intended: (permitted, tool) =>
            Effect.zipRight(
              ctx.record(new ToolIntended({ run, call: call.id, tool: call.name, callHash: permitted.callHash }, true)),
              ctx.emit(
                new ToolStarted(
                  {
                    call: call.id,
                    tool: call.name,
                    permittedBy: permitted.by,
                    confinement: tool.confinement
                  },
                  true
                )
              )
            )
        }
      )
      const scanned = yield* scanner.scanUntrusted(executed.outcome.content, `${call.name}:${call.id}`)
      if (scanned.verdict.findings.length > 0) {
        yield* audit.note(
          new AuditEvent(
            {
              type: "threat.flagged",
              agent: ctx.agent.id,
              session: ctx.session,
              run,
              data: { origin: call.name, rules: scanned.verdict.findings.map((f) => f.rule).join(" ") }
            },
            true
          )
        )
      }
      const outcome = new ToolOutcome({ ...executed.outcome, content: scanned.text }, true)
      const finished = { call: call.id, tool: call.name, how: executed.how, outcome }
      yield* ctx.record(new ToolFinished({ run, ...finished, taint: executed.taint }, true))
      yield* ctx.emit(new ToolEnded({ ...finished, tool: shownName(call) }, true))
    })

  const onlyReads = (call: ToolCallPart) =>
    Effect.map(registry.get(call.name), (tool) => Option.exists(tool, (t) => t.labels.effect === "none"))

  return {
    /** Every call ends with a ToolFinished event, whatever became of it. */
    run: Effect.fn("ToolStep.run")(function* (ctx: RunContext, calls: ReadonlyArray<ToolCallPart>) {
      const sideBySide = (yield* Effect.forEach(calls, onlyReads)).every((only) => only)
      yield* Effect.forEach(calls, (call) => runOne(ctx, call), {
        concurrency: sideBySide ? readers : 1,
        discard: true
      })
    }),

    /** Closes the intents that a crash left open. Nothing is run. */
    closeUnknown: Effect.fn("ToolStep.closeUnknown")(function* (ctx: RunContext, calls: ReadonlyArray<Turn.CallState>) {
      for (const { call, callHash } of calls) {
        yield* audit.append(
          new AuditEvent(
            {
              type: "tool.unknown",
              agent: ctx.agent.id,
              session: ctx.session,
              run: ctx.run,
              data: { tool: call.name, call: callHash ?? "" }
            },
            true
          )
        )
        const outcome = new ToolOutcome(
          {
            content: Turn.outcomeUnknown,
            isError: true,
            truncated: false,
            durationMs: 0
          },
          true
        )
        const finished = { call: call.id, tool: call.name, how: "unknown" as const, outcome }
        yield* ctx.record(new ToolFinished({ run: ctx.run, ...finished, taint: untainted }, true))
        yield* ctx.emit(new ToolEnded(finished))
      }
    })
  }
})
