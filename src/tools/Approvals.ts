/**
 * Approvals: a human's leave for one exact call. Asked once, bound to the hash of tool, arguments,
 * agent and session, expiring, used once; `session` scope repeats the very same call in the same
 * session only. Nobody there to answer, no answer in time, shutdown: all mean no. A leave counts
 * only once it is durable in the audit log; grants live in memory and end with the process.
 */
import { Clock, Context, Deferred, Duration, Effect, Exit, Layer, Option, PubSub, type Scope, Stream } from "effect"
import { AuditEvent, type AuditType, type AuditUnavailable } from "../domain/Audit.ts"
import type { ApprovalId, SessionId } from "../domain/Ids.ts"
import { mintPermitted, type Permitted } from "../domain/Proof.ts"
import { type ApprovalDecision, ApprovalInvalid, ApprovalRequest, ToolDenied } from "../domain/Tool.ts"
import { Audit } from "../kernel/Audit.ts"
import { ApprovalClosed, ApprovalPending } from "../domain/GatewayEvent.ts"
import { Events } from "../kernel/Events.ts"
import { newId } from "../kernel/Ids.ts"
import { Settings } from "../kernel/Settings.ts"
import { escapeVisible } from "./PlainText.ts"
import type { NeedsApproval } from "./ToolPolicy.ts"

export class Approvals extends Context.Tag("ai-desk/tools/Approvals")<
  Approvals,
  {
    /** Waits for the human. `onAsked` runs once the request is pending and durable in the audit log, unless a session grant answers at once. */
    readonly request: <E>(
      needs: NeedsApproval,
      onAsked: (request: ApprovalRequest) => Effect.Effect<void, E>
    ) => Effect.Effect<Permitted, ToolDenied | AuditUnavailable | E>
    readonly answer: (decision: ApprovalDecision) => Effect.Effect<void, ApprovalInvalid | AuditUnavailable>
    /** Somebody can answer for as long as the scope lives. With nobody attached, every request is declined at once. */
    readonly attach: Effect.Effect<void, never, Scope.Scope>
    readonly pending: Effect.Effect<ReadonlyArray<ApprovalRequest>>
    /** The pending ones, then each new one, and each that needs no answer any more. Listening when this returns. */
    readonly changes: Effect.Effect<Stream.Stream<ApprovalPending | ApprovalClosed>, never, Scope.Scope>
  }
>() {}

/** Grants of one session; past this many, the human is asked again. */
const maxGrants = 1000
/** Ended requests that are remembered, to tell "answered" and "expired" from "unknown". */
const maxEnded = 1000

interface Open {
  readonly request: ApprovalRequest
  readonly answered: Deferred.Deferred<boolean, ToolDenied | AuditUnavailable>
}

export const make = (expireMs: Effect.Effect<number>) =>
  Effect.gen(function* () {
    const audit = yield* Audit
    const events = yield* Events
    const asked = yield* Effect.acquireRelease(PubSub.unbounded<ApprovalPending | ApprovalClosed>(), PubSub.shutdown)
    // Taken out of `open` exactly once, by whoever decides first: the answer, the clock or the end.
    const open = new Map<ApprovalId, Open>()
    const ended = new Map<ApprovalId, "expired" | "already_answered">()
    const grants = new Map<SessionId, Set<string>>()
    let attached = 0
    let closed = false

    const end = (id: ApprovalId, how: "expired" | "already_answered"): Open | undefined => {
      const found = open.get(id)
      if (found === undefined) return undefined
      open.delete(id)
      ended.set(id, how)
      if (ended.size > maxEnded) {
        const [oldest] = ended.keys()
        if (oldest !== undefined) ended.delete(oldest)
      }
      return found
    }

    const event = (
      type: AuditType,
      of: {
        readonly agent: string
        readonly session: string
        readonly run: string
        readonly tool: string
        readonly callHash: string
      },
      data: Record<string, string> = {}
    ) =>
      new AuditEvent({
        type,
        agent: of.agent,
        session: of.session,
        run: of.run,
        data: { tool: of.tool, call: of.callHash, ...data }
      })

    const denied = (needs: NeedsApproval, reason: string) =>
      new ToolDenied({ agent: needs.context.agent.id, tool: needs.tool.name, reason })

    const permit = ({ arguments: args, callHash, context, tool }: NeedsApproval): Permitted =>
      mintPermitted({
        tool: tool.name,
        arguments: args,
        agent: context.agent,
        session: context.session,
        run: context.run,
        call: context.call.id,
        callHash,
        by: "approval"
      })

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        closed = true
        return Effect.forEach([...open.values()], ({ answered, request }) =>
          Deferred.fail(
            answered,
            new ToolDenied({ agent: request.agent, tool: request.tool, reason: "it was not approved before shutdown" })
          )
        )
      })
    )

    const announce = (change: ApprovalPending | ApprovalClosed) =>
      Effect.zipRight(PubSub.publish(asked, change), events.publish(change))

    const ask = <E>(
      needs: NeedsApproval,
      onAsked: (request: ApprovalRequest) => Effect.Effect<void, E>
    ): Effect.Effect<Permitted, ToolDenied | AuditUnavailable | E> =>
      Effect.gen(function* () {
        const { agent, call, run, session } = needs.context
        const askedAt = yield* Clock.currentTimeMillis
        const wait = yield* expireMs
        const request = new ApprovalRequest({
          id: yield* newId("appr"),
          agent: agent.id,
          session,
          run,
          call: call.id,
          tool: needs.tool.name,
          callHash: needs.callHash,
          display: escapeVisible(needs.tool.display(needs.arguments)),
          reason: escapeVisible(needs.reason),
          askedAt,
          expiresAt: askedAt + wait
        })
        yield* audit.append(event("approval.asked", request, { approval: request.id }))
        const answered = yield* Deferred.make<boolean, ToolDenied | AuditUnavailable>()

        // From here on the request can be answered, and must not stay behind however this ends.
        const waiting = Effect.gen(function* () {
          if (closed) return yield* denied(needs, "the gateway is shutting down")
          open.set(request.id, { request, answered })
          yield* announce(new ApprovalPending({ request }))
          yield* onAsked(request)
          const inTime = yield* Effect.timeoutOption(Deferred.await(answered), Duration.millis(wait))
          if (Option.isSome(inTime)) return inTime.value
          if (end(request.id, "expired") === undefined) {
            // Answered in the last moment: that answer is on its way into the audit log, and counts.
            return yield* Deferred.await(answered)
          }
          yield* audit.append(event("approval.expired", request, { approval: request.id }))
          return yield* denied(needs, `nobody approved it within ${Math.round(wait / 1000)} s`)
        })
        const approved = yield* Effect.onExit(waiting, (exit) => {
          const noted =
            Exit.isSuccess(exit) || end(request.id, "expired") === undefined
              ? Effect.void
              : audit.note(event("approval.expired", request, { approval: request.id, why: "the run ended first" }))
          const how = Exit.isSuccess(exit) ? (exit.value ? "approved" : "declined") : "expired"
          return Effect.zipRight(noted, announce(new ApprovalClosed({ approval: request.id, session, run, how })))
        })
        if (!approved) return yield* denied(needs, "the human declined it")
        return permit(needs)
      })

    return Approvals.of({
      request: (needs, onAsked) =>
        Effect.gen(function* () {
          const { agent, run, session } = needs.context
          const of = { agent: agent.id, session, run, tool: needs.tool.name, callHash: needs.callHash }
          if (grants.get(session)?.has(needs.callHash) === true) {
            yield* audit.append(event("approval.given", of, { scope: "session", again: "yes" }))
            return permit(needs)
          }
          if (attached === 0 || closed) {
            yield* audit.append(event("approval.declined", of, { why: "nobody attached" }))
            return yield* denied(needs, `it needs approval (${needs.reason}), and nobody is there to approve it`)
          }
          return yield* ask(needs, onAsked)
        }).pipe(Effect.withSpan("Approvals.request")),

      // Uninterruptible: an answer that has been claimed must reach the one who waits for it.
      answer: (decision) =>
        Effect.uninterruptible(
          Effect.gen(function* () {
            const { callHash, id } = decision
            const found = open.get(id)
            if (found === undefined) {
              return yield* new ApprovalInvalid({ id, reason: ended.get(id) ?? "unknown" })
            }
            const { answered, request } = found
            if (request.callHash !== callHash) return yield* new ApprovalInvalid({ id, reason: "other_call" })
            if ((yield* Clock.currentTimeMillis) >= request.expiresAt) {
              return yield* new ApprovalInvalid({ id, reason: "expired" })
            }
            if (end(id, "already_answered") === undefined) {
              return yield* new ApprovalInvalid({ id, reason: "already_answered" })
            }
            const type = decision.approve ? "approval.given" : "approval.declined"
            yield* audit.append(event(type, request, { approval: id, scope: decision.scope })).pipe(
              // Unrecorded leave is no leave: the one who waits fails as well.
              Effect.tapError((unavailable) => Deferred.fail(answered, unavailable))
            )
            if (decision.approve && decision.scope === "session" && !closed) {
              const granted = grants.get(request.session) ?? new Set()
              if (granted.size < maxGrants) grants.set(request.session, granted.add(callHash))
            }
            yield* Deferred.succeed(answered, decision.approve)
          })
        ).pipe(Effect.withSpan("Approvals.answer")),

      attach: Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => {
            attached += 1
          }),
          () =>
            Effect.sync(() => {
              attached -= 1
            })
        )
      ),

      pending: Effect.sync(() => [...open.values()].map(({ request }) => request)),

      changes: Effect.map(PubSub.subscribe(asked), (queue) => {
        // Subscribed first, so that none is missed; one that is in both is told once.
        const already = [...open.values()].map(({ request }) => new ApprovalPending({ request }))
        const known = new Set(already.map(({ request }) => request.id))
        return Stream.concat(
          Stream.fromIterable(already),
          Stream.filter(
            Stream.fromQueue(queue),
            (change) => change._tag === "ApprovalClosed" || !known.has(change.request.id)
          )
        )
      })
    })
  })

export const layer = Layer.scoped(
  Approvals,
  Effect.flatMap(Settings, (settings) => make(Effect.map(settings.current, ({ config }) => config.approvals.expireMs)))
)
