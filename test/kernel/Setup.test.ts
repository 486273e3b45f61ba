/** Set-ups of a first run: nothing is overwritten, and one that was cut off can be run again. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { AgentId } from "../../src/domain/Ids.ts"
import { ModelRef } from "../../src/domain/Model.ts"
import { layer, Settings } from "../../src/kernel/Settings.ts"
import * as Setup from "../../src/kernel/Setup.ts"
import { tempDir } from "../support/tempdir.ts"

const secret = `aidk_${"Zz9Yy8Xx7W".repeat(4)}abc`

const choices = (root: string, over: Partial<Setup.SetupChoices> = {}): Setup.SetupChoices => ({
  config: join(root, "desk", "ai-desk.json"),
  agent: AgentId.make("helper"),
  workspace: "workspace",
  model: ModelRef.make("rehearsal/rehearsal-1"),
  profile: "readonly",
  dailyCost: 2.5,
  masterKey: { file: join(root, "keys", "desk.key"), secret: Redacted.make(secret) },
  ...over
})

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

const filesOf = (root: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(root, { recursive: true, encoding: "utf8" })
      .filter((name) => statSync(join(root, name)).isFile())
      .map((name) => [name, readFileSync(join(root, name), "utf8")])
  )

describe("a set-up", () => {
  it.effect("can be run by the settings that it wrote, with the key found through .env", () =>
    Effect.gen(function* () {
      const root = yield* tempDir
      const done = yield* Setup.write(choices(root))
      const loaded = yield* Effect.flatMap(Settings, ({ current }) => current).pipe(
        Effect.provide(layer({ cwd: join(root, "desk"), env: { HOME: root } }))
      )
      assert.strictEqual(loaded.path, done.config)
      const [agent] = loaded.agents
      assert.deepInclude(agent, { id: AgentId.make("helper"), isDefault: true, workspace: done.workspace })
      assert.strictEqual(agent?.tools.profile, "readonly")
      assert.strictEqual(Number(agent?.budget.daily?.cost), 2.5e9)
      assert.strictEqual(agent?.budget.daily?.action, "pause")
      assert.strictEqual(loaded.masterKey === null ? "" : Redacted.value(loaded.masterKey), secret)
      assert.deepStrictEqual(loaded.warnings, [])
    }).pipe(Effect.scoped)
  )

  it.effect("has the key in no file but its own, which nobody else can read", () =>
    Effect.gen(function* () {
      const root = yield* tempDir
      const done = yield* Setup.write(choices(root))
      const holding = Object.entries(filesOf(root)).filter(([, text]) => text.includes(secret))
      assert.deepStrictEqual(
        holding.map(([name]) => name),
        [join("keys", "desk.key")]
      )
      assert.notInclude(JSON.stringify(done), secret)
      for (const file of ["keys/desk.key", "desk/ai-desk.json", "desk/.env"])
        assert.strictEqual(mode(join(root, file)), "600", file)
      for (const folder of ["keys", "desk", "desk/workspace"])
        assert.strictEqual(mode(join(root, folder)), "700", folder)
    }).pipe(Effect.scoped)
  )

  const taken: ReadonlyArray<readonly [what: string, file: string]> = [
    ["config", "desk/ai-desk.json"],
    ["key", "keys/desk.key"]
  ]
  for (const [what, file] of taken) {
    it.effect(`changes nothing where a ${what} is already there, and names it`, () =>
      Effect.gen(function* () {
        const root = yield* tempDir
        mkdirSync(join(root, file, ".."), { recursive: true })
        writeFileSync(join(root, file), "mine")
        const error = yield* Effect.flip(Setup.write(choices(root)))
        assert.strictEqual(error._tag, "AlreadySetUp")
        assert.include(error.message, join(root, file))
        assert.notInclude(error.message, secret)
        assert.deepStrictEqual(filesOf(root), { [file]: "mine" })
      }).pipe(Effect.scoped)
    )
  }

  it.effect("writes the config last: where a step before it fails, there is none", () =>
    Effect.gen(function* () {
      const root = yield* tempDir
      // A file where the key's folder should be: fails for everyone, also for root.
      writeFileSync(join(root, "keys"), "")
      const error = yield* Effect.flip(Setup.write(choices(root)))
      assert.strictEqual(error._tag, "FileError")
      assert.isFalse(existsSync(join(root, "desk", "ai-desk.json")))
    }).pipe(Effect.scoped)
  )

  it.effect("keeps what .env held, and writes none where a key is already known", () =>
    Effect.gen(function* () {
      const root = yield* tempDir
      mkdirSync(join(root, "desk"))
      writeFileSync(join(root, "desk", ".env"), "ANTHROPIC_API_KEY=kept", { mode: 0o600 })
      chmodSync(join(root, "desk", ".env"), 0o600)
      yield* Setup.write(choices(root))
      const lines = readFileSync(join(root, "desk", ".env"), "utf8")
        .trim()
        .split("\n")
      assert.deepStrictEqual(lines, [
        "ANTHROPIC_API_KEY=kept",
        `AI_DESK_MASTER_KEY_FILE=${join(root, "keys", "desk.key")}`
      ])
      const { masterKey: _, ...rest } = choices(join(root, "second"))
      const done = yield* Setup.write(rest)
      assert.isNull(done.keyFile)
      assert.isFalse(existsSync(join(root, "second", "desk", ".env")))
    }).pipe(Effect.scoped)
  )

  it.effect("keeps a workspace elsewhere as it was given, and one inside relative", () =>
    Effect.gen(function* () {
      const root = yield* tempDir
      const read = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"))
      const outside = yield* Setup.write(choices(root, { workspace: join(root, "elsewhere") }))
      assert.deepInclude(JSON.stringify(read(outside.config)), JSON.stringify(join(root, "elsewhere")))
      const inside = yield* Setup.write(choices(join(root, "two"), { workspace: join(root, "two", "desk", "ws") }))
      assert.deepInclude(JSON.stringify(read(inside.config)), '"./ws"')
      const dotted = yield* Setup.write(choices(join(root, "three"), { workspace: "..work" }))
      const loaded = yield* Effect.flatMap(Settings, ({ current }) => current).pipe(
        Effect.provide(layer({ cwd: join(root, "three", "desk"), env: { HOME: root } }))
      )
      assert.strictEqual(loaded.agents[0]?.workspace, dotted.workspace)
    }).pipe(Effect.scoped)
  )

  it("puts the key outside the config's folder", () => {
    const file = Setup.keyFileFor("/home/me", "/srv/desk/ai-desk.json")
    assert.isTrue(file.startsWith("/home/me/.config/ai-desk/"))
    assert.notStrictEqual(file, Setup.keyFileFor("/home/me", "/srv/other/ai-desk.json"))
  })

  it.scoped("never names a key file that is there already", () =>
    Effect.gen(function* () {
      const home = yield* tempDir
      const first = Setup.keyFileFor(home, "/srv/desk/ai-desk.json")
      mkdirSync(dirname(first), { recursive: true })
      writeFileSync(first, "another key\n")
      assert.notStrictEqual(Setup.keyFileFor(home, "/srv/desk/ai-desk.json"), first)
    })
  )
})
