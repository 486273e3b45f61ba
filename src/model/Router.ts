/**
 * Router: the one choke point through which every call to a model goes. Walks the chain primary →
 * failover; each attempt is priced, reserved, journalled, audited and settled on its own.
 *
 * Guarantees: nothing is sent that was not scanned and reserved; the failure taxonomy alone decides
 * between retry, failover and stop; an answer is one model's from beginning to end; an attempt that
 * was interrupted or whose usage is unknown is charged its whole reservation, unless it provably
 * never reached the provider.
 *
 * A failover model without a price, or one that rests after failures, is passed over while there
 * is another to ask. When a failover model is too dear for the budget, a later one is asked only if
 * it is cheaper; the primary being too dear ends the call, as does a paused agent.
 */
import { Context, Effect, Either, Layer, Mailbox, Option, Random, Stream } from "effect"
import type { Agent } from "../domain/Agent.ts"
import type { AuditUnavailable } from "../domain/Audit.ts"
import type { AgentPaused, BudgetExceeded } from "../domain/Budget.ts"
import type { Allowance } from "../domain/Caller.ts"
import type { PrincipalId, RunId, SessionId } from "../domain/Ids.ts"
import {
  type Answer,
  ModelError,
  type ModelRef,
  type ModelRequest,
  ModelUnavailable,
  type TextDelta,
  type ToolCallStarted,
  type UnknownPrice
} from "../domain/Model.ts"
import type { NanoUsd } from "../domain/Money.ts"
import { type BudgetLease, isGenuine, type Scanned } from "../domain/Proof.ts"
import { Audit } from "../kernel/Audit.ts"
import type { DatabaseError } from "../kernel/Database.ts"
import { Settings } from "../kernel/Settings.ts"
import { Budget } from "./Budget.ts"
import { Pricing } from "./Pricing.ts"
import { Providers } from "./Provider.ts"
import { attempt, auditEvent, type Emit, type Services, type Target } from "./router/Attempt.ts"
import * as Health from "./router/Health.ts"
import { decide, type Limits } from "./router/Taxonomy.ts"

/** The caller's write-ahead log. Each is durable before the router goes on. `asked` follows the reservation and runs beside the audit row; `answered` and `failed` run beside the settlement and share its commit. An attempt that is interrupted is closed by `failed`. */
export interface ModelJournal<E> {
  readonly asked: (lease: BudgetLease, attempt: number) => Effect.Effect<void, E>
  readonly answered: (lease: BudgetLease, answer: Answer) => Effect.Effect<void, E>
  readonly failed: (lease: BudgetLease, error: ModelError, charged: NanoUsd) => Effect.Effect<void, E>
}

export interface ModelCall<E> {
  readonly agent: Agent
  readonly principal: PrincipalId
  readonly allowance: Allowance | null
  readonly session?: SessionId
  readonly run: RunId
  readonly chain: readonly [ModelRef, ...ReadonlyArray<ModelRef>]
  readonly request: Scanned<ModelRequest>
  readonly journal: ModelJournal<E>
}

export type RouterEvent =
  | { readonly _tag: "Reserved"; readonly lease: BudgetLease }
  | { readonly _tag: "AttemptStarted"; readonly model: ModelRef; readonly attempt: number }
  | TextDelta
  | ToolCallStarted
  | {
      readonly _tag: "AttemptFailed"
      readonly error: ModelError
      readonly next: "retry" | "failover" | "stop"
      /** Milliseconds until the next attempt. */
      readonly afterMs: number
    }
  | { readonly _tag: "Answered"; readonly answer: Answer; readonly durationMs: number }

export type RouterError =
  | ModelUnavailable
  | UnknownPrice
  | BudgetExceeded
  | AgentPaused
  | DatabaseError
  | AuditUnavailable

export class Router extends Context.Tag("ai-desk/model/Router")<
  Router,
  {
    /** Ends with exactly one `Answered`, or fails. Interrupting it settles the open attempt before it returns. */
    readonly stream: <E>(call: ModelCall<E>) => Stream.Stream<RouterEvent, RouterError | E>
  }
>() {}

/** Who can be asked next, and why others cannot. */
interface Choice {
  readonly target: Option.Option<Target & { readonly resting: boolean }>
  readonly unpriced: Option.Option<UnknownPrice>
}

/** Events that a slow reader leaves waiting before the provider's stream is held back. */
const backlog = 256

const unscanned = (model: ModelRef) =>
  new ModelUnavailable({
    attempts: [
      new ModelError({ model, failure: "bad_request", detail: "the request did not pass the scanner", partial: false })
    ]
  })

/** Walks one call's chain. */
const walk = <E>(services: Services, health: Health.Health, limits: Limits, call: ModelCall<E>, emit: Emit) =>
  Effect.gen(function* () {
    const { pricing, audit } = services
    const request = call.request.value
    const tried = new Set<ModelRef>()
    const noted = new Set<ModelRef>()
    const errors: Array<ModelError> = []
    let window = 0
    let dearest: BudgetExceeded | undefined
    let number = 0

    const fits = ({ price, worst }: Target): boolean =>
      price.contextWindow > window &&
      (dearest === undefined || (dearest.unit === "usd" ? worst.cost : worst.tokens) < dearest.requested)

    const choose = Effect.gen(function* () {
      let unpriced: UnknownPrice | undefined
      let resting: Target | undefined
      for (const [position, model] of call.chain.entries()) {
        if (tried.has(model)) continue
        const found = yield* Effect.either(pricing.price(model))
        if (Either.isLeft(found)) {
          // The owner's first choice is never passed over in silence.
          if (position === 0) return yield* found.left
          if (!noted.has(model)) {
            yield* audit.note(auditEvent(call, "model.failed", { model, failure: "unknown_price" }))
            noted.add(model)
          }
          unpriced ??= found.left
          continue
        }
        const price = found.right
        const target: Target = { model, price, worst: pricing.worstCase(price, request) }
        if (!fits(target)) continue
        const state = yield* health.state(model)
        if (state === "ready") return { target: Option.some({ ...target, resting: false }), unpriced: Option.none() }
        if (state === "resting") resting ??= target
      }
      const last = Option.map(Option.fromNullable(resting), (target) => ({ ...target, resting: true }))
      return { target: last, unpriced: Option.fromNullable(unpriced) } satisfies Choice
    })

    const nobody = (choice: Choice): Effect.Effect<never, UnknownPrice | ModelUnavailable | BudgetExceeded> => {
      if (dearest !== undefined) return Effect.fail(dearest)
      if (Option.isSome(choice.unpriced)) return Effect.fail(choice.unpriced.value)
      const [first, ...rest] = errors
      const model = call.chain[0]
      const busy = new ModelError({
        model,
        failure: "overloaded",
        detail: "it keeps failing; another call is finding out whether it works again",
        partial: false
      })
      return Effect.fail(new ModelUnavailable({ attempts: first === undefined ? [busy] : [first, ...rest] }))
    }

    /** Asks one model until it answers or is given up. */
    const ask = (target: Target & { readonly resting: boolean }) =>
      Effect.gen(function* () {
        tried.add(target.model)
        for (let retries = 0; ; retries++) {
          number += 1
          const outcome = yield* Effect.zipRight(
            health.entered(target.model),
            attempt(services, call, target, number, limits, emit)
          ).pipe(Effect.onError(() => health.left(target.model)))
          if (Either.isRight(outcome)) {
            yield* health.succeeded(target.model)
            yield* emit({ _tag: "Answered", ...outcome.right })
            return Option.none<Choice>()
          }
          const error = outcome.left
          if (error._tag === "BudgetExceeded") {
            yield* health.left(target.model)
            if (target.model === call.chain[0]) return yield* Effect.fail(error)
            dearest = error
            return Option.some<Choice>(yield* choose)
          }
          errors.push(error)
          yield* health.failed(error, limits)
          const decision = decide(error, retries, limits, yield* Random.next)
          // A model that rests by now, or was tried as a last resort, is not asked again by this call.
          const mayRetry = !target.resting && (yield* health.state(target.model)) === "ready"
          if (decision._tag === "retry" && mayRetry) {
            yield* emit({ _tag: "AttemptFailed", error, next: "retry", afterMs: decision.afterMs })
            yield* Effect.sleep(decision.afterMs)
            continue
          }
          if (decision._tag === "larger") window = Math.max(window, target.price.contextWindow)
          const choice = decision._tag === "stop" ? { target: Option.none(), unpriced: Option.none() } : yield* choose
          const next = Option.isSome(choice.target) ? "failover" : "stop"
          yield* emit({ _tag: "AttemptFailed", error, next, afterMs: 0 })
          return Option.some<Choice>(choice)
        }
      })

    let choice: Choice = yield* choose
    for (;;) {
      if (Option.isNone(choice.target)) return yield* nobody(choice)
      const target = choice.target.value
      const outcome = yield* ask(target)
      if (Option.isNone(outcome)) return
      choice = outcome.value
    }
  })

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const services: Services = {
    providers: yield* Providers,
    pricing: yield* Pricing,
    budget: yield* Budget,
    audit: yield* Audit
  }
  const health = Health.make()
  return Router.of({
    stream: <E>(call: ModelCall<E>) =>
      Stream.unwrapScoped(
        Effect.gen(function* () {
          if (!isGenuine(call.request)) return yield* unscanned(call.chain[0])
          const { config } = yield* settings.current
          const mailbox = yield* Mailbox.make<RouterEvent, RouterError | E>({ capacity: backlog })
          yield* walk(services, health, config.router, call, (event) => Effect.asVoid(mailbox.offer(event))).pipe(
            Mailbox.into(mailbox),
            Effect.forkScoped
          )
          return Mailbox.toStream(mailbox)
        })
      ).pipe(Stream.withSpan("Router.stream"))
  })
})

export const layer: Layer.Layer<Router, never, Providers | Pricing | Budget | Audit | Settings> = Layer.effect(
  Router,
  make
)
