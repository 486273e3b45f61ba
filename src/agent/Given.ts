/**
 * Given: a conversation that a client carries, as the path takes it in.
 *
 * Guarantees: what tools of the client found is framed as data from outside, as any tool's result
 * is; whatever the person did not write themselves (answers, results) makes the conversation
 * untrusted, because nobody here has seen where it came from. The client's own system prompt is not
 * blocked, whatever it says: it comes from a program that the owner gave a token; what the scanner
 * finds in it is in the audit log, once for each text.
 */
import { Effect } from "effect"
import type { Agent } from "../domain/Agent.ts"
import { AuditEvent } from "../domain/Audit.ts"
import type { PrincipalId, RunId } from "../domain/Ids.ts"
import { Taint, untainted } from "../domain/Labels.ts"
import { type Message, ToolMessage, ToolResultPart } from "../domain/Message.ts"
import type { Audit } from "../kernel/Audit.ts"
import type { ThreatScanner } from "./ThreatScanner.ts"
import * as Turn from "./Turn.ts"

/** What the client says of itself, as a source of content. */
const source = "client"
const fromClient = new Taint({ sources: [source], privateSeen: false })

const framed = (message: Message): Message =>
  message._tag !== "Tool"
    ? message
    : new ToolMessage(
        {
          results: message.results.map(
            (result) =>
              new ToolResultPart(
                { ...result, content: Turn.frameUntrusted(result.content, [source]), taint: fromClient },
                true
              )
          )
        },
        true
      )

export const takeIn = (
  messages: ReadonlyArray<Message>
): { readonly messages: ReadonlyArray<Message>; readonly taint: Taint } => ({
  messages: messages.map(framed),
  taint: messages.some(({ _tag }) => _tag !== "User") ? fromClient : untainted
})

/** Never fails and never holds up: what is found in the client's system prompt is written down. */
export const recordPrompt = (
  scanner: typeof ThreatScanner.Service,
  audit: typeof Audit.Service,
  instructions: string,
  { agent, principal, run }: { readonly agent: Agent; readonly principal: PrincipalId; readonly run: RunId }
): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (instructions.trim() === "") return
    const verdict = yield* scanner.scanPrompt(instructions, principal)
    if (verdict === null || verdict.findings.length === 0) return
    const rules = verdict.findings.map(({ rule }) => rule).join(" ")
    const data = { origin: "system prompt", score: verdict.score, rules }
    yield* audit.note(new AuditEvent({ type: "threat.flagged", agent: agent.id, principal, run, data }, true))
  })
