/** Answers the settings group. No secret is in any answer: values that may be one are hidden. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect, Schema } from "effect"
import { SettingsApi, SettingsShown } from "../../contract/settings.ts"
import { Config } from "../../domain/Config.ts"
import { jsonSchema, Settings } from "../../kernel/Settings.ts"
import { SettingsFile, withoutSecrets } from "../../kernel/SettingsFile.ts"
import { isRecord, type JsonRecord, mergeSteps } from "../../kernel/settings/Edit.ts"
import { changeOf } from "./change.ts"
import { etag } from "./etag.ts"
import { ground } from "./ground.ts"

const encode = Schema.encodeSync(Config)

const hidden = (value: unknown): JsonRecord => {
  const shown = withoutSecrets(value)
  return isRecord(shown) ? shown : {}
}

export const layer = HttpApiBuilder.group(SettingsApi, "settings", (handlers) =>
  Effect.gen(function* () {
    const settings = yield* Settings
    const file = yield* SettingsFile
    const change = changeOf(file)
    const schema = yield* Effect.cached(Effect.sync(jsonSchema))
    return handlers
      .handle("show", () =>
        Effect.gen(function* () {
          const { config, masterKeySource, path, providerKeys, warnings } = yield* settings.current
          const { value, version } = yield* ground(file.read)
          yield* etag(version)
          return SettingsShown.make({
            version,
            file: path,
            masterKey: masterKeySource,
            providersWithKey: [...providerKeys.keys()].sort(),
            warnings,
            settings: hidden(encode(config)),
            written: hidden(value)
          })
        })
      )
      .handle("schema", () => schema)
      .handle("edit", ({ headers, payload }) =>
        change(headers["if-match"], (value) => Effect.succeed(mergeSteps(value, payload)))
      )
  })
)
