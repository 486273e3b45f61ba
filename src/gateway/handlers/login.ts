/** Answers the login group. A log-in's cookie is set here and nowhere else. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Option, Schema } from "effect"
import { LoginApi } from "../../contract/login.ts"
import { LoggedIn, LoginLink, Me } from "../../domain/Access.ts"
import { Caller } from "../../domain/Caller.ts"
import { Settings } from "../../kernel/Settings.ts"
import { isEncrypted, withCookie, withoutCookie } from "../auth/Cookies.ts"
import { Logins } from "../auth/Logins.ts"
import { ground } from "./ground.ts"

const encodeLoggedIn = Schema.encodeSync(LoggedIn)

/** As the door has found it, behind declared proxies. */
const address = (request: HttpServerRequest.HttpServerRequest): string =>
  Option.getOrElse(request.remoteAddress, () => "local")

/** No cache keeps what belongs to one person. */
const json = (body: unknown) => HttpServerResponse.unsafeJson(body, { headers: { "cache-control": "no-store" } })

export const layer = HttpApiBuilder.group(LoginApi, "login", (handlers) =>
  Effect.gen(function* () {
    const logins = yield* Logins
    const settings = yield* Settings
    const gateway = Effect.map(settings.current, ({ config }) => config.gateway)
    return handlers
      .handle("mode", () => Effect.map(gateway, ({ auth }) => ({ mode: auth.mode })))
      .handle("start", ({ payload, request }) =>
        Effect.gen(function* () {
          const begun = yield* ground(logins.begin(address(request), payload))
          const { idleMs, expiresAt, proof, session } = begun
          const body = new LoggedIn({ proof, mode: session.mode, scopes: ["owner"], idleMs, expiresAt })
          return withCookie(json(encodeLoggedIn(body)), isEncrypted(yield* gateway), begun.cookie)
        })
      )
      .handle("end", () =>
        Effect.gen(function* () {
          const ended = yield* ground(logins.end)
          return withoutCookie(json({ ended }), isEncrypted(yield* gateway))
        })
      )
      .handle("me", () =>
        Effect.gen(function* () {
          const { allowance, by, credential, models, principal, scopes } = yield* Caller
          return new Me({
            principal,
            by,
            scopes,
            mode: (yield* gateway).auth.mode,
            ...(credential === null ? {} : { credential }),
            ...(allowance === null ? {} : { allowance }),
            ...(models === null ? {} : { models })
          })
        })
      )
      .handle("link", () =>
        Effect.gen(function* () {
          const { code, expiresAt } = yield* logins.link
          const publicUrl = (yield* gateway).reverseProxy?.publicUrl.replace(/\/+$/, "")
          return new LoginLink({ code, expiresAt, ...(publicUrl === undefined ? {} : { publicUrl }) })
        })
      )
      .handle("password", ({ payload, request }) =>
        Effect.as(ground(logins.setPassword(address(request), payload.password, payload.current ?? null)), {
          done: true
        })
      )
  })
)
