/**
 * Auth: who asks. Exactly one mode is in force: token, password or certificate; there is none that
 * lets somebody in without proof.
 *
 * Guarantees: a credential is compared in time that does not depend on how much of it is right;
 * wrong ones are counted per address, over every way in; a valid token is never locked out; a
 * credential that was revoked counts no more from the next request on, and whatever it holds open
 * is closed within a second. One that has run out or was revoked is no guess, and is not counted:
 * whoever sends it once had the right one. The mode changes with a restart only (kernel/Settings); a
 * log-in of another mode does not count.
 */
import { Context, Effect, Layer, Redacted } from "effect"
import { type TooManyRequests, Unauthenticated } from "../contract/access.ts"
import type { GroundFailed } from "../contract/failures.ts"
import type { AuthMode, TokenInfo } from "../domain/Access.ts"
import { type AccessScope, type CallerInfo, nobody } from "../domain/Caller.ts"
import { owner, PrincipalId } from "../domain/Ids.ts"
import { Audit } from "../kernel/Audit.ts"
import { Settings } from "../kernel/Settings.ts"
import * as AuthLog from "./auth/AuthLog.ts"
import { Tokens } from "./auth/Tokens.ts"
import { type WebSession, WebSessions } from "./auth/WebSessions.ts"
import { ground } from "./handlers/ground.ts"
import { Lockout } from "./Lockout.ts"
import { type Pin, Pins } from "./Pins.ts"

/** What a request brought to prove who sent it. Absent parts are null; empty strings count as absent. */
export interface Presented {
  /** Canonical address of the client, after declared proxies: what failures are counted under. */
  readonly address: string
  /** From `Authorization: Bearer`, `x-api-key`, or a WebSocket's subprotocol. */
  readonly bearer: Redacted.Redacted<string> | null
  /** A browser's cookie, and the proof that only its own page knows. The cookie alone proves nothing: all ports of a host share cookies. */
  readonly session: { readonly cookie: Redacted.Redacted<string>; readonly proof: Redacted.Redacted<string> } | null
  /** Lowercase hex SHA-256 of the public key (SPKI) of a client certificate that TLS has verified. */
  readonly certificate: string | null
}

export class Auth extends Context.Tag("ai-desk/gateway/Auth")<
  Auth,
  {
    /** Fails with `missing` when nothing was presented, which counts as no attempt. */
    readonly authenticate: (
      presented: Presented
    ) => Effect.Effect<CallerInfo, Unauthenticated | TooManyRequests | GroundFailed>
    /** Returns when the caller's credential ends: revoked, expired, logged out. Never, for the local owner. */
    readonly ended: (caller: CallerInfo) => Effect.Effect<void>
  }
>() {}

/** What both allow; the owner's scope allows all. */
export const narrowed = (a: ReadonlyArray<AccessScope>, b: ReadonlyArray<AccessScope>): ReadonlyArray<AccessScope> =>
  a.includes("owner") ? b : b.includes("owner") ? a : a.filter((scope) => b.includes(scope))

/** The owner's credentials act for the owner; every other one is somebody of its own, whose sessions and answers are not shared. */
const principalOf = (scopes: ReadonlyArray<AccessScope>, id: string): PrincipalId =>
  scopes.includes("owner") ? owner : PrincipalId.make(id)

const tokenCaller = (info: TokenInfo, scopes: ReadonlyArray<AccessScope>): CallerInfo => ({
  principal: principalOf(scopes, info.id),
  scopes,
  by: "token",
  credential: info.id,
  allowance: info.allowance ?? null,
  models: info.models ?? null
})

const sessionCaller = ({ id }: WebSession): CallerInfo => ({
  ...nobody,
  principal: owner,
  scopes: ["owner"],
  by: "session",
  credential: id
})

const pinCaller = ({ id, scopes }: Pin): CallerInfo => ({
  ...nobody,
  principal: principalOf(scopes, id),
  scopes,
  by: "certificate",
  credential: id
})

const given = (secret: Redacted.Redacted<string> | null): Redacted.Redacted<string> | null =>
  secret === null || Redacted.value(secret) === "" ? null : secret

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const tokens = yield* Tokens
  const sessions = yield* WebSessions
  const lockout = yield* Lockout
  const pins = yield* Pins
  const log = yield* AuthLog.make(yield* Audit)

  const mode = Effect.map(settings.current, ({ config }) => config.gateway.auth.mode)

  /** A guess: counted, and recorded unless the address is locked out. */
  const wrong = (address: string, how: string) =>
    Effect.zipRight(
      ground(lockout.attempt(address, Effect.as(log.failed(address, how, "wrong"), null))),
      new Unauthenticated({ reason: "invalid" })
    )

  /** No guess: it was right once, or is right elsewhere. */
  const ofNoUse = (address: string, how: string, reason: Unauthenticated["reason"]) =>
    Effect.zipRight(log.ofNoUse(address, how, reason), new Unauthenticated({ reason }))

  const byToken = Effect.fnUntraced(function* (address: string, raw: Redacted.Redacted<string>) {
    const verdict = yield* tokens.verify(raw)
    if (verdict.state === "active") return verdict.info
    return yield* verdict.state === "unknown" ? wrong(address, "token") : ofNoUse(address, "token", verdict.state)
  })

  const bySession = Effect.fnUntraced(function* (
    address: string,
    now: AuthMode,
    pair: NonNullable<Presented["session"]>
  ) {
    const verdict = yield* sessions.verify(pair.cookie, pair.proof)
    if (verdict.state === "unknown") return yield* wrong(address, "session")
    if (verdict.state !== "active") {
      return yield* ofNoUse(address, "session", verdict.state === "ended" ? "revoked" : "expired")
    }
    const { mode, token } = verdict.session
    if (mode !== now) return yield* ofNoUse(address, "session", "revoked")
    if (token !== null) {
      const state = (yield* tokens.find(token))?.state ?? "revoked"
      if (state !== "active") return yield* ofNoUse(address, "session", state)
    }
    return sessionCaller(verdict.session)
  })

  const byCertificate = Effect.fnUntraced(function* (
    address: string,
    certificate: string | null,
    bearer: Redacted.Redacted<string> | null
  ) {
    if (certificate === null) {
      // A token counts on a connection with a certificate, and on no other.
      return bearer === null
        ? yield* new Unauthenticated({ reason: "missing" })
        : yield* wrong(address, "token without certificate")
    }
    const pin = yield* pins.lookup(certificate)
    if (pin === null) return yield* wrong(address, "certificate")
    if (bearer === null) return pinCaller(pin)
    const info = yield* byToken(address, bearer)
    return { ...tokenCaller(info, narrowed(pin.scopes, info.scopes)), beside: pin.id }
  })

  const find = Effect.fnUntraced(function* (presented: Presented) {
    const { address } = presented
    const now = yield* mode
    const bearer = given(presented.bearer)
    if (now === "certificate") return yield* byCertificate(address, presented.certificate || null, bearer)
    if (bearer !== null) {
      const info = yield* byToken(address, bearer)
      // In this mode the owner proves it by the password alone.
      if (now === "password" && info.scopes.includes("owner")) {
        return yield* ofNoUse(address, "owner's token in password mode", "invalid")
      }
      return tokenCaller(info, info.scopes)
    }
    const pair = presented.session
    if (pair === null || given(pair.cookie) === null || given(pair.proof) === null) {
      return yield* new Unauthenticated({ reason: "missing" })
    }
    return yield* bySession(address, now, pair)
  })

  const credentialEnds = Effect.fnUntraced(function* (caller: CallerInfo, credential: string) {
    switch (caller.by) {
      case "token": {
        const ended = tokens.ended(credential)
        return yield* caller.beside === undefined ? ended : Effect.race(ended, pins.ended(caller.beside))
      }
      case "session": {
        const session = yield* sessions.find(credential)
        const token = session?.token ?? null
        const ended = sessions.ended(credential)
        return yield* token === null ? ended : Effect.race(ended, tokens.ended(token))
      }
      case "certificate":
        return yield* pins.ended(credential)
      case "local":
      case "nobody":
        return yield* Effect.never
    }
  })

  return Auth.of({
    authenticate: (presented) =>
      Effect.tap(find(presented), (caller) => log.used(presented.address, caller)).pipe(
        Effect.withSpan("Auth.authenticate")
      ),
    ended: (caller) => (caller.credential === null ? Effect.never : credentialEnds(caller, caller.credential))
  })
})

export const layer: Layer.Layer<Auth, never, Settings | Tokens | WebSessions | Lockout | Pins | Audit> = Layer.scoped(
  Auth,
  make
)
