/**
 * Run as a process of its own: `node rotateKeys.ts FOLDER data|master STEP`. Rotates and kills itself
 * with SIGKILL before the durable step of that number.
 */
import { Effect, Redacted } from "effect"
import { Rotation } from "../../../src/kernel/Rotation.ts"
import { masterKey } from "../../support/keyring.ts"
import { servicesAt, watching } from "./rotationSteps.ts"

const [, , folder = "", what = "", at = "", next = ""] = process.argv

const rotate = Effect.flatMap(Rotation, (rotation) =>
  what === "data" ? Effect.asVoid(rotation.rotateData) : rotation.changeMasterKey(Redacted.make(next))
)

await Effect.runPromise(
  watching((step) => {
    if (step.startsWith(`${at} `)) process.kill(process.pid, "SIGKILL")
  }, rotate).pipe(Effect.provide(servicesAt(folder, masterKey)), Effect.scoped)
)
