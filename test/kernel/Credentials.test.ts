import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Layer, Option, Redacted } from "effect"
import { Audit, layer as auditLayer } from "../../src/kernel/Audit.ts"
import { Credentials, layer as credentialsLayer } from "../../src/kernel/Credentials.ts"
import { Database } from "../../src/kernel/Database.ts"
import { DataDir } from "../../src/kernel/DataDir.ts"
import { redactText } from "../../src/kernel/Redaction.ts"
import { layerTemporary } from "../support/database.ts"
import { settingsWith } from "../support/keyring.ts"

const environment = new Map([
  ["google", Redacted.make("env-google-canary-1")],
  ["anthropic", Redacted.make("env-anthropic-canary")]
])
const ground = credentialsLayer.pipe(
  Layer.provideMerge(auditLayer),
  Layer.provideMerge(Layer.merge(layerTemporary, settingsWith(null, environment)))
)
const stored = Redacted.make("  stored-canary-7f3a9c\n")

describe("Credentials", () => {
  it.scoped("keeps a key sealed, gives it back redacted, and writes its value into no file", () =>
    Effect.gen(function* () {
      const credentials = yield* Credentials
      const { path } = yield* DataDir
      const info = yield* credentials.set("anthropic", stored)
      expect(info).toMatchObject({ provider: "anthropic", source: "stored", updatedAt: 0 })
      expect(info.fingerprint).toMatch(/^[0-9a-f]{8}$/)
      const found = yield* credentials.get("anthropic")
      expect(Redacted.value(Option.getOrThrow(found))).toBe("stored-canary-7f3a9c")
      expect(`${String(found)} ${JSON.stringify(found)}`).not.toContain("canary")
      yield* (yield* Audit).checkpoint
      for (const name of readdirSync(path)) {
        expect([name, readFileSync(join(path, name)).includes("canary")]).toEqual([name, false])
      }
      expect(redactText("it was stored-canary-7f3a9c")).not.toContain("canary")
    }).pipe(Effect.provide(ground))
  )

  it.scoped("prefers what is stored over the environment, and lists both by fingerprint only", () =>
    Effect.gen(function* () {
      const credentials = yield* Credentials
      const before = yield* credentials.list
      expect(before.map((info) => [info.provider, info.source])).toEqual([
        ["anthropic", "environment"],
        ["google", "environment"]
      ])
      yield* credentials.set("anthropic", stored)
      const after = yield* credentials.list
      expect(after.map((info) => [info.provider, info.source])).toEqual([
        ["anthropic", "stored"],
        ["google", "environment"]
      ])
      expect(after[0]!.fingerprint).not.toBe(before[0]!.fingerprint)
      expect(JSON.stringify(after)).not.toContain("canary")
      expect(yield* credentials.remove("anthropic")).toBe(true)
      expect(yield* credentials.remove("anthropic")).toBe(false)
      expect(Redacted.value(Option.getOrThrow(yield* credentials.get("anthropic")))).toBe("env-anthropic-canary")
      expect(Option.isNone(yield* credentials.get("openrouter"))).toBe(true)
    }).pipe(Effect.provide(ground))
  )

  it.scoped("records set and remove, by fingerprint", () =>
    Effect.gen(function* () {
      const credentials = yield* Credentials
      const info = yield* credentials.set("anthropic", stored)
      yield* credentials.remove("anthropic")
      yield* credentials.remove("anthropic")
      const events = (yield* (yield* Audit).tail({ limit: 10 })).map((entry) => [entry.event.type, entry.event.data])
      expect(events).toEqual([
        ["credential.set", { provider: "anthropic", fingerprint: info.fingerprint }],
        ["credential.removed", { provider: "anthropic" }]
      ])
    }).pipe(Effect.provide(ground))
  )

  it.scoped("changes nothing when the change cannot be recorded", () =>
    Effect.gen(function* () {
      const credentials = yield* Credentials
      const { file } = yield* DataDir
      const kept = yield* credentials.set("anthropic", stored)
      const other = new Sqlite(file("audit.db"))
      other.exec("CREATE TRIGGER refuse BEFORE INSERT ON audit_rows BEGIN SELECT RAISE(ABORT, 'no room'); END")
      other.close()
      expect((yield* Effect.flip(credentials.set("anthropic", Redacted.make("another-canary-key"))))._tag).toBe(
        "AuditUnavailable"
      )
      expect((yield* Effect.flip(credentials.remove("anthropic")))._tag).toBe("AuditUnavailable")
      expect((yield* credentials.list)[0]!.fingerprint).toBe(kept.fingerprint)
    }).pipe(Effect.provide(ground))
  )

  it.scoped("refuses what cannot be a key, without repeating it", () =>
    Effect.gen(function* () {
      const credentials = yield* Credentials
      const bad = [
        "",
        "   ",
        "short",
        "has a space in it",
        "line\nbreak-in-it",
        "tab\tin-the-middle",
        "nul\0in-the-middle",
        "zero\u200bwidth-inside",
        "naïve-umlaut-key",
        "x".repeat(4097)
      ]
      for (const value of bad) {
        const error = yield* Effect.flip(credentials.set("anthropic", Redacted.make(value)))
        expect(error._tag).toBe("InvalidCredential")
        if (value.trim().length > 5) expect(error.message).not.toContain(value.trim())
      }
      expect((yield* credentials.list).every((info) => info.source === "environment")).toBe(true)
      expect(yield* (yield* Audit).tail({ limit: 1 })).toEqual([])
    }).pipe(Effect.provide(ground))
  )

  it.scoped("a key moved to another provider's row is an error, not a key", () =>
    Effect.gen(function* () {
      const credentials = yield* Credentials
      const { desk } = yield* Database
      yield* credentials.set("anthropic", stored)
      yield* desk.write((db) => db.run("UPDATE credentials SET provider = 'openrouter'"))
      expect((yield* Effect.flip(credentials.get("openrouter")))._tag).toBe("DecryptFailed")
      expect((yield* Effect.flip(credentials.list))._tag).toBe("DecryptFailed")
    }).pipe(Effect.provide(ground))
  )
})
