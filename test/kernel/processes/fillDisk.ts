/**
 * Run as a process of its own, where the disk ends: `node fillDisk.ts FOLDER BALLAST`. Records and
 * stores until the system refuses, says what was acknowledged and how the rest failed; with a BALLAST
 * file (it stands for what a person would delete) it then makes room, goes on, and starts once more on
 * a full disk. Prints one line of JSON after `RESULT `.
 */
import { closeSync, openSync, readFileSync, rmSync, statfsSync, writeSync } from "node:fs"
import { join } from "node:path"
import { Effect, Either, Layer, Redacted } from "effect"
import { AuditEvent } from "../../../src/domain/Audit.ts"
import { Audit, layer as auditLayer } from "../../../src/kernel/Audit.ts"
import { Credentials, layer as credentialsLayer } from "../../../src/kernel/Credentials.ts"
import { Database, layer as databaseLayer } from "../../../src/kernel/Database.ts"
import { Keyring, layer as keyringLayer, layerCrypto } from "../../../src/kernel/Keyring.ts"
import { dataDirAt } from "../../support/database.ts"
import { masterKey, settingsWith } from "../../support/keyring.ts"

const [, , folder = "", ballast = ""] = process.argv

const services = credentialsLayer.pipe(
  Layer.provideMerge(auditLayer),
  Layer.provideMerge(databaseLayer),
  Layer.provideMerge(layerCrypto),
  Layer.provideMerge(keyringLayer),
  Layer.provideMerge(Layer.merge(dataDirAt(folder), settingsWith(masterKey)))
)

const text = "x".repeat(1000)
const event = (n: number) => new AuditEvent({ type: "tool.intended", data: { n, text } })
const failure = (error: { readonly _tag: string; readonly message: string; readonly reason?: string }) => ({
  tag: error._tag,
  message: error.message,
  reason: error.reason
})

/** Takes all but `left` bytes of the file system. */
const takeRoom = (left: number): void => {
  const { bavail, bsize } = statfsSync(folder)
  const fd = openSync(ballast, "w")
  for (let room = bavail * bsize - left; room > 0; room -= 4096) writeSync(fd, Buffer.alloc(Math.min(room, 4096)))
  closeSync(fd)
}

const untilFull = Effect.gen(function* () {
  const audit = yield* Audit
  const credentials = yield* Credentials
  const keyring = yield* Keyring
  const { desk } = yield* Database
  yield* credentials.set("kept", Redacted.make("secret-that-stays"))
  if (ballast !== "") takeRoom(300_000)
  const acknowledged: Array<number> = []
  let refused: ReturnType<typeof failure> | undefined
  while (refused === undefined) {
    const batch = yield* Effect.forEach(
      Array.from({ length: 10 }, (_, n) => n),
      (n) => Effect.either(audit.append(event(n))),
      { concurrency: "unbounded" }
    )
    for (const each of batch) {
      if (Either.isRight(each)) acknowledged.push(each.right.seq)
      else refused = failure(each.left)
    }
  }
  const stored: Array<number> = []
  let store: ReturnType<typeof failure> | undefined
  for (let n = 0; store === undefined; n++) {
    const wrote = yield* Effect.either(
      desk.write((db) => db.run("INSERT INTO credentials VALUES (?, ?, 0)", `filler ${n}`, Buffer.alloc(4000)))
    )
    if (Either.isRight(wrote)) stored.push(n)
    else store = failure(wrote.left)
  }
  const before = readFileSync(join(folder, "keyring.json"), "utf8")
  const rotated = yield* Effect.either(keyring.addDataKey)
  const credential = yield* Effect.either(credentials.set("kept", Redacted.make("another-secret-value")))
  // What only reads goes on.
  const read = yield* audit.tail({ limit: 1 })
  const secret = yield* credentials.get("kept")
  return {
    acknowledged,
    stored,
    audit: refused,
    store,
    keyring: Either.isLeft(rotated) ? failure(rotated.left) : "done",
    keyringUnchanged: readFileSync(join(folder, "keyring.json"), "utf8") === before,
    credential: Either.isLeft(credential) ? failure(credential.left) : "done",
    newest: read[0]?.seq,
    secret: secret._tag === "Some" ? Redacted.value(secret.value) : null
  }
})

/** With room again, in the same process: both stores take writes at once. */
const goOn = Effect.gen(function* () {
  rmSync(ballast)
  const { seq } = yield* (yield* Audit).append(event(-1))
  yield* (yield* Credentials).set("kept", Redacted.make("another-secret-value"))
  return seq
})

/** After another start: what the files hold. */
const held = Effect.gen(function* () {
  const { audit, desk } = yield* Database
  const report = yield* (yield* Audit).verify
  return {
    findings: report.findings,
    seqs: (yield* audit.read((db) => db.all("SELECT seq FROM audit_rows ORDER BY seq"))).map(
      (row) => Object.values(row ?? {})[0]
    ),
    fillers: (yield* desk.read((db) => db.all("SELECT provider FROM credentials WHERE provider LIKE 'filler %'")))
      .length,
    integrity: [
      yield* audit.read((db) => db.all("SELECT * FROM pragma_integrity_check")),
      yield* desk.read((db) => db.all("SELECT * FROM pragma_integrity_check"))
    ]
  }
})

/** A start on a disk that is full already, and the next one with room. */
const startFull = Effect.gen(function* () {
  takeRoom(0)
  const start = Effect.scoped(Layer.build(services))
  const refused = yield* Effect.either(start)
  rmSync(ballast)
  yield* start
  return Either.isLeft(refused) ? failure(refused.left) : "done"
})

const result = await Effect.runPromise(
  Effect.gen(function* () {
    const first = yield* Effect.gen(function* () {
      const full = yield* untilFull
      return { full, after: ballast === "" ? null : yield* goOn }
    }).pipe(Effect.provide(services), Effect.scoped)
    if (ballast === "") return { ...first, held: null, started: null }
    return { ...first, started: yield* startFull, held: yield* held.pipe(Effect.provide(services), Effect.scoped) }
  })
)
writeSync(1, `RESULT ${JSON.stringify(result)}\n`)
