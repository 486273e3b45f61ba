/** Answers the tokens group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { TokensApi } from "../../contract/tokens.ts"
import { Tokens } from "../auth/Tokens.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(TokensApi, "tokens", (handlers) =>
  Effect.map(Tokens, (tokens) =>
    handlers
      .handle("list", () => tokens.list)
      .handle("create", ({ payload }) => ground(tokens.create(payload)))
      .handle("revoke", ({ path }) => ground(Effect.map(tokens.revoke(path.id), (revoked) => ({ revoked }))))
  )
)
