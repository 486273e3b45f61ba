/**
 * Links: one-time ways to a log-in, for the person who sits at this machine: `ai-desk open`, and the
 * end of the first set-up.
 *
 * Guarantees: 256 random bits that count once, within a minute; kept in memory and only as a hash, so
 * that they end with the gateway; of several only the newest few count.
 */
import { Clock, Context, Effect, Layer, Redacted } from "effect"
import { NoGateway } from "../../domain/Access.ts"
import { sha256Hex } from "../../kernel/Crypto.ts"
import { isSecret, newSecret } from "./SecretText.ts"

export interface Link {
  readonly code: Redacted.Redacted<string>
  /** Epoch milliseconds. */
  readonly expiresAt: number
}

export class Links extends Context.Tag("ai-desk/gateway/Links")<
  Links,
  {
    readonly make: Effect.Effect<Link, NoGateway>
    /** Whether the code counts. It does not a second time. */
    readonly take: (code: Redacted.Redacted<string>) => Effect.Effect<boolean>
  }
>() {}

const lifeMs = 60_000
const mostOpen = 8

export const make = (): typeof Links.Service => {
  /** When each ends, by the hash of its code; oldest first. */
  const open = new Map<string, number>()
  return Links.of({
    make: Effect.map(Clock.currentTimeMillis, (now) => {
      const code = newSecret("aidl")
      for (const [hash, expiresAt] of open) if (expiresAt <= now || open.size >= mostOpen) open.delete(hash)
      open.set(sha256Hex(Redacted.value(code)), now + lifeMs)
      return { code, expiresAt: now + lifeMs }
    }),
    take: (code) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const text = Redacted.value(code)
        if (!isSecret("aidl", text)) return false
        const hash = sha256Hex(text)
        const expiresAt = open.get(hash)
        open.delete(hash)
        return expiresAt !== undefined && now < expiresAt
      })
  })
}

export const layer: Layer.Layer<Links> = Layer.sync(Links, make)

/** In a process that serves nobody. */
export const layerNone: Layer.Layer<Links> = Layer.succeed(
  Links,
  Links.of({ make: new NoGateway(), take: () => Effect.succeed(false) })
)
