/** RunFailures: how a run fails, as clients are told: typed, in words, and with no inside of the gateway. */
import { Cause, Effect, Option, Schema } from "effect"
import type { RunError } from "../agent/AgentRuntime.ts"
import { InternalFailure } from "../contract/failures.ts"
import { type RunFailure, RunFailureJson, type RunNotFound } from "../contract/runs.ts"
import type { NothingToResume } from "../domain/Session.ts"
import { isGround, toGroundFailed } from "./handlers/ground.ts"

export const encodeFailure = Schema.encodeSync(RunFailureJson)

type Failure = RunError | NothingToResume | RunNotFound

const toFailure = (error: Failure): RunFailure => {
  if (error._tag === "AuditUnavailable") return error
  return isGround(error) ? toGroundFailed(error) : error
}

/** Defects are named to the client as what they are, an internal error; what is inside goes to the log. */
export const failureOf = (cause: Cause.Cause<Failure>): Effect.Effect<RunFailure> =>
  Option.match(Cause.failureOption(cause), {
    onSome: (error) => Effect.succeed(toFailure(error)),
    onNone: () => Effect.as(Effect.logError("a run broke", cause), new InternalFailure())
  })
