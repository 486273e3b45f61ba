/**
 * Logins: how a person in a browser begins and ends a log-in.
 *
 * Guarantees: in token mode by an owner's token, in password mode by the password, in both by a
 * one-time link that was made on this machine, in certificate mode not at all; each begins a log-in of
 * its own and ends the one that asked; wrong ones are counted as everywhere, and for the password a
 * locked-out address is not even judged. A new password ends every other log-in.
 */
import { Context, Effect, Layer, type Redacted } from "effect"
import { Forbidden, type TooManyRequests, Unauthenticated } from "../../contract/access.ts"
import {
  type AuthMode,
  LoginNotOffered,
  type NoGateway,
  type PasswordNotSet,
  type PasswordRefused
} from "../../domain/Access.ts"
import { AuditEvent, type AuditUnavailable } from "../../domain/Audit.ts"
import { Caller } from "../../domain/Caller.ts"
import { Audit } from "../../kernel/Audit.ts"
import type { DatabaseError } from "../../kernel/Database.ts"
import { Settings } from "../../kernel/Settings.ts"
import { Lockout } from "../Lockout.ts"
import * as AuthLog from "./AuthLog.ts"
import { type Link, Links } from "./Links.ts"
import { Passwords } from "./Passwords.ts"
import { Tokens } from "./Tokens.ts"
import { type Begun, WebSessions } from "./WebSessions.ts"

type Secret = Redacted.Redacted<string>
export type With = { readonly token: Secret } | { readonly password: Secret } | { readonly link: Secret }

type Refusal = Unauthenticated | Forbidden | TooManyRequests

export class Logins extends Context.Tag("ai-desk/gateway/Logins")<
  Logins,
  {
    readonly begin: (
      address: string,
      secret: With
    ) => Effect.Effect<Begun, Refusal | LoginNotOffered | PasswordNotSet | DatabaseError>
    /** Ends the caller's log-in. False when the caller came another way. */
    readonly end: Effect.Effect<boolean, DatabaseError>
    /** For the owner at this machine. */
    readonly link: Effect.Effect<Link, Forbidden | LoginNotOffered | NoGateway>
    /** `current` proves that who sits at a logged-in browser is the owner. */
    readonly setPassword: (
      address: string,
      next: Secret,
      current: Secret | null
    ) => Effect.Effect<void, Refusal | PasswordNotSet | PasswordRefused | DatabaseError | AuditUnavailable>
  }
>() {}

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const audit = yield* Audit
  const tokens = yield* Tokens
  const passwords = yield* Passwords
  const sessions = yield* WebSessions
  const links = yield* Links
  const lockout = yield* Lockout
  const log = yield* AuthLog.make(audit)

  const mode = Effect.map(settings.current, ({ config }) => config.gateway.auth.mode)

  const invalid = new Unauthenticated({ reason: "invalid" })
  const wrong = (address: string, how: string) =>
    Effect.zipRight(lockout.attempt(address, Effect.as(log.failed(address, how, "wrong"), null)), invalid)

  const judged = (address: string, password: Secret) =>
    Effect.gen(function* () {
      const right = yield* lockout.attempt(
        address,
        Effect.flatMap(passwords.verify(password), (ok) =>
          ok ? Effect.succeed(true) : Effect.as(log.failed(address, "password", "wrong"), null)
        )
      )
      if (right === null) return yield* invalid
    })

  const proven = Effect.fn(function* (address: string, now: AuthMode, secret: With) {
    if ("password" in secret) {
      if (now !== "password") return yield* new LoginNotOffered({ mode: now, method: "password" })
      yield* judged(address, secret.password)
      return { how: "password", token: null }
    }
    if ("link" in secret) {
      if (now === "certificate") return yield* new LoginNotOffered({ mode: now, method: "link" })
      if (!(yield* links.take(secret.link))) return yield* wrong(address, "link")
      return { how: "link", token: null }
    }
    if (now !== "token") return yield* new LoginNotOffered({ mode: now, method: "token" })
    const verdict = yield* tokens.verify(secret.token)
    if (verdict.state === "unknown") return yield* wrong(address, "token")
    if (verdict.state !== "active") return yield* new Unauthenticated({ reason: verdict.state })
    if (!verdict.info.scopes.includes("owner")) {
      return yield* new Forbidden({ detail: "only a token with the scope owner begins a log-in" })
    }
    return { how: "token", token: verdict.info.id }
  })

  /** Nothing of a log-in that was there before is carried over into the next. */
  const endOwn = Effect.gen(function* () {
    const { by, credential } = yield* Caller
    if (by !== "session" || credential === null) return false
    const ended = yield* sessions.end(credential)
    if (ended) {
      yield* audit.note(new AuditEvent({ type: "auth.logged_out", principal: "owner", data: { credential } }))
    }
    return ended
  })

  const begin = Effect.fn("Logins.begin")(function* (address: string, secret: With) {
    const now = yield* mode
    const { how, token } = yield* proven(address, now, secret)
    yield* endOwn
    const begun = yield* sessions.begin(now, token)
    yield* log.loggedIn(address, how, begun.session.id)
    return begun
  })

  const link = Effect.gen(function* () {
    const { by } = yield* Caller
    if (by !== "local")
      return yield* new Forbidden({ detail: "a link is made on the gateway's own machine: ai-desk open" })
    const now = yield* mode
    if (now === "certificate") return yield* new LoginNotOffered({ mode: now, method: "link" })
    return yield* links.make
  })

  const setPassword = Effect.fn("Logins.setPassword")(function* (
    address: string,
    next: Secret,
    current: Secret | null
  ) {
    const { by, credential } = yield* Caller
    if (by !== "local" && (yield* passwords.isSet)) {
      if (current === null)
        return yield* new Forbidden({ detail: "to change the password, send the current one as well" })
      yield* judged(address, current)
    }
    yield* passwords.set(next)
    yield* sessions.endOthers(by === "session" ? credential : null)
  })

  return Logins.of({ begin, end: endOwn, link, setPassword })
})

export const layer: Layer.Layer<Logins, never, Settings | Audit | Tokens | Passwords | WebSessions | Links | Lockout> =
  Layer.scoped(Logins, make)
