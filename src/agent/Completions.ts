/**
 * Completions: one question to a model for a client that brings its own tools or wants a raw model.
 * The guarded path of a message without a session:
 *
 *   scan → accept → (cache → reserve → ask → settle) → end
 *
 * Guarantees: no model is asked before the client's system prompt and every text of the person was
 * scanned; results of the client's tools arrive framed and defused; an agent's chain and caps hold
 * for an agent, the default agent's caps for a raw model, the caller's allowance for both; what was
 * asked and how it ended is in the audit log. Tool calls are the client's to run: nothing runs here.
 * Nothing is stored: the client carries the conversation, so there is no session to show or resume.
 */
import { Context, Effect, Layer, Ref, Stream } from "effect"
import type { Agent, AgentNotFound } from "../domain/Agent.ts"
import { AuditEvent } from "../domain/Audit.ts"
import type { Allowance } from "../domain/Caller.ts"
import type { PrincipalId, RunId } from "../domain/Ids.ts"
import { textOf, toolCallsOf } from "../domain/Message.ts"
import { type Answer, type ModelRef, ModelRequest, ToolSpec } from "../domain/Model.ts"
import type { ThreatBlocked } from "../domain/Threat.ts"
import { Audit } from "../kernel/Audit.ts"
import { newId } from "../kernel/Ids.ts"
import { type CachedAnswer, type Lookup, ResponseCache } from "../model/ResponseCache.ts"
import { type ModelJournal, Router, type RouterError, type RouterEvent } from "../model/Router.ts"
import { Agents } from "./Agents.ts"
import * as Given from "./Given.ts"
import { rules, systemPrompt } from "./SystemPrompt.ts"
import { ThreatScanner } from "./ThreatScanner.ts"

export interface Completion {
  /** An agent's chain under its owner's prompt; or one model, as the client prompts it. */
  readonly ask: { readonly agent: string } | { readonly model: ModelRef }
  readonly principal: PrincipalId
  readonly allowance: Allowance | null
  /** `system` is the client's. `maxOutputTokens` absent: the agent's. */
  readonly request: Omit<ConstructorParameters<typeof ModelRequest>[0], "maxOutputTokens"> & {
    readonly maxOutputTokens: number | undefined
  }
}

export type CompletionEvent =
  | { readonly _tag: "Begun"; readonly run: RunId }
  | RouterEvent
  | { readonly _tag: "Cached"; readonly answer: CachedAnswer }

export type CompletionError = AgentNotFound | ThreatBlocked | RouterError

export class Completions extends Context.Tag("ai-desk/agent/Completions")<
  Completions,
  {
    /** Begins with Begun and ends with exactly one of Answered and Cached, or fails. Closing it early settles what is open. */
    readonly stream: (completion: Completion) => Stream.Stream<CompletionEvent, CompletionError>
  }
>() {}

const unlogged: ModelJournal<never> = {
  asked: () => Effect.void,
  answered: () => Effect.void,
  failed: () => Effect.void
}

/** A coding agent sends the same descriptions with every request. */
const rememberDescriptions = 1024

/** A question that is asked to get something else each time, or may end in a call, is not answered from before. */
const mayCache = ({ temperature, tools }: ModelRequest): boolean =>
  tools.length === 0 && (temperature === undefined || temperature === 0)

const isFinal = (answer: Answer): boolean => answer.finish === "stop" && toolCallsOf(answer.message).length === 0

const make = Effect.gen(function* () {
  const agents = yield* Agents
  const scanner = yield* ThreatScanner
  const cache = yield* ResponseCache
  const router = yield* Router
  const audit = yield* Audit
  const houseRules = yield* rules
  const descriptions = new Map<string, string>()

  const defusedDescription = (text: string) =>
    Effect.gen(function* () {
      const known = descriptions.get(text)
      if (known !== undefined) return known
      const { text: defused } = yield* scanner.scanUntrusted(text, "tool description")
      if (descriptions.size >= rememberDescriptions) descriptions.clear()
      descriptions.set(text, defused)
      return defused
    })

  const note = (
    type: AuditEvent["type"],
    agent: Agent,
    { principal }: Completion,
    run: RunId,
    data: AuditEvent["data"]
  ) => new AuditEvent({ type, agent: agent.id, principal, run, data }, true)

  /** As it is sent on: scanned, framed, under the owner's prompt where an agent is asked. */
  const accept = Effect.fn("Completions.accept")(function* (completion: Completion, agent: Agent, run: RunId) {
    const { maxOutputTokens = agent.maxOutputTokens, messages, system, tools, ...rest } = completion.request
    const own = messages.flatMap((message) => (message._tag === "User" ? [textOf(message)] : []))
    yield* Effect.forEach([system, ...own], (text) => (text === "" ? Effect.void : scanner.scan(text)), {
      discard: true
    }).pipe(
      Effect.tapErrorTag("ThreatBlocked", ({ verdict }) =>
        audit.append(
          note("threat.blocked", agent, completion, run, {
            score: verdict.score,
            rules: verdict.findings.map((finding) => finding.rule).join(" ")
          })
        )
      )
    )
    const [first, ...others] = Given.takeIn(messages).messages
    if (first === undefined) return yield* Effect.dieMessage("a completion without messages")
    const offered = yield* Effect.forEach(tools, (tool) =>
      Effect.map(
        defusedDescription(tool.description),
        (description) => new ToolSpec({ name: tool.name, description, parameters: tool.parameters }, true)
      )
    )
    const request = new ModelRequest(
      {
        ...rest,
        system: "agent" in completion.ask ? systemPrompt(agent, houseRules, system) : system,
        messages: [first, ...others],
        tools: offered,
        maxOutputTokens
      },
      true
    )
    const scanned = yield* scanner.pass(request)
    const characters = own.at(-1)?.length ?? 0
    yield* audit.note(note("message.accepted", agent, completion, run, { characters, tools: tools.length }))
    return scanned
  })

  const body = (completion: Completion, run: RunId, agent: Agent) =>
    Effect.gen(function* () {
      const { allowance, ask, principal } = completion
      const chain = "agent" in ask ? ([agent.model.primary, ...agent.model.failover] as const) : ([ask.model] as const)
      const request = yield* accept(completion, agent, run)
      const asked = router.stream({
        agent,
        principal,
        allowance,
        run,
        chain: [chain[0], ...chain.slice(1)],
        request,
        journal: unlogged
      })
      if (!mayCache(request.value)) return asked
      const lookup = cache.lookup({ agent: agent.id, principal, chain, request: request.value })
      // Whoever waits for this answer is let go whatever happens; after `store` that changes nothing.
      const found: Lookup = yield* Effect.uninterruptibleMask((restore) =>
        Effect.tap(restore(lookup), (looked) =>
          looked._tag === "ask" ? Effect.addFinalizer(() => looked.abandon) : Effect.void
        )
      )
      switch (found._tag) {
        case "hit":
          yield* audit.note(note("cache.hit", agent, completion, run, { model: found.answer.model }))
          return Stream.succeed<CompletionEvent>({ _tag: "Cached", answer: found.answer })
        case "off":
          return asked
        case "ask":
          return Stream.tap(asked, (event) =>
            event._tag === "Answered" && isFinal(event.answer)
              ? found.store({ model: event.answer.model, message: event.answer.message })
              : Effect.void
          )
      }
    })

  /** Says in the audit log how it ended, however it did. */
  const recorded = (
    completion: Completion,
    run: RunId,
    agent: Agent,
    events: Stream.Stream<CompletionEvent, CompletionError>
  ) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const end = yield* Ref.make<AuditEvent["data"]>({ end: "stopped", toolCalls: 0, tokens: 0, nanoUsd: 0 })
        yield* Effect.addFinalizer(() =>
          Effect.flatMap(Ref.get(end), (data) => audit.note(note("run.ended", agent, completion, run, data)))
        )
        return Stream.tap(events, (event) =>
          event._tag === "Answered"
            ? Ref.set(end, {
                end: "answered",
                toolCalls: toolCallsOf(event.answer.message).length,
                tokens: event.answer.usage.totalTokens,
                nanoUsd: event.answer.cost
              })
            : event._tag === "Cached"
              ? Ref.update(end, (data) => ({ ...data, end: "answered" }))
              : Effect.void
        ).pipe(Stream.tapErrorCause(() => Ref.update(end, (data) => ({ ...data, end: "failed" }))))
      })
    )

  return Completions.of({
    stream: (completion) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const agent = yield* agents.get("agent" in completion.ask ? completion.ask.agent : undefined)
          const run = yield* newId("run")
          const events = Stream.unwrapScoped(body(completion, run, agent))
          return Stream.concat(
            Stream.succeed<CompletionEvent>({ _tag: "Begun", run }),
            recorded(completion, run, agent, events)
          )
        })
      )
  })
})

export const layer = Layer.effect(Completions, make)
