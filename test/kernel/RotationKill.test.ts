/** What kill -9 leaves of a rotation, at each of its durable steps: every value opens, and the next rotation ends it. */
import { spawn } from "node:child_process"
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Redacted, Schema } from "effect"
import { Audit } from "../../src/kernel/Audit.ts"
import { Credentials } from "../../src/kernel/Credentials.ts"
import { Crypto, kidOf } from "../../src/kernel/Crypto.ts"
import { Database } from "../../src/kernel/Database.ts"
import { Keyring } from "../../src/kernel/Keyring.ts"
import { Rotation } from "../../src/kernel/Rotation.ts"
import { temporaryFolder } from "../support/database.ts"
import { masterKey } from "../support/keyring.ts"
import { servicesAt, watching } from "./processes/rotationSteps.ts"

const nextMasterKey = Redacted.make(`aidk_${"Z9y8X7w6V5".repeat(4)}abc`)
const count = 230
const answerPlace = { table: "cache_answers", row: "a", column: "sealed" }
const secrets = Array.from({ length: count }, (_, n) => `secret ${n}`)

/** More values than fit one batch, and one in another store. */
const fill = Effect.gen(function* () {
  const crypto = yield* Crypto
  const { cache, desk } = yield* Database
  const sealed = yield* Effect.forEach(secrets, (secret, n) => {
    const row = `p-${String(n).padStart(4, "0")}`
    return Effect.map(
      crypto.seal("credentials", { table: "credentials", row, column: "sealed" }, Buffer.from(secret)),
      (bytes) => [row, bytes] as const
    )
  })
  yield* desk.write((db) => {
    for (const [row, bytes] of sealed) db.run("INSERT INTO credentials VALUES (?, ?, 0)", row, bytes)
  })
  const answer = yield* crypto.seal("cache", answerPlace, Buffer.from("answer"))
  yield* cache.write((db) =>
    db.run("INSERT INTO cache_answers (id, sealed, created_at, expires_at) VALUES ('a', ?, 0, 0)", answer)
  )
})

const sealedIn = (row: unknown): Uint8Array =>
  typeof row === "object" && row !== null && "sealed" in row && row.sealed instanceof Uint8Array
    ? row.sealed
    : new Uint8Array(0)

const readAll = Effect.gen(function* () {
  const credentials = yield* Credentials
  const crypto = yield* Crypto
  const { cache } = yield* Database
  const read = yield* Effect.forEach(yield* credentials.list, ({ provider }) =>
    Effect.map(credentials.get(provider), (key) => Redacted.value(Option.getOrThrow(key)))
  )
  const row = yield* cache.read((db) => db.get("SELECT sealed FROM cache_answers"))
  return [...read, Buffer.from(yield* crypto.open("cache", answerPlace, sealedIn(row))).toString()]
})
const whole = [...secrets, "answer"]

const StoredKeys = Schema.parseJson(
  Schema.Struct({
    keys: Schema.Array(
      Schema.Struct({ kid: Schema.Int, state: Schema.String, wrapped: Schema.optional(Schema.String) })
    )
  })
)
const keysIn = (folder: string, name: string) =>
  existsSync(join(folder, name)) ? Schema.decodeSync(StoredKeys)(readFileSync(join(folder, name), "utf8")).keys : []

/** Numbers of erased keys that the generation before still holds. */
const leftOver = (folder: string) => {
  const erased = keysIn(folder, "keyring.json").filter((key) => key.state === "retired")
  const kept = keysIn(folder, "keyring.previous.json").filter((key) => key.wrapped !== undefined)
  return kept.map((key) => key.kid).filter((kid) => erased.some((key) => key.kid === kid))
}

/** Asserts everything that must hold in a folder in which a rotation of data keys was killed. */
const finishes = (folder: string, at: string) =>
  Effect.gen(function* () {
    const rotation = yield* Rotation
    const keyring = yield* Keyring
    const { cache, desk } = yield* Database
    expect([at, yield* readAll]).toEqual([at, whole])
    expect([at, leftOver(folder)]).toEqual([at, []])
    const report = yield* rotation.rotateData
    expect([at, report.damaged]).toEqual([at, []])
    expect([at, yield* readAll]).toEqual([at, whole])
    const { active, data } = yield* keyring.keys
    const rows = [
      ...(yield* desk.read((db) => db.all("SELECT sealed FROM credentials"))),
      ...(yield* cache.read((db) => db.all("SELECT sealed FROM cache_answers")))
    ]
    expect([at, new Set(rows.map((row) => kidOf(sealedIn(row))))]).toEqual([at, new Set([active])])
    expect([at, [...data.keys()]]).toEqual([at, [active]])
    expect([at, (yield* (yield* Audit).verify).findings]).toEqual([at, []])
    expect([at, readdirSync(folder).filter((name) => name.endsWith(".tmp"))]).toEqual([at, []])
  }).pipe(Effect.provide(servicesAt(folder, masterKey)), Effect.scoped)

const filled = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  yield* fill.pipe(Effect.provide(servicesAt(folder, masterKey)), Effect.scoped)
  return folder
})

/** Copies of the folder as it stands before each durable step of `effect`. */
const copiesDuring = <A, E, R>(folder: string, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const shelf = yield* temporaryFolder
    const copies = new Map<string, string>()
    const copy = (step: string) => {
      const to = join(shelf, String(copies.size))
      // The index of the write-ahead log is built anew from it.
      cpSync(folder, to, { recursive: true, filter: (name) => !name.endsWith("-shm") })
      copies.set(step, to)
    }
    yield* watching(copy, effect)
    copy("the end")
    return copies
  })

const killed = (folder: string, what: "data" | "master", step: string) =>
  Effect.async<NodeJS.Signals | null>((resume) => {
    const script = join(import.meta.dirname, "processes/rotateKeys.ts")
    const number = step.split(" ")[0] ?? ""
    const child = spawn(process.execPath, [script, folder, what, number, Redacted.value(nextMasterKey)], {
      env: { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, "../../node_modules/.cache/compiled") },
      stdio: ["ignore", "ignore", "inherit"]
    })
    child.on("close", (_, signal) => resume(Effect.succeed(signal)))
  })

const opensWith = (folder: string, key: Redacted.Redacted<string>) =>
  readAll.pipe(
    Effect.map((values) => (JSON.stringify(values) === JSON.stringify(whole) ? "all" : "some")),
    Effect.provide(servicesAt(folder, key)),
    Effect.scoped,
    Effect.catchTag("WrongMasterKey", () => Effect.succeed("nothing" as const))
  )

describe("a rotation of data keys", () => {
  it.scoped("killed at any step: every value opens, and a second rotation ends it", () =>
    Effect.gen(function* () {
      const folder = yield* filled
      const victim = yield* temporaryFolder
      cpSync(folder, victim, { recursive: true })
      const copies = yield* Effect.flatMap(Rotation, (rotation) => copiesDuring(folder, rotation.rotateData)).pipe(
        Effect.provide(servicesAt(folder, masterKey))
      )
      const steps = [...copies.keys()].map((step) => step.replace(/^\d+ /, ""))
      expect(steps.filter((step) => step.includes("keyring"))).toHaveLength(5)
      expect(steps.filter((step) => step === "before a write to desk.db").length).toBeGreaterThanOrEqual(2)
      for (const [step, copy] of copies) yield* finishes(copy, step)

      // And for real, between the first batch and the second, and while the old key is being erased.
      const names = [...copies.keys()]
      const batch = names.filter((step) => step.includes("desk.db"))[1] ?? ""
      const erase = names.filter((step) => step.includes("rename of keyring.json"))[1] ?? ""
      for (const step of [batch, erase]) {
        const again = yield* temporaryFolder
        cpSync(victim, again, { recursive: true })
        expect([step, yield* killed(again, "data", step)]).toEqual([step, "SIGKILL"])
        yield* finishes(again, `kill -9 ${step}`)
      }
    })
  )
})

describe("a change of the master key", () => {
  it.scoped("killed at any step: the old key or the new one opens all, and never both after the next start", () =>
    Effect.gen(function* () {
      const folder = yield* filled
      const victim = yield* temporaryFolder
      cpSync(folder, victim, { recursive: true })
      const copies = yield* Effect.flatMap(Rotation, (rotation) =>
        copiesDuring(folder, rotation.changeMasterKey(nextMasterKey))
      ).pipe(Effect.provide(servicesAt(folder, masterKey)))
      const names = [...copies.keys()]
      expect(names.filter((step) => step.includes("keyring"))).toHaveLength(3)
      const real = names.filter((step) => step.includes("rename of keyring.previous.json"))[1] ?? ""
      expect(yield* killed(victim, "master", real)).toBe("SIGKILL")
      copies.set(`kill -9 ${real}`, victim)
      const found = new Set<string>()
      for (const [step, copy] of copies) {
        const old = yield* opensWith(copy, masterKey)
        const next = yield* opensWith(copy, nextMasterKey)
        expect([step, [old, next].sort()]).toEqual([step, ["all", "nothing"]])
        found.add(`${old} ${next}`)
        // Whichever opens, the other one opens no generation that is left.
        const salts = readdirSync(copy)
          .filter((name) => name.includes("keyring"))
          .map((name) => /"salt": "([^"]+)"/.exec(readFileSync(join(copy, name), "utf8"))?.[1])
        expect([step, new Set(salts).size]).toEqual([step, 1])
      }
      expect(found).toEqual(new Set(["all nothing", "nothing all"]))
    })
  )
})
