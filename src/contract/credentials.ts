/** Credentials: a secret goes in and never comes out; only its fingerprint is shown. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { CredentialInfo, InvalidCredential } from "../domain/Credential.ts"
import { ProviderName } from "../domain/Model.ts"
import { GroundFailed } from "./failures.ts"

const path = Schema.Struct({ provider: ProviderName })

export const CredentialsGroup = HttpApiGroup.make("credentials")
  .add(
    HttpApiEndpoint.get("list", "/api/credentials").addSuccess(Schema.Array(CredentialInfo)).addError(GroundFailed)
  )
  .add(
    HttpApiEndpoint.put("set", "/api/credentials/:provider")
      .setPath(path)
      .setPayload(Schema.Struct({ secret: Schema.Redacted(Schema.String) }))
      .addSuccess(CredentialInfo)
      .addError(InvalidCredential, { status: 400 })
      .addError(GroundFailed)
  )
  .add(
    HttpApiEndpoint.del("remove", "/api/credentials/:provider")
      .setPath(path)
      .addSuccess(Schema.Struct({ removed: Schema.Boolean }))
      .addError(GroundFailed)
  )

export const CredentialsApi = HttpApi.make("ai-desk").add(CredentialsGroup)
