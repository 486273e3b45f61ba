/**
 * Attempt: one reservation, one question to one model, one settlement.
 *
 * Guarantees: the reservation, the journal's `asked` and the audit row are durable before the
 * provider is called; whatever happens then, also an interruption, the lease is settled before the
 * attempt ends; usage that is missing or cannot be true is charged as the whole reservation.
 */
import { Cause, Clock, Effect, Either, Exit, Option, Stream } from "effect"
import { AuditEvent, type AuditUnavailable } from "../../domain/Audit.ts"
import type { AgentPaused, BudgetExceeded } from "../../domain/Budget.ts"
import {
  Answer,
  type Completed,
  ModelError,
  type ModelPrice,
  type ModelRef,
  type ModelRequest,
  splitModelRef,
  Usage
} from "../../domain/Model.ts"
import { NanoUsd } from "../../domain/Money.ts"
import type { BudgetLease } from "../../domain/Proof.ts"
import type { Audit } from "../../kernel/Audit.ts"
import type { DatabaseError } from "../../kernel/Database.ts"
import * as Meters from "../../kernel/Meters.ts"
import type { Budget } from "../Budget.ts"
import type { Pricing, WorstCase } from "../Pricing.ts"
import type { Provider, Providers } from "../Provider.ts"
import type { ModelCall, RouterEvent } from "../Router.ts"
import { type Limits, mayBeBilled } from "./Taxonomy.ts"

export interface Target {
  readonly model: ModelRef
  readonly price: ModelPrice
  readonly worst: WorstCase
}

export interface Services {
  readonly providers: typeof Providers.Service
  readonly pricing: typeof Pricing.Service
  readonly budget: typeof Budget.Service
  readonly audit: typeof Audit.Service
}

export interface Answered {
  readonly answer: Answer
  /** Milliseconds. */
  readonly durationMs: number
}

export type Emit = (event: RouterEvent) => Effect.Effect<void>

/** Small facts about a call for the audit log. */
export const auditEvent = (call: ModelCall<unknown>, type: AuditEvent["type"], data: AuditEvent["data"]): AuditEvent =>
  new AuditEvent(
    {
      type,
      agent: call.agent.id,
      principal: call.principal,
      run: call.run,
      ...(call.session === undefined ? {} : { session: call.session }),
      data
    },
    true
  )

const failedEvent = (
  call: ModelCall<unknown>,
  number: number,
  error: ModelError,
  charged: number,
  lease?: BudgetLease
) =>
  auditEvent(call, "model.failed", {
    model: error.model,
    attempt: number,
    failure: error.failure,
    partial: error.partial,
    charged,
    ...(lease === undefined ? {} : { lease: lease.id }),
    ...(error.status === undefined ? {} : { status: error.status })
  })

const count = (n: number): boolean => Number.isSafeInteger(n) && n >= 0

/** Usage as reported, if it can be true: a prompt is never empty, and neither is the count of an answer with content. */
const credible = ({ usage, message }: Completed): Option.Option<Usage> => {
  if (usage === undefined) return Option.none()
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = usage
  const prompt = inputTokens + cacheReadTokens + cacheWriteTokens
  const counts = [inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens]
  return counts.every(count) && prompt > 0 && (outputTokens > 0 || message.content.length === 0)
    ? Option.some(usage)
    : Option.none()
}

/** The whole reservation as usage, so that the sums of the session log and of the ledger agree. */
const wholeOf = (lease: BudgetLease, request: ModelRequest): Usage =>
  new Usage({
    inputTokens: Math.max(0, lease.tokens - request.maxOutputTokens),
    outputTokens: Math.min(lease.tokens, request.maxOutputTokens),
    cacheReadTokens: 0,
    cacheWriteTokens: 0
  })

const asPartial = ({ model, failure, detail, status, retryAfterMs }: ModelError): ModelError =>
  new ModelError({ model, failure, detail, status, retryAfterMs, partial: true })

/** Passes on what the provider streams until it is complete, within the deadlines. */
const consume = (call: ModelCall<unknown>, provider: Provider, lease: BudgetLease, limits: Limits, emit: Emit) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { model } = lease
      let partial = false
      let first = true
      const pull = yield* Stream.toPull(provider.stream(call.request, lease))
      for (;;) {
        const limit = first ? limits.firstTokenTimeoutMs : limits.idleTimeoutMs
        const chunk = yield* pull.pipe(
          Effect.mapError(
            Option.getOrElse(
              () =>
                new ModelError({
                  model,
                  failure: "network",
                  detail: "the answer ended before it was complete",
                  partial: true
                })
            )
          ),
          Effect.timeoutFail({
            duration: limit,
            onTimeout: () =>
              new ModelError({
                model,
                failure: "timeout",
                detail: first ? `no first token within ${limit} ms` : `nothing more within ${limit} ms`,
                partial
              })
          }),
          // Whether anything was shown is known here, whatever the adapter says.
          Effect.mapError((error) => (partial && !error.partial ? asPartial(error) : error))
        )
        for (const event of chunk) {
          first = false
          if (event._tag === "Completed") return event
          partial = true
          yield* emit(event)
        }
      }
    })
  )

/** Both, whatever becomes of either, so that they can share a commit. */
const together = <E1, E2>(
  left: Effect.Effect<void, E1>,
  right: Effect.Effect<void, E2>
): Effect.Effect<void, E1 | E2> =>
  Effect.all([Effect.exit(left), Effect.exit(right)], { concurrency: "unbounded" }).pipe(
    Effect.flatMap(([a, b]) => Exit.zipParRight(a, b))
  )

const stopped = (model: ModelRef, cause: Cause.Cause<unknown>): ModelError =>
  new ModelError({
    model,
    // The taxonomy has no word for it: nobody decides anything by this error, it only closes the journal's entry.
    failure: "timeout",
    detail: Cause.isInterrupted(cause) ? "stopped before the answer was complete" : "given up by the gateway",
    partial: true
  })

/** For the trace, by the semantic conventions for generative AI; never what is said. */
const callFacts = (model: ModelRef, { request, session }: ModelCall<unknown>) => {
  const { model: name, provider } = splitModelRef(model)
  return {
    "gen_ai.operation.name": "chat",
    // The conventions' own name for it.
    "gen_ai.provider.name": provider === "google" ? "gcp.gemini" : provider,
    "gen_ai.request.model": name,
    "gen_ai.request.max_tokens": request.value.maxOutputTokens,
    ...(session === undefined ? {} : { "gen_ai.conversation.id": session })
  }
}

const usageFacts = ({ finish, model, usage }: Answer) => ({
  "gen_ai.response.model": splitModelRef(model).model,
  "gen_ai.response.finish_reasons": [finish],
  // The conventions count what was read from or written to a cache among the input.
  "gen_ai.usage.input_tokens": usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens,
  "gen_ai.usage.output_tokens": usage.outputTokens
})

/** Right: the model's one answer. Left: how the model failed, the lease being settled; or why it could not be paid for. Fails only when the path itself cannot go on. */
export const attempt = <E>(
  { providers, pricing, budget, audit }: Services,
  call: ModelCall<E>,
  { model, price, worst }: Target,
  number: number,
  limits: Limits,
  emit: Emit
): Effect.Effect<
  Either.Either<Answered, ModelError | BudgetExceeded>,
  AgentPaused | DatabaseError | AuditUnavailable | E
> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const found = yield* Effect.either(restore(providers.get(model)))
      if (Either.isLeft(found)) {
        yield* audit.note(failedEvent(call, number, found.left, 0))
        return Either.left(found.left)
      }
      const reserved = yield* budget
        .reserve({
          agent: call.agent,
          principal: call.principal,
          allowance: call.allowance,
          run: call.run,
          model,
          ...worst
        })
        .pipe(
          Effect.map(Either.right),
          Effect.catchTag("BudgetExceeded", (refused) => Effect.succeed(Either.left(refused)))
        )
      if (Either.isLeft(reserved)) return Either.left(reserved.left)
      const lease = reserved.right
      const startedAt = yield* Clock.currentTimeMillis
      const journalled = { asked: false }
      const reached = { provider: false }

      const asked = call.journal
        .asked(lease, number)
        .pipe(Effect.tap(() => Effect.sync(() => (journalled.asked = true))))
      const recorded = audit.append(
        auditEvent(call, "model.asked", {
          lease: lease.id,
          model,
          attempt: number,
          tokens: lease.tokens,
          cost: lease.cost
        })
      )
      const exit = yield* Effect.gen(function* () {
        yield* emit({ _tag: "Reserved", lease })
        yield* together(asked, Effect.asVoid(recorded))
        yield* emit({ _tag: "AttemptStarted", model, attempt: number })
        reached.provider = true
        return yield* Effect.either(consume(call, found.right, lease, limits, emit))
      }).pipe(restore, Effect.exit)

      const nothing = { tokens: 0, cost: NanoUsd.make(0) }
      const whole = { tokens: lease.tokens, cost: NanoUsd.make(lease.cost) }

      if (Exit.isFailure(exit)) {
        const charge = reached.provider ? whole : nothing
        const error = stopped(model, exit.cause)
        const closed = journalled.asked ? call.journal.failed(lease, error, charge.cost) : Effect.void
        const settled = yield* Effect.exit(together(budget.settle(lease, charge), closed))
        yield* audit.note(failedEvent(call, number, error, charge.cost, lease))
        return yield* Exit.isFailure(settled)
          ? Effect.failCause(Cause.sequential(exit.cause, settled.cause))
          : Effect.failCause(exit.cause)
      }
      if (Either.isLeft(exit.value)) {
        const error = exit.value.left
        yield* Effect.annotateCurrentSpan("error.type", error.failure)
        const charge = mayBeBilled(error) ? whole : nothing
        yield* together(budget.settle(lease, charge), call.journal.failed(lease, error, charge.cost))
        yield* audit.note(failedEvent(call, number, error, charge.cost, lease))
        return Either.left(error)
      }
      const completed = exit.value.right
      const usage = credible(completed)
      const used = Option.match(usage, {
        onNone: () => whole,
        onSome: (known) => ({ tokens: known.totalTokens, cost: pricing.cost(price, known) })
      })
      const answer = new Answer(
        {
          model,
          message: completed.message,
          finish: completed.finish,
          usage: Option.getOrElse(usage, () => wholeOf(lease, call.request.value)),
          cost: used.cost
        },
        true
      )
      yield* together(budget.settle(lease, used), call.journal.answered(lease, answer))
      const durationMs = Math.max(0, (yield* Clock.currentTimeMillis) - startedAt)
      yield* audit.note(
        auditEvent(call, "model.answered", {
          lease: lease.id,
          model,
          attempt: number,
          finish: answer.finish,
          usageKnown: Option.isSome(usage),
          ...used
        })
      )
      Meters.answered(answer, durationMs)
      yield* Effect.annotateCurrentSpan(usageFacts(answer))
      return Either.right({ answer, durationMs })
    })
  ).pipe(Effect.withSpan(`chat ${splitModelRef(model).model}`, { kind: "client", attributes: callFacts(model, call) }))
