import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stripVTControlCharacters } from "node:util"
import { it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { describe, expect } from "vitest"
import * as Path from "../support/path.ts"
import * as FakeOpenAi from "../support/providers/FakeOpenAi.ts"

/** The program as a process: what only a process has (terminal, signals, pipes, exit codes). */
const main = join(import.meta.dirname, "../../src/main.ts")

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "cli-process-"))),
  (dir) => Effect.sync(() => rmSync(dir, { recursive: true, force: true }))
)

type Env = Readonly<Record<string, string | undefined>>

interface Watched {
  readonly child: ChildProcess
  /** All that was written so far, without colour codes. */
  readonly text: () => string
  readonly raw: () => string
  readonly says: (pattern: RegExp) => Effect.Effect<void>
  readonly type: (keys: string) => Effect.Effect<void>
  readonly ended: Effect.Effect<number>
}

const watch = (command: string, args: ReadonlyArray<string>, cwd: string, env: Env) =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number>()
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(command, args, { cwd, env: { PATH: process.env["PATH"], ...env }, stdio: "pipe" })),
      (running) => Effect.sync(() => running.kill("SIGKILL"))
    )
    let raw = ""
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (raw += chunk.toString("utf8")))
    child.on("close", (code) => Deferred.unsafeDone(ended, Effect.succeed(code ?? -1)))
    const text = () => stripVTControlCharacters(raw)
    const says = (pattern: RegExp): Effect.Effect<void> =>
      Effect.suspend(() =>
        pattern.test(text())
          ? Effect.void
          : child.exitCode === null
            ? Effect.delay(says(pattern), "20 millis")
            : Effect.sync(() => expect(text()).toMatch(pattern))
      )
    const watched: Watched = {
      child,
      text,
      raw: () => raw,
      says,
      type: (keys) => Effect.sync(() => void child.stdin.write(keys)),
      ended: Deferred.await(ended)
    }
    return watched
  })

const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`

/** On a terminal: `script` gives the program one and passes keys and text through. */
const onTerminal = (words: ReadonlyArray<string>, cwd: string, env: Env) =>
  watch("script", ["-qec", [process.execPath, main, ...words].map(quote).join(" "), "/dev/null"], cwd, {
    TERM: "xterm",
    ...env
  })

const piped = (words: ReadonlyArray<string>, cwd: string, env: Env) =>
  watch(process.execPath, [main, ...words], cwd, env)

const asking = {
  model: { primary: "rehearsal/rehearsal-1" },
  tools: { profile: "full", requireApproval: ["write_file", "execute_command"] }
}

const down = "\u001b[B"

describe("on a terminal", () => {
  for (const { answer, keys, made } of [
    { answer: "no is the default", keys: "\r", made: false },
    { answer: "yes lets the shown call run", keys: "\r", made: true },
    { answer: "Ctrl-C means no", keys: "\u0003", made: false }
  ]) {
    it.scopedLive(`an approval shows the exact call; ${answer}`, () =>
      Effect.gen(function* () {
        const place = yield* Path.place({ defaults: asking })
        const program = yield* onTerminal(
          ["agent", "test", "run `touch made-by-the-agent`"],
          place.dir,
          place.options.env ?? {}
        )
        yield* program.says(/Let execute_command run\?/)
        expect(program.text()).toMatch(/touch made-by-the-agent/)
        if (made) {
          yield* program.type(down)
          yield* program.says(/❯ *yes, this once/)
        }
        yield* program.type(keys)
        yield* program.says(/done +\w+/)
        expect(yield* program.ended).toBe(0)
        expect(program.text()).toMatch(
          made ? /tool +execute_command ok/ : /tool +execute_command (declined|refused|denied)/
        )
        expect(existsSync(join(place.workspace, "made-by-the-agent"))).toBe(made)
      })
    )
  }

  it.scopedLive("onboard asks, sets up, and the typed passphrase is never shown", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const secret = "correct horse battery staple violin 42"
      const program = yield* onTerminal(["onboard"], dir, { HOME: dir })
      yield* program.says(/Master key:/)
      yield* program.type(`${down}\r`)
      yield* program.says(/Passphrase/)
      yield* program.type(`${secret}\r`)
      yield* program.says(/The same once more/)
      yield* program.type(`${secret}\r`)
      yield* program.says(/Who answers\?/)
      yield* program.type("\r")
      yield* program.says(/Name of the agent/)
      yield* program.type("\r")
      yield* program.says(/Its workspace/)
      yield* program.type("\r")
      yield* program.says(/What may it do\?/)
      yield* program.type("\r")
      yield* program.says(/At most, in USD a day/)
      yield* program.type("3\r")
      yield* program.says(/next: ai-desk agent test/)
      expect(yield* program.ended).toBe(0)
      expect(program.text()).not.toContain(secret)
      const key = join(dir, ".config/ai-desk", readdirSync(join(dir, ".config/ai-desk"))[0] ?? "")
      expect(readFileSync(key, "utf8").trim()).toBe(secret)
      expect(statSync(key).mode & 0o777).toBe(0o600)
      expect(JSON.parse(readFileSync(join(dir, "ai-desk.json"), "utf8"))).toMatchObject({
        agents: { defaults: { budget: { daily: { cost: 3 } } }, list: [{ id: "main" }] }
      })
    })
  )

  it.scopedLive("onboard left with Ctrl-C has written nothing", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const program = yield* onTerminal(["onboard"], dir, { HOME: dir })
      yield* program.says(/Master key:/)
      yield* program.type("\u0003")
      expect(yield* program.ended).toBe(2)
      expect(program.text()).toMatch(/left before the end; nothing was written/)
      expect(readdirSync(dir)).toEqual([])
    })
  )

  it.scopedLive("colour is for terminals that want it", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const wanted = yield* onTerminal(["--help"], dir, { HOME: dir })
      yield* wanted.ended
      const unwanted = yield* onTerminal(["--help"], dir, { HOME: dir, NO_COLOR: "1" })
      yield* unwanted.ended
      expect(wanted.raw()).toContain("\u001b[1mUsage")
      expect(unwanted.raw()).toContain("Usage")
      expect(unwanted.raw()).not.toContain("\u001b")
    })
  )
})

describe("signals and pipes", () => {
  it.scopedLive("Ctrl-C stops a run, says how it ended, and exits with 130", () =>
    Effect.gen(function* () {
      const fake = yield* FakeOpenAi.make({ key: null })
      const place = yield* Path.place({
        defaults: { model: { primary: "lab/m" } },
        sections: {
          providers: { lab: { kind: "openai-compatible", baseUrl: fake.baseUrl } },
          prices: { "lab/m": { inputPerMillion: 1, outputPerMillion: 1, contextWindow: 100_000 } }
        }
      })
      fake.always({ kind: "hang" })
      const program = yield* piped(["agent", "test", "hello"], place.dir, place.options.env ?? {})
      yield* program.says(/model +lab\/m/)
      program.child.kill("SIGINT")
      expect(yield* program.ended).toBe(130)
      expect(program.text()).toMatch(/done +stopped/)
      expect(program.text()).not.toMatch(/^error:|^\s+at /m)
    })
  )

  it.scopedLive("a trial that is interrupted leaves nothing behind", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      mkdirSync(join(dir, "tmp"))
      const program = yield* piped(["agent", "test", "List the files, then read notes.md"], dir, {
        HOME: dir,
        TMPDIR: join(dir, "tmp")
      })
      yield* program.says(/^run +agent trial/m)
      expect(readdirSync(join(dir, "tmp")).some((name) => name.startsWith("ai-desk-trial-"))).toBe(true)
      program.child.kill("SIGINT")
      expect([0, 130]).toContain(yield* program.ended)
      expect(readdirSync(join(dir, "tmp")).filter((name) => name.startsWith("ai-desk-trial-"))).toEqual([])
    })
  )

  it.scopedLive("a reader that goes away is no crash", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      // `true` never reads, so that the first write already meets a closed pipe.
      const { status, stderr } = spawnSync(
        "bash",
        ["-c", '"$0" "$1" config schema | true; exit "${PIPESTATUS[0]}"', process.execPath, main],
        { cwd: dir, encoding: "utf8", env: { PATH: process.env["PATH"], HOME: dir } }
      )
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    })
  )

  it.scopedLive("bash completes verbs and options", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const complete = (words: ReadonlyArray<string>) =>
        spawnSync(
          "bash",
          [
            "-c",
            `eval "$("$0" "$1" --completions bash)"; shift; COMP_WORDS=(ai-desk "$@"); COMP_CWORD=$#; COMP_LINE="ai-desk $*"
             f=$(complete -p ai-desk | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "$f" ai-desk "\${!#}" ""; echo "\${COMPREPLY[@]}"`,
            process.execPath,
            main,
            ...words
          ],
          { cwd: dir, encoding: "utf8", env: { PATH: process.env["PATH"], HOME: dir } }
        )
      const verbs = complete(["agent", ""])
      expect(verbs.stdout.trim().split(" ")).toEqual(expect.arrayContaining(["test", "list"]))
      const options = complete(["session", "list", "--"])
      expect(options.stdout).toContain("--limit")
    })
  )
})
