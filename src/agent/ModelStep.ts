/**
 * ModelStep: asks the model once and records the answer. Builds the request from the view, passes it
 * through the scanner (which alone can address the router), looks into the cache for a turn's first
 * question, and turns the router's events into the run's.
 */
import { Effect, Option, Stream } from "effect"
import type { Agent } from "../domain/Agent.ts"
import { AuditEvent } from "../domain/Audit.ts"
import { textOf, toolCallsOf } from "../domain/Message.ts"
import { type Answer, ModelRequest } from "../domain/Model.ts"
import type { Scanned } from "../domain/Proof.ts"
import {
  AnswerDelta,
  BudgetReserved,
  CacheChecked,
  HistoryCompacted,
  ModelAttemptFailed,
  ModelFinished,
  ModelStarted
} from "../domain/RunEvent.ts"
import { AnsweredFromCache, Compacted, ModelAnswered, ModelAsked, ModelFailed } from "../domain/SessionEvent.ts"
import { Audit } from "../kernel/Audit.ts"
import type { DatabaseError } from "../kernel/Database.ts"
import { Pricing } from "../model/Pricing.ts"
import { type CachedAnswer, type Lookup, ResponseCache } from "../model/ResponseCache.ts"
import { type ModelCall, type ModelJournal, Router, type RouterEvent } from "../model/Router.ts"
import * as Tokens from "../model/Tokens.ts"
import { ToolPolicy } from "../tools/ToolPolicy.ts"
import { Compactor } from "./Compactor.ts"
import type { RunContext } from "./RunContext.ts"
import { rules, systemPrompt } from "./SystemPrompt.ts"
import { ThreatScanner } from "./ThreatScanner.ts"

const chainOf = (agent: Agent): ModelCall<never>["chain"] => [agent.model.primary, ...agent.model.failover]

/** Calls the router makes for the path itself are in the ledger and the audit log; the session log holds the conversation only. */
const unlogged: ModelJournal<never> = {
  asked: () => Effect.void,
  answered: () => Effect.void,
  failed: () => Effect.void
}

export const make = Effect.gen(function* () {
  const router = yield* Router
  const pricing = yield* Pricing
  const cache = yield* ResponseCache
  const policy = yield* ToolPolicy
  const scanner = yield* ThreatScanner
  const compactor = yield* Compactor
  const audit = yield* Audit
  const houseRules = yield* rules

  const journal = ({ run, record }: RunContext): ModelJournal<DatabaseError> => ({
    asked: (lease, attempt) => record(new ModelAsked({ run, model: lease.model, lease: lease.id, attempt }, true)),
    answered: (lease, { model, message, finish, usage, cost }) =>
      record(new ModelAnswered({ run, model, lease: lease.id, message, finish, usage, cost }, true)),
    failed: (lease, { model, failure, detail }, cost) =>
      record(new ModelFailed({ run, model, lease: lease.id, failure, detail, cost }))
  })

  const show = ({ emit }: RunContext, event: RouterEvent): Effect.Effect<void> => {
    switch (event._tag) {
      case "Reserved":
        return emit(new BudgetReserved({ tokens: event.lease.tokens, cost: event.lease.cost }, true))
      case "AttemptStarted":
        return emit(new ModelStarted({ model: event.model, attempt: event.attempt }, true))
      case "TextDelta":
        return emit(new AnswerDelta({ text: event.text }, true))
      case "ToolCallStarted":
        return Effect.void
      case "AttemptFailed": {
        const { model, failure, detail, partial } = event.error
        const { next, afterMs } = event
        return emit(new ModelAttemptFailed({ model, failure, detail, discard: partial, next, afterMs }))
      }
      case "Answered": {
        const { model, finish, usage, cost } = event.answer
        return emit(new ModelFinished({ model, finish, usage, cost, durationMs: event.durationMs }, true))
      }
    }
  }

  /** A summary of older history, asked for at the agent's compaction model or its own chain. */
  const summarise = (ctx: RunContext) => (request: ModelRequest) =>
    Effect.gen(function* () {
      const own = chainOf(ctx.agent)
      const chosen = ctx.agent.compaction.model
      const scanned = yield* scanner.pass(request)
      yield* ctx.flush
      const last = yield* router
        .stream({
          agent: ctx.agent,
          principal: ctx.principal,
          allowance: ctx.allowance,
          session: ctx.session,
          run: ctx.run,
          chain: chosen === undefined ? own : [chosen, ...own],
          request: scanned,
          journal: unlogged
        })
        .pipe(Stream.runLast)
      return Option.match(last, {
        onNone: () => "",
        onSome: (event) => (event._tag === "Answered" ? textOf(event.answer.message) : "")
      })
    })

  const buildRequest = Effect.fn("ModelStep.buildRequest")(function* (ctx: RunContext) {
    const { agent } = ctx
    const tools = yield* policy.offered(agent)
    const { contextWindow } = yield* pricing.price(agent.model.primary)
    const view = yield* ctx.view
    const system = systemPrompt(agent, houseRules, view.instructions)
    const compacted = yield* compactor.view({
      agent,
      messages: view.messages,
      system,
      tools,
      contextWindow,
      estimate: Tokens.estimate,
      summarise: summarise(ctx)
    })
    if (compacted.compacted) {
      yield* ctx.record(new Compacted({ run: ctx.run, upTo: view.messages.length, view: compacted.messages }))
      yield* ctx.emit(new HistoryCompacted({ before: compacted.tokensBefore, after: compacted.tokensAfter }))
    }
    // Made of parts that were decoded already; validating a long history again would cost more than asking.
    const request = new ModelRequest(
      { system, messages: compacted.messages, tools, maxOutputTokens: agent.maxOutputTokens },
      true
    )
    return yield* scanner.pass(request)
  })

  const askRouter = (ctx: RunContext, request: Scanned<ModelRequest>) =>
    Effect.gen(function* () {
      // Beside the reservation, so that one commit makes both durable: no money without its message. Should it
      // fail, the question's own record carries the message, and fails the run if it cannot be written either.
      yield* Effect.fork(ctx.flush)
      return yield* router
        .stream({
          agent: ctx.agent,
          principal: ctx.principal,
          allowance: ctx.allowance,
          session: ctx.session,
          run: ctx.run,
          chain: chainOf(ctx.agent),
          request,
          journal: journal(ctx)
        })
        .pipe(
          Stream.tap((event) => show(ctx, event)),
          Stream.runFold(Option.none<Answer>(), (found, event) =>
            event._tag === "Answered" ? Option.some(event.answer) : found
          )
        )
    })

  /** The answer is shown before it is stored: a hit waits for no disk. */
  const fromCache = Effect.fn("ModelStep.fromCache")(function* (ctx: RunContext, { model, message }: CachedAnswer) {
    yield* ctx.emit(new AnswerDelta({ text: textOf(message) }, true))
    // Whoever waits for the answer has it before the writing begins.
    yield* Effect.yieldNow()
    yield* ctx.defer(new AnsweredFromCache({ run: ctx.run, model, message }, true))
    yield* audit.note(
      new AuditEvent(
        {
          type: "cache.hit",
          agent: ctx.agent.id,
          principal: ctx.principal,
          session: ctx.session,
          run: ctx.run,
          data: { model }
        },
        true
      )
    )
  })

  /** Only a plain final answer may be given again: one that called tools depends on what they found. */
  const mayCache = (answer: Answer): boolean => answer.finish === "stop" && toolCallsOf(answer.message).length === 0

  const askAndStore = (ctx: RunContext, request: Scanned<ModelRequest>, ask: Extract<Lookup, { _tag: "ask" }>) =>
    askRouter(ctx, request).pipe(
      Effect.tap((answer) =>
        Option.match(Option.filter(answer, mayCache), {
          onNone: () => ask.abandon,
          onSome: ({ model, message }) => ask.store({ model, message })
        })
      )
    )

  /** As the cache found it. Whoever waits for this answer is let go whatever happens, also a stop right after the look. */
  const answerFound = (ctx: RunContext, request: Scanned<ModelRequest>, found: Lookup) =>
    Effect.gen(function* () {
      yield* ctx.emit(new CacheChecked({ result: found._tag === "ask" ? "miss" : found._tag }, true))
      switch (found._tag) {
        case "hit":
          return yield* fromCache(ctx, found.answer)
        case "ask":
          return yield* Effect.asVoid(askAndStore(ctx, request, found))
        case "off":
          return yield* Effect.asVoid(askRouter(ctx, request))
      }
    })

  return {
    /** Ends with the answer in the log, from the cache or from a model. */
    ask: Effect.fn("ModelStep.ask")(function* (ctx: RunContext) {
      const request = yield* buildRequest(ctx)
      const firstQuestion = (yield* ctx.view).run?.rounds === 0
      if (!firstQuestion) return yield* Effect.asVoid(askRouter(ctx, request))
      const lookup = cache.lookup({
        agent: ctx.agent.id,
        principal: ctx.principal,
        chain: chainOf(ctx.agent),
        request: request.value
      })
      yield* Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(lookup), (found) => {
          const answered = restore(answerFound(ctx, request, found))
          return found._tag === "ask" ? Effect.onError(answered, () => found.abandon) : answered
        })
      )
    })
  }
})
