/** A change of the settings file, by whoever asks and for the version that they have seen; the answer carries the new one. */
import { Effect } from "effect"
import { versionIn } from "../../contract/pages.ts"
import { Caller } from "../../domain/Caller.ts"
import type { Change, SettingsFile } from "../../kernel/SettingsFile.ts"
import { etag } from "./etag.ts"
import { ground } from "./ground.ts"

export const changeOf =
  (file: typeof SettingsFile.Service) =>
  <E extends { readonly _tag: string }>(ifMatch: string | undefined, steps: Change<E>["steps"]) =>
    Effect.gen(function* () {
      const { principal } = yield* Caller
      const edited = yield* ground(file.change({ principal, ifVersion: versionIn(ifMatch), steps }))
      yield* etag(edited.version)
      return edited
    })
