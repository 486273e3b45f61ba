/**
 * Proof types: values that only a guard can make, taken by what the guard protects. Skipping a
 * guard, or running it in the wrong order, does not compile; a forged value (a cast, a copy, a
 * decoded object) is refused at run time, because each proof is remembered by identity.
 *
 * Who may mint is held by `test/architecture.test.ts`: `mintScanned` in agent/ThreatScanner,
 * `mintLease` in model/Budget, `mintPermitted` in tools/ToolPolicy and tools/Approvals.
 */
import type { Agent } from "./Agent.ts"
import type { AgentId, LeaseId, RunId, SessionId, ToolCallId } from "./Ids.ts"
import type { ModelRef } from "./Model.ts"
import type { NanoUsd } from "./Money.ts"

declare const proof: unique symbol

/** Input that the threat scanner has passed. */
export interface Scanned<A> {
  readonly [proof]: "Scanned"
  readonly value: A
}

/** Money and tokens set aside for one attempt at one model. */
export interface BudgetLease {
  readonly [proof]: "BudgetLease"
  readonly id: LeaseId
  readonly agent: AgentId
  readonly run: RunId
  readonly model: ModelRef
  /** Worst case, tokens and nano-USD. */
  readonly tokens: number
  readonly cost: NanoUsd
}

/** Leave to run exactly this call: tool, decoded arguments, agent, session and run. */
export interface Permitted {
  readonly [proof]: "Permitted"
  readonly tool: string
  readonly arguments: unknown
  readonly agent: Agent
  readonly session: SessionId
  readonly run: RunId
  readonly call: ToolCallId
  /** HMAC over all of the above, hex. */
  readonly callHash: string
  /** How leave was given, for the audit log. */
  readonly by: "policy" | "approval" | "owner"
}

const minted = new WeakSet<object>()

const mint = <P extends object>(fields: Omit<P, typeof proof>): P => {
  const value = Object.freeze({ ...fields })
  minted.add(value)
  // The brand exists only in the type; identity in `minted` is what is checked at run time.
  return value as unknown as P
}

export const mintScanned = <A>(value: A): Scanned<A> => mint<Scanned<A>>({ value })
export const mintLease = (fields: Omit<BudgetLease, typeof proof>): BudgetLease => mint<BudgetLease>(fields)
export const mintPermitted = (fields: Omit<Permitted, typeof proof>): Permitted => mint<Permitted>(fields)

/** False for anything that no guard of this process made. Protected services refuse then. */
export const isGenuine = (value: Scanned<unknown> | BudgetLease | Permitted): boolean => minted.has(value)
