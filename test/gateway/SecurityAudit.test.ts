/** Each check is quiet on a sound set-up, and names its weakness, its place and a fix when that is planted. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Agent } from "../../src/domain/Agent.ts"
import { AuditReport, AuditUnavailable } from "../../src/domain/Audit.ts"
import { SandboxProbe } from "../../src/domain/Security.ts"
import { SandboxUnavailable } from "../../src/domain/Tool.ts"
import { layer, SecurityAudit } from "../../src/gateway/SecurityAudit.ts"
import { Audit } from "../../src/kernel/Audit.ts"
import { DataDir } from "../../src/kernel/DataDir.ts"
import { type LoadedSettings, Settings } from "../../src/kernel/Settings.ts"
import * as Egress from "../../src/tools/Egress.ts"
import { Sandbox } from "../../src/tools/Sandbox.ts"
import * as ToolRegistry from "../../src/tools/ToolRegistry.ts"
import { loadProject } from "../support/settings.ts"
import { recordingAudit } from "../support/tools.ts"
import { tempDir } from "../support/tempdir.ts"

const confined = SandboxProbe.make({ id: "escape", what: "an escape", confined: true, detail: "" })
const whole = AuditReport.make({ ok: true, entries: 3, checkpoints: 0, head: "", findings: [], durationMs: 0 })

interface Ground {
  readonly agent?: object
  readonly sections?: object
  /** What settings in force would say beyond a config file. */
  readonly loaded?: (settings: LoadedSettings) => Partial<LoadedSettings>
  /** Given the data folder and the workspace, both sound. */
  readonly plant?: (dataDir: string, workspace: string) => void
  readonly probes?: (typeof Sandbox.Service)["check"]
  readonly verify?: (typeof Audit.Service)["verify"]
}

const sound = {
  tools: { profile: "full", requireApproval: ["write_file", "edit_file", "execute_command", "http_fetch"] },
  budget: { daily: { cost: 5, action: "pause" } }
}

const checks = (ground: Ground) =>
  Effect.gen(function* () {
    const root = yield* tempDir
    const dataDir = join(root, "data")
    const workspace = join(root, "workspace")
    mkdirSync(dataDir, { mode: 0o700 })
    mkdirSync(workspace, { mode: 0o700 })
    writeFileSync(join(dataDir, "desk.db"), "", { mode: 0o600 })
    const { settings } = yield* loadProject({
      config: {
        agents: { defaults: { ...sound, ...ground.agent }, list: [{ id: "main", workspace }] },
        ...ground.sections
      }
    })
    ground.plant?.(dataDir, workspace)
    const current = Effect.succeed({ ...settings, ...ground.loaded?.(settings) })
    const unused = Effect.dieMessage("not asked for by a check")
    const sandbox = Layer.succeed(Sandbox, {
      backend: "bubblewrap",
      run: () => unused,
      runInteractive: () => unused,
      check: ground.probes ?? Effect.succeed([confined])
    })
    const audit = Layer.effect(
      Audit,
      Effect.map(Audit, (service) => ({ ...service, verify: ground.verify ?? Effect.succeed(whole) }))
    ).pipe(Layer.provide(recordingAudit().layer))
    const found = yield* Effect.flatMap(SecurityAudit, ({ run }) => run).pipe(
      Effect.provide(
        layer.pipe(
          Layer.provide(ToolRegistry.layer),
          Layer.provide(Layer.mergeAll(sandbox, Egress.layer, audit)),
          Layer.provide(Layer.succeed(DataDir, { path: dataDir, file: (name) => join(dataDir, name) })),
          Layer.provide(
            Layer.succeed(Settings, { current, reload: current, changes: Effect.dieMessage("unused") as never })
          )
        )
      )
    )
    return found
  })

const failed = (ground: Ground) =>
  Effect.map(checks(ground), (found) => found.filter(({ id, ok }) => !ok && id !== "run-as-root"))

const weaknesses: Readonly<Record<string, ReadonlyArray<readonly [what: string, ground: Ground]>>> = {
  "net-bind": [
    ["every address", { sections: { gateway: { bind: "0.0.0.0" } } }],
    ["an address of the network", { sections: { gateway: { bind: "192.168.1.10" } } }]
  ],
  "net-provider-tls": [
    [
      "a provider elsewhere over http",
      { sections: { providers: { lab: { kind: "openai-compatible", baseUrl: "http://lab.example.org/v1" } } } }
    ],
    [
      "a name that only begins like this machine",
      { sections: { providers: { lab: { kind: "openai-compatible", baseUrl: "http://127.0.0.1.example.org/v1" } } } }
    ]
  ],
  "tools-unattended": [
    ["nothing to be approved", { agent: { tools: { profile: "full", requireApproval: [] } } }],
    [
      "one tool forgotten",
      { agent: { tools: { profile: "full", requireApproval: ["write_file", "edit_file", "http_fetch"] } } }
    ],
    [
      "a tool allowed by name in a narrow profile",
      { agent: { tools: { profile: "readonly", allow: ["execute_command"], requireApproval: [] } } }
    ],
    [
      "tools allowed by a wildcard",
      { agent: { tools: { profile: "deny-all", allow: ["write*"], requireApproval: [] } } }
    ]
  ],
  "tools-wildcard": [
    ["a bare star", { agent: { tools: { ...sound.tools, allow: ["*"] } } }],
    ["two stars", { agent: { tools: { ...sound.tools, allow: ["read_file", "**"] } } }]
  ],
  "budget-caps": [
    ["a cap in tokens alone", { agent: { budget: { daily: { tokens: 1000, action: "block" } } } }],
    ["a cap that only warns", { agent: { budget: { daily: { cost: 5, action: "warn" } } } }]
  ],
  "key-source": [
    ["in the environment", { loaded: () => ({ masterKey: Redacted.make("k"), masterKeySource: "environment" }) }],
    ["beside the config", { loaded: () => ({ masterKey: Redacted.make("k"), masterKeySource: ".env" }) }]
  ],
  "oauth-terms": [["another program's log-in", { sections: { claudeOAuth: { use: true } } }]],
  "config-known": [["a key that was set aside", { loaded: () => ({ warnings: ["agents.x is not known"] }) }]],
  "data-modes": [
    ["the folder open to others", { plant: (dataDir) => chmodSync(dataDir, 0o755) }],
    ["a file open to the group", { plant: (dataDir) => chmodSync(join(dataDir, "desk.db"), 0o640) }],
    ["a link in it", { plant: (dataDir) => symlinkSync("/etc/hostname", join(dataDir, "audit.db")) }],
    [
      "a file deeper in it",
      {
        plant: (dataDir) => {
          mkdirSync(join(dataDir, "deep"), { mode: 0o700 })
          writeFileSync(join(dataDir, "deep", "file"), "", { mode: 0o600 })
          chmodSync(join(dataDir, "deep", "file"), 0o604)
        }
      }
    ]
  ],
  "workspace-modes": [
    ["writable by everyone", { plant: (_, workspace) => chmodSync(workspace, 0o777) }],
    [
      // Its path leads through a file, behind which nobody can look, not even root.
      "not to be looked at",
      {
        loaded: ({ agents, path }) => ({
          agents: agents.map((agent) => new Agent({ ...agent, workspace: join(path ?? "", "below") }))
        })
      }
    ]
  ],
  sandbox: [
    [
      "no sandbox",
      {
        probes: Effect.fail(new SandboxUnavailable({ reason: "bubblewrap is missing", fix: "apt install bubblewrap" }))
      }
    ],
    [
      "one probe that got out",
      { probes: Effect.succeed([confined, SandboxProbe.make({ ...confined, id: "leak", confined: false })]) }
    ]
  ],
  "audit-log": [
    ["signs of damage", { verify: Effect.succeed(AuditReport.make({ ...whole, ok: false })) }],
    ["a log that cannot be read", { verify: Effect.fail(new AuditUnavailable({ reason: "disk gone" })) as never }]
  ]
}

describe("a sound set-up", () => {
  it.effect("passes every check; the one for root says what this process is", () =>
    Effect.gen(function* () {
      const found = yield* checks({})
      assert.deepStrictEqual(
        found.filter(({ ok }) => !ok).map(({ id }) => id),
        process.geteuid?.() === 0 ? ["run-as-root"] : []
      )
      assert.sameMembers(
        found.map(({ id }) => id),
        [...Object.keys(weaknesses), "run-as-root"]
      )
      assert.isTrue(
        found.every(({ fix, ok }) => ok === (fix === undefined)),
        "a fix belongs to what failed, and only there"
      )
    }).pipe(Effect.scoped)
  )

  it.effect("may have providers on this machine over http, and workspaces that do not exist yet", () =>
    Effect.gen(function* () {
      const found = yield* failed({
        sections: {
          providers: {
            ollama: { kind: "openai-compatible", baseUrl: "http://127.0.0.1:11434/v1" },
            six: { kind: "openai-compatible", baseUrl: "http://[::1]:8080/v1" }
          }
        }
      })
      assert.deepStrictEqual(found, [])
    }).pipe(Effect.scoped)
  )

  it.effect("may name what is to be approved by a wildcard", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* failed({ agent: { tools: { profile: "full", requireApproval: ["*"] } } }), [])
    }).pipe(Effect.scoped)
  )
})

describe("a weakness is found", () => {
  for (const [id, cases] of Object.entries(weaknesses)) {
    for (const [what, ground] of cases) {
      it.effect(`${id}: ${what}`, () =>
        Effect.gen(function* () {
          const found = yield* failed(ground)
          const hit = found.find((check) => check.id === id)
          assert.isDefined(hit, JSON.stringify(found))
          assert.isAbove(hit?.fix?.length ?? 0, 0)
          assert.notInclude(hit?.fix ?? "", "\n")
        }).pipe(Effect.scoped)
      )
    }
  }

  it.effect("the gravest first", () =>
    Effect.gen(function* () {
      const found = yield* failed({
        agent: { budget: { daily: { cost: 5, action: "warn" } } },
        sections: { gateway: { bind: "0.0.0.0" }, claudeOAuth: { use: true } },
        loaded: () => ({ masterKeySource: "environment" })
      })
      const steps = found.map(({ severity }) => severity).filter((severity, i, all) => severity !== all[i - 1])
      assert.deepStrictEqual(steps, ["critical", "high", "medium", "low"])
    }).pipe(Effect.scoped)
  )
})
