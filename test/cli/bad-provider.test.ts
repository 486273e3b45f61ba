import { execFileSync } from "node:child_process"
import { symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import * as Path from "../support/path.ts"
import * as FakeOpenAi from "../support/providers/FakeOpenAi.ts"
import type { Reply } from "../support/providers/FakeServer.ts"
import { cli, expectRefusal, snapshot } from "./support.ts"

const key = "labkey-cli-0123456789abcdef"
const model = "lab/some-model"

/** A real server that speaks the provider's protocol, and a set-up that knows it. */
const stage = (files: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const fake = yield* FakeOpenAi.make({ key })
    const place = yield* Path.place({
      files,
      defaults: { model: { primary: model } },
      env: { LAB_KEY: key },
      sections: {
        providers: { lab: { kind: "openai-compatible", baseUrl: fake.baseUrl, apiKeyEnv: "LAB_KEY" } },
        prices: { [model]: { inputPerMillion: 1, outputPerMillion: 2, contextWindow: 100_000 } },
        router: {
          backoffBaseMs: 1,
          backoffMaxMs: 5,
          maxRetries: 1,
          cooldownMs: 0,
          firstTokenTimeoutMs: 600,
          idleTimeoutMs: 600
        }
      }
    })
    return { fake, place, around: { cwd: place.dir, env: place.options.env ?? {} } }
  })

const whole = (around: { readonly cwd: string }) =>
  Effect.gen(function* () {
    const verified = yield* cli(["audit", "verify"], around)
    expect(verified).toMatchObject({ code: 0, stderr: "" })
    const { stdout } = yield* cli(["budget", "show", "--json"], around)
    const [{ periods }] = JSON.parse(stdout)
    // Nothing stays reserved for a call that has failed.
    expect(periods.every((period: { reserved: number }) => period.reserved === 0)).toBe(true)
  })

const raw = (body: string, status = 200, type = "text/event-stream"): Reply => ({
  kind: "raw",
  status,
  headers: { "content-type": type },
  body
})
const frame = (value: unknown) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`
const chunk = (choice: object) => ({
  id: "x",
  object: "chat.completion.chunk",
  created: 1,
  model: "m",
  choices: [{ index: 0, ...choice }]
})

/** Each leaves the model without an answer. */
const bytes: ReadonlyArray<readonly [what: string, reply: Reply]> = [
  ["frames that are no JSON", raw(frame("{not json") + frame("[DONE]"))],
  ["frames of the wrong shape", raw(frame({ hello: "world" }) + frame("[DONE]"))],
  ["choices that are no list", raw(frame({ ...chunk({}), choices: "none" }) + frame("[DONE]"))],
  ["a delta that is a number", raw(frame(chunk({ delta: 7, finish_reason: null })) + frame("[DONE]"))],
  ["text that is an object", raw(frame(chunk({ delta: { content: { a: 1 } } })) + frame("[DONE]"))],
  ["no bytes at all", raw("")],
  ["a web page", raw("<html><body>Welcome</body></html>", 200, "text/html")],
  ["bytes that are no text", raw("\u0000\u0001\ufffd\u0000".repeat(200))],
  ["an error page of a proxy", raw("<html>502 Bad Gateway</html>", 502, "text/html")],
  ["an answer that breaks off", { kind: "answer", text: "The answer is long enough to be cut.", cut: "text" }],
  ["an answer that ends without an end", { kind: "answer", text: "The answer.", cut: "text", cutBy: "clean" }],
  ["headers and nothing more", { kind: "answer", text: "x", cut: "start" }],
  [
    "half a tool call",
    { kind: "answer", calls: [{ name: "read_file", arguments: { path: "notes.md" } }], halfCall: true }
  ],
  ["a connection that is reset", { kind: "reset" }],
  ["silence", { kind: "hang" }],
  ["a key that is not accepted", { kind: "failure", reason: "auth", echo: key }],
  ["no credit", { kind: "failure", reason: "no_credit" }],
  ["a model that is not there", { kind: "failure", reason: "no_model" }]
]

describe("bad input: provider", () => {
  for (const [what, reply] of bytes) {
    it.scopedLive(what, () =>
      Effect.gen(function* () {
        const { around, fake, place } = yield* stage({ "notes.md": "hello\n" })
        fake.always(reply)
        const before = snapshot(place.workspace)
        const ended = yield* cli(["agent", "test", "What is the answer?"], around)
        expect(ended.code).toBeGreaterThan(0)
        expect(ended.stderr.match(/^error: /gm)).toHaveLength(1)
        expect(ended.stderr).toMatch(/^error: .*lab\/some-model/m)
        expect(ended.stderr).not.toMatch(/^\s+at .*[:(]|an internal error; nothing/m)
        expect(ended.stderr + ended.stdout).not.toContain(key)
        expect(snapshot(place.workspace)).toEqual(before)
        yield* whole(around)
      })
    )
  }

  for (const bill of ["missing", "negative", "huge", "fraction", "text"] as const) {
    it.scopedLive(`usage that is ${bill} is not believed`, () =>
      Effect.gen(function* () {
        const { around, fake } = yield* stage()
        fake.always({ kind: "answer", text: "fine", bill })
        const ended = yield* cli(["agent", "test", "hello"], around)
        expect(ended.stderr).not.toMatch(/^\s+at .*[:(]|an internal error; nothing/m)
        expect(ended.stderr).toMatch(ended.code === 0 ? /^done +answered/m : /^error: /m)
        const { stdout } = yield* cli(["budget", "show", "--json"], around)
        const [{ periods }] = JSON.parse(stdout)
        for (const { spent, spentTokens } of periods) {
          expect(spent).toBeGreaterThanOrEqual(0)
          expect(Number.isSafeInteger(spentTokens) && spentTokens >= 0 && spentTokens < 1_000_000).toBe(true)
        }
        yield* whole(around)
      })
    )
  }
})

interface Call {
  readonly what: string
  readonly name: string
  readonly arguments: unknown
  /** What the model and the person are told. */
  readonly says: RegExp
  readonly prepare?: (workspace: string) => void
}

const calls: ReadonlyArray<Call> = [
  { what: "a tool that is not there", name: "launch_rocket", arguments: {}, says: /launch_rocket/ },
  { what: "no arguments", name: "read_file", arguments: {}, says: /path/ },
  { what: "an argument of the wrong kind", name: "read_file", arguments: { path: 7 }, says: /path/ },
  { what: "arguments that are a list", name: "read_file", arguments: ["notes.md"], says: /read_file/ },
  { what: "arguments that are null", name: "read_file", arguments: null, says: /read_file/ },
  {
    what: "an argument that nobody knows",
    name: "read_file",
    arguments: { path: "notes.md", sandbox: false },
    says: /sandbox/
  },
  {
    what: "a path out of the workspace",
    name: "read_file",
    arguments: { path: "../ai-desk.json" },
    says: /workspace|outside|\.\./
  },
  {
    what: "an absolute path",
    name: "write_file",
    arguments: { path: "/etc/ai-desk-was-here", content: "x" },
    says: /\/etc|workspace/
  },
  { what: "a zero byte in a path", name: "read_file", arguments: { path: "a\u0000b" }, says: /path/ },
  { what: "a file that is not there", name: "read_file", arguments: { path: "nothing.md" }, says: /nothing\.md/ },
  {
    what: "a folder instead of a file",
    name: "read_file",
    arguments: { path: "." },
    says: /folder|directory|regular file/
  },
  {
    what: "a change to a text that is not in the file",
    name: "edit_file",
    arguments: { path: "notes.md", old_text: "absent", new_text: "y" },
    says: /notes\.md|edit_file/
  },
  { what: "a command that fails", name: "execute_command", arguments: { command: "exit 7" }, says: /7/ },
  {
    what: "an address of this machine",
    name: "http_fetch",
    arguments: { url: "http://127.0.0.1:1/" },
    says: /127\.0\.0\.1|not allowed|allow/
  },
  {
    what: "a named pipe",
    name: "read_file",
    arguments: { path: "pipe" },
    prepare: (workspace) => execFileSync("mkfifo", [join(workspace, "pipe")]),
    says: /pipe/
  },
  {
    what: "a link out of the workspace",
    name: "read_file",
    arguments: { path: "link" },
    prepare: (workspace) => symlinkSync("/etc/passwd", join(workspace, "link")),
    says: /link/
  },
  {
    what: "a link that leads to itself",
    name: "read_file",
    arguments: { path: "loop" },
    prepare: (workspace) => symlinkSync("loop", join(workspace, "loop")),
    says: /loop/
  }
]

describe("bad input: tool calls and workspace", () => {
  for (const { arguments: args, name, prepare, says, what } of calls) {
    it.scopedLive(what, () =>
      Effect.gen(function* () {
        const { around, fake, place } = yield* stage({ "notes.md": "hello\n" })
        prepare?.(place.workspace)
        fake.script([
          { kind: "answer", calls: [{ name, arguments: args, id: "call_1" }] },
          { kind: "answer", text: "That did not work." }
        ])
        const before = snapshot(place.workspace)
        const ended = yield* cli(["agent", "test", "Please try"], around)
        expect(ended).toMatchObject({ code: 0 })
        expect(ended.stdout).toContain("That did not work.")
        expect(ended.stderr).toMatch(/^tool +\S+ (failed|denied|refused|rejected|invalid)/m)
        expect(ended.stderr).toMatch(says)
        expect(ended.stderr).not.toMatch(/^\s+at .*[:(]|an internal error; nothing|└─/m)
        // The model was told too, as the result of its call.
        expect(JSON.stringify(fake.requests[1]?.body)).toMatch(says)
        expect(snapshot(place.workspace)).toEqual(before)
        yield* whole(around)
      })
    )
  }

  it.scopedLive("bytes that are no text, and a huge file, are answered within bounds", () =>
    Effect.gen(function* () {
      const { around, fake, place } = yield* stage()
      writeFileSync(join(place.workspace, "binary"), Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x1b, 0x5b, 0x32, 0x4a]))
      writeFileSync(join(place.workspace, "huge"), "")
      truncateSync(join(place.workspace, "huge"), 3_000_000_000)
      fake.script([
        {
          kind: "answer",
          calls: [
            { name: "read_file", arguments: { path: "binary" }, id: "call_1" },
            { name: "read_file", arguments: { path: "huge" }, id: "call_2" }
          ]
        },
        { kind: "answer", text: "Neither helped." }
      ])
      const ended = yield* cli(["agent", "test", "Please try"], around)
      expect(ended).toMatchObject({ code: 0 })
      expect(ended.stdout).toContain("Neither helped.")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none may reach the terminal
      expect(ended.stderr + ended.stdout).not.toMatch(/\u001b/)
      expect(JSON.stringify(fake.requests[1]?.body).length).toBeLessThan(400_000)
      yield* whole(around)
    })
  )

  it.scopedLive("a workspace that is not there is said, and not made up", () =>
    Effect.gen(function* () {
      const { around, fake, place } = yield* stage()
      fake.script([
        { kind: "answer", calls: [{ name: "list_files", arguments: { path: "." }, id: "call_1" }] },
        { kind: "answer", text: "There is nothing." }
      ])
      execFileSync("rmdir", [place.workspace])
      const ended = yield* cli(["agent", "test", "List the files"], around)
      expect(ended.stderr).toMatch(/workspace .*(cannot be opened|does not exist|is not there|missing)/)
      expect(ended.stderr).not.toMatch(/^\s+at .*[:(]|an internal error; nothing/m)
    })
  )

  it.scopedLive("a command line for the sandbox with a workspace that is not there", () =>
    Effect.gen(function* () {
      const { around, place } = yield* stage()
      execFileSync("rmdir", [place.workspace])
      const ended = yield* cli(["sandbox", "run", "--", "true"], around)
      expectRefusal(ended, { code: 5, says: /the workspace .* cannot be opened/, fix: /mkdir/ })
    })
  )
})
