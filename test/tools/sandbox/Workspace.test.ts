/** Protected names that do not exist yet (the class of CVE-2026-25725), and what a call leaves behind: nothing. */
import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { place, runScript } from "../../support/sandbox.ts"
import { startDriver, users } from "../../support/sandboxUsers.ts"

const plantAll = [
  "mkdir -p .git/hooks && echo x > .git/hooks/pre-commit",
  "echo x > .git/config",
  "echo x > .env",
  "echo x > .mcp.json",
  "mkdir -p skills && echo x > skills/evil.skill.json",
  "echo x > ai-desk.json",
  "mkdir -p .ai-desk-data && echo x > .ai-desk-data/desk.db",
  "mv -T . ../other",
  "ln -sfn /tmp .git",
  "rm -rf .git .env skills"
].map((command, index) => `if ( ${command} ) 2>/dev/null; then echo ESCAPED ${index}; fi`)
const names = [".git", ".env", ".mcp.json", "skills", "ai-desk.json", ".ai-desk-data"]

const eventually = (what: () => boolean): Effect.Effect<boolean> =>
  Effect.suspend(() => (what() ? Effect.succeed(true) : Effect.delay(eventually(what), "20 millis"))).pipe(
    Effect.timeoutTo({ duration: "10 seconds", onSuccess: () => true, onTimeout: () => false })
  )

describe("protected names that do not exist yet", () => {
  it.scopedLive("cannot be made, and leave no trace", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const result = yield* runScript(workspace, `${plantAll.join("\n")}\ntouch mine; echo TRIED`)
      expect(result.out).toBe("TRIED\n")
      expect(fs.readdirSync(workspace)).toEqual(["mine"])
    })
  )
  it.scopedLive("without the masks they would be made", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const script =
        "chmod 755 .git; mkdir -p .git/hooks && echo x > .git/hooks/pre-commit; chmod 644 .env; echo x > .env"
      yield* runScript(workspace, script, {}, { without: new Set(["masks"]) })
      expect(fs.existsSync(path.join(workspace, ".git", "hooks", "pre-commit"))).toBe(true)
      expect(fs.readFileSync(path.join(workspace, ".env"), "utf8")).toBe("x\n")
    })
  )
  it.scopedLive("stay guarded while any of several calls runs", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const long = yield* Effect.fork(
        runScript(workspace, `touch begun; while [ ! -e go ]; do sleep 0.02; done; ${plantAll.join("\n")}\necho TRIED`)
      )
      expect(yield* eventually(() => fs.existsSync(path.join(workspace, "begun")))).toBe(true)
      yield* runScript(workspace, "true")
      for (const name of names) expect(fs.existsSync(path.join(workspace, name))).toBe(true)
      fs.writeFileSync(path.join(workspace, "go"), "")
      expect((yield* Fiber.join(long)).out).toBe("TRIED\n")
      expect(fs.readdirSync(workspace).sort()).toEqual(["begun", "go"])
    })
  )
  it.scopedLive("stay guarded while a call of another process runs", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const driver = yield* Effect.promise(() => startDriver(users[0]!))
      const script = `touch begun; while [ ! -e go ]; do sleep 0.02; done; ${plantAll.join("\n")}\necho TRIED`
      const other = driver.run({ workspace, argv: ["/bin/sh", "-c", script] })
      expect(yield* eventually(() => fs.existsSync(path.join(workspace, "begun")))).toBe(true)
      yield* runScript(workspace, "true")
      for (const name of names) expect(fs.existsSync(path.join(workspace, name))).toBe(true)
      fs.writeFileSync(path.join(workspace, "go"), "")
      expect((yield* Effect.promise(() => other)).out).toBe("TRIED\n")
      driver.stop()
      expect(fs.readdirSync(workspace).sort()).toEqual(["begun", "go"])
    })
  )
  it.scopedLive("what the owner writes there during a call is the owner's and stays", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      const call = yield* Effect.fork(runScript(workspace, "touch begun; while [ ! -e go ]; do sleep 0.02; done"))
      expect(yield* eventually(() => fs.existsSync(path.join(workspace, "begun")))).toBe(true)
      fs.writeFileSync(path.join(workspace, "new-env"), "OWNER=1\n")
      fs.renameSync(path.join(workspace, "new-env"), path.join(workspace, ".env"))
      fs.writeFileSync(path.join(workspace, "go"), "")
      yield* Fiber.join(call)
      expect(fs.readFileSync(path.join(workspace, ".env"), "utf8")).toBe("OWNER=1\n")
      expect(fs.readdirSync(workspace).sort()).toEqual([".env", "begun", "go"])
    })
  )
})

describe("skill files", () => {
  it.scopedLive("new ones lose their name, old ones keep their content", () =>
    Effect.gen(function* () {
      const { workspace } = yield* place()
      fs.writeFileSync(path.join(workspace, "old.skill.json"), "old")
      const script =
        "echo x > new.SKILL.json; echo x > old.skill.json; mv -f new.SKILL.json old.skill.json; rm -f old.skill.json; echo x > a.skill.json; ln -s /tmp b.skill.json"
      yield* runScript(workspace, script)
      expect(fs.readFileSync(path.join(workspace, "old.skill.json"), "utf8")).toBe("old")
      expect(fs.readdirSync(workspace).sort()).toEqual([
        ...["a.skill.json.blocked", "b.skill.json.blocked", "new.SKILL.json.blocked", "old.skill.json"]
      ])
    })
  )
})

describe("links at protected names", () => {
  it.scopedLive.each([".git", ".env", "old.skill.json", "ai-desk.json"])(
    "%s: the call is refused and the target not shown",
    (name) =>
      Effect.gen(function* () {
        const { workspace, outside } = yield* place()
        fs.symlinkSync(path.join(outside, "canary"), path.join(workspace, name))
        const refused = yield* Effect.flip(runScript(workspace, `cat ${name}`))
        expect(refused.message).toContain("symbolic link")
        expect(fs.readdirSync(workspace)).toEqual([name])
      })
  )
})
