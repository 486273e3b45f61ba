/** GatewayLost: what is said when the running gateway goes away while a verb waits for it, wherever the platform has put the error. */
import { Schema } from "effect"

/** It went away in the middle of an answer, or before one. */
export class GatewayLost extends Schema.TaggedError<GatewayLost>()("GatewayLost", {
  pid: Schema.Int,
  /** Whether it may have begun with what it was asked. */
  begun: Schema.Boolean
}) {
  override get message(): string {
    return this.begun
      ? `the gateway (process ${this.pid}) ended before it had answered; what was asked may or may not have been done`
      : `the gateway (process ${this.pid}) has just ended; nothing was asked of it`
  }
  get fix(): string {
    return this.begun ? "look at what is there, then ask again; the audit log holds what was done" : "ask again"
  }
}

/** The loss itself, when that is what an error of the HTTP client stands for; else the error as it is. */
export const lossIn = <E>(error: E): E | GatewayLost =>
  typeof error === "object" && error !== null && "cause" in error && error.cause instanceof GatewayLost
    ? error.cause
    : error
