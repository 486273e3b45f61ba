/**
 * Ground: the last steps of a set-up, on the settings that it has just written: the provider's key, and
 * the first token or the password. Whoever sits at the terminal is the owner.
 */
import { Effect, Redacted } from "effect"
import { NewToken } from "../../domain/Access.ts"
import { AuditEvent } from "../../domain/Audit.ts"
import { Caller, localOwner } from "../../domain/Caller.ts"
import { Audit } from "../../kernel/Audit.ts"
import { Credentials } from "../../kernel/Credentials.ts"
import { firstTokenLabel } from "../../kernel/Setup.ts"
import { Links } from "../auth/Links.ts"
import { Passwords } from "../auth/Passwords.ts"
import { Tokens } from "../auth/Tokens.ts"
import type { Ground } from "../SetupWizard.ts"

export const ground: Effect.Effect<Ground, never, Credentials | Tokens | Passwords | Links | Audit> = Effect.gen(
  function* () {
    const audit = yield* Audit
    const credentials = yield* Credentials
    const tokens = yield* Tokens
    const passwords = yield* Passwords
    const links = yield* Links
    const asOwner = Effect.provideService(Caller, localOwner)
    return {
      completed: audit.append(new AuditEvent({ type: "setup.completed", principal: "owner", data: { by: "wizard" } })),
      storeKey: (provider, secret) => asOwner(Effect.asVoid(credentials.set(provider, secret))),
      firstToken: asOwner(
        Effect.map(tokens.create(new NewToken({ label: firstTokenLabel, scopes: ["owner"] })), ({ token }) => token)
      ),
      setPassword: (password) => asOwner(passwords.set(password)),
      // Without one there is the token, or the password.
      link: Effect.map(links.make, ({ code }) => code).pipe(
        Effect.map((code): Redacted.Redacted<string> | null => code),
        Effect.catchTag("NoGateway", () => Effect.succeed(null))
      )
    }
  }
)
