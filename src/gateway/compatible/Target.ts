/**
 * Target: what a client's `model` means, and whether its credential may use it. An agent's id
 * (optionally `agent/<id>`), or a raw `provider/model`. A vendor's bare name for its own model
 * (`claude-…`) means that vendor's, unless an agent is called so.
 */
import { Effect, Either, Option, Schema } from "effect"
import type { Agents } from "../../agent/Agents.ts"
import { AgentNotFound } from "../../domain/Agent.ts"
import type { CallerInfo } from "../../domain/Caller.ts"
import { ModelRef } from "../../domain/Model.ts"
import type { Settings } from "../../kernel/Settings.ts"
import type { Pricing } from "../../model/Pricing.ts"
import { CompatibleFailure, invalid } from "./Failure.ts"

export type Target = { readonly agent: string } | { readonly model: ModelRef }

export const idOf = (target: Target): string => ("agent" in target ? target.agent : target.model)

const agentPrefix = "agent/"
const decodeRef = Schema.decodeOption(ModelRef)

/** Says the same of what there is and what there is not, so that a limited token learns nothing. */
const mayUse = ({ models }: CallerInfo, target: Target): boolean => {
  if (models === null) return true
  const id = idOf(target)
  return models.some((allowed) => allowed === id || ("agent" in target && allowed === `${agentPrefix}${id}`))
}

const parse = (name: string, agents: ReadonlySet<string>): Target | null => {
  if (name.startsWith(agentPrefix)) return { agent: name.slice(agentPrefix.length) }
  if (agents.has(name)) return { agent: name }
  if (/^claude-[a-z0-9.-]+$/.test(name)) return { model: ModelRef.make(`anthropic/${name}`) }
  if (!name.includes("/")) return { agent: name }
  return Option.match(decodeRef(name), { onNone: () => null, onSome: (model) => ({ model }) })
}

export interface Services {
  readonly agents: typeof Agents.Service
  readonly settings: typeof Settings.Service
  readonly pricing: typeof Pricing.Service
}

/** The target, known to be there and allowed. */
export const resolve = ({ agents }: Services, caller: CallerInfo, name: string) =>
  Effect.gen(function* () {
    const known = (yield* agents.list).map(({ id }) => String(id))
    const target = parse(name, new Set(known))
    if (target === null) return yield* invalid("model", "model: expected an agent's id or provider/model")
    if (!mayUse(caller, target)) {
      return yield* new CompatibleFailure({
        kind: "permission",
        code: "model_not_allowed",
        param: "model",
        text: `this credential may not use ${idOf(target)}`
      })
    }
    if ("agent" in target && !known.includes(target.agent)) {
      return yield* new AgentNotFound({ agent: target.agent, known: caller.models === null ? known : [] })
    }
    return target
  })

/** Agents first, then the raw models that the settings name and that have a price. */
export const list = ({ agents, pricing, settings }: Services, caller: CallerInfo) =>
  Effect.gen(function* () {
    const all = yield* agents.list
    const { config } = yield* settings.current
    const named = [
      ...all.flatMap(({ model }) => [model.primary, ...model.failover]),
      ...Object.keys(config.prices).flatMap((ref) => Option.toArray(decodeRef(ref))),
      ...(caller.models ?? []).flatMap((ref) => Option.toArray(decodeRef(ref)))
    ].filter((ref) => !ref.startsWith(agentPrefix))
    const priced = yield* Effect.filter([...new Set(named)], (model) =>
      Effect.map(Effect.either(pricing.price(model)), Either.isRight)
    )
    const targets: ReadonlyArray<Target> = [
      ...all.map(({ id }): Target => ({ agent: id })),
      ...priced.map((model): Target => ({ model }))
    ]
    return targets.filter((target) => mayUse(caller, target))
  })

/** One that may be used; a raw model needs a price, since nothing without one is asked. */
export const find = (services: Services, caller: CallerInfo, name: string) =>
  Effect.tap(resolve(services, caller, name), (target) =>
    "model" in target ? services.pricing.price(target.model) : Effect.void
  )
