/** Certificates: those by which clients prove who they are. A private key is in the answer that issues it, and in no other. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { AccessScope } from "../domain/Caller.ts"
import {
  AuthorityExpired,
  AuthorityMade,
  CertificateDays,
  CertificateId,
  CertificateLabel,
  CertificateList,
  CertificateNotFound,
  IssuedCertificate,
  NoAuthority
} from "../domain/Certificate.ts"
import { Owns, Reads } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

export const CertificatesGroup = HttpApiGroup.make("certificates")
  .annotateContext(about("Client certificates and the authority that issues them."))
  .add(
    HttpApiEndpoint.get("list", "/dashboard/api/certificates")
      .middleware(Reads)
      .annotateContext(about("List the certificates", "The authority, and what it issued; no private key."))
      .addSuccess(CertificateList)
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("init", "/dashboard/api/certificates/authority")
      .middleware(Owns)
      .annotateContext(
        about(
          "Make the authority",
          "Leaves one that is there as it is, unless it is to be replaced: then every certificate that it issued ends."
        )
      )
      .setPayload(Schema.Struct({ replace: Schema.Boolean }))
      .addSuccess(AuthorityMade)
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.post("issue", "/dashboard/api/certificates")
      .middleware(Owns)
      .annotateContext(
        about(
          "Issue a client certificate",
          "The answer has its private key, which is kept nowhere and shown this once."
        )
      )
      .setPayload(Schema.Struct({ label: CertificateLabel, scope: AccessScope, days: CertificateDays }))
      .addSuccess(IssuedCertificate)
      .addError(worded(NoAuthority), { status: 409 })
      .addError(worded(AuthorityExpired), { status: 409 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.del("revoke", "/dashboard/api/certificates/:id")
      .middleware(Owns)
      .annotateContext(
        about("Revoke a client certificate", "It counts no more from now on; what it holds open is closed.")
      )
      .setPath(Schema.Struct({ id: CertificateId }))
      .addSuccess(Schema.Struct({ revoked: Schema.Boolean }))
      .addError(worded(CertificateNotFound), { status: 404 })
      .addError(worded(GroundFailed))
  )

export const CertificatesApi = base.add(CertificatesGroup)
