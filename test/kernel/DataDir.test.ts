import { spawn } from "node:child_process"
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { createInterface } from "node:readline"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { DataDir, layer, layerWriter } from "../../src/kernel/DataDir.ts"
import { layer as settingsLayer } from "../../src/kernel/Settings.ts"
import { type Project, project } from "../support/settings.ts"

const reader = ({ options }: Project) => Layer.provide(layer, Layer.orDie(settingsLayer(options)))
const writer = ({ options }: Project) => Layer.provide(layerWriter, Layer.orDie(settingsLayer(options)))
const dataDir = (made: Project) => join(made.dir, ".ai-desk-data")
const mode = (path: string) => statSync(path).mode & 0o777
const root = process.geteuid?.() === 0

const withUmask = <A, E, R>(mask: number, effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => process.umask(mask)),
    () => effect,
    (before) => Effect.sync(() => process.umask(before))
  )

describe("the folder", () => {
  for (const mask of [0o000, 0o022, 0o277]) {
    it.scoped(`is made 0700, its lock 0600, under umask ${mask.toString(8)}`, () =>
      Effect.gen(function* () {
        const made = yield* project({})
        const path = yield* withUmask(
          mask,
          Effect.map(Effect.provide(DataDir, yield* Layer.build(writer(made))), (dir) => dir.path)
        )
        expect([path, mode(path)]).toEqual([dataDir(made), 0o700])
        expect(readdirSync(path).map((name) => [name, mode(join(path, name))])).toEqual([
          ["lock.db", 0o600],
          ["lock.pid", 0o600]
        ])
      })
    )
  }

  it.scoped("names files in it and nowhere else", () =>
    Effect.gen(function* () {
      const made = yield* project({})
      const dir = yield* Effect.provide(DataDir, yield* Layer.build(reader(made)))
      expect(dir.file("desk.db")).toBe(join(dataDir(made), "desk.db"))
      expect(dir.file("../../etc/passwd")).toBe(join(dataDir(made), "passwd"))
    })
  )

  it.scoped("is closed when others could only read it", () =>
    Effect.gen(function* () {
      const made = yield* project({})
      mkdirSync(dataDir(made))
      chmodSync(dataDir(made), 0o755)
      yield* Layer.build(reader(made))
      expect(mode(dataDir(made))).toBe(0o700)
    })
  )

  const unsafe: ReadonlyArray<readonly [string, (path: string) => void, RegExp, RegExp]> = [
    ["writable by all", (path) => chmodSync(path, 0o707), /others may write in it/, /^chmod 700 /],
    ["writable by the group", (path) => chmodSync(path, 0o770), /others may write in it/, /^chmod 700 /],
    [
      "a symbolic link",
      (path) => {
        mkdirSync(`${path}-real`, { mode: 0o700 })
        rmdirSync(path)
        symlinkSync(`${path}-real`, path)
      },
      /it is a symbolic link/,
      /AI_DESK_DATA_DIR/
    ],
    [
      "a file",
      (path) => {
        rmdirSync(path)
        writeFileSync(path, "")
      },
      /it is not a folder/,
      /move/
    ],
    [
      "below a folder that all may change",
      (path) => chmodSync(join(path, ".."), 0o777),
      /the folder above is writable by all/,
      /^chmod o-w /
    ]
  ]
  for (const [name, spoil, said, fix] of unsafe) {
    it.scoped(`is refused when ${name}`, () =>
      Effect.gen(function* () {
        const made = yield* project({})
        mkdirSync(dataDir(made), { mode: 0o700 })
        spoil(dataDir(made))
        const failure = yield* Effect.flip(Layer.build(reader(made)))
        expect(failure.message).toMatch(said)
        expect(failure.fix).toMatch(fix)
        expect(existsSync(join(dataDir(made), "lock.db"))).toBe(false)
      })
    )
  }

  it.scoped("is refused when it belongs to someone else", () =>
    Effect.gen(function* () {
      const made = yield* project({ env: root ? {} : { AI_DESK_DATA_DIR: "/usr" } })
      if (root) {
        mkdirSync(dataDir(made), { mode: 0o700 })
        chownSync(dataDir(made), 12_345, 12_345)
      }
      const failure = yield* Effect.flip(Layer.build(reader(made)))
      expect(failure.message).toContain("it belongs to another user")
      expect(failure.fix).toMatch(/^chown -R /)
    })
  )

  it.scoped("is refused when it cannot be made, with the system's reason", () =>
    Effect.gen(function* () {
      const made = yield* project({ env: { AI_DESK_DATA_DIR: "/proc/none/data" } })
      const failure = yield* Effect.flip(Layer.build(reader(made)))
      expect([failure._tag, failure.message]).toEqual(["FileError", expect.stringContaining("/proc/none")])
    })
  )
})

const fixture = fileURLToPath(new URL("./fixtures/hold-data-dir.ts", import.meta.url))

// Starting is most of what these tests do.
const env = {
  ...process.env,
  NODE_COMPILE_CACHE: fileURLToPath(new URL("../../node_modules/.cache/compiled", import.meta.url))
}

/** A process that takes the lock; `said` is its first line. */
const holder = (made: Project) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, ["--expose-gc", fixture, made.dir, made.home], {
        env,
        stdio: ["ignore", "pipe", "inherit"]
      })
      const said = new Promise<string>((resolve) => createInterface(child.stdout).once("line", resolve))
      const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()))
      return { child, said, gone }
    }),
    ({ child, gone }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return gone
      })
  )

const takeLock = (made: Project) => Effect.scoped(Layer.build(writer(made)))

describe("the lock", () => {
  it.scopedLive("refuses a second process at once, names the first, and is free after kill -9", () =>
    Effect.gen(function* () {
      const made = yield* project({})
      const first = yield* holder(made)
      expect(yield* Effect.promise(() => first.said)).toBe(`holding ${first.child.pid}`)

      const failure = yield* Effect.flip(takeLock(made))
      expect(failure).toMatchObject({ _tag: "DataDirInUse", pid: first.child.pid })
      expect(failure.message).toContain(`process ${first.child.pid}`)
      // Readers are not kept out.
      yield* Effect.scoped(Layer.build(reader(made)))

      first.child.kill("SIGKILL")
      yield* Effect.promise(() => first.gone)
      yield* takeLock(made)
    })
  )

  it.scoped("refuses a second writer in the same process, and is free when the scope closes", () =>
    Effect.gen(function* () {
      const made = yield* project({})
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Layer.build(writer(made))
          const failure = yield* Effect.flip(takeLock(made))
          expect(failure).toMatchObject({ _tag: "DataDirInUse", pid: process.pid })
          // The refused attempt has not shaken the lock loose.
          const outsider = yield* holder(made)
          expect(yield* Effect.promise(() => outsider.said)).toContain("is in use by process")
        })
      )
      expect(existsSync(join(dataDir(made), "lock.pid"))).toBe(false)
      yield* takeLock(made)
    })
  )

  it.scopedLive("lets exactly one of two win that start together", () =>
    Effect.gen(function* () {
      const made = yield* project({})
      const all = yield* Effect.all([holder(made), holder(made)])
      const said = yield* Effect.promise(() => Promise.all(all.map((one) => one.said)))
      expect(said.filter((line) => line.startsWith("holding"))).toHaveLength(1)
    })
  )

  it.scoped("refuses a damaged lock file instead of running without a lock", () =>
    Effect.gen(function* () {
      const made = yield* project({})
      mkdirSync(dataDir(made), { mode: 0o700 })
      writeFileSync(join(dataDir(made), "lock.db"), "x".repeat(4096))
      const failure = yield* Effect.flip(takeLock(made))
      expect([failure._tag, failure.message.includes("lock.db is damaged")]).toEqual(["DataDirUnsafe", true])
    })
  )

  it.scoped("refuses a lock file that is a link", () =>
    Effect.gen(function* () {
      const made = yield* project({})
      mkdirSync(dataDir(made), { mode: 0o700 })
      writeFileSync(join(made.dir, "elsewhere"), "")
      symlinkSync(join(made.dir, "elsewhere"), join(dataDir(made), "lock.db"))
      expect((yield* Effect.flip(takeLock(made))).message).toContain("lock.db is not a regular file")
    })
  )

  it.live("is taken again and again without leaving anything behind", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const made = yield* project({})
        yield* Effect.repeat(takeLock(made), Schedule.recurs(20))
        expect(readdirSync(dataDir(made))).toEqual(["lock.db"])
      })
    )
  )
})
