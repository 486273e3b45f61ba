/** Tokens: for programs, and for people who do not log in. The raw token is in the answer that makes it, and in no other. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { NewToken, TokenCreated, TokenId, TokenInfo, TokenNotFound } from "../domain/Access.ts"
import { Owns, Reads } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

export const TokensGroup = HttpApiGroup.make("tokens")
  .annotateContext(about("Tokens by which clients prove who they are."))
  .add(
    HttpApiEndpoint.get("list", "/dashboard/api/tokens")
      .middleware(Reads)
      .annotateContext(
        about("List the tokens", "What each allows and has spent, until when, and when it was last used; no secret.")
      )
      .addSuccess(Schema.Array(TokenInfo))
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("create", "/dashboard/api/tokens")
      .middleware(Owns)
      .annotateContext(
        about("Make a token", "The answer has the token itself, which is kept nowhere and shown this once.")
      )
      .setPayload(NewToken)
      .addSuccess(TokenCreated)
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.del("revoke", "/dashboard/api/tokens/:id")
      .middleware(Owns)
      .annotateContext(
        about(
          "Revoke a token",
          "It counts no more from now on; what it holds open is closed. False when it was revoked before."
        )
      )
      .setPath(Schema.Struct({ id: TokenId }))
      .addSuccess(Schema.Struct({ revoked: Schema.Boolean }))
      .addError(worded(TokenNotFound), { status: 404 })
      .addError(worded(GroundFailed))
  )

export const TokensApi = base.add(TokensGroup)
