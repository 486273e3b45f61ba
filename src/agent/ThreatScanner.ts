/**
 * ThreatScanner: the first guard of the path. Normalises a text into its decoded views, matches the
 * rules against each, and says allow or block; in time linear in the text's length, on any input.
 * Only this module mints `Scanned`, so nothing reaches a model that it has not passed.
 *
 * What it holds: every user text of a passed request was allowed by the rules, and every tool result
 * in it is defused. Assistant texts and the system prompt pass as they are: the first were made by
 * the model that reads them again, the second is the owner's, or that of a program which holds a
 * token of the owner's. Such a program's prompt is scanned for the record and never blocked: prompts
 * of coding agents order a model about, as attacks do.
 */
import { Context, Effect, Layer } from "effect"
import type { PrincipalId } from "../domain/Ids.ts"
import { type Message, textOf, ToolMessage, ToolResultPart, type UserMessage } from "../domain/Message.ts"
import { ModelRequest } from "../domain/Model.ts"
import { mintScanned, type Scanned } from "../domain/Proof.ts"
import { ThreatBlocked, Verdict } from "../domain/Threat.ts"
import { sha256Hex } from "../kernel/Crypto.ts"
import { defuse } from "./threats/Defuse.ts"
import { inspect } from "./threats/Inspect.ts"

export class ThreatScanner extends Context.Tag("ai-desk/agent/ThreatScanner")<
  ThreatScanner,
  {
    /** Scans what a person or a program sent in. Fails with the canned reply when it must not reach the agent. */
    readonly scan: (text: string) => Effect.Effect<Verdict, ThreatBlocked>
    /** Scans tool results, files and descriptions: never blocks; returns the text with dangerous constructs defused, and the findings. */
    readonly scanUntrusted: (
      text: string,
      origin: string
    ) => Effect.Effect<{ readonly text: string; readonly verdict: Verdict }>
    /**
     * Scans the system prompt that a program of this principal's brought: never blocks. Null when the
     * same text came from it lately, so that what is recorded of it is recorded once.
     */
    readonly scanPrompt: (text: string, principal: PrincipalId) => Effect.Effect<Verdict | null>
    /**
     * Passes a whole request on to the router. Every user text in it that this process has not
     * already scanned is scanned now, so a request can only be minted by going through the rules.
     */
    readonly pass: (request: ModelRequest) => Effect.Effect<Scanned<ModelRequest>, ThreatBlocked>
  }
>() {}

/** What the sender of a blocked message sees: neither rule nor class, so that nobody can tune against it. */
export const cannedReply = "This message was not passed on to the agent: it looks like an attempt to attack it."

/** Texts allowed lately, so that a message scanned at the door is not scanned again when it is sent on. */
const rememberTexts = 256
const rememberCharacters = 1_000_000

/** By digest, so that prompts of any length take the same room. */
const rememberPrompts = 1024

const make = (): Context.Tag.Service<ThreatScanner> => {
  const texts = new Map<string, Verdict>()
  let characters = 0
  // By identity: a copy or a decoded twin is unknown and goes through the rules again.
  const messages = new WeakSet<Message>()

  const remember = (text: string, verdict: Verdict): void => {
    if (text.length > rememberCharacters / 4 || texts.has(text)) return
    texts.set(text, verdict)
    characters += text.length
    for (const oldest of texts.keys()) {
      if (texts.size <= rememberTexts && characters <= rememberCharacters) return
      texts.delete(oldest)
      characters -= oldest.length
    }
  }

  const scan = Effect.fn("ThreatScanner.scan")(function* (text: string) {
    const verdict = texts.get(text) ?? inspect(text)
    if (verdict.action === "block") return yield* new ThreatBlocked({ verdict, reply: cannedReply })
    remember(text, verdict)
    return verdict
  })

  const scanUntrusted = Effect.fn("ThreatScanner.scanUntrusted")(function* (text: string, origin: string) {
    yield* Effect.annotateCurrentSpan("origin", origin)
    const { score, findings } = inspect(text)
    const defused = defuse(text)
    return {
      text: defused.text,
      verdict: new Verdict({ action: "allow", score, findings: [...findings, ...defused.findings] })
    }
  })

  const prompts = new Set<string>()

  const scanPrompt = Effect.fn("ThreatScanner.scanPrompt")(function* (text: string, principal: PrincipalId) {
    const digest = yield* Effect.sync(() => sha256Hex(JSON.stringify([principal, text])))
    if (prompts.has(digest)) return null
    const { score, findings } = inspect(text)
    prompts.add(digest)
    for (const oldest of prompts) {
      if (prompts.size <= rememberPrompts) break
      prompts.delete(oldest)
    }
    return new Verdict({ action: "allow", score, findings })
  })

  const passUser = (message: UserMessage) => {
    // All parts as one text: an attack split over parts reads as one to the model too.
    const text = textOf(message)
    return texts.has(text) ? Effect.void : Effect.asVoid(scan(text))
  }

  const defusedResults = (message: ToolMessage): ToolMessage => {
    const results = message.results.map((result) => {
      const { text } = defuse(result.content)
      return text === result.content ? result : new ToolResultPart({ ...result, content: text })
    })
    return results.every((result, i) => result === message.results[i]) ? message : new ToolMessage({ results })
  }

  const passMessage = <M extends Message>(message: M): Effect.Effect<Message, ThreatBlocked> =>
    Effect.gen(function* () {
      if (messages.has(message)) return message
      let passed: Message = message
      if (message._tag === "User") yield* passUser(message)
      if (message._tag === "Tool") passed = defusedResults(message)
      messages.add(passed)
      return passed
    })

  const pass = Effect.fn("ThreatScanner.pass")(function* (request: ModelRequest) {
    const [first, ...rest] = request.messages
    const passedFirst = yield* passMessage(first)
    const passedRest = yield* Effect.forEach(rest, passMessage)
    const unchanged = passedFirst === first && passedRest.every((message, i) => message === rest[i])
    return mintScanned(unchanged ? request : new ModelRequest({ ...request, messages: [passedFirst, ...passedRest] }))
  })

  return { scan, scanUntrusted, scanPrompt, pass }
}

export const layer: Layer.Layer<ThreatScanner> = Layer.sync(ThreatScanner, make)
