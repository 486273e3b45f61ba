/**
 * Disks that really end: a file system without room, and a system that refuses to write on. Both work
 * for root and for everybody else. What was acknowledged is there, the rest failed with words, and
 * nothing is half-written.
 */
import { spawn } from "node:child_process"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { AuditEvent } from "../../src/domain/Audit.ts"
import { Audit, layer as auditLayer } from "../../src/kernel/Audit.ts"
import { Database, layer as databaseLayer } from "../../src/kernel/Database.ts"
import { layer as keyringLayer } from "../../src/kernel/Keyring.ts"
import { dataDirAt, temporaryFolder } from "../support/database.ts"
import { masterKey, settingsWith } from "../support/keyring.ts"

const Failure = Schema.Struct({ tag: Schema.String, message: Schema.String, reason: Schema.optional(Schema.String) })
const Result = Schema.parseJson(
  Schema.Struct({
    full: Schema.Struct({
      acknowledged: Schema.Array(Schema.Int),
      stored: Schema.Array(Schema.Int),
      audit: Failure,
      store: Failure,
      keyring: Schema.Union(Failure, Schema.Literal("done")),
      keyringUnchanged: Schema.Boolean,
      credential: Schema.Union(Failure, Schema.Literal("done")),
      newest: Schema.Int,
      secret: Schema.NullOr(Schema.String)
    }),
    after: Schema.NullOr(Schema.Int),
    started: Schema.NullOr(Schema.Union(Failure, Schema.Literal("done"))),
    held: Schema.NullOr(
      Schema.Struct({
        findings: Schema.Array(Schema.Unknown),
        seqs: Schema.Array(Schema.Int),
        fillers: Schema.Int,
        integrity: Schema.Unknown
      })
    )
  })
)

const script = join(import.meta.dirname, "processes/fillDisk.ts")

const run = (command: string, args: ReadonlyArray<string>) =>
  Effect.async<string>((resume) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] })
    let out = ""
    const take = (bytes: Buffer) => {
      out += bytes.toString()
    }
    child.stdout.on("data", take)
    child.stderr.on("data", take)
    child.on("error", (error) => resume(Effect.succeed(`${command}: ${error.message}`)))
    child.on("close", () => resume(Effect.succeed(out)))
  }).pipe(
    Effect.flatMap((out) => {
      const line = out.split("\n").find((each) => each.startsWith("RESULT "))
      return line === undefined
        ? Effect.dieMessage(`no result: ${out}`)
        : Effect.orDie(Schema.decode(Result)(line.slice("RESULT ".length)))
    })
  )

const sound = [[{ integrity_check: "ok" }], [{ integrity_check: "ok" }]]

describe("a disk without room", () => {
  it.scoped("refuses with words, loses nothing acknowledged, and serves again once there is room", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const mount = ["--dev-bind", "/", "/", "--size", "3000000", "--tmpfs", folder]
      const node = [process.execPath, script, folder, join(folder, "ballast")]
      const { after, full, held, started } = yield* run("bwrap", [...mount, "--", ...node])
      expect(full.acknowledged.length).toBeGreaterThan(20)
      expect(full.audit).toMatchObject({ tag: "AuditUnavailable" })
      expect(full.audit.message).toContain("audit.db: database or disk is full")
      expect(full.store).toMatchObject({ tag: "DatabaseError", reason: "full" })
      expect(full.keyring).toMatchObject({ tag: "FileError", reason: "full" })
      expect(full.keyringUnchanged).toBe(true)
      expect(full.credential).not.toBe("done")
      expect(full.secret).toBe("secret-that-stays")
      expect(after).toBe(full.newest + 1)
      expect(started).toMatchObject({
        tag: "DatabaseError",
        reason: "full",
        message: expect.stringContaining("disk is full")
      })
      const seqs = held?.seqs ?? []
      expect(seqs).toEqual(seqs.map((_, index) => index + 1))
      expect(full.acknowledged.filter((seq) => !seqs.includes(seq))).toEqual([])
      expect(held).toMatchObject({ findings: [], fillers: full.stored.length, integrity: sound })
    })
  )
})

describe("a system that refuses to write on", () => {
  it.scoped("makes the stores read-only with words, and the next start finds all that was acknowledged", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const { full } = yield* run("prlimit", ["--fsize=400000", process.execPath, script, folder])
      expect(full.acknowledged.length).toBeGreaterThan(20)
      expect(full.stored.length).toBeGreaterThan(5)
      expect(full.audit).toMatchObject({ tag: "AuditUnavailable" })
      expect(full.audit.message).toContain("audit.db: disk I/O error")
      expect(full.store).toMatchObject({ tag: "DatabaseError", reason: "io" })
      expect(full.credential).toMatchObject({ tag: "AuditUnavailable" })
      expect(full.secret).toBe("secret-that-stays")
      const services = auditLayer.pipe(
        Layer.provideMerge(databaseLayer),
        Layer.provideMerge(keyringLayer),
        Layer.provideMerge(Layer.merge(dataDirAt(folder), settingsWith(masterKey)))
      )
      yield* Effect.gen(function* () {
        const log = yield* Audit
        const { audit, desk } = yield* Database
        const report = yield* log.verify
        // Each row, whether acknowledged or of the batch that failed, is there whole or not at all.
        expect(report.findings).toEqual([])
        expect(report.entries).toBeGreaterThanOrEqual(full.acknowledged.at(-1) ?? Number.NaN)
        const kept = yield* desk.read((db) => db.all("SELECT 1 FROM credentials WHERE provider LIKE 'filler %'"))
        expect(kept.length).toBeGreaterThanOrEqual(full.stored.length)
        const check = "SELECT * FROM pragma_integrity_check"
        expect([yield* audit.read((db) => db.all(check)), yield* desk.read((db) => db.all(check))]).toEqual(sound)
        const { seq } = yield* log.append(new AuditEvent({ type: "gateway.started", data: {} }))
        expect(seq).toBe(report.entries + 1)
      }).pipe(Effect.provide(services))
    })
  )
})
