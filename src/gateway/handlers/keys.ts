/** Answers the keys group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { KeyRotated, KeysApi, WeakPassphrase } from "../../contract/keys.ts"
import { Rotation } from "../../kernel/Rotation.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(KeysApi, "keys", (handlers) =>
  Effect.map(Rotation, (rotation) =>
    handlers
      .handle("rotatePassphrase", ({ payload }) =>
        ground(
          rotation.changeMasterKey(payload.newPassphrase).pipe(
            Effect.catchTag("WeakMasterKey", ({ fix, message }) => new WeakPassphrase({ detail: message, fix })),
            Effect.as(KeyRotated.make({ what: "passphrase", resealed: 0, damaged: [] }))
          )
        )
      )
      .handle("rotateData", () =>
        ground(
          Effect.map(rotation.rotateData, ({ resealed, damaged }) =>
            KeyRotated.make({ what: "data", resealed, damaged })
          )
        )
      )
  )
)
