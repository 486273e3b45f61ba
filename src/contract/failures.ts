/**
 * Failures that any question can end in, with their HTTP status. A failure of the gateway's own
 * ground (disk, keys, audit log) reaches clients as `GroundFailed`: what and what to do, no inside. A
 * question that does not decode is answered by the platform's HttpApiDecodeError (400), in our words.
 *
 * Every error of an endpoint is added as `.addError(worded(TheError))`: so its body says in `message`
 * what is wrong and in `fix` what to do, also to clients without our classes. A test holds it.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"

const Words = {
  message: Schema.String.annotations({ description: "What is wrong, for a person." }),
  fix: Schema.optional(Schema.String.annotations({ description: "What to do about it." }))
}

/**
 * An error as it goes over the wire: its fields, and its words beside them. Who decodes it gets the
 * error back as it was; its words are made anew from the fields, so sent ones are never believed.
 */
export const worded = <A extends { readonly message: string; readonly fix?: string | undefined }, I extends object>(
  self: Schema.Schema<A, I> & { readonly fields: Schema.Struct.Fields; readonly identifier: string }
) => {
  type Wire = I & { readonly message: string; readonly fix?: string | undefined }
  const { ast } = Schema.encodedBoundSchema(Schema.Struct({ ...self.fields, ...Words }))
  const wire = Schema.make<Wire, Wire>(ast).annotations({ identifier: self.identifier })
  return Schema.transform(wire, self, {
    strict: true,
    decode: (body) => body,
    encode: (body, { fix, message }) => (fix === undefined ? { ...body, message } : { ...body, message, fix })
  }).annotations(
    HttpApiSchema.annotations({ identifier: self.identifier, status: HttpApiSchema.getStatusErrorAST(self.ast) })
  )
}

/** Storage, keys or the audit log cannot do what was asked. Nothing was half-done. */
export class GroundFailed extends Schema.TaggedError<GroundFailed>()(
  "GroundFailed",
  { kind: Schema.String, detail: Schema.String, fix: Schema.optional(Schema.String) },
  HttpApiSchema.annotations({ status: 503 })
) {
  override get message(): string {
    return this.detail
  }
}

/** The gateway broke while it answered. Its log holds the cause; the client is told no more than that. */
export class InternalFailure extends Schema.TaggedError<InternalFailure>()(
  "InternalFailure",
  {},
  HttpApiSchema.annotations({ status: 500 })
) {
  override get message(): string {
    return "an internal error; nothing more is known to be wrong with what was asked"
  }
  get fix(): string {
    return "look into the gateway's log; with AI_DESK_LOG_LEVEL=debug it says more"
  }
}

/** What every group of the contract is added to: any question can break the one who answers it. */
export const base = HttpApi.make("ai-desk")
  .addError(worded(InternalFailure))
  .annotateContext(
    OpenApi.annotations({ title: "Ai_DESK", description: "Everything that a client may ask of the gateway." })
  )

/** How an endpoint or group is shown in the documentation. */
export const about = (summary: string, description?: string) =>
  OpenApi.annotations({ summary, description: description ?? summary })
