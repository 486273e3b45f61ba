/** Answers the security group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { SecurityApi } from "../../contract/security.ts"
import { Sandbox } from "../../tools/Sandbox.ts"
import { SecurityAudit } from "../SecurityAudit.ts"

export const layer = HttpApiBuilder.group(SecurityApi, "security", (handlers) =>
  Effect.gen(function* () {
    const sandbox = yield* Sandbox
    const security = yield* SecurityAudit
    return handlers
      .handle("sandboxCheck", () => Effect.map(sandbox.check, (probes) => ({ backend: sandbox.backend, probes })))
      .handle("audit", () => security.run)
  })
)
