/**
 * A process that guesses wrongly, for tests that kill it.
 *
 *   node test/support/lockout-worker.ts DATA_DIR COUNT     then waits to be killed
 *
 * Every guess is judged only after "counted" was written; the last one never is.
 */
import { Effect, Layer } from "effect"
import { layer as auditLayer } from "../../src/kernel/Audit.ts"
import { layer as databaseLayer } from "../../src/kernel/Database.ts"
import * as Lockout from "../../src/gateway/Lockout.ts"
import { dataDirAt } from "./database.ts"
import { layerCryptoMemory, settingsWith } from "./keyring.ts"

const [, , dataDir = "", count = "0"] = process.argv

const ground = Lockout.layer.pipe(
  Layer.provide(auditLayer),
  Layer.provide(databaseLayer),
  Layer.provide(Layer.mergeAll(dataDirAt(dataDir), layerCryptoMemory, settingsWith(null)))
)

const say = Effect.sync(() => process.stdout.write("counted\n"))

const main = Effect.gen(function* () {
  const lockout = yield* Lockout.Lockout
  for (let index = 1; index < Number(count); index++) yield* lockout.attempt("10.1.1.1", Effect.as(say, null))
  yield* lockout.attempt("10.1.1.1", Effect.zipRight(say, Effect.never))
})

await Effect.runPromise(Effect.provide(main, ground))
