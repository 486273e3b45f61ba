/**
 * Login: how a person in a browser proves who they are. What is sent back are two halves: a cookie that
 * the browser keeps, and a proof that the page sends with every request as x-ai-desk-proof.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import {
  AuthMode,
  LoggedIn,
  LoginLink,
  LoginNotOffered,
  Me,
  NoGateway,
  PasswordNotSet,
  PasswordRefused
} from "../domain/Access.ts"
import { Open, Owns, Sees } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

const Secret = Schema.Redacted(Schema.String)

/** Exactly one of the three. */
export const LoginWith = Schema.Union(
  Schema.Struct({ token: Secret }),
  Schema.Struct({ password: Secret }),
  Schema.Struct({ link: Secret })
)
export type LoginWith = typeof LoginWith.Type

export const LoginGroup = HttpApiGroup.make("login")
  .annotateContext(about("Logging in and out in a browser."))
  .add(
    HttpApiEndpoint.get("mode", "/dashboard/api/login")
      .middleware(Open)
      .annotateContext(about("How to log in", "The mode of authentication that is in force."))
      .addSuccess(Schema.Struct({ mode: AuthMode }))
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("start", "/dashboard/api/login")
      .middleware(Open)
      .annotateContext(
        about(
          "Log in",
          "By an owner's token, the password or a one-time link, as the mode allows. Sets a cookie, which counts only together with the proof in the answer."
        )
      )
      .setPayload(LoginWith)
      .addSuccess(LoggedIn)
      .addError(worded(LoginNotOffered), { status: 409 })
      .addError(worded(PasswordNotSet), { status: 409 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("end", "/dashboard/api/login/end")
      .middleware(Owns)
      .annotateContext(about("Log out", "Ends the log-in on the server. False when the request came with none."))
      .addSuccess(Schema.Struct({ ended: Schema.Boolean }))
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.get("me", "/dashboard/api/login/me")
      .middleware(Sees)
      .annotateContext(about("Who asks", "How the gateway sees the caller, and what they may."))
      .addSuccess(Me)
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("link", "/dashboard/api/login/link")
      .middleware(Owns)
      .annotateContext(
        about(
          "Make a one-time link",
          "Counts once, for a minute. Only for the owner's own processes on the gateway's machine."
        )
      )
      .addSuccess(LoginLink)
      .addError(worded(LoginNotOffered), { status: 409 })
      .addError(worded(NoGateway), { status: 409 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.put("password", "/dashboard/api/login/password")
      .middleware(Owns)
      .annotateContext(
        about(
          "Set the owner's password",
          "Over the network the current one must be sent as well, if there is one. Every other log-in ends."
        )
      )
      .setPayload(Schema.Struct({ password: Secret, current: Schema.optional(Secret) }))
      .addSuccess(Schema.Struct({ done: Schema.Boolean }))
      .addError(worded(PasswordRefused), { status: 400 })
      .addError(worded(PasswordNotSet), { status: 409 })
      .addError(worded(GroundFailed))
  )

export const LoginApi = base.add(LoginGroup)
