/** The whole command tree, as @effect/cli has it: for completions, help from the library, and the documentation. */
import * as Command from "@effect/cli/Command"
import * as agent from "./agent.ts"
import * as audit from "./audit.ts"
import * as budget from "./budget.ts"
import * as cache from "./cache.ts"
import * as cert from "./cert.ts"
import * as config from "./config.ts"
import * as credential from "./credential.ts"
import * as gateway from "./gateway.ts"
import * as daemon from "./daemon/verbs.ts"
import { groupCommand } from "./Grammar.ts"
import * as key from "./key.ts"
import * as onboard from "./onboard.ts"
import * as open from "./open.ts"
import * as password from "./password.ts"
import * as sandbox from "./sandbox.ts"
import * as security from "./security.ts"
import * as session from "./session.ts"
import * as token from "./token.ts"

/** By name, in the order in which help shows them. */
export const groups = {
  onboard: onboard.group,
  gateway: gateway.group,
  daemon: daemon.group,
  open: open.group,
  agent: agent.group,
  session: session.group,
  budget: budget.group,
  cache: cache.group,
  credential: credential.group,
  token: token.group,
  password: password.group,
  cert: cert.group,
  key: key.group,
  sandbox: sandbox.group,
  security: security.group,
  audit: audit.group,
  config: config.group
}

export const root = Command.make("ai-desk").pipe(
  Command.withDescription("Security-first gateway for personal AI agents."),
  Command.withSubcommands([
    groupCommand("onboard", onboard.group),
    ...Object.entries(groups)
      .slice(1)
      .map(([name, group]) => groupCommand(name, group))
  ])
)
