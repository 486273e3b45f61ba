import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, describe, expect } from "vitest"
import { cli, expectRefusal, snapshot } from "./support.ts"

const cwd = mkdtempSync(join(tmpdir(), "cli-usage-"))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

/** The words, then what the one message must hold. */
const cases: ReadonlyArray<readonly [words: ReadonlyArray<string>, says: RegExp, stdin?: string]> = [
  [["agnt"], /ai-desk: expected one of onboard, gateway, .*found "agnt"/],
  [["--nope"], /ai-desk: expected one of .*found "--nope"/],
  [[""], /ai-desk: expected one of .*found nothing/],
  [["__proto__"], /found "__proto__"/],
  [["constructor", "toString"], /found "constructor"/],
  [["agent"], /ai-desk agent: expected one of test, list, found nothing/],
  [["agent", "tst"], /ai-desk agent: expected one of test, list, found "tst"/],
  [["agent", "-c"], /ai-desk agent: expected one of test, list, found "-c"/],
  [["agent", "list", "extra"], /ai-desk agent list: expected no further word, found "extra"/],
  [["agent", "test"], /ai-desk agent test: MESSAGE is missing/],
  [["agent", "test", "hi", "there"], /expected no further word, found "there"/],
  [["agent", "test", "hi", "--limt", "3"], /there is no option "--limt"; expected one of --agent/],
  [["agent", "test", "hi", "--agent", "Not A Name"], /--agent: expected an agent's name .*found "Not A Name"/],
  [["agent", "test", "hi", "--session", "yesterday"], /--session: expected a session's id.*found "yesterday"/],
  [["agent", "test", "hi", "--config"], /--config: expected a value \(FILE\), found none/],
  [["session", "list", "--limit", "0"], /--limit: expected a whole number from 1 to 1000, found "0"/],
  [["session", "list", "--limit", "1001"], /--limit: expected a whole number from 1 to 1000, found "1001"/],
  [["session", "list", "--limit", "many"], /--limit: expected a whole number from 1 to 1000, found "many"/],
  [["session", "list", "--limit", "1e2"], /--limit: expected a whole number/],
  [["session", "list", "--limit=3", "--limit=4"], /--limit: expected once, found 2 times/],
  [["session", "show"], /ai-desk session show: SESSION is missing/],
  [["session", "show", "../../etc/passwd"], /SESSION: expected a session's id/],
  [["audit", "tail", "--type", "everything"], /--type: expected one of gateway\.started, .*found "everything"/],
  [["audit", "tail", "-n", "x"], /--limit: expected a whole number from 1 to 1000, found "x"/],
  [["budget", "resume"], /ai-desk budget resume: AGENT is missing/],
  [["credential", "set"], /ai-desk credential set: PROVIDER is missing/],
  [["credential", "set", "anthropic", "sk-on-the-command-line"], /expected no further word/],
  [["credential", "set", "Bad Provider!"], /PROVIDER: expected a provider's name/],
  [
    ["onboard", "--yes", "--profile", "root"],
    /--profile: expected one of deny-all, readonly, messaging, full, found "root"/
  ],
  [["onboard", "--yes", "--daily-usd", "-5"], /--daily-usd: expected an amount in USD from 0 to 10000, found "-5"/],
  [["onboard", "--yes", "--model", "gpt"], /--model: expected provider\/model/],
  [["onboard", "--yes", "--model", "nobody/some-model"], /--model: there is no provider "nobody"/],
  [["onboard", "--yes", "--model", "anthropic/claude-sonnet-4-6"], /no key for anthropic: .*nothing was written/],
  [
    ["onboard", "--yes", "--model", "google/gemini-2.5-flash"],
    /the key for google cannot be used: it has a space/,
    "a key with spaces"
  ],
  [["onboard", "--yes", "--model", "google/gemini-2.5-flash"], /no key for google: more than one line/, "one\ntwo\n"],
  [
    ["onboard", "--yes", "--model", "google/gemini-2.5-flash"],
    /no key for google: stdin holds more than/,
    "x".repeat(20_000)
  ],
  [["onboard", "--yes", "--workspace", "."], /--workspace: .* contains .*, which no agent may see/],
  [["onboard"], /there is no terminal to ask questions on/],
  [["sandbox", "run"], /ai-desk sandbox run: COMMAND… is missing/],
  [["--completions", "tcsh"], /--completions: expected one of sh, bash, fish, zsh/]
]

describe("bad input: command line", () => {
  for (const [words, says, stdin] of cases) {
    it.live(`${JSON.stringify(words)}${stdin === undefined ? "" : ` < ${stdin.length} characters`}`, () =>
      Effect.gen(function* () {
        const ended = yield* cli(words, stdin === undefined ? { cwd } : { cwd, stdin })
        expectRefusal(ended, { code: 2, says })
        expect(snapshot(cwd)).toEqual({})
      })
    )
  }

  it.live("with --json the error is one object on stderr", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* cli(["session", "list", "--json", "--limit", "0"], { cwd })
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
      expect(JSON.parse(stderr)).toEqual({
        error: "UsageError",
        message: '--limit: expected a whole number from 1 to 1000, found "0"',
        fix: "ai-desk session list --help"
      })
    })
  )

  it.live("options may stand after arguments", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* cli(["session", "show", "nonsense", "--config", "x.json", "--json"], { cwd })
      expect(code).toBe(2)
      expect(JSON.parse(stderr)).toMatchObject({ message: expect.stringContaining("SESSION: expected a session's id") })
    })
  )
})
