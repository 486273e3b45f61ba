/** Health: who this gateway is, as it tells whoever asks. An instance is new at every start, so that two are never taken for one. */
import { Context, Effect, Layer } from "effect"
import { Identity } from "../contract/health.ts"
import { randomBytes } from "../kernel/Crypto.ts"

export class Health extends Context.Tag("ai-desk/gateway/Health")<Health, { readonly identity: Identity }>() {}

export const layer = (version: string): Layer.Layer<Health> =>
  Layer.effect(
    Health,
    Effect.sync(() =>
      Health.of({
        identity: new Identity({
          service: "ai-desk",
          version,
          instance: Buffer.from(randomBytes(12)).toString("base64url")
        })
      })
    )
  )
