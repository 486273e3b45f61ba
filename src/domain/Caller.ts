/**
 * Caller: who asks, and what they may. The door decides it once per request; everything behind the
 * door reads it from here. Where nobody decided, the caller is nobody and may do nothing.
 */
import { Context, Effect, Schema } from "effect"
import { Caps } from "./Agent.ts"
import { owner, type PrincipalId, PrincipalId as Principal } from "./Ids.ts"
import { ModelRef } from "./Model.ts"

/**
 * What a credential allows. `owner`: everything. `read`: looking, never changing. `chat`: talking to
 * agents, in sessions of its own. `client`: the OpenAI- and Anthropic-compatible endpoints.
 */
export const AccessScope = Schema.Literal("owner", "read", "chat", "client")
export type AccessScope = typeof AccessScope.Type

/** What one credential may spend, on top of the caps of the agent it uses. */
export class Allowance extends Schema.Class<Allowance>("Allowance")({
  daily: Schema.optional(Caps),
  monthly: Schema.optional(Caps)
}) {}

export interface CallerInfo {
  readonly principal: PrincipalId
  readonly scopes: ReadonlyArray<AccessScope>
  /** How they proved it. `local` is a process of the owner's on this machine. */
  readonly by: "local" | "token" | "session" | "certificate" | "nobody"
  /** Id of the token, session or certificate; ends with its revocation. */
  readonly credential: string | null
  /** Id of the certificate beside which a token counts in certificate mode; it ends with either. */
  readonly beside?: string
  readonly allowance: Allowance | null
  /** Models and agents that the credential is limited to; null: no limit. */
  readonly models: ReadonlyArray<ModelRef | string> | null
}

export const nobody: CallerInfo = {
  principal: Principal.make("nobody"),
  scopes: [],
  by: "nobody",
  credential: null,
  allowance: null,
  models: null
}

/** The owner at this machine's keyboard. */
export const localOwner: CallerInfo = { ...nobody, principal: owner, scopes: ["owner"], by: "local" }

export const may = ({ scopes }: CallerInfo, ...wanted: ReadonlyArray<AccessScope>): boolean =>
  scopes.includes("owner") || wanted.some((scope) => scopes.includes(scope))

export class Caller extends Context.Reference<Caller>()("ai-desk/domain/Caller", {
  defaultValue: (): CallerInfo => nobody
}) {}

/** For the audit log: who asked for what is being done. Nothing where nobody is known, as in work that the gateway does by itself. */
export const asker: Effect.Effect<{ readonly principal?: PrincipalId }> = Effect.map(Caller, ({ by, principal }) =>
  by === "nobody" ? {} : { principal }
)
