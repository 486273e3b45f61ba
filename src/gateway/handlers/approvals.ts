/** Answers the approvals group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { ApprovalsApi } from "../../contract/approvals.ts"
import { Approvals } from "../../tools/Approvals.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(ApprovalsApi, "approvals", (handlers) =>
  Effect.map(Approvals, (approvals) =>
    handlers
      .handle("pending", () => approvals.pending)
      .handle("answer", ({ payload }) => ground(approvals.answer(payload)))
  )
)
