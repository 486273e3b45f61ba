/** Security: the sandbox's self-test, the security audit, key rotation. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { SandboxProbe, SecurityCheck } from "../domain/Security.ts"
import { SandboxUnavailable } from "../domain/Tool.ts"
import { Owns } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

export const SecurityGroup = HttpApiGroup.make("security")
  .annotateContext(about("How well this set-up is secured."))
  .add(
    HttpApiEndpoint.post("sandboxCheck", "/dashboard/api/security/sandbox")
      .middleware(Owns)
      .annotateContext(
        about("Test the sandbox", "Tries to break out of the profile that tools get, and says what was confined.")
      )
      .addSuccess(Schema.Struct({ backend: Schema.String, probes: Schema.Array(SandboxProbe) }))
      .addError(worded(SandboxUnavailable), { status: 503 })
  )
  .add(
    HttpApiEndpoint.post("audit", "/dashboard/api/security/audit")
      .middleware(Owns)
      .annotateContext(
        about("Check the whole set-up", "Every check with its severity and a fix; the failed ones first.")
      )
      .addSuccess(Schema.Array(SecurityCheck))
      .addError(worded(GroundFailed))
  )

export const SecurityApi = base.add(SecurityGroup)
