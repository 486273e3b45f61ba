/**
 * Access: decides, for every endpoint, whether the caller that the door found may use it. The same
 * rules hold for a request over the network and for a verb in this process.
 */
import { Effect, Layer } from "effect"
import { Calls, Chats, Forbidden, Open, Owns, Reads, Sees, Unauthenticated } from "../contract/access.ts"
import { type AccessScope, Caller, may } from "../domain/Caller.ts"

const needs = (...scopes: ReadonlyArray<AccessScope>): Effect.Effect<void, Unauthenticated | Forbidden> =>
  Effect.gen(function* () {
    const caller = yield* Caller
    if (may(caller, ...scopes)) return
    if (caller.by === "nobody") return yield* new Unauthenticated({ reason: "missing" })
    return yield* new Forbidden({ detail: `this needs the scope ${["owner", ...scopes].join(" or ")}` })
  })

export const layer = Layer.mergeAll(
  Layer.succeed(Owns, needs()),
  Layer.succeed(Reads, needs("read")),
  Layer.succeed(Chats, needs("chat")),
  Layer.succeed(Sees, needs("read", "chat")),
  Layer.succeed(Calls, needs("client")),
  Layer.succeed(Open, Effect.void)
)
