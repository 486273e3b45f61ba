/** Approvals: what waits for a human, and the human's answer, bound to the exact call. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { ApprovalDecision, ApprovalInvalid, ApprovalRequest } from "../domain/Tool.ts"
import { GroundFailed } from "./failures.ts"

export const ApprovalsGroup = HttpApiGroup.make("approvals")
  .add(HttpApiEndpoint.get("pending", "/api/approvals").addSuccess(Schema.Array(ApprovalRequest)))
  .add(
    HttpApiEndpoint.post("answer", "/api/approvals")
      .setPayload(ApprovalDecision)
      .addSuccess(Schema.Void)
      .addError(ApprovalInvalid, { status: 409 })
      .addError(GroundFailed)
  )

export const ApprovalsApi = HttpApi.make("ai-desk").add(ApprovalsGroup)
