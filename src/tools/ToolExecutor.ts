/**
 * ToolExecutor: one tool call from the model to its outcome: policy → approval → intent recorded
 * → run → result recorded. Every way it can end is an outcome that the model can read; what cannot
 * be recorded does not run.
 */
import { Cause, Context, Effect, Either, Layer, Schema } from "effect"
import { AuditEvent, type AuditType, type AuditUnavailable } from "../domain/Audit.ts"
import { type Taint, taintOf, untainted } from "../domain/Labels.ts"
import type { Permitted } from "../domain/Proof.ts"
import { type ApprovalRequest, type InvalidToolArguments, ToolDenied, ToolOutcome } from "../domain/Tool.ts"
import { Audit } from "../kernel/Audit.ts"
import { Crypto } from "../kernel/Crypto.ts"
import { redactText } from "../kernel/Redaction.ts"
import { Approvals } from "./Approvals.ts"
import { canonical, freshCopy } from "./Arguments.ts"
import { capBytes, escapeVisible, escapeLine, withoutControls } from "./PlainText.ts"
import { type CallContext, ToolPolicy } from "./ToolPolicy.ts"
import type { Tool } from "./ToolRegistry.ts"

/** The caller's write-ahead log and viewers. `intended` is durable before the tool runs. */
export interface ToolJournal<E> {
  readonly called: (display: string) => Effect.Effect<void, E>
  readonly approvalAsked: (request: ApprovalRequest) => Effect.Effect<void, E>
  readonly approvalAnswered: (request: ApprovalRequest, approved: boolean) => Effect.Effect<void, E>
  readonly intended: (permitted: Permitted, tool: Tool) => Effect.Effect<void, E>
}

export interface Executed {
  readonly how: "ran" | "denied"
  /** Without control characters and stored secrets, capped; not yet scanned: the caller defuses what `taint` marks. */
  readonly outcome: ToolOutcome
  /** What the result adds to the session. */
  readonly taint: Taint
}

export class ToolExecutor extends Context.Tag("ai-desk/tools/ToolExecutor")<
  ToolExecutor,
  {
    /** Denials, bad arguments, tool failures and an unavailable sandbox are outcomes; only a log that cannot be written fails. */
    readonly execute: <E>(
      context: CallContext,
      journal: ToolJournal<E>
    ) => Effect.Effect<Executed, AuditUnavailable | E>
  }
>() {}

/** For people and logs when the arguments could not be decoded: what the model sent, on one bounded line. */
const rawDisplay = ({ call }: CallContext): string => {
  const text = Either.match(freshCopy(call.arguments), {
    onLeft: () => "(arguments that cannot be shown)",
    onRight: canonical
  })
  return `${escapeLine(redactText(call.name), 128)} ${escapeLine(redactText(text.slice(0, 2000)), 500)}`
}

/** For whoever watches. A person who approves sees the unredacted call in the request instead. */
const shown = (tool: Tool, args: unknown): string => redactText(escapeVisible(tool.display(args)))

const event = (type: AuditType, context: CallContext, tool: string, data: AuditEvent["data"] = {}) =>
  new AuditEvent(
    {
      type,
      agent: context.agent.id,
      session: context.session,
      run: context.run,
      data: { tool, ...data }
    },
    true
  )

const said = (content: string): ToolOutcome =>
  new ToolOutcome({ content, isError: true, truncated: false, durationMs: 0 })

/** What every outcome passes, whatever tool it comes from. */
const cleaned = (outcome: ToolOutcome, maxBytes: number): ToolOutcome => {
  const { text, truncated } = capBytes(redactText(withoutControls(outcome.content)), maxBytes)
  return new ToolOutcome({ ...outcome, content: text, truncated: truncated || outcome.truncated })
}

const isDenied = Schema.is(ToolDenied)

/** For the trace: which tool, and never with what. */
const traced = ({ name }: Tool) => ({
  "gen_ai.operation.name": "execute_tool",
  "gen_ai.tool.name": name,
  "gen_ai.tool.type": "function"
})

export const make = Effect.gen(function* () {
  const policy = yield* ToolPolicy
  const approvals = yield* Approvals
  const audit = yield* Audit
  const crypto = yield* Crypto

  const refuse = (context: CallContext, error: ToolDenied | InvalidToolArguments) => {
    const code = error._tag === "ToolDenied" ? "policy" : "arguments"
    return Effect.as(audit.append(event("tool.denied", context, escapeLine(context.call.name, 128), { code })), {
      how: "denied" as const,
      outcome: cleaned(said(error.message), context.agent.sandbox.maxOutputBytes),
      taint: untainted
    })
  }

  /** Runs it; whatever happens inside becomes an outcome, and a word for the audit log. */
  const carryOut = (tool: Tool, permitted: Permitted) =>
    tool.run(permitted).pipe(
      Effect.map((outcome) => ({ outcome, code: outcome.isError ? "error" : "ok" })),
      Effect.catchTags({
        ToolFailed: (error) => Effect.succeed({ outcome: said(error.message), code: "failed" }),
        SandboxUnavailable: (error) =>
          Effect.succeed({ outcome: said(`${error.message}\n${error.fix}`), code: "sandbox_unavailable" })
      }),
      Effect.catchAllDefect((defect) =>
        Effect.as(Effect.logError("a tool broke", Cause.die(defect)), {
          outcome: said(`tool ${tool.name} broke; whether it had an effect is unknown`),
          code: "defect"
        })
      )
    )

  const run = <E>(context: CallContext, journal: ToolJournal<E>, tool: Tool, permitted: Permitted) =>
    Effect.gen(function* () {
      const { agent } = context
      const args = yield* crypto.fingerprint("fingerprint", tool.name, canonical(permitted.arguments))
      const facts = { call: permitted.callHash, by: permitted.by }
      yield* Effect.all(
        [
          journal.intended(permitted, tool),
          audit.append(event("tool.intended", context, tool.name, { ...facts, args }))
        ],
        { concurrency: 2, discard: true }
      )
      const ended = yield* carryOut(tool, permitted).pipe(
        Effect.onInterrupt(() =>
          audit.note(event("tool.unknown", context, tool.name, { ...facts, why: "interrupted" }))
        )
      )
      if (ended.code === "sandbox_unavailable") {
        yield* audit.append(event("sandbox.failed", context, tool.name, facts))
      }
      const outcome = cleaned(ended.outcome, agent.sandbox.maxOutputBytes)
      const { durationMs, exitCode, truncated } = outcome
      yield* audit.append(
        event("tool.finished", context, tool.name, {
          ...facts,
          code: ended.code,
          durationMs,
          bytes: Buffer.byteLength(outcome.content),
          truncated,
          ...(exitCode === undefined ? {} : { exitCode })
        })
      )
      const sinks = tool.sinks(permitted.arguments).map((sink) => escapeLine(sink, 200))
      const origin = sinks.length === 0 ? tool.name : `${tool.name}:${sinks.join(",")}`
      if (ended.code !== "ok") yield* Effect.annotateCurrentSpan("error.type", ended.code)
      // A failure of an untrusted tool may repeat what the other side said, so it taints as well.
      return { how: "ran" as const, outcome, taint: taintOf(tool.labels, origin) }
    }).pipe(Effect.withSpan(`execute_tool ${tool.name}`, { attributes: traced(tool) }))

  return ToolExecutor.of({
    execute: (context, journal) =>
      Effect.gen(function* () {
        const decision = yield* Effect.either(policy.decide(context))
        if (decision._tag === "Left") {
          yield* journal.called(rawDisplay(context))
          return yield* refuse(context, decision.left)
        }
        if (decision.right._tag === "Permitted") {
          const { permitted, tool } = decision.right
          yield* journal.called(shown(tool, permitted.arguments))
          return yield* run(context, journal, tool, permitted)
        }
        const needs = decision.right
        yield* journal.called(shown(needs.tool, needs.arguments))
        let asked: ApprovalRequest | undefined
        const leave = yield* approvals
          .request(needs, (request) => {
            asked = request
            return journal.approvalAsked(request)
          })
          .pipe(
            Effect.map((permitted) => ({ permitted })),
            Effect.catchIf(isDenied, (denied) => Effect.succeed({ denied }))
          )
        if (asked !== undefined) yield* journal.approvalAnswered(asked, "permitted" in leave)
        if ("denied" in leave) return yield* refuse(context, leave.denied)
        return yield* run(context, journal, needs.tool, leave.permitted)
      }).pipe(Effect.withSpan("ToolExecutor.execute"))
  })
})

export const layer = Layer.effect(ToolExecutor, make)
