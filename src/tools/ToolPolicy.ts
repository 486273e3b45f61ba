/**
 * ToolPolicy: may this agent make this call? Deny-all unless the profile or the allow list says
 * otherwise; deny wins over everything; wildcards match built-ins only. Decides on the decoded
 * arguments, which it freezes; what a model calls `sandbox`, `cwd`, `env` or `timeout` is not an
 * argument of any tool and has no power.
 */
import { Context, Effect, Either, Layer, Option, ParseResult, Schema } from "effect"
import type { Agent, ToolProfile } from "../domain/Agent.ts"
import type { RunId, SessionId } from "../domain/Ids.ts"
import type { Taint } from "../domain/Labels.ts"
import type { ToolCallPart } from "../domain/Message.ts"
import type { ToolSpec } from "../domain/Model.ts"
import { mintPermitted, type Permitted } from "../domain/Proof.ts"
import { InvalidToolArguments, ToolDenied } from "../domain/Tool.ts"
import { Crypto } from "../kernel/Crypto.ts"
import { canonical, deepFreeze, freshCopy } from "./Arguments.ts"
import { escapeLine } from "./PlainText.ts"
import { type Tool, ToolRegistry } from "./ToolRegistry.ts"

export interface CallContext {
  readonly agent: Agent
  readonly session: SessionId
  readonly run: RunId
  /** What the session has taken in before this call. */
  readonly taint: Taint
  readonly call: ToolCallPart
}

/** A call that only a human can let through. Handed to Approvals, which alone can turn it into `Permitted`. */
export interface NeedsApproval {
  readonly _tag: "NeedsApproval"
  readonly tool: Tool
  readonly context: CallContext
  /** Decoded and frozen. */
  readonly arguments: unknown
  readonly callHash: string
  /** Why, for the human: high risk, tainted sources, … */
  readonly reason: string
}

export type Decision =
  | { readonly _tag: "Permitted"; readonly tool: Tool; readonly permitted: Permitted }
  | NeedsApproval

export class ToolPolicy extends Context.Tag("ai-desk/tools/ToolPolicy")<
  ToolPolicy,
  {
    readonly decide: (context: CallContext) => Effect.Effect<Decision, ToolDenied | InvalidToolArguments>
    /** The tools to offer a model: those that `decide` would not deny, sorted by name. */
    readonly offered: (agent: Agent) => Effect.Effect<ReadonlyArray<ToolSpec>>
  }
>() {}

/**
 * What each profile allows by itself. `messaging` is for agents behind a chat: it will hold the
 * messaging tools and holds no file, command or network tool, so today it allows nothing alone.
 */
const profiles: Record<ToolProfile, "none" | "builtins" | ReadonlySet<string>> = {
  "deny-all": "none",
  readonly: new Set(["read_file", "list_files", "search_files"]),
  messaging: "none",
  full: "builtins"
}

/** `*` stands for any run of characters. Linear: never more than one look back. */
export const matches = (pattern: string, name: string): boolean => {
  let p = 0
  let n = 0
  let star = -1
  let resume = 0
  while (n < name.length) {
    if (pattern[p] === "*") {
      star = p
      p += 1
      resume = n
    } else if (p < pattern.length && pattern[p] === name[n]) {
      p += 1
      n += 1
    } else if (star >= 0) {
      resume += 1
      n = resume
      p = star + 1
    } else return false
  }
  while (pattern[p] === "*") p += 1
  return p === pattern.length
}

/** A rule that restricts is read generously: any tool, any case. */
const restricts = (patterns: ReadonlyArray<string>, tool: Tool): boolean =>
  patterns.some((pattern) => matches(pattern.trim().toLowerCase(), tool.name.toLowerCase()))

/** A rule that allows is read strictly: a wildcard speaks of built-ins only, others need their exact name. */
const allows = (patterns: ReadonlyArray<string>, tool: Tool): boolean =>
  patterns.some((pattern) => (tool.kind === "builtin" ? matches(pattern, tool.name) : pattern === tool.name))

const inProfile = (profile: ToolProfile, tool: Tool): boolean => {
  const base = profiles[profile]
  if (base === "none" || tool.kind !== "builtin") return false
  return base === "builtins" || base.has(tool.name)
}

/** Why the agent may not use the tool, or nothing when it may. */
export const denialReason = ({ tools }: Agent, tool: Tool): string | undefined => {
  if (restricts(tools.deny, tool)) return "it is on the deny list, which wins over everything"
  if (inProfile(tools.profile, tool) || allows(tools.allow, tool)) return undefined
  return `neither the profile ${tools.profile} nor the allow list allows it`
}

/** Why a human must decide, or nothing when the settings alone let the call through. */
export const approvalReason = (agent: Agent, tool: Tool, taint: Taint): string | undefined => {
  const reasons: Array<string> = []
  if (restricts(agent.tools.requireApproval, tool)) reasons.push("every call of this tool is to be approved")
  // The default list names the high-risk built-ins; of other tools nobody has said that they are harmless.
  else if (tool.risk === "high" && tool.kind !== "builtin") reasons.push("this tool is high-risk")
  if (taint.tainted && tool.labels.effect !== "none") {
    const named = taint.sources.slice(0, 5).map((source) => escapeLine(source, 100))
    const more = taint.sources.length > named.length ? ` and ${taint.sources.length - named.length} more` : ""
    reasons.push(`the session contains content that others wrote (${named.join(", ")}${more})`)
  }
  return reasons.length === 0 ? undefined : reasons.join("; ")
}

/** Field by field, in our words: what a model sent is never repeated, only its field names. */
const explain = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error)
    .slice(0, 5)
    .map((issue) => {
      const at = escapeLine(issue.path.map(String).join("."), 80)
      switch (issue._tag) {
        case "Unexpected":
          return `${at} is not an argument of this tool and has no effect; ${issue.message.replace(/^is unexpected, expected: /, "it takes ").replaceAll(" | ", ", ")}`
        case "Missing":
          return `${at} is missing`
        default:
          return `${at === "" ? "the arguments" : at} ${issue.message.replace(/, actual [^]*$/, "").replace(/^Expected /, "must be ")}`
      }
    })
    .join("; ")

const decodeArguments = (
  tool: Tool,
  raw: unknown
): Either.Either<{ readonly decoded: unknown; readonly text: string }, InvalidToolArguments> => {
  const invalid = (detail: string) => new InvalidToolArguments({ tool: tool.name, detail: detail.slice(0, 1000) })
  return Either.gen(function* () {
    const copy = yield* Either.mapLeft(freshCopy(raw), invalid)
    if (typeof copy !== "object" || copy === null || Array.isArray(copy)) {
      return yield* Either.left(invalid("they must be an object with named fields"))
    }
    const text = canonical(copy)
    const decode = Schema.decodeUnknownEither(tool.parameters, { onExcessProperty: "error", errors: "all" })
    const decoded = yield* Either.mapLeft(decode(copy), (error) => invalid(explain(error)))
    return { decoded: deepFreeze<unknown>(decoded), text }
  })
}

export const make = Effect.gen(function* () {
  const registry = yield* ToolRegistry
  const crypto = yield* Crypto

  return ToolPolicy.of({
    decide: Effect.fn("ToolPolicy.decide")(function* (context) {
      const { agent, call, run, session, taint } = context
      const found = yield* registry.get(call.name)
      if (Option.isNone(found)) {
        const tool = escapeLine(call.name, 128)
        return yield* new ToolDenied({ agent: agent.id, tool, reason: "there is no tool of this name" })
      }
      const tool = found.value
      const denied = denialReason(agent, tool)
      if (denied !== undefined) return yield* new ToolDenied({ agent: agent.id, tool: tool.name, reason: denied })
      const { decoded, text } = yield* decodeArguments(tool, call.arguments)
      // The workspace is in it so that leave for a file in one folder is no leave in another after a reload.
      const callHash = yield* crypto.fingerprint("call-hash", tool.name, text, agent.id, agent.workspace, session)
      const reason = approvalReason(agent, tool, taint)
      if (reason !== undefined) {
        const needs: NeedsApproval = { _tag: "NeedsApproval", tool, context, arguments: decoded, callHash, reason }
        return Object.freeze(needs)
      }
      const permitted = mintPermitted({
        tool: tool.name,
        arguments: decoded,
        agent,
        session,
        run,
        call: call.id,
        callHash,
        by: "policy"
      })
      return { _tag: "Permitted" as const, tool, permitted }
    }),
    offered: (agent) =>
      Effect.map(registry.all, (tools) =>
        tools.filter((tool) => denialReason(agent, tool) === undefined).map(registry.spec)
      )
  })
})

export const layer = Layer.effect(ToolPolicy, make)
