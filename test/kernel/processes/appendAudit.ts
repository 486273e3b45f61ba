/**
 * Run as a process of its own: `node appendAudit.ts FOLDER COUNT FIBERS NAME [NOTES]`. Appends to the
 * folder's audit log, NOTES notes before each entry, and prints the number of each row once it is
 * acknowledged.
 */
import { writeSync } from "node:fs"
import { Effect, Layer } from "effect"
import { AuditEvent } from "../../../src/domain/Audit.ts"
import { Audit, layer as auditLayer } from "../../../src/kernel/Audit.ts"
import { layer as databaseLayer } from "../../../src/kernel/Database.ts"
import { layer as keyringLayer } from "../../../src/kernel/Keyring.ts"
import { dataDirAt } from "../../support/database.ts"
import { masterKey, settingsWith } from "../../support/keyring.ts"

const [, , folder = "", count = "0", fibers = "1", name = "", notes = "0"] = process.argv

const program = Effect.gen(function* () {
  const audit = yield* Audit
  writeSync(1, "ready\n")
  yield* Effect.forEach(
    Array.from({ length: Number(count) }, (_, n) => n),
    (n) =>
      Effect.gen(function* () {
        for (let k = 0; k < Number(notes); k++) {
          yield* audit.note(new AuditEvent({ type: "message.accepted", agent: name, data: { n, k } }))
        }
        const entry = yield* audit.append(new AuditEvent({ type: "tool.intended", agent: name, data: { n } }))
        writeSync(1, `${entry.seq}\n`)
        if (n % 100 === 99) yield* audit.checkpoint
      }),
    { concurrency: Number(fibers), discard: true }
  )
})

await Effect.runPromise(
  program.pipe(
    Effect.provide(
      auditLayer.pipe(
        Layer.provideMerge(databaseLayer),
        Layer.provideMerge(keyringLayer),
        Layer.provideMerge(Layer.merge(dataDirAt(folder), settingsWith(masterKey)))
      )
    ),
    Effect.scoped
  )
)
