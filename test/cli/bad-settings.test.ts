import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { masterKey } from "../support/path.ts"
import { cli, expectRefusal, type Refusal, snapshot } from "./support.ts"

interface Case extends Omit<Refusal, "code"> {
  readonly what: string
  /** ai-desk.json as it stands; none when absent. */
  readonly text?: string | object
  readonly env?: Readonly<Record<string, string>>
  readonly prepare?: (dir: string) => void
  readonly words?: ReadonlyArray<string>
}

const agent = (more: object) => ({
  agents: { list: [{ id: "main", default: true, workspace: "./workspace", ...more }] }
})

const cases: ReadonlyArray<Case> = [
  { what: "no JSON at all", text: "gateway:\n  port: 1\n", says: /ai-desk\.json: .*line 1/, fix: false },
  { what: "a bracket that is not closed", text: '{"gateway": {"port": 1}', says: /ai-desk\.json: /, fix: false },
  { what: "an empty file", text: "", says: /ai-desk\.json: /, fix: false },
  {
    what: "a list instead of an object",
    text: "[]",
    says: /ai-desk\.json: the file: expected an object, found an empty list/,
    fix: false
  },
  {
    what: "a port that is none",
    text: { gateway: { port: 99999 } },
    says: /gateway\.port: expected a whole number from/,
    fix: false
  },
  {
    what: "a port as text",
    text: { gateway: { port: "80" } },
    says: /gateway\.port: expected a whole number .*found a text/,
    fix: false
  },
  {
    what: "a key twice over in the wrong type",
    text: { cache: { enabled: "yes" } },
    says: /cache\.enabled: expected true or false/,
    fix: false
  },
  {
    what: "an unknown profile",
    text: agent({ tools: { profile: "ful" } }),
    says: /tools\.profile: expected one of .*did you mean "full"/,
    fix: false
  },
  {
    what: "an unknown key inside a guard's section",
    text: agent({ tools: { alow: ["*"] } }),
    says: /tools\.alow: .*did you mean "allow"/,
    fix: false
  },
  {
    what: "an unknown key inside the budget",
    text: agent({ budget: { dayly: { cost: 1 } } }),
    says: /budget\.dayly: .*did you mean "daily"/,
    fix: false
  },
  {
    what: "a negative cap",
    text: agent({ budget: { daily: { cost: -1 } } }),
    says: /budget\.daily\.cost: expected/,
    fix: false
  },
  {
    what: "an agent's name that is none",
    text: { agents: { list: [{ id: "Not OK" }] } },
    says: /agents\.list\[0\]\.id: expected/,
    fix: false
  },
  {
    what: "two agents of one name",
    text: { agents: { list: [{ id: "a" }, { id: "a" }] } },
    says: /agents\.list.*"?a"?/,
    fix: false
  },
  {
    what: "two default agents",
    text: {
      agents: {
        list: [
          { id: "a", default: true },
          { id: "b", default: true }
        ]
      }
    },
    says: /default/,
    fix: false
  },
  {
    what: "a model without a provider",
    text: agent({ model: { primary: "gpt" } }),
    says: /model\.primary: expected/,
    fix: false
  },
  { what: "a workspace that holds the config", text: agent({ workspace: "." }), says: /workspace/ },
  { what: "a workspace that is the data folder", text: agent({ workspace: "./.ai-desk-data" }), says: /workspace/ },
  {
    what: "a config that everyone may change",
    text: {},
    prepare: (dir) => chmodSync(join(dir, "ai-desk.json"), 0o666),
    says: /ai-desk\.json: expected a file that only its owner can change, found a file that others may write/
  },
  {
    what: "a folder in the config's place",
    prepare: (dir) => mkdirSync(join(dir, "ai-desk.json")),
    says: /not a regular file/
  },
  {
    what: "a config of more than a megabyte",
    text: `{"x": "${"x".repeat(1_100_000)}"}`,
    says: /more than 1 MiB/
  },
  {
    what: "a link to nowhere as config",
    prepare: (dir) => symlinkSync("/nowhere.json", join(dir, "ai-desk.json")),
    words: ["agent", "list", "--config", "ai-desk.json"],
    says: /found nothing/
  },
  {
    what: "--config that is not there",
    words: ["agent", "list", "--config", "other.json"],
    says: /other\.json: --config: expected a file that can be read, found nothing/
  },
  {
    what: "AI_DESK_CONFIG that is not there",
    env: { AI_DESK_CONFIG: "other.json" },
    says: /AI_DESK_CONFIG: expected a file/
  },
  {
    what: "an unknown log level",
    env: { AI_DESK_LOG_LEVEL: "chatty" },
    says: /AI_DESK_LOG_LEVEL: expected one of debug, info, warn, error/
  },
  {
    what: "an empty master key",
    env: { AI_DESK_MASTER_KEY: " " },
    says: /AI_DESK_MASTER_KEY: expected a passphrase, found an empty text/
  },
  {
    what: "two master keys",
    env: { AI_DESK_MASTER_KEY: masterKey, AI_DESK_MASTER_KEY_FILE: "key" },
    says: /AI_DESK_MASTER_KEY: expected one source .*AI_DESK_MASTER_KEY_FILE/
  },
  {
    what: "a key file that is not there",
    env: { AI_DESK_MASTER_KEY_FILE: "key" },
    says: /AI_DESK_MASTER_KEY_FILE: expected a file/
  },
  {
    what: "a key file that others may read",
    env: { AI_DESK_MASTER_KEY_FILE: "key" },
    prepare: (dir) => writeFileSync(join(dir, "key"), `${masterKey}\n`, { mode: 0o644 }),
    says: /AI_DESK_MASTER_KEY_FILE: .*found a file that others may read or write/,
    fix: /chmod 600/
  },
  {
    what: "a provider's key with a space in it",
    env: { ANTHROPIC_API_KEY: "sk two" },
    says: /ANTHROPIC_API_KEY: expected a key/
  },
  {
    what: "a data folder that is the home folder",
    env: { AI_DESK_DATA_DIR: "." },
    says: /AI_DESK_DATA_DIR: expected a folder of its own/
  },
  {
    what: "a .env that everyone may change",
    text: {},
    prepare: (dir) => {
      writeFileSync(join(dir, ".env"), "AI_DESK_LOG_LEVEL=error\n")
      chmodSync(join(dir, ".env"), 0o666)
    },
    says: /\.env: expected a file that only its owner can change/
  },
  {
    what: "a bad level in .env",
    text: {},
    prepare: (dir) => writeFileSync(join(dir, ".env"), "AI_DESK_LOG_LEVEL=loud\n", { mode: 0o600 }),
    says: /AI_DESK_LOG_LEVEL: expected one of/
  }
]

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "cli-settings-"))),
  (dir) => Effect.sync(() => rmSync(dir, { recursive: true, force: true }))
)

describe("bad input: settings", () => {
  for (const { env, fix, prepare, says, text, what, words } of cases) {
    it.scopedLive(what, () =>
      Effect.gen(function* () {
        const dir = yield* folder
        if (text !== undefined) {
          writeFileSync(join(dir, "ai-desk.json"), typeof text === "string" ? text : JSON.stringify(text), {
            mode: 0o600
          })
        }
        prepare?.(dir)
        const before = snapshot(dir)
        const around = { cwd: dir, env: { ...env } }
        expectRefusal(yield* cli(words ?? ["agent", "list"], around), {
          code: 2,
          says,
          ...(fix === undefined ? {} : { fix })
        })
        expectRefusal(
          yield* cli([...(words ?? ["agent"]).slice(0, 1), "test", "hello", ...(words ?? []).slice(2)], around),
          {
            code: 2,
            says,
            ...(fix === undefined ? {} : { fix })
          }
        )
        expect(snapshot(dir)).toEqual(before)
      })
    )
  }

  it.scopedLive("config check names every problem at once, and exits with 2", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      writeFileSync(join(dir, "ai-desk.json"), '{"gateway": {"port": "x"}, "cache": {"ttlSeconds": -1}}', {
        mode: 0o600
      })
      const { code, stderr, stdout } = yield* cli(["config", "check"], { cwd: dir })
      expect({ code, stderr }).toEqual({ code: 2, stderr: "" })
      expect(stdout).toMatch(/2 problems/)
      expect(stdout).toMatch(/gateway\.port/)
      expect(stdout).toMatch(/cache\.ttlSeconds/)
    })
  )
})
