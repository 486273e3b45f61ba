/** Security: the sandbox's self-test, the security audit, key rotation. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { SandboxProbe, SecurityCheck } from "../domain/Security.ts"
import { SandboxUnavailable } from "../domain/Tool.ts"
import { GroundFailed } from "./failures.ts"

export const SecurityGroup = HttpApiGroup.make("security")
  .add(
    HttpApiEndpoint.post("sandboxCheck", "/api/security/sandbox")
      .addSuccess(Schema.Struct({ backend: Schema.String, probes: Schema.Array(SandboxProbe) }))
      .addError(SandboxUnavailable, { status: 503 })
  )
  .add(HttpApiEndpoint.post("audit", "/api/security/audit").addSuccess(Schema.Array(SecurityCheck)).addError(GroundFailed))

export const SecurityApi = HttpApi.make("ai-desk").add(SecurityGroup)
