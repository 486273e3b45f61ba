/** The command tree and how a command line is run. */
import * as Command from "@effect/cli/Command"
import manifest from "../../package.json" with { type: "json" }
import * as agent from "./agent.ts"
import * as audit from "./audit.ts"
import * as budget from "./budget.ts"
import * as cache from "./cache.ts"
import * as config from "./config.ts"
import * as credential from "./credential.ts"
import * as key from "./key.ts"
import * as onboard from "./onboard.ts"
import * as sandbox from "./sandbox.ts"
import * as security from "./security.ts"
import * as session from "./session.ts"

export const root = Command.make("ai-desk").pipe(
  Command.withDescription("Security-first gateway for personal AI agents."),
  Command.withSubcommands([
    onboard.command,
    agent.command,
    session.command,
    budget.command,
    cache.command,
    credential.command,
    key.command,
    sandbox.command,
    security.command,
    audit.command,
    config.command
  ])
)

/** Runs a command line; fails with Exited, or with a ValidationError that has already been shown. */
export const program = Command.run(root, { name: "Ai_DESK", version: manifest.version, executable: "ai-desk" })
