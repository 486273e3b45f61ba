/** Answers the health group; needs no more than the server itself, so that it answers while all else still starts. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { HealthApi, NotReady } from "../../contract/health.ts"
import { Drain } from "../Drain.ts"
import { Health } from "../Health.ts"

export const layer = HttpApiBuilder.group(HealthApi, "health", (handlers) =>
  Effect.gen(function* () {
    const { identity } = yield* Health
    const drain = yield* Drain
    return handlers
      .handle("alive", () => Effect.succeed(identity))
      .handle("ready", () =>
        Effect.flatMap(drain.phase, (phase) =>
          phase === "ready" ? Effect.succeed({ ready: true as const }) : new NotReady({ phase })
        )
      )
  })
)
