/**
 * AgentRuntime: carries out, step by step, what Turn says comes next. The whole path of a message:
 *
 *   scan → accept → (cache → reserve → ask → settle → tools)* → end
 *
 * Guarantees: a message that was scanned and accepted is in the log before a model is asked;
 * a session has one run at a time; a stop takes effect at once, nothing happens after it, and the log
 * says so; a run ends once, in the log as for whoever watches; whatever it fails with is recorded as
 * its end. When the gateway stops, a turn stays open in the log, as after a crash, so that it can be
 * resumed; whoever watches is told so. A run that is stopped while it waits for its turn has left nothing in the log. A message
 * with a key is durable before anything is done with it, and is never run twice.
 */
import { Cause, Chunk, Clock, Context, Effect, Exit, Fiber, Layer, Mailbox, Ref, type Scope, Stream } from "effect"
import { Agent, type AgentNotFound } from "../domain/Agent.ts"
import type { Allowance } from "../domain/Caller.ts"
import { AuditEvent, type AuditUnavailable } from "../domain/Audit.ts"
import type { MessageKey, PrincipalId, RunId, SessionId } from "../domain/Ids.ts"
import { type Message, textOf, userText } from "../domain/Message.ts"
import { noUsage } from "../domain/Model.ts"
import { NanoUsd } from "../domain/Money.ts"
import { MessageScanned, MessageStored, RunEnded, type RunEvent, RunStarted } from "../domain/RunEvent.ts"
import {
  type MessageKeyTaken,
  NothingToResume,
  type SessionCorrupt,
  SessionNotFound,
  SessionOfOtherAgent
} from "../domain/Session.ts"
import { HistoryGiven, MessageAccepted, type TurnEnd, TurnEnded } from "../domain/SessionEvent.ts"
import type { ThreatBlocked } from "../domain/Threat.ts"
import { Audit } from "../kernel/Audit.ts"
import type { DatabaseError } from "../kernel/Database.ts"
import { MessageBlocked, RunChanged } from "../domain/GatewayEvent.ts"
import { Events } from "../kernel/Events.ts"
import { newId } from "../kernel/Ids.ts"
import * as KeyedLock from "../kernel/KeyedLock.ts"
import type { RouterError } from "../model/Router.ts"
import { Agents } from "./Agents.ts"
import * as MessageKeys from "./MessageKeys.ts"
import * as Given from "./Given.ts"
import * as ModelStep from "./ModelStep.ts"
import * as RunContext from "./RunContext.ts"
import { SessionStore } from "./SessionStore.ts"
import { ThreatScanner } from "./ThreatScanner.ts"
import * as ToolStep from "./ToolStep.ts"
import * as Turn from "./Turn.ts"

export interface RunRequest {
  /** Absent: the session's agent, or the default one. */
  readonly agent?: string
  /** Absent: a new session. */
  readonly session?: SessionId
  readonly principal: PrincipalId
  /** What the principal may spend, beside the agent's own caps; absent: no more than those. */
  readonly allowance?: Allowance
  readonly message: string
  /** What a client carries of a conversation that was held elsewhere; begins a new session. */
  readonly history?: GivenHistory
  /** At most so many tokens per answer, where that is less than the agent's own. */
  readonly maxOutputTokens?: number
  /**
   * The message is stored under this key before anything is done with it, and MessageStored says so.
   * Sent again, it is not run again: MessageStored tells what became of it, with RunEnded if it ended.
   */
  readonly key?: MessageKey
}

/** Every text of the person in it is scanned as the message is; the rest counts as untrusted. */
export interface GivenHistory {
  /** The client's system prompt: what is found in it is recorded, and blocks nothing. */
  readonly instructions: string
  readonly messages: ReadonlyArray<Message>
}

export type RunError =
  | AgentNotFound
  | SessionNotFound
  | SessionCorrupt
  | SessionOfOtherAgent
  | MessageKeyTaken
  | ThreatBlocked
  | RouterError
  | AuditUnavailable
  | DatabaseError

export class AgentRuntime extends Context.Tag("ai-desk/agent/AgentRuntime")<
  AgentRuntime,
  {
    /**
     * Runs one message. The stream ends with one RunEnded or fails; closing it early stops the run. Of a
     * message that was taken before, it only tells what became of it: with RunEnded, if that has ended.
     */
    readonly run: (request: RunRequest) => Stream.Stream<RunEvent, RunError>
    /** As `run`, for whoever needs no stream around it, which costs more than a cached answer. Closing the scope stops the run. */
    readonly open: (
      request: RunRequest
    ) => Effect.Effect<Mailbox.ReadonlyMailbox<RunEvent, RunError>, never, Scope.Scope>
    /** Goes on with a turn that a crash, or the gateway's end, cut off. What was running then is not repeated. */
    readonly resume: (
      session: SessionId,
      principal: PrincipalId,
      allowance?: Allowance
    ) => Stream.Stream<RunEvent, RunError | NothingToResume>
    /** Stops a run; returns when it has ended. False when no such run is going on. */
    readonly stop: (run: RunId) => Effect.Effect<boolean>
    /**
     * Breaks off all runs, and begins no more: the gateway stops. Their turns stay open in the log, to be
     * resumed by the next one. Returns when they have ended.
     */
    readonly close: Effect.Effect<void>
  }
>() {}

const limited = (agent: Agent, maxOutputTokens: number | undefined): Agent =>
  maxOutputTokens === undefined || maxOutputTokens >= agent.maxOutputTokens
    ? agent
    : new Agent({ ...agent, maxOutputTokens }, true)

const interruptedReport = "The gateway stopped during this turn."
const resumableReport = (session: SessionId) =>
  `${interruptedReport} Nothing of it is lost: go on with ai-desk session resume ${session}.`
const stoppedReport = "Stopped on request."

const make = Effect.gen(function* () {
  const agents = yield* Agents
  const store = yield* SessionStore
  const scanner = yield* ThreatScanner
  const audit = yield* Audit
  const events = yield* Events
  const modelStep = yield* ModelStep.make
  const toolStep = yield* ToolStep.make
  const sessions = KeyedLock.make<SessionId>()
  const keys = MessageKeys.make(store)
  const running = new Map<RunId, Fiber.RuntimeFiber<void>>()
  /** By somebody who meant this run; what stops beside them is the gateway. */
  const stopping = new Set<RunId>()
  let closing = false

  const auditRun = (ctx: RunContext.RunContext, type: "message.accepted" | "run.ended", data: AuditEvent["data"]) =>
    audit.note(
      new AuditEvent(
        {
          type,
          agent: ctx.agent.id,
          principal: ctx.principal,
          session: ctx.session,
          run: ctx.run,
          data
        },
        true
      )
    )

  const publish = ({ agent, session, run }: RunContext.RunContext, state: RunChanged["state"]) =>
    events.publish(new RunChanged({ agent: agent.id, session, run, state }, true))

  /** In the audit log, and for whoever watches. */
  const ended = (
    ctx: RunContext.RunContext,
    startedAt: number,
    how: TurnEnd,
    text: string,
    more: AuditEvent["data"] = {}
  ) =>
    Effect.gen(function* () {
      const { run } = yield* ctx.view
      const durationMs = (yield* Clock.currentTimeMillis) - startedAt
      const { usage, cost, toolCalls } = run ?? { usage: noUsage, cost: NanoUsd.make(0), toolCalls: 0 }
      yield* auditRun(ctx, "run.ended", { end: how, toolCalls, tokens: usage.totalTokens, nanoUsd: cost, ...more })
      return new RunEnded({ end: how, text, usage, cost, durationMs, toolCalls }, true)
    })

  /** The one way in which a turn ends: in the log, in the audit log. */
  const end = (ctx: RunContext.RunContext, startedAt: number, how: TurnEnd, text: string) =>
    Effect.zipRight(
      ctx.record(new TurnEnded({ run: ctx.run, end: how, report: how === "answered" ? "" : text }, true)),
      ended(ctx, startedAt, how, text)
    )

  /** The run ends, its turn does not: what was accepted is in the log, and so can be gone on with. */
  const leaveOpen = (ctx: RunContext.RunContext, startedAt: number) =>
    Effect.zipRight(ctx.flush, ended(ctx, startedAt, "interrupted", resumableReport(ctx.session), { resumable: "yes" }))

  /** Follows Turn until it says that the turn is over, and how; nothing when there is none. */
  const loop = (ctx: RunContext.RunContext) =>
    Effect.gen(function* () {
      while (true) {
        const step = Turn.next(yield* ctx.view, { maxRounds: ctx.agent.tools.maxRounds })
        switch (step._tag) {
          case "Idle":
            return undefined
          case "Ask":
            yield* modelStep.ask(ctx)
            break
          case "Run":
            yield* toolStep.run(ctx, step.calls)
            break
          case "CloseUnknown":
            yield* toolStep.closeUnknown(ctx, step.calls)
            break
          case "End":
            return step
        }
      }
    })

  const failureText = (cause: Cause.Cause<unknown>): string => {
    const error = Cause.squash(cause)
    return Cause.isFailure(cause) && error instanceof Error ? error.message : "an internal error"
  }

  /**
   * Runs to an end that is recorded, also when it fails or is stopped. Only the steps can be
   * interrupted, so that a stop finds either a run that goes on or one that has ended.
   */
  const follow = (ctx: RunContext.RunContext, begin: Effect.Effect<void, DatabaseError>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const startedAt = yield* Clock.currentTimeMillis
        yield* publish(ctx, "started")
        const exit = yield* Effect.exit(restore(loop(ctx)))
        if (Exit.isSuccess(exit)) {
          const last = exit.value
          if (last !== undefined) yield* Effect.flatMap(end(ctx, startedAt, last.end, last.text), ctx.emit)
          return
        }
        if (Cause.isInterruptedOnly(exit.cause)) {
          const ending =
            closing && !stopping.has(ctx.run)
              ? leaveOpen(ctx, startedAt)
              : end(ctx, startedAt, "stopped", stoppedReport)
          yield* Effect.flatMap(ending, ctx.emit)
          return
        }
        yield* end(ctx, startedAt, "failed", failureText(exit.cause)).pipe(
          Effect.catchAllCause((also) => Effect.failCause(Cause.sequential(exit.cause, also)))
        )
        return yield* Effect.failCause(exit.cause)
      }).pipe(
        Effect.ensuring(publish(ctx, "ended")),
        // What did not begin has no end either.
        (begun) => Effect.zipRight(begin, begun)
      )
    ).pipe(
      Effect.withSpan(`invoke_agent ${ctx.agent.id}`, {
        attributes: {
          "gen_ai.operation.name": "invoke_agent",
          "gen_ai.agent.name": ctx.agent.id,
          "gen_ai.conversation.id": ctx.session
        }
      })
    )

  const scanMessage = (request: RunRequest, agent: Agent, run: RunId) =>
    Effect.gen(function* () {
      const before = yield* Clock.currentTimeNanos
      const given = request.history
      const earlier = (given?.messages ?? []).flatMap((message) => (message._tag === "User" ? [textOf(message)] : []))
      const others = earlier.filter((text) => text.trim() !== "")
      const { principal } = request
      yield* Given.recordPrompt(scanner, audit, given?.instructions ?? "", { agent, principal, run })
      const verdict = yield* Effect.zipRight(
        Effect.forEach(others, scanner.scan, { discard: true }),
        scanner.scan(request.message)
      ).pipe(
        Effect.tapErrorTag("ThreatBlocked", (blocked) =>
          Effect.zipLeft(
            audit.append(
              new AuditEvent(
                {
                  type: "threat.blocked",
                  agent: agent.id,
                  principal: request.principal,
                  run,
                  data: {
                    score: blocked.verdict.score,
                    rules: blocked.verdict.findings.map((f) => f.rule).join(" ")
                  }
                },
                true
              )
            ),
            events.publish(
              new MessageBlocked({ agent: agent.id, principal: request.principal, score: blocked.verdict.score }, true)
            )
          )
        )
      )
      const durationMs = Number((yield* Clock.currentTimeNanos) - before) / 1e6
      return new MessageScanned({ verdict, durationMs }, true)
    })

  /** A foreign session is not found rather than forbidden: ids tell a stranger nothing. */
  const ownSession = (session: SessionId, principal: PrincipalId) =>
    Effect.filterOrFail(
      store.summary(session),
      (summary) => summary.principal === principal,
      () => new SessionNotFound({ id: session })
    )

  const loadView = (session: SessionId) =>
    Effect.map(store.log(session), (log) => Turn.fold(log.map((logged) => logged.event)))

  const chooseAgent = (request: RunRequest) =>
    Effect.gen(function* () {
      if (request.session === undefined) return yield* agents.get(request.agent)
      const summary = yield* ownSession(request.session, request.principal)
      if (request.agent !== undefined && request.agent !== summary.agent) {
        return yield* new SessionOfOtherAgent({ session: request.session, agent: summary.agent })
      }
      return yield* agents.get(summary.agent)
    })

  /** A turn that a crash left open ends as interrupted before a new message is taken. */
  const closeInterrupted = (ctx: RunContext.RunContext, open: Turn.RunState) =>
    Effect.gen(function* () {
      const crashed = { ...ctx, run: open.run }
      const intended = (yield* ctx.view).calls.filter((state) => state.stage === "intended")
      yield* toolStep.closeUnknown(crashed, intended)
      yield* crashed.record(new TurnEnded({ run: open.run, end: "interrupted", report: interruptedReport }, true))
      yield* auditRun(crashed, "run.ended", { end: "interrupted" })
    })

  type Emit = (event: RunEvent) => Effect.Effect<void>

  const body = (request: RunRequest, run: RunId, emit: Emit, onStored: Effect.Effect<void>) =>
    Effect.gen(function* () {
      const agent = limited(yield* chooseAgent(request), request.maxOutputTokens)
      const session = request.session ?? (yield* newId("sess"))
      yield* emit(new RunStarted({ run, session, agent: agent.id }, true))
      yield* emit(yield* scanMessage(request, agent, run))
      yield* sessions.withLock(session)(
        Effect.gen(function* () {
          const view = yield* Ref.make(request.session === undefined ? Turn.emptyView : yield* loadView(session))
          const ctx = RunContext.make({
            agent,
            session,
            run,
            principal: request.principal,
            allowance: request.allowance ?? null,
            view,
            store,
            emit
          })
          const before = (yield* ctx.view).run
          if (before !== null && before.ended === null) yield* closeInterrupted(ctx, before)
          const { history, key, message, principal } = request
          const given =
            history === undefined
              ? []
              : [new HistoryGiven({ run, instructions: history.instructions, ...Given.takeIn(history.messages) }, true)]
          const accepted = { run, agent: agent.id, principal, message: userText(message) }
          const accept =
            key === undefined
              ? // Durable in one commit with the first thing that is done with it: the reservation, or the end.
                ctx.defer(...given, new MessageAccepted(accepted, true))
              : ctx
                  .defer(...given)
                  .pipe(
                    Effect.zipRight(ctx.record(new MessageAccepted({ ...accepted, key }, true))),
                    Effect.zipRight(
                      emit(new MessageStored({ run, session, key, again: false, state: "running" }, true))
                    ),
                    Effect.zipRight(onStored)
                  )
          const note = auditRun(ctx, "message.accepted", { characters: message.length })
          yield* follow(ctx, Effect.zipRight(accept, note))
        })
      )
    })

  const resumeBody = (
    session: SessionId,
    principal: PrincipalId,
    allowance: Allowance | null,
    emit: Emit,
    onRun: (run: RunId) => void
  ) =>
    sessions.withLock(session)(
      Effect.gen(function* () {
        const summary = yield* ownSession(session, principal)
        const loaded = yield* loadView(session)
        const open = loaded.run
        if (open === null || open.ended !== null) return yield* new NothingToResume({ session })
        onRun(open.run)
        const agent = yield* agents.get(summary.agent)
        yield* emit(new RunStarted({ run: open.run, session, agent: agent.id }, true))
        const view = yield* Ref.make(loaded)
        yield* follow(
          RunContext.make({ agent, session, run: open.run, principal, allowance, view, store, emit }),
          Effect.void
        )
      })
    )

  /** Nothing was accepted, so nothing is in the log; whoever watches is told all the same. */
  const neverBegan = new RunEnded(
    {
      end: "stopped",
      text: "Stopped before it began; the message was not taken.",
      usage: noUsage,
      cost: NanoUsd.make(0),
      durationMs: 0,
      toolCalls: 0
    },
    true
  )

  /**
   * A run lives in a fiber of its own, so that `stop` can end it while its events go on to tell
   * how it ended. An interrupted run ends them normally, with RunEnded as the last.
   */
  const opened = <E>(
    start: (emit: Emit, onRun: (run: RunId) => void) => Effect.Effect<void, E>
  ): Effect.Effect<Mailbox.ReadonlyMailbox<RunEvent, E>, never, Scope.Scope> =>
    Effect.gen(function* () {
      const mailbox = yield* Mailbox.make<RunEvent, E>()
      let known: RunId | undefined
      let told = false
      const emit = (event: RunEvent) => {
        told ||= event._tag === "RunEnded"
        return Effect.asVoid(mailbox.offer(event))
      }
      const started = yield* Effect.makeLatch(false)
      const fiber: Fiber.RuntimeFiber<void> = yield* started
        .whenOpen(
          Effect.suspend(() =>
            closing
              ? Effect.interrupt
              : start(emit, (run) => {
                  known = run
                  running.set(run, fiber)
                })
          )
        )
        .pipe(
          Effect.onExit((exit) => {
            if (known !== undefined) {
              running.delete(known)
              stopping.delete(known)
            }
            if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) return mailbox.failCause(exit.cause)
            return told || Exit.isSuccess(exit) ? mailbox.end : Effect.zipRight(emit(neverBegan), mailbox.end)
          }),
          // The failure has reached the mailbox; the fiber itself has nobody to tell it to.
          Effect.exit,
          Effect.asVoid,
          Effect.forkScoped
        )
      yield* started.open
      return mailbox
    })

  const streamed = <E>(
    start: (emit: Emit, onRun: (run: RunId) => void) => Effect.Effect<void, E>
  ): Stream.Stream<RunEvent, E> => Stream.unwrapScoped(Effect.map(opened(start), Mailbox.toStream))

  const runOne = (request: RunRequest) => (emit: Emit, onRun: (run: RunId) => void) =>
    Effect.flatMap(newId("run"), (run) => {
      onRun(run)
      const { key } = request
      if (key === undefined) return body(request, run, emit, Effect.void)
      return keys
        .once(
          { ...request, key },
          (other) => running.has(other),
          (release) => body(request, run, emit, release)
        )
        .pipe(Effect.flatMap((known) => Effect.forEach(known, emit, { discard: true })))
    })

  const close = Effect.suspend(() => {
    closing = true
    return Fiber.interruptAll(Chunk.fromIterable(running.values()))
  })
  // Before the layers under this one close, so that what runs leaves nothing half written.
  yield* Effect.addFinalizer(() => close)

  return AgentRuntime.of({
    run: (request) => streamed(runOne(request)),
    open: (request) => opened(runOne(request)),
    resume: (session, principal, allowance) =>
      streamed((emit, onRun) => resumeBody(session, principal, allowance ?? null, emit, onRun)),
    stop: (run) =>
      Effect.suspend(() => {
        const fiber = running.get(run)
        if (fiber === undefined) return Effect.succeed(false)
        stopping.add(run)
        return Effect.as(Fiber.interrupt(fiber), true)
      }),
    close
  })
})

export const layer = Layer.scoped(AgentRuntime, make)
