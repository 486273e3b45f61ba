import { execFileSync } from "node:child_process"
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { appendLine, fileError, replaceFile } from "../../src/kernel/DurableFile.ts"
import { tempDir } from "../support/tempdir.ts"

const mode = (path: string) => statSync(path).mode & 0o777

describe("replaceFile", () => {
  it.scoped("writes the whole content with the mode asked for, and leaves nothing else", () =>
    Effect.gen(function* () {
      const dir = yield* tempDir
      const path = join(dir, "a")
      const before = process.umask(0o277)
      yield* replaceFile(path, "one").pipe(Effect.ensuring(Effect.sync(() => process.umask(before))))
      expect([readFileSync(path, "utf8"), mode(path)]).toEqual(["one", 0o600])
      yield* replaceFile(path, new Uint8Array([1, 2]), 0o640)
      expect([[...readFileSync(path)], mode(path), readdirSync(dir)]).toEqual([[1, 2], 0o640, ["a"]])
    })
  )

  it.scoped("keeps the old content when it cannot finish, and takes its temporary file away", () =>
    Effect.gen(function* () {
      const dir = yield* tempDir
      const path = join(dir, "a")
      // A folder with something in it cannot be replaced by a file.
      mkdirSync(join(path, "kept"), { recursive: true })
      const failure = yield* Effect.flip(replaceFile(path, "two"))
      expect(failure.path).toBe(path)
      expect([readdirSync(dir), readdirSync(path)]).toEqual([["a"], ["kept"]])
    })
  )

  it.scoped("replaces a link, and never writes through it", () =>
    Effect.gen(function* () {
      const dir = yield* tempDir
      writeFileSync(join(dir, "target"), "untouched")
      symlinkSync(join(dir, "target"), join(dir, "a"))
      yield* replaceFile(join(dir, "a"), "new")
      expect([readFileSync(join(dir, "target"), "utf8"), readFileSync(join(dir, "a"), "utf8")]).toEqual([
        "untouched",
        "new"
      ])
    })
  )

  it.effect("says what is wrong and what to do", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(replaceFile("/nowhere/at/all", "x"))
      expect(missing.message).toBe("cannot write /nowhere/at/all: it does not exist (ENOENT)")
      const codes: ReadonlyArray<readonly [string, string, RegExp]> = [
        ["ENOSPC", "full", /free some disk space/],
        ["EROFS", "readonly", /AI_DESK_DATA_DIR/],
        ["EACCES", "denied", /read and write access/],
        ["EMFILE", "too_many_open", /ulimit/],
        ["EIO", "io", /check the disk/]
      ]
      for (const [code, reason, fix] of codes) {
        const failure = fileError("/a", "write", Object.assign(new Error("raw words"), { code }))
        expect(failure).toMatchObject({ reason, code })
        expect(failure.fix).toMatch(fix)
        expect(failure.message).not.toContain("raw words")
      }
    })
  )
})

describe("appendLine", () => {
  it.scoped("adds whole lines, and closes one that was cut short", () =>
    Effect.gen(function* () {
      const path = join(yield* tempDir, "log")
      yield* appendLine(path, "one")
      yield* appendLine(path, "two")
      appendFileSync(path, "cut sho")
      chmodSync(path, 0o644)
      yield* appendLine(path, "three")
      expect([readFileSync(path, "utf8"), mode(path)]).toEqual(["one\ntwo\ncut sho\nthree\n", 0o600])
    })
  )

  it.scoped("refuses what is not a file, and leaves it as it is", () =>
    Effect.gen(function* () {
      const pipe = join(yield* tempDir, "pipe")
      execFileSync("mkfifo", ["-m", "640", pipe])
      expect((yield* Effect.flip(appendLine(pipe, "x"))).reason).toBe("not_a_file")
      expect(mode(pipe)).toBe(0o640)
    })
  )

  it.scoped("does not follow a link", () =>
    Effect.gen(function* () {
      const dir = yield* tempDir
      writeFileSync(join(dir, "target"), "")
      symlinkSync(join(dir, "target"), join(dir, "log"))
      expect((yield* Effect.flip(appendLine(join(dir, "log"), "x"))).reason).toBe("symlink")
      expect(readFileSync(join(dir, "target"), "utf8")).toBe("")
    })
  )
})
