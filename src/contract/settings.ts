/** Settings: what is in force, without a secret, and changing the file. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import { Schema } from "effect"
import { SettingsConflict, SettingsEdited, SettingsRefused, VersionMissing } from "../domain/SettingsEdit.ts"
import { Owns, Reads } from "./access.ts"
import { about, base, GroundFailed, worded } from "./failures.ts"
import { IfMatch, MergePatch } from "./pages.ts"

const Json = Schema.Record({ key: Schema.String, value: Schema.Unknown })

export class SettingsShown extends Schema.Class<SettingsShown>("SettingsShown")({
  /** Of the file; what a change names in If-Match. Also the ETag. */
  version: Schema.String,
  /** Absolute; null when there is no file and the defaults are in force. */
  file: Schema.NullOr(Schema.String),
  /** Where the master key comes from; never the key. */
  masterKey: Schema.NullOr(Schema.Literal("environment", ".env", "file")),
  /** Providers of which the environment holds a key. */
  providersWithKey: Schema.Array(Schema.String),
  warnings: Schema.Array(Schema.String),
  /** What is in force, defaults merged in, in the form of the file. Values that may be secrets read `(hidden)`. */
  settings: Json,
  /** What the file itself says, hidden likewise. */
  written: Json
}) {}

export const SettingsGroup = HttpApiGroup.make("settings")
  .annotateContext(about("What ai-desk.json says."))
  .add(
    HttpApiEndpoint.get("show", "/dashboard/api/settings")
      .middleware(Reads)
      .annotateContext(
        about("Show the settings", "As they are in force and as they are written, with warnings; never a secret.")
      )
      .addSuccess(SettingsShown)
      .addError(worded(GroundFailed))
  )
  .add(
    HttpApiEndpoint.get("schema", "/dashboard/api/settings/schema")
      .middleware(Reads)
      .annotateContext(about("Read the JSON Schema of ai-desk.json", "For editors and forms; with the defaults."))
      .addSuccess(Json)
  )
  .add(
    HttpApiEndpoint.patch("edit", "/dashboard/api/settings")
      .middleware(Owns)
      .annotateContext(
        about(
          "Change the settings",
          "A JSON merge patch of the file. Written only if the whole file stays valid on this machine; comments and layout stay. In force at once, but for what is read at the start."
        )
      )
      .setHeaders(IfMatch)
      .setPayload(MergePatch)
      .addSuccess(SettingsEdited)
      .addError(worded(SettingsConflict), { status: 412 })
      .addError(worded(SettingsRefused), { status: 422 })
      .addError(worded(VersionMissing), { status: 428 })
      .addError(worded(GroundFailed))
  )

export const SettingsApi = base.add(SettingsGroup)
