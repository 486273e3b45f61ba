/** Answers the certificates group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { CertificatesApi } from "../../contract/certificates.ts"
import { Certificates } from "../Certificates.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(CertificatesApi, "certificates", (handlers) =>
  Effect.map(Certificates, (certificates) =>
    handlers
      .handle("list", () => ground(certificates.list))
      .handle("init", ({ payload }) => ground(certificates.init(payload)))
      .handle("issue", ({ payload }) => ground(certificates.issue(payload)))
      .handle("revoke", ({ path }) => ground(Effect.map(certificates.revoke(path.id), (revoked) => ({ revoked }))))
  )
)
