/** Answers the tokens group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { TokensApi } from "../../contract/tokens.ts"
import { TokenInfo } from "../../domain/Access.ts"
import { PrincipalId } from "../../domain/Ids.ts"
import { Budget } from "../../model/Budget.ts"
import { Tokens } from "../auth/Tokens.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(TokensApi, "tokens", (handlers) =>
  Effect.gen(function* () {
    const tokens = yield* Tokens
    const budget = yield* Budget
    const withSpending = (info: TokenInfo) =>
      info.scopes.includes("owner")
        ? Effect.succeed(info)
        : Effect.map(
            budget.spending(PrincipalId.make(info.id), info.allowance ?? null),
            (spending) => new TokenInfo({ ...info, spending }, true)
          )
    return handlers
      .handle("list", () => ground(Effect.flatMap(tokens.list, Effect.forEach(withSpending))))
      .handle("create", ({ payload }) => ground(tokens.create(payload)))
      .handle("revoke", ({ path }) => ground(Effect.map(tokens.revoke(path.id), (revoked) => ({ revoked }))))
  })
)
