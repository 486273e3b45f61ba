import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { describe, expect, layer } from "@effect/vitest"
import { Effect, Either } from "effect"
import * as Sandbox from "../../../src/tools/Sandbox.ts"
import type { Command } from "../../../src/tools/Sandbox.ts"
import { editFile } from "../../../src/tools/builtin/EditFile.ts"
import { listFiles } from "../../../src/tools/builtin/ListFiles.ts"
import { readFile } from "../../../src/tools/builtin/ReadFile.ts"
import { searchFiles } from "../../../src/tools/builtin/SearchFiles.ts"
import { writeFile } from "../../../src/tools/builtin/WriteFile.ts"
import { agentWith, permittedFor, workspaceFolder } from "../../support/tools.ts"

const makers = {
  read_file: readFile,
  write_file: writeFile,
  edit_file: editFile,
  list_files: listFiles,
  search_files: searchFiles
}

/** A workspace and the tools at work in it, past the policy: what is tried here is the tools' own guard. */
const inWorkspace = (limits: Parameters<typeof agentWith>[0] = {}) =>
  Effect.gen(function* () {
    const folder = yield* workspaceFolder
    const sandbox = yield* Sandbox.Sandbox
    const agent = agentWith({ workspace: folder, ...limits })
    const use = (tool: keyof typeof makers, args: object) =>
      makers[tool](sandbox)
        .run(permittedFor(agent, tool, args))
        .pipe(
          Effect.map((outcome) => outcome.content),
          Effect.either,
          Effect.map(Either.match({ onLeft: (error) => `ERROR ${error.message}`, onRight: (content) => content }))
        )
    return { folder, use, at: (path: string) => join(folder, path), sandbox, agent }
  })

layer(Sandbox.layer)((it) => {
  describe("read_file", () => {
    it.scoped("reads text, pieces of it, and says where the next one begins", () =>
      Effect.gen(function* () {
        const { at, use } = yield* inWorkspace()
        writeFileSync(at("a.txt"), "héllo\nwörld\n")
        mkdirSync(at("deep/er"), { recursive: true })
        writeFileSync(at("deep/er/-n --x *.txt"), "odd name")
        expect(yield* use("read_file", { path: "a.txt" })).toBe("héllo\nwörld\n")
        expect(yield* use("read_file", { path: "./deep//er/-n --x *.txt" })).toBe("odd name")
        // é is two bytes, 1 and 2: a piece that would end inside it ends before it.
        expect(yield* use("read_file", { path: "a.txt", limit: 2 })).toBe(
          "h\n[bytes 0 to 1 of 14; the next piece begins at offset 1]"
        )
        expect(yield* use("read_file", { path: "a.txt", offset: 1, limit: 5 })).toBe(
          "éllo\n[bytes 1 to 6 of 14; the next piece begins at offset 6]"
        )
        expect(yield* use("read_file", { path: "a.txt", offset: -7 })).toBe("wörld\n")
        expect(yield* use("read_file", { path: "a.txt", offset: 99 })).toBe("[end of file: a.txt has 14 bytes]")
        writeFileSync(at("empty"), "")
        expect(yield* use("read_file", { path: "empty" })).toBe("[end of file: empty has 0 bytes]")
      })
    )

    it.scoped("refuses what is not a regular file, at once and in words", () =>
      Effect.gen(function* () {
        const { agent, at, sandbox, use } = yield* inWorkspace()
        yield* sandbox.run(permittedFor(agent, "x", {}), { argv: ["mkfifo", "pipe"], workspace: "read-write" })
        mkdirSync(at("folder"))
        symlinkSync("/dev/zero", at("zero"))
        symlinkSync("/proc/self/mem", at("memory"))
        symlinkSync("/etc/passwd", at("outside"))
        symlinkSync("loop", at("loop"))
        writeFileSync(at("binary"), new Uint8Array([1, 0, 2]))
        expect(yield* use("read_file", { path: "pipe" })).toContain("not a regular file")
        expect(yield* use("read_file", { path: "folder" })).toContain("is a folder; use list_files")
        expect(yield* use("read_file", { path: "." })).toContain("is a folder")
        for (const path of ["zero", "memory", "outside"]) {
          expect(yield* use("read_file", { path })).toContain("leads out of the workspace")
        }
        expect(yield* use("read_file", { path: "loop" })).toContain("there is no file loop")
        expect(yield* use("read_file", { path: "missing/x" })).toContain("there is no folder missing")
        expect(yield* use("read_file", { path: "binary" })).toContain("is a binary file of 3 bytes")
      })
    )

    it.scoped("X04: a sparse file of 100 GB costs what the piece costs", () =>
      Effect.gen(function* () {
        const { at, use } = yield* inWorkspace()
        writeFileSync(at("huge"), "begin")
        truncateSync(at("huge"), 100e9)
        const before = process.memoryUsage().rss
        expect(yield* use("read_file", { path: "huge", offset: 50e9, limit: 1_000_000 })).toContain(
          "binary file of 100000000000"
        )
        expect(yield* use("read_file", { path: "huge", limit: 5 })).toContain("begin\n[bytes 0 to 5 of 100000000000")
        expect(process.memoryUsage().rss - before).toBeLessThan(50e6)
        expect(yield* use("search_files", { pattern: "begin" })).toBe("[no match]")
        expect(yield* use("edit_file", { path: "huge", old: "begin", new: "x" })).toContain("can be edited")
      })
    )
  })

  describe("write_file", () => {
    it.scoped("creates with folders, replaces whole, keeps the mode, leaves nothing else behind", () =>
      Effect.gen(function* () {
        const { at, folder, use } = yield* inWorkspace()
        expect(yield* use("write_file", { path: "a/b/new.sh", content: "echo é\n" })).toBe(
          "created a/b/new.sh (8 bytes)"
        )
        expect(readFileSync(at("a/b/new.sh"), "utf8")).toBe("echo é\n")
        expect(statSync(at("a/b/new.sh")).mode & 0o777).toBe(0o644)
        chmodSync(at("a/b/new.sh"), 0o750)
        expect(yield* use("write_file", { path: "a/b/new.sh", content: "" })).toBe("replaced a/b/new.sh (0 bytes)")
        expect(statSync(at("a/b/new.sh")).mode & 0o777).toBe(0o750)
        expect(readdirSync(at("a/b"))).toEqual(["new.sh"])
        expect(readdirSync(folder)).toEqual(["a"])
        const tricky = "$(touch pwned) `touch pwned` '; touch pwned; \" \\n %s\n"
        yield* use("write_file", { path: "$(touch pwned)", content: tricky })
        expect(readFileSync(at("$(touch pwned)"), "utf8")).toBe(tricky)
        expect(existsSync(at("pwned"))).toBe(false)
      })
    )

    it.scoped("X02: never writes through a link or to a special file", () =>
      Effect.gen(function* () {
        const { agent, at, sandbox, use } = yield* inWorkspace()
        const outside = yield* workspaceFolder
        writeFileSync(join(outside, "victim"), "safe")
        symlinkSync(join(outside, "victim"), at("link"))
        symlinkSync(outside, at("dir"))
        symlinkSync("/tmp", at("tmp"))
        mkdirSync(at("folder"))
        yield* sandbox.run(permittedFor(agent, "x", {}), { argv: ["mkfifo", "pipe"], workspace: "read-write" })
        const say = (path: string) => use("write_file", { path, content: "owned" })
        expect(yield* say("link")).toContain("is a link")
        expect(yield* say("dir/victim")).toContain("cannot be created")
        expect(yield* say("tmp/x")).toContain("leads out of the workspace")
        expect(yield* say("folder")).toContain("is a folder")
        expect(yield* say("pipe")).toContain("not a regular file")
        expect(readFileSync(join(outside, "victim"), "utf8")).toBe("safe")
        expect(lstatSync(at("link")).isSymbolicLink()).toBe(true)
      })
    )

    it.scoped("a full disk, or content that arrives short, leaves the old content whole", () =>
      Effect.gen(function* () {
        const { agent, at, folder, sandbox } = yield* inWorkspace()
        writeFileSync(at("a"), "old")
        const content = "x".repeat(100_000)
        const tryWith = (change: (command: Command) => Command) =>
          writeFile({ ...sandbox, run: (permitted, command) => sandbox.run(permitted, change(command)) })
            .run(permittedFor(agent, "write_file", { path: "a", content }))
            .pipe(
              Effect.flip,
              Effect.map(({ message }) => message)
            )
        const full = yield* tryWith(({ argv: [sh, c = "", script = "", ...rest], ...command }) => ({
          ...command,
          argv: [sh, c, `ulimit -f 8\n${script}`, ...rest]
        }))
        expect(full).toContain("the disk or the file size limit is reached")
        const short = yield* tryWith((command) => ({ ...command, stdin: new Uint8Array(99_999) }))
        expect(short).toContain("its content arrived incomplete")
        expect(readFileSync(at("a"), "utf8")).toBe("old")
        expect(readdirSync(folder)).toEqual(["a"])
      })
    )

    it.scoped("a link into a protected folder is not followed", () =>
      Effect.gen(function* () {
        const { at, use } = yield* inWorkspace()
        mkdirSync(at("sub/.git/hooks"), { recursive: true })
        symlinkSync("sub/.git/hooks", at("h"))
        expect(yield* use("write_file", { path: "h/pre-commit", content: "#!" })).toContain("protected folder")
        expect(readdirSync(at("sub/.git/hooks"))).toEqual([])
      })
    )
  })

  describe("edit_file", () => {
    it.scoped("replaces exactly one occurrence, or all when told to", () =>
      Effect.gen(function* () {
        const { at, use } = yield* inWorkspace()
        writeFileSync(at("a"), "one two two $& \\1")
        expect(yield* use("edit_file", { path: "a", old: "two", new: "2" })).toContain("occurs 2 times")
        expect(yield* use("edit_file", { path: "a", old: "three", new: "2" })).toContain("does not occur")
        expect(yield* use("edit_file", { path: "a", old: "one", new: "$& \\1 $1" })).toBe("changed 1 place in a")
        expect(readFileSync(at("a"), "utf8")).toBe("$& \\1 $1 two two $& \\1")
        expect(yield* use("edit_file", { path: "a", old: "two", new: "", all: true })).toBe("changed 2 places in a")
        expect(readFileSync(at("a"), "utf8")).toBe("$& \\1 $1   $& \\1")
      })
    )

    it.scoped("keeps a byte order mark and \\r\\n, refuses what is not UTF-8", () =>
      Effect.gen(function* () {
        const { at, use } = yield* inWorkspace()
        writeFileSync(at("dos"), "\ufeffone\r\ntwo\r\n")
        yield* use("edit_file", { path: "dos", old: "one\ntwo", new: "1\n2" })
        expect(readFileSync(at("dos"), "utf8")).toBe("\ufeff1\r\n2\r\n")
        writeFileSync(at("latin"), new Uint8Array([0x61, 0xe9, 0x62]))
        expect(yield* use("edit_file", { path: "latin", old: "a", new: "b" })).toContain("is not UTF-8 text")
        expect([...readFileSync(at("latin"))]).toEqual([0x61, 0xe9, 0x62])
      })
    )

    it.scoped("leaves a file alone that changed between reading and writing", () =>
      Effect.gen(function* () {
        const { agent, at, folder, sandbox } = yield* inWorkspace()
        writeFileSync(at("a"), "mine")
        let runs = 0
        const interfering: typeof sandbox = {
          ...sandbox,
          run: (permitted, command) => {
            runs += 1
            if (runs === 2) writeFileSync(at("a"), "theirs")
            return sandbox.run(permitted, command)
          }
        }
        const outcome = yield* Effect.either(
          editFile(interfering).run(permittedFor(agent, "edit_file", { path: "a", old: "mine", new: "edited" }))
        )
        expect(Either.isLeft(outcome) ? outcome.left.message : "").toContain("changed by someone else")
        expect(readFileSync(at("a"), "utf8")).toBe("theirs")
        expect(readdirSync(folder)).toEqual(["a"])
      })
    )
  })

  describe("list_files", () => {
    it.scoped("lists sorted, by depth, names links without following them", () =>
      Effect.gen(function* () {
        const { at, use } = yield* inWorkspace()
        mkdirSync(at("b/c/d"), { recursive: true })
        mkdirSync(at(".git/objects"), { recursive: true })
        writeFileSync(at("b/x\n\u202ey"), "12345")
        writeFileSync(at("a.txt"), "1")
        symlinkSync("/", at("root"))
        expect(yield* use("list_files", {})).toBe(".git/\na.txt (1 bytes)\nb/\nroot (link)")
        expect(yield* use("list_files", { path: "b", depth: 3 })).toBe("c/\nc/d/\nx\\n\\u{202e}y (5 bytes)")
        expect(yield* use("list_files", { path: "b/c/d" })).toBe("[b/c/d is empty]")
        expect(yield* use("list_files", { path: "root" })).toContain("leads out of the workspace")
        expect(yield* use("list_files", { path: "a.txt" })).toContain("there is no folder a.txt")
      })
    )

    it.scoped("caps a crowded folder and says so", () =>
      Effect.gen(function* () {
        const { at, use } = yield* inWorkspace()
        for (let i = 0; i < 1200; i++) writeFileSync(at(`f${String(i).padStart(4, "0")}`), "")
        const lines = (yield* use("list_files", {})).split("\n")
        expect(lines).toHaveLength(1001)
        expect(lines[0]).toBe("f0000 (0 bytes)")
        expect(lines[999]).toBe("f0999 (0 bytes)")
        expect(lines[1000]).toContain("more than 1000 entries")
      })
    )
  })

  describe("search_files", () => {
    it.scoped("finds text, patterns, by file name, in one file; never follows links or reads options", () =>
      Effect.gen(function* () {
        const { at, use } = yield* inWorkspace()
        mkdirSync(at("src"))
        writeFileSync(at("src/a.ts"), "const x = 1\nConst y = a.b\n")
        writeFileSync(at("src/b.md"), "const in words\n")
        writeFileSync(at("src/-rf"), "--version -e const\n")
        writeFileSync(at("binary"), "const\0")
        symlinkSync("/usr", at("usr"))
        expect((yield* use("search_files", { pattern: "const" })).split("\n").sort()).toEqual([
          "src/-rf:1:--version -e const",
          "src/a.ts:1:const x = 1",
          "src/b.md:1:const in words"
        ])
        expect(yield* use("search_files", { pattern: "const", glob: "*.md" })).toBe("src/b.md:1:const in words")
        expect(yield* use("search_files", { pattern: "CONST", ignoreCase: true, path: "src/a.ts" })).toBe(
          "src/a.ts:1:const x = 1\nsrc/a.ts:2:Const y = a.b"
        )
        expect(yield* use("search_files", { pattern: "a.b", path: "src" })).toBe("src/a.ts:2:Const y = a.b")
        expect(yield* use("search_files", { pattern: "^[cC]onst [xy]", regex: true, path: "src", glob: "*.ts" })).toBe(
          "src/a.ts:1:const x = 1\nsrc/a.ts:2:Const y = a.b"
        )
        expect(yield* use("search_files", { pattern: "--version" })).toBe("src/-rf:1:--version -e const")
        expect(yield* use("search_files", { pattern: "nothing like it" })).toBe("[no match]")
        expect(yield* use("search_files", { pattern: "a(", regex: true })).toContain("pattern cannot be used")
        expect(yield* use("search_files", { pattern: "x", path: "none" })).toContain("there is no file")
      })
    )

    it.scoped("caps matches and long lines", () =>
      Effect.gen(function* () {
        const { at, use } = yield* inWorkspace()
        writeFileSync(at("many"), "hit\n".repeat(1000))
        const many = (yield* use("search_files", { pattern: "hit" })).split("\n")
        expect(many).toHaveLength(201)
        expect(many[200]).toContain("more than 200 matches")
        writeFileSync(at("long"), `start ${"x".repeat(1_000_000)}\n`)
        expect((yield* use("search_files", { pattern: "start" })).length).toBeLessThan(400)
      })
    )

    it.scoped("a search that takes too long ends with words, and with what it found", () =>
      Effect.gen(function* () {
        const { agent, at, sandbox } = yield* inWorkspace({ limits: { timeoutMs: 1300 } })
        mkdirSync(at("bin"))
        writeFileSync(at("bin/grep"), "#!/bin/sh\nprintf 'a\\0001:found\\n'; exec sleep 30\n", { mode: 0o755 })
        // The slowest pattern there is: a grep of our own.
        const slow: typeof sandbox = {
          ...sandbox,
          run: (permitted, { argv: [sh, c = "", script = "", ...rest], ...command }) =>
            sandbox.run(permitted, { ...command, argv: [sh, c, `PATH=/work/bin:$PATH\n${script}`, ...rest] })
        }
        const outcome = yield* searchFiles(slow).run(permittedFor(agent, "search_files", { pattern: "x" }))
        expect(outcome.content).toMatch(/^a:1:found\n\[stopped after 0\.3 s/)
        expect(outcome.truncated).toBe(true)
      })
    )
  })
})
