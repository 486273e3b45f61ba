/** Credentials: a secret goes in and never comes out; only its fingerprint is shown. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { CredentialInfo, InvalidCredential } from "../domain/Credential.ts"
import { ProviderName } from "../domain/Model.ts"
import { Owns, Reads } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"

const path = Schema.Struct({ provider: ProviderName })

export const CredentialsGroup = HttpApiGroup.make("credentials")
  .annotateContext(about("Keys of providers: they go in and never come out."))
  .add(
    HttpApiEndpoint.get("list", "/dashboard/api/credentials")
      .middleware(Reads)
      .annotateContext(about("List stored keys", "Names, fingerprints and dates; never a secret."))
      .addSuccess(Schema.Array(CredentialInfo))
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.put("set", "/dashboard/api/credentials/:provider")
      .middleware(Owns)
      .annotateContext(about("Store a provider's key", "Sealed at rest. Replaces the one that was there."))
      .setPath(path)
      .setPayload(Schema.Struct({ secret: Schema.Redacted(Schema.String) }))
      .addSuccess(CredentialInfo)
      .addError(worded(InvalidCredential), { status: 400 })
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.del("remove", "/dashboard/api/credentials/:provider")
      .middleware(Owns)
      .annotateContext(about("Remove a provider's key", "Answers whether there was one."))
      .setPath(path)
      .addSuccess(Schema.Struct({ removed: Schema.Boolean }))
      .addError(worded(GroundFailed))
  )

export const CredentialsApi = base.add(CredentialsGroup)
