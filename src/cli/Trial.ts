/**
 * Trial: `agent test` with neither config nor key. A throw-away data folder, key and sample workspace
 * in the system's temporary folder, and the rehearsal model (or the provider whose key is in the
 * environment, under a small cap). Everything is removed when the scope closes.
 */
import { dirname, join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Redacted } from "effect"
import type { AppOptions } from "../domain/App.ts"
import { generateMasterKey } from "../kernel/Setup.ts"
import type { LoadedSettings } from "../kernel/Settings.ts"

export interface Trial {
  readonly options: AppOptions
  /** `provider/model` in use. */
  readonly model: string
  readonly workspace: string
  /** USD a day. */
  readonly cap: number
}

/** Per day, USD: enough to try, too little to hurt. */
const trialCap = 0.25

/** By provider, the cheapest capable model that the price library knows. */
const models: ReadonlyArray<readonly [provider: string, model: string]> = [
  ["anthropic", "anthropic/claude-haiku-4-5"],
  ["google", "google/gemini-2.5-flash"],
  ["openrouter", "openrouter/openai/gpt-4o-mini"]
]

const rehearsal = "rehearsal/rehearsal-1"

/** Small, and with something to find. */
const sample: Readonly<Record<string, string>> = {
  "notes.md": `# Notes

- Renew the library card before Friday.
- The garden needs water every second day in July.
- Ask Mira for the recipe with lentils.
`,
  "expenses.csv": `date,what,amount
2026-07-01,train ticket,18.40
2026-07-02,bread and cheese,9.75
2026-07-04,book,22.00
`,
  "letters/draft.txt": `Dear Mira,
the lentils were wonderful. May I have the recipe?
`
}

export const make = (loaded: LoadedSettings) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const root = yield* fs.makeTempDirectoryScoped({ prefix: "ai-desk-trial-" })
    const workspace = join(root, "workspace")
    for (const [name, text] of Object.entries(sample)) {
      const file = join(workspace, name)
      yield* fs.makeDirectory(dirname(file), { recursive: true })
      yield* fs.writeFileString(file, text)
    }
    const [, model] = models.find(([provider]) => loaded.providerKeys.has(provider)) ?? ["rehearsal", rehearsal]
    const config = join(root, "ai-desk.json")
    const settings = {
      agents: {
        defaults: {
          model: { primary: model, failover: [] },
          tools: { profile: "full" },
          budget: { daily: { tokens: 200_000, cost: trialCap, action: "block" } }
        },
        list: [{ id: "trial", default: true, workspace }]
      }
    }
    yield* fs.writeFileString(config, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 })
    const key = yield* generateMasterKey
    const keys = Object.fromEntries([...loaded.providerKeys].map(([name, secret]) => [name, Redacted.value(secret)]))
    const options: AppOptions = {
      config,
      cwd: root,
      env: {
        HOME: loaded.home,
        AI_DESK_MASTER_KEY: Redacted.value(key),
        AI_DESK_DATA_DIR: join(root, "data"),
        ...(keys["anthropic"] === undefined ? {} : { ANTHROPIC_API_KEY: keys["anthropic"] }),
        ...(keys["google"] === undefined ? {} : { GOOGLE_AI_API_KEY: keys["google"] }),
        ...(keys["openrouter"] === undefined ? {} : { OPENROUTER_API_KEY: keys["openrouter"] })
      }
    }
    const trial: Trial = { options, model, workspace, cap: trialCap }
    return trial
  }).pipe(Effect.provide(NodeFileSystem.layer))
