/** Words for how clients prove who they are: tokens, passwords and log-ins, and how these fail. No secret is part of what is shown. */
import { Schema } from "effect"
import { PeriodStatus } from "./Budget.ts"
import { AccessScope, Allowance } from "./Caller.ts"

export const AuthMode = Schema.Literal("token", "password", "certificate")
export type AuthMode = typeof AuthMode.Type

export const TokenId = Schema.String.pipe(
  Schema.pattern(/^tok-[0-9A-HJKMNP-TV-Z]{26}$/, {
    message: () => "a token's id, like tok-01JD… (26 characters after tok-); ai-desk token list shows them"
  }),
  Schema.brand("TokenId")
)
export type TokenId = typeof TokenId.Type

/** For its owner, to tell it from others. */
export const TokenLabel = Schema.String.pipe(
  Schema.pattern(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{1,100}$/u, {
    message: () => "a label of 1 to 100 characters, none of them invisible"
  })
)

const minute = 60_000
const tenYears = 315_576_000_000

/** Milliseconds from now. */
export const TokenLife = Schema.Int.pipe(
  Schema.between(minute, tenYears, { message: () => "a time from one minute to ten years, in milliseconds" })
)

/** A model (`anthropic/claude-…`) or an agent's name. */
export const TokenModel = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,199}$/, {
    message: () => "a model such as anthropic/claude-sonnet-4-6, or an agent's name"
  })
)

const distinct = <A>(values: ReadonlyArray<A>): boolean => new Set(values).size === values.length

const Grant = {
  label: TokenLabel,
  scopes: Schema.NonEmptyArray(AccessScope).pipe(
    Schema.filter(distinct, { message: () => "each scope once" }),
    Schema.annotations({ description: "What the token allows." })
  ),
  allowance: Schema.optional(Allowance),
  /** Absent: no limit. */
  models: Schema.optional(Schema.NonEmptyArray(TokenModel).pipe(Schema.maxItems(100)))
}

export class NewToken extends Schema.Class<NewToken>("NewToken")({
  ...Grant,
  /** Absent: until it is revoked. */
  expiresInMs: Schema.optional(TokenLife)
}) {}

export class TokenInfo extends Schema.Class<TokenInfo>("TokenInfo")({
  ...Grant,
  id: TokenId,
  state: Schema.Literal("active", "expired", "revoked"),
  /** Epoch milliseconds, as the others. */
  createdAt: Schema.Finite,
  expiresAt: Schema.optional(Schema.Finite),
  /** To within a minute. Absent: never used. */
  lastUsedAt: Schema.optional(Schema.Finite),
  revokedAt: Schema.optional(Schema.Finite),
  /** This day and this month, over all agents, in lists. Absent: an owner's token, whose spending is the agents' own. */
  spending: Schema.optional(Schema.Array(PeriodStatus))
}) {}

export class TokenCreated extends Schema.Class<TokenCreated>("TokenCreated")({
  info: TokenInfo,
  /** Shown this once; it is kept nowhere. */
  token: Schema.Redacted(Schema.String)
}) {}

export class TokenNotFound extends Schema.TaggedError<TokenNotFound>()("TokenNotFound", { id: Schema.String }) {
  override get message(): string {
    return `there is no token ${this.id}`
  }
  get fix(): string {
    return "ai-desk token list shows them"
  }
}

/** Why a text may not be the password; never the text. */
export class PasswordRefused extends Schema.TaggedError<PasswordRefused>()("PasswordRefused", {
  reason: Schema.String
}) {
  override get message(): string {
    return `that cannot be the password: ${this.reason}`
  }
  get fix(): string {
    return "take four or more words that have nothing to do with one another; spaces count"
  }
}

/** The mode in force knows no such log-in. */
export class LoginNotOffered extends Schema.TaggedError<LoginNotOffered>()("LoginNotOffered", {
  mode: AuthMode,
  method: Schema.Literal("token", "password", "link")
}) {
  override get message(): string {
    return `in ${this.mode} mode nobody logs in with a ${this.method}`
  }
  get fix(): string {
    switch (this.mode) {
      case "token":
        return "log in with an owner's token (ai-desk token create), or by the link that ai-desk open prints"
      case "password":
        return "log in with the password, or by the link that ai-desk open prints"
      case "certificate":
        return "use a client certificate: ai-desk cert issue; there is nothing to log in to"
    }
  }
}

/** Nobody has set a password yet, so nobody can log in with one. */
export class PasswordNotSet extends Schema.TaggedError<PasswordNotSet>()("PasswordNotSet", {}) {
  override get message(): string {
    return "no password is set, so nobody can log in with one"
  }
  get fix(): string {
    return "on the machine of the gateway: ai-desk password set"
  }
}

/** A link leads to a running gateway, and none is running. */
export class NoGateway extends Schema.TaggedError<NoGateway>()("NoGateway", {}) {
  override get message(): string {
    return "no gateway is running for this data folder, so a link would lead nowhere"
  }
  get fix(): string {
    return "start it: ai-desk gateway"
  }
}

/** A log-in that has begun. Its cookie is not part of this: the browser keeps that to itself. */
export class LoggedIn extends Schema.Class<LoggedIn>("LoggedIn")({
  /** Goes with every request as the header x-ai-desk-proof. Without it the cookie proves nothing. */
  proof: Schema.Redacted(Schema.String),
  mode: AuthMode,
  scopes: Schema.Array(AccessScope),
  /** Unused for so long, it ends. Milliseconds. */
  idleMs: Schema.Finite,
  /** It ends then in any case. Epoch milliseconds. */
  expiresAt: Schema.Finite
}) {}

/** Who asks, as the gateway sees it. */
export class Me extends Schema.Class<Me>("Me")({
  principal: Schema.String,
  by: Schema.Literal("local", "token", "session", "certificate", "nobody"),
  scopes: Schema.Array(AccessScope),
  mode: AuthMode,
  /** Id of the token, log-in or certificate. */
  credential: Schema.optional(Schema.String),
  allowance: Schema.optional(Allowance),
  models: Schema.optional(Schema.Array(Schema.String))
}) {}

export class LoginLink extends Schema.Class<LoginLink>("LoginLink")({
  /** Stands behind `/login#link=`; counts once. */
  code: Schema.Redacted(Schema.String),
  /** Where people reach the gateway through the declared proxy, without a slash at the end. Absent: where it listens. */
  publicUrl: Schema.optional(Schema.String),
  /** Epoch milliseconds. */
  expiresAt: Schema.Finite
}) {}
