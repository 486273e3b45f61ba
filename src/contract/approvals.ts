/** Approvals: what waits for a human, and the human's answer, bound to the exact call. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { ApprovalDecision, ApprovalInvalid, ApprovalRequest } from "../domain/Tool.ts"
import { Owns, Reads } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

export const ApprovalsGroup = HttpApiGroup.make("approvals")
  .annotateContext(about("What waits for a human, and the human's answer."))
  .add(
    HttpApiEndpoint.get("pending", "/dashboard/api/approvals")
      .middleware(Reads)
      .annotateContext(about("List what waits for approval"))
      .addSuccess(Schema.Array(ApprovalRequest))
  )
  .add(
    HttpApiEndpoint.post("answer", "/dashboard/api/approvals")
      .middleware(Owns)
      .annotateContext(
        about(
          "Approve or decline a call",
          "Bound to the exact call by its hash, and counted once. Refused when the request is unknown, expired, answered, or was made for another call."
        )
      )
      .setPayload(ApprovalDecision)
      .addSuccess(Schema.Void)
      .addError(worded(ApprovalInvalid), { status: 409 })
      .addError(worded(GroundFailed))
  )

export const ApprovalsApi = base.add(ApprovalsGroup)
