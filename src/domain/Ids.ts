/**
 * Identifiers. Each is a branded string, so an id of one kind cannot be passed where another is
 * meant. Ids that the gateway makes are ULID-like: sortable by creation time, 26 characters.
 */
import { Schema } from "effect"

/** Chosen by the owner in `ai-desk.json`; also a file name and a URL segment, hence the narrow alphabet. */
export const AgentId = Schema.String.pipe(
  Schema.pattern(/^[a-z0-9][a-z0-9_-]{0,63}$/, {
    message: () => "an agent id: 1 to 64 of a-z, 0-9, _ and -, starting with a letter or digit"
  }),
  Schema.brand("AgentId")
)
export type AgentId = typeof AgentId.Type

const generated = <const B extends string>(brand: B, prefix: string) =>
  Schema.String.pipe(
    Schema.pattern(new RegExp(`^${prefix}-[0-9A-HJKMNP-TV-Z]{26}$`), {
      message: () => `an id like ${prefix}-01JD… (26 characters after the prefix)`
    }),
    Schema.brand(brand)
  )

export const SessionId = generated("SessionId", "sess")
export type SessionId = typeof SessionId.Type

/** One request of a principal, from the accepted message to the ended turn. */
export const RunId = generated("RunId", "run")
export type RunId = typeof RunId.Type

export const ApprovalId = generated("ApprovalId", "appr")
export type ApprovalId = typeof ApprovalId.Type

/** A reservation in the budget ledger. */
export const LeaseId = generated("LeaseId", "lease")
export type LeaseId = typeof LeaseId.Type

/** The id the model gave its tool call; unique within one session only. */
export const ToolCallId = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(256), Schema.brand("ToolCallId"))
export type ToolCallId = typeof ToolCallId.Type

/**
 * Chosen by a client for one message of its own, so that the message is taken once however often it
 * is sent: after a dropped connection, a restart, by two tabs at once. Unique per principal.
 */
export const MessageKey = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9_.:-]{8,128}$/, {
    message: () => "a message key: 8 to 128 of A-Z, a-z, 0-9, _ . : and -"
  }),
  Schema.brand("MessageKey")
)
export type MessageKey = typeof MessageKey.Type

/** Who asks: `owner` at the keyboard; later a token, chat or webhook identity. Answers are never shared across principals. */
export const PrincipalId = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(200), Schema.brand("PrincipalId"))
export type PrincipalId = typeof PrincipalId.Type

export const owner: PrincipalId = PrincipalId.make("owner")
