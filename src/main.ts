/** The command line's entry: the only place where a program is run. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Effect, Exit, Option } from "effect"
import { Exited } from "./cli/failure.ts"
import { run } from "./cli/run.ts"
import { layer } from "./cli/Surroundings.ts"

/** 130 is the shells' own code for a program that was interrupted; a verb that ends in no other way names its own. */
const codeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.isInterruptedOnly(exit.cause)) return typeof process.exitCode === "number" ? process.exitCode : 130
  return Option.match(Cause.failureOption(exit.cause), {
    onNone: () => 1,
    onSome: (error) => (error instanceof Exited ? error.code : 1)
  })
}

// Without a listener a reader that went away (`| head`) would end the process in the middle of a write.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined)

run(process.argv.slice(2)).pipe(
  Effect.provide(layer),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    // Logs are written by Observability, and by nothing beside it.
    disablePrettyLogger: true,
    teardown: (exit, onExit) => onExit(codeOf(exit))
  })
)
