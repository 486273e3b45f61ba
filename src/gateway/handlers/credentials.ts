/** Answers the credentials group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { CredentialsApi } from "../../contract/credentials.ts"
import { Credentials } from "../../kernel/Credentials.ts"
import { ground } from "./ground.ts"

export const layer = HttpApiBuilder.group(CredentialsApi, "credentials", (handlers) =>
  Effect.map(Credentials, (credentials) =>
    handlers
      .handle("list", () => ground(credentials.list))
      .handle("set", ({ path, payload }) => ground(credentials.set(path.provider, payload.secret)))
      .handle("remove", ({ path }) => ground(Effect.map(credentials.remove(path.provider), (removed) => ({ removed }))))
  )
)
