import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { redactText } from "../../../src/kernel/Redaction.ts"
import { checkFile, layer, Settings, type SettingsOptions } from "../../../src/kernel/Settings.ts"
import { loadProject, project, type ProjectOptions } from "../../support/settings.ts"

const load = (options: SettingsOptions) =>
  Effect.flatMap(Settings, (service) => service.current).pipe(Effect.provide(layer(options)))

/** What a start with these options fails with. */
const refusal = (options: SettingsOptions) => Effect.flip(load(options))

const keyOf = (secret: Redacted.Redacted<string> | null | undefined) =>
  secret === null || secret === undefined ? secret : Redacted.value(secret)

const refusedProject = (options: ProjectOptions) => Effect.flatMap(project(options), (made) => refusal(made.options))

const root = process.geteuid?.() === 0

describe("where settings come from", () => {
  it.scoped("takes ./ai-desk.json, and without one the defaults", () =>
    Effect.gen(function* () {
      const { settings, dir, path } = yield* loadProject({ config: { gateway: { port: 1 } } })
      expect([settings.path, settings.dir, settings.config.gateway.port]).toEqual([path, dir, 1])
      expect(settings.dataDir).toBe(join(dir, ".ai-desk-data"))
      const none = yield* loadProject({ config: null })
      expect([none.settings.path, none.settings.dir]).toEqual([null, none.dir])
      expect(none.settings.agents.map((agent) => [agent.id, agent.workspace])).toEqual([
        ["main", join(none.dir, "workspace")]
      ])
    })
  )

  it.scoped("lets --config win over AI_DESK_CONFIG, and that over the folder", () =>
    Effect.gen(function* () {
      const { dir, options } = yield* project({ config: { gateway: { port: 1 } } })
      for (const [name, port] of [
        ["a.json", 2],
        ["b.json", 3]
      ] as const) {
        writeFileSync(join(dir, name), JSON.stringify({ gateway: { port } }), { mode: 0o600 })
      }
      const env = { ...options.env, AI_DESK_CONFIG: "a.json" }
      expect((yield* load({ ...options, env })).config.gateway.port).toBe(2)
      expect((yield* load({ ...options, env, configPath: "b.json" })).config.gateway.port).toBe(3)
    })
  )

  it.scoped("refuses a config that was asked for and is not there", () =>
    Effect.gen(function* () {
      const { options } = yield* project({})
      const asked = yield* refusal({ ...options, configPath: "nowhere.json" })
      expect(asked.message).toMatch(/nowhere\.json: --config: expected a file that can be read, found nothing$/)
      const named = yield* refusal({ ...options, env: { ...options.env, AI_DESK_CONFIG: "nowhere.json" } })
      expect(named.message).toContain("AI_DESK_CONFIG")
    })
  )

  it.scoped("reads .env beside the config only, from a fixed list of names, and the environment wins", () =>
    Effect.gen(function* () {
      const dotEnv =
        "ANTHROPIC_API_KEY=from-file\nOPENROUTER_API_KEY=also-file\nOWN_KEY=own-key-1\nNODE_OPTIONS=--inspect\nAI_DESK_CONFIG=/etc/passwd\n"
      const config = {
        providers: { own: { kind: "openai-compatible", baseUrl: "http://127.0.0.1:1", apiKeyEnv: "OWN_KEY" } }
      }
      const { settings } = yield* loadProject({ config, dotEnv, env: { ANTHROPIC_API_KEY: "from-env" } })
      expect([...settings.providerKeys].map(([name, key]) => [name, keyOf(key)])).toEqual([
        ["anthropic", "from-env"],
        ["openrouter", "also-file"],
        ["own", "own-key-1"]
      ])
      expect(process.env.NODE_OPTIONS ?? "").not.toContain("--inspect")
      const bare = yield* loadProject({ config: null, dotEnv })
      expect(bare.settings.providerKeys.size).toBe(0)
      expect(bare.settings.warnings.join()).toContain("is not read")
    })
  )

  it.scoped("never reads a .env of the workspace", () =>
    Effect.gen(function* () {
      const { dir, options } = yield* project({})
      mkdirSync(join(dir, "workspace"))
      writeFileSync(join(dir, "workspace", ".env"), "ANTHROPIC_API_KEY=planted-key\nAI_DESK_MASTER_KEY=planted\n")
      const settings = yield* load(options)
      expect([settings.providerKeys.size, settings.masterKey]).toEqual([0, null])
    })
  )
})

describe("files that cannot be trusted", () => {
  it.scoped("refuses a config that others may write, with the line that mends it", () =>
    Effect.gen(function* () {
      const { path, options } = yield* project({})
      chmodSync(path, 0o606)
      const failure = yield* refusal(options)
      expect(failure.message).toContain("a file that others may write")
      expect(failure.fix).toBe(`chmod o-w ${path}`)
    })
  )

  it.scoped("refuses a .env that others may write and warns of one that they may read", () =>
    Effect.gen(function* () {
      const { dir, options } = yield* project({ dotEnv: "ANTHROPIC_API_KEY=abcdefgh" })
      chmodSync(join(dir, ".env"), 0o644)
      expect((yield* load(options)).warnings.join()).toContain(`chmod 600 ${join(dir, ".env")}`)
      chmodSync(join(dir, ".env"), 0o666)
      expect((yield* refusal(options)).message).toContain("others may write")
    })
  )

  it.scoped("refuses a config of another user", () =>
    Effect.gen(function* () {
      const { path, options } = yield* project({})
      // Only root can give a file away; anyone else meets the same check with root's own /etc/shadow-like files.
      if (root) chownSync(path, 12_345, 12_345)
      const failure = yield* root ? refusal(options) : refusal({ ...options, configPath: "/etc/shadow" })
      expect(failure.message).toMatch(/a file of another user|cannot be opened/)
    })
  )

  it.scoped("refuses a folder, a pipe and a file that is too large", () =>
    Effect.gen(function* () {
      const { path, options } = yield* project({ config: " ".repeat(1_100_000) })
      expect((yield* refusal(options)).message).toContain("more than 1 MiB")
      rmSync(path)
      mkdirSync(path)
      expect((yield* refusal(options)).message).toContain("not a regular file")
    })
  )
})

describe("the master key", () => {
  it.scoped("comes from the variable, a file, or the service manager's credential", () =>
    Effect.gen(function* () {
      const { dir, options } = yield* project({})
      const file = join(dir, "master.key")
      writeFileSync(file, "from a file\n", { mode: 0o600 })
      const credentials = join(dir, "credentials")
      mkdirSync(credentials)
      writeFileSync(join(credentials, "ai-desk-master-key"), "from systemd", { mode: 0o440 })
      const key = (env: Record<string, string>) =>
        Effect.map(load({ ...options, env: { ...options.env, ...env } }), (settings) => keyOf(settings.masterKey))
      expect(yield* key({})).toBe(null)
      expect(yield* key({ AI_DESK_MASTER_KEY: "from the variable" })).toBe("from the variable")
      expect(yield* key({ AI_DESK_MASTER_KEY_FILE: "master.key" })).toBe("from a file")
      expect(yield* key({ CREDENTIALS_DIRECTORY: credentials })).toBe("from systemd")
      expect(yield* key({ CREDENTIALS_DIRECTORY: credentials, AI_DESK_MASTER_KEY_FILE: file })).toBe("from a file")
    })
  )

  it.scoped("refuses two sources, an empty one, and a file that others may read", () =>
    Effect.gen(function* () {
      const { dir, options } = yield* project({})
      const file = join(dir, "master.key")
      writeFileSync(file, "open secret", { mode: 0o644 })
      const failure = (env: Record<string, string>) => refusal({ ...options, env: { ...options.env, ...env } })
      const both = yield* failure({ AI_DESK_MASTER_KEY: "x", AI_DESK_MASTER_KEY_FILE: file })
      expect(both.message).toContain("one source of the master key")
      expect((yield* failure({ AI_DESK_MASTER_KEY: " " })).message).toContain("an empty text")
      const open = yield* failure({ AI_DESK_MASTER_KEY_FILE: file })
      expect([open.message.includes("read or write"), open.fix]).toEqual([true, `chmod 600 ${file}`])
      expect((yield* failure({ AI_DESK_MASTER_KEY_FILE: join(dir, "none") })).message).toContain("found nothing")
      expect(open.message + both.message).not.toContain("open secret")
    })
  )

  it.scoped("is registered for redaction, as provider keys are", () =>
    Effect.gen(function* () {
      yield* loadProject({
        env: { AI_DESK_MASTER_KEY: "correct horse battery", GOOGLE_AI_API_KEY: "no-known-form-77" }
      })
      const said = redactText(`a correct horse battery b no-known-form-77 c ${btoa("correct horse battery")}`)
      expect(said).toBe("a [redacted] b [redacted] c [redacted]")
    })
  )
})

describe("what does not hold together", () => {
  const cases: ReadonlyArray<readonly [string, ProjectOptions, string]> = [
    [
      "two agents of one id",
      { config: { agents: { list: [{ id: "a" }, { id: "a" }] } } },
      "agents.list[1].id: expected each id once"
    ],
    [
      "two default agents",
      {
        config: {
          agents: {
            list: [
              { id: "a", default: true },
              { id: "b", default: true }
            ]
          }
        }
      },
      "agents.list[1].default: expected one default agent"
    ],
    [
      "a model of an unknown provider",
      { config: { agents: { defaults: { model: { primary: "antropic/x" } } } } },
      'found a provider that is not set up (did you mean "anthropic"?)'
    ],
    [
      "a provider without an address",
      { config: { providers: { own: { kind: "openai-compatible" } } } },
      "providers.own.baseUrl: expected the URL"
    ],
    [
      "a bot for an unknown agent",
      { config: { messaging: { telegram: { enabled: true, agentId: "nobody" } } } },
      "messaging.telegram.agentId"
    ],
    [
      "a job for an unknown agent",
      { config: { schedule: { j: { cron: "0 0 * * *", agent: "nobody", prompt: "x" } } } },
      "schedule.j.agent"
    ],
    [
      "an MCP server with neither command nor url",
      { config: { mcp: { servers: { s: {} } } } },
      "mcp.servers.s: expected either command or url, found neither"
    ],
    [
      "a key with a line break",
      { env: { ANTHROPIC_API_KEY: "ab\ncd" } },
      "environment: ANTHROPIC_API_KEY: expected a key"
    ],
    ["an unknown log level", { env: { AI_DESK_LOG_LEVEL: "loud" } }, "environment: AI_DESK_LOG_LEVEL: expected one of"],
    [
      "a data folder that holds the config",
      { env: { AI_DESK_DATA_DIR: "." } },
      "AI_DESK_DATA_DIR: expected a folder of its own"
    ]
  ]
  for (const [name, options, message] of cases) {
    it.scoped(`refuses ${name}`, () =>
      Effect.map(refusedProject(options), (failure) => expect(failure.message).toContain(message))
    )
  }

  it.scoped("lists at most twenty problems and says how many more there are", () =>
    Effect.gen(function* () {
      const list = Array.from({ length: 50 }, () => ({ id: "A B" }))
      const failure = yield* refusedProject({ config: { agents: { list } } })
      expect(failure.problems).toHaveLength(20)
      expect(failure.message).toContain("31 more problems")
    })
  )

  it.scoped("boots with an unknown key, warns of it, and config check reports it", () =>
    Effect.gen(function* () {
      const { options, settings } = yield* loadProject({ config: { cach: {} } })
      expect(settings.warnings).toEqual([
        'cach: expected a known key, found an unknown key (did you mean "cache"?); it is ignored'
      ])
      const report = yield* checkFile(options)
      expect(report.problems.map((one) => one.at)).toEqual(["cach"])
    })
  )
})

describe("agents", () => {
  const config = {
    agents: {
      defaults: { tools: { deny: ["http_fetch"], allow: ["read*"] }, sandbox: { timeoutMs: 1000, env: { A: "1" } } },
      list: [
        { id: "one", workspace: "./one" },
        {
          id: "two",
          default: true,
          workspace: "~/two",
          budget: { daily: { cost: 1 } },
          sandbox: { maxMemoryMb: 64 },
          tools: { deny: ["execute_command"], allow: [] }
        }
      ]
    }
  }

  it.scoped("inherit field by field; the default one comes first", () =>
    Effect.gen(function* () {
      const { settings, dir, home } = yield* loadProject({ config })
      const [two, one] = settings.agents
      expect([two?.id, two?.isDefault, two?.workspace]).toEqual(["two", true, join(home, "two")])
      expect([one?.id, one?.isDefault, one?.workspace]).toEqual(["one", false, join(dir, "one")])
      // One cap named, the others still hold.
      expect(two?.budget.daily).toEqual({ tokens: 500_000, cost: 1_000_000_000, action: "pause" })
      expect(two?.sandbox).toMatchObject({ timeoutMs: 1000, maxMemoryMb: 64, env: { A: "1" } })
      expect(two?.tools).toMatchObject({ allow: [], deny: ["http_fetch", "execute_command"], profile: "deny-all" })
      expect(one?.tools).toMatchObject({ allow: ["read*"], deny: ["http_fetch"] })
    })
  )
})

describe("links on the way to the config", () => {
  it.scoped("follows a config that is a link, and checks what it points to", () =>
    Effect.gen(function* () {
      const { dir, path, options } = yield* project({ config: { gateway: { port: 7 } } })
      const link = join(dir, "link.json")
      symlinkSync(path, link)
      expect((yield* load({ ...options, configPath: link })).config.gateway.port).toBe(7)
      chmodSync(path, 0o602)
      expect((yield* refusal({ ...options, configPath: link })).message).toContain("others may write")
    })
  )

  it("is a layer that needs nothing", () => {
    expect(Layer.isLayer(layer())).toBe(true)
  })
})
