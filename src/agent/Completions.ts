/**
 * Completions: one question to a model for a client that brings its own tools or wants a raw model.
 * The guarded path of a message without a session:
 *
 *   scan → accept → (cache → reserve → ask → settle) → end
 *
 * Guarantees: no model is asked before every text of the person was scanned; what the scanner finds
 * in the client's system prompt is recorded, and blocks nothing; results of the client's tools arrive
 * framed and defused; an agent's chain and caps hold for an agent, the default agent's caps for a raw model, the caller's allowance for both; what was
 * asked and how it ended is in the audit log. Tool calls are the client's to run: nothing runs here.
 * Nothing is stored: the client carries the conversation, so there is no session to show or resume.
 */
import { Cause, Context, Effect, Exit, Layer, Mailbox, type Scope, Stream } from "effect"
import type { Agent, AgentNotFound } from "../domain/Agent.ts"
import { AuditEvent } from "../domain/Audit.ts"
import type { Allowance } from "../domain/Caller.ts"
import type { PrincipalId, RunId } from "../domain/Ids.ts"
import { textOf, toolCallsOf } from "../domain/Message.ts"
import { type Answer, type ModelRef, ModelRequest, ToolSpec } from "../domain/Model.ts"
import type { Scanned } from "../domain/Proof.ts"
import type { ThreatBlocked } from "../domain/Threat.ts"
import { Audit } from "../kernel/Audit.ts"
import { newId } from "../kernel/Ids.ts"
import { type CachedAnswer, type Lookup, ResponseCache } from "../model/ResponseCache.ts"
import { type ModelCall, type ModelJournal, Router, type RouterError, type RouterEvent } from "../model/Router.ts"
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
    /** Its events begin with Begun, and end with one of Answered and Cached, or fail. Closing the scope early settles what is open. */
    readonly open: (
      completion: Completion
    ) => Effect.Effect<Mailbox.ReadonlyMailbox<CompletionEvent, CompletionError>, never, Scope.Scope>
  }
>() {}

const unlogged: ModelJournal<never> = {
  asked: () => Effect.void,
  answered: () => Effect.void,
  failed: () => Effect.void
}

interface Accepted {
  readonly agent: Agent
  readonly run: RunId
  readonly chain: ModelCall<never>["chain"]
  readonly request: Scanned<ModelRequest>
}

type Answered = Extract<CompletionEvent, { _tag: "Answered" }>

const nothingUsed = { toolCalls: 0, tokens: 0, nanoUsd: 0 }

const ended = (last: Answered | Extract<CompletionEvent, { _tag: "Cached" }>): AuditEvent["data"] =>
  last._tag === "Cached"
    ? { ...nothingUsed, end: "answered" }
    : {
        end: "answered",
        toolCalls: toolCallsOf(last.answer.message).length,
        tokens: last.answer.usage.totalTokens,
        nanoUsd: last.answer.cost
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
  const accept = (completion: Completion, agent: Agent, run: RunId) =>
    Effect.gen(function* () {
      const { maxOutputTokens = agent.maxOutputTokens, messages, system, tools, ...rest } = completion.request
      const [first, ...others] = Given.takeIn(messages).messages
      if (first === undefined) return yield* Effect.dieMessage("a completion without messages")
      const offered = yield* Effect.forEach(tools, (tool) =>
        Effect.map(
          defusedDescription(tool.description),
          (description) => new ToolSpec({ name: tool.name, description, parameters: tool.parameters }, true)
        )
      )
      const made = new ModelRequest(
        {
          ...rest,
          system: "agent" in completion.ask ? systemPrompt(agent, houseRules, system) : system,
          messages: [first, ...others],
          tools: offered,
          maxOutputTokens
        },
        true
      )
      yield* Given.recordPrompt(scanner, audit, system, { agent, principal: completion.principal, run })
      // The person's texts are scanned by the pass itself, where they are new.
      const request = yield* scanner.pass(made).pipe(
        Effect.tapErrorTag("ThreatBlocked", ({ verdict }) =>
          audit.append(
            note("threat.blocked", agent, completion, run, {
              score: verdict.score,
              rules: verdict.findings.map((finding) => finding.rule).join(" ")
            })
          )
        )
      )
      const last = messages.at(-1)
      const characters = last?._tag === "User" ? textOf(last).length : 0
      yield* audit.note(note("message.accepted", agent, completion, run, { characters, tools: tools.length }))
      const chain: Accepted["chain"] =
        "agent" in completion.ask ? [agent.model.primary, ...agent.model.failover] : [completion.ask.model]
      return { agent, run, chain, request } satisfies Accepted
    })

  type Emit = (event: CompletionEvent) => Effect.Effect<void>

  /** Asks the model, and returns what it came to. */
  const ask = (completion: Completion, { agent, chain, request, run }: Accepted, emit: Emit) =>
    Effect.gen(function* () {
      const { allowance, principal } = completion
      let answer: Answered | undefined
      yield* Stream.runForEach(
        router.stream({ agent, principal, allowance, run, chain, request, journal: unlogged }),
        (event) => {
          if (event._tag !== "Answered") return emit(event)
          answer = event
          return Effect.void
        }
      )
      return answer ?? (yield* Effect.dieMessage("a model call ended without an answer"))
    })

  /** From the cache or from a model. Whoever waits for this answer is let go whatever happens. */
  const answer = (completion: Completion, accepted: Accepted, emit: Emit) => {
    const { agent, chain, request, run } = accepted
    if (!mayCache(request.value)) return ask(completion, accepted, emit)
    const lookup = cache.lookup({ agent: agent.id, principal: completion.principal, chain, request: request.value })
    const found = (looked: Lookup) =>
      Effect.gen(function* () {
        if (looked._tag === "hit") {
          yield* audit.note(note("cache.hit", agent, completion, run, { model: looked.answer.model }))
          return { _tag: "Cached", answer: looked.answer } as const
        }
        const asked = yield* ask(completion, accepted, emit)
        if (looked._tag === "ask") {
          const { message, model } = asked.answer
          yield* isFinal(asked.answer) ? looked.store({ model, message }) : looked.abandon
        }
        return asked
      })
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(lookup), (looked) => {
        const done = restore(found(looked))
        return looked._tag === "ask" ? Effect.onError(done, () => looked.abandon) : done
      })
    )
  }

  const complete = (completion: Completion, emit: Emit) =>
    Effect.gen(function* () {
      const agent = yield* agents.get("agent" in completion.ask ? completion.ask.agent : undefined)
      const run = yield* newId("run")
      yield* emit({ _tag: "Begun", run })
      const accepted = yield* accept(completion, agent, run)
      // Says in the audit log how it ended, however it did.
      const last = yield* answer(completion, accepted, emit).pipe(
        Effect.onExit((exit) => {
          const how = Exit.isSuccess(exit)
            ? ended(exit.value)
            : { ...nothingUsed, end: Cause.isInterruptedOnly(exit.cause) ? "stopped" : "failed" }
          return audit.note(note("run.ended", agent, completion, run, how))
        })
      )
      // Told last: whoever has it may leave, and nothing is left to be done then.
      yield* emit(last)
    })

  return Completions.of({
    open: (completion) =>
      Effect.gen(function* () {
        const mailbox = yield* Mailbox.make<CompletionEvent, CompletionError>()
        const emit = (event: CompletionEvent) => Effect.asVoid(mailbox.offer(event))
        yield* complete(completion, emit).pipe(Mailbox.into(mailbox), Effect.forkScoped)
        return mailbox
      })
  })
})

export const layer = Layer.effect(Completions, make)
