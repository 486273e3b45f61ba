/**
 * Access: what an endpoint asks of its caller. Every endpoint of the contract names one of these; a
 * test holds it. The door has found out who asks; here it is decided whether they may.
 */
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"
import { worded } from "./failures.ts"

/** No credential, or none that counts. */
export class Unauthenticated extends Schema.TaggedError<Unauthenticated>()(
  "Unauthenticated",
  { reason: Schema.Literal("missing", "invalid", "expired", "revoked") },
  HttpApiSchema.annotations({ status: 401 })
) {
  override get message(): string {
    return this.reason === "missing" ? "this needs a credential, and none was sent" : `the credential is ${this.reason}`
  }
  get fix(): string {
    return "send a token as Authorization: Bearer …; ai-desk token create makes one"
  }
}

/** The credential is good, and not for this. */
export class Forbidden extends Schema.TaggedError<Forbidden>()(
  "Forbidden",
  { detail: Schema.String },
  HttpApiSchema.annotations({ status: 403 })
) {
  override get message(): string {
    return this.detail
  }
}

/** Too many requests, or too many wrong credentials, from one address. */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()(
  "TooManyRequests",
  {
    reason: Schema.Literal("rate", "lockout", "busy"),
    /** Milliseconds; also as the Retry-After header, in seconds. */
    retryAfterMs: Schema.Finite
  },
  HttpApiSchema.annotations({ status: 429 })
) {
  override get message(): string {
    const seconds = Math.max(1, Math.ceil(this.retryAfterMs / 1000))
    switch (this.reason) {
      case "rate":
        return `too many requests from this address; wait ${seconds} s`
      case "lockout":
        return `too many wrong credentials from this address; it is locked out for ${seconds} s`
      case "busy":
        return `too many log-ins at once; wait ${seconds} s`
    }
  }
}

/** The request is not one that the door lets in, whoever sends it: a foreign Host or Origin, a body of the wrong kind or size. */
export class NotForThisDoor extends Schema.TaggedError<NotForThisDoor>()(
  "NotForThisDoor",
  { detail: Schema.String, fix: Schema.optional(Schema.String) },
  HttpApiSchema.annotations({ status: 421 })
) {
  override get message(): string {
    return this.detail
  }
}
export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()(
  "BodyTooLarge",
  { limit: Schema.Int },
  HttpApiSchema.annotations({ status: 413 })
) {
  override get message(): string {
    return `the body is larger than ${this.limit} bytes`
  }
}
export class UnsupportedBody extends Schema.TaggedError<UnsupportedBody>()(
  "UnsupportedBody",
  { found: Schema.String },
  HttpApiSchema.annotations({ status: 415 })
) {
  override get message(): string {
    return `the body is ${this.found}; send application/json`
  }
}

/** How the door, or an endpoint's own rule, can refuse any request. */
export const Refused = Schema.Union(
  worded(Unauthenticated),
  worded(Forbidden),
  worded(TooManyRequests),
  worded(NotForThisDoor),
  worded(BodyTooLarge),
  worded(UnsupportedBody)
)
export type Refused = typeof Refused.Type

/** Changes things, or shows what only the owner may see. */
export class Owns extends HttpApiMiddleware.Tag<Owns>()("ai-desk/contract/Owns", { failure: Refused }) {}
/** Looks at the whole gateway. */
export class Reads extends HttpApiMiddleware.Tag<Reads>()("ai-desk/contract/Reads", { failure: Refused }) {}
/** Talks to agents. */
export class Chats extends HttpApiMiddleware.Tag<Chats>()("ai-desk/contract/Chats", { failure: Refused }) {}
/** Looks at what a chat needs: the agents, its own sessions. */
export class Sees extends HttpApiMiddleware.Tag<Sees>()("ai-desk/contract/Sees", { failure: Refused }) {}
/** The compatible endpoints. */
export class Calls extends HttpApiMiddleware.Tag<Calls>()("ai-desk/contract/Calls", { failure: Refused }) {}
/** Anyone: log-in and health. The door's other rules hold all the same. */
export class Open extends HttpApiMiddleware.Tag<Open>()("ai-desk/contract/Open", { failure: Refused }) {}
