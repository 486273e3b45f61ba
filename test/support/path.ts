/**
 * The whole path, real from end to end, over a throw-away folder: settings file, workspace, data
 * folder, key. Tests replace a part of App's to make it fail; nothing else is faked.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, Layer, Stream } from "effect"
import { AgentRuntime, type RunRequest } from "../../src/agent/AgentRuntime.ts"
import * as App from "../../src/App.ts"
import type { AppOptions } from "../../src/domain/App.ts"
import { owner } from "../../src/domain/Ids.ts"
import type { RunEvent } from "../../src/domain/RunEvent.ts"

/** High-entropy, so that no slow key derivation is needed. */
export const masterKey = `aidk_${"A1b2C3d4E5".repeat(4)}xyz`

export interface Place {
  readonly dir: string
  readonly config: string
  readonly workspace: string
  readonly dataDir: string
  readonly options: AppOptions
}

export interface PlaceOptions {
  /** `agents.defaults`. */
  readonly defaults?: object
  /** Other sections of ai-desk.json. */
  readonly sections?: object
  readonly env?: Readonly<Record<string, string>>
  /** Files of the workspace by relative path. */
  readonly files?: Readonly<Record<string, string>>
  /** The folder in which it is laid out; the system's temporary one otherwise. */
  readonly within?: string
}

/** Lays out a folder; the caller removes it. For tests whose processes are killed. */
export const layOut = (options: PlaceOptions = {}): Place => {
  const dir = mkdtempSync(join(options.within ?? tmpdir(), "ai-desk-path-"))
  const workspace = join(dir, "workspace")
  const dataDir = join(dir, "data")
  const config = join(dir, "ai-desk.json")
  mkdirSync(workspace)
  for (const [name, text] of Object.entries(options.files ?? {})) {
    mkdirSync(dirname(join(workspace, name)), { recursive: true })
    writeFileSync(join(workspace, name), text)
  }
  const defaults = {
    model: { primary: "rehearsal/rehearsal-1" },
    tools: { profile: "full", requireApproval: [] },
    ...options.defaults
  }
  const settings = { agents: { defaults, list: [{ id: "main", default: true, workspace }] }, ...options.sections }
  writeFileSync(config, JSON.stringify(settings), { mode: 0o600 })
  const env = {
    HOME: dir,
    AI_DESK_MASTER_KEY: masterKey,
    AI_DESK_DATA_DIR: dataDir,
    AI_DESK_LOG_LEVEL: "error",
    ...options.env
  }
  return { dir, config, workspace, dataDir, options: { config, cwd: dir, env } }
}

export const place = (options: PlaceOptions = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => layOut(options)),
    ({ dir }) => Effect.sync(() => rmSync(dir, { recursive: true, force: true }))
  )

/** Everything from the kernel to the runtime, with what a test replaced. */
export const agentLayer = ({ options }: Place, replaced: Partial<App.Parts> = {}) =>
  Layer.fresh(App.stack(options, { ...App.parts, ...replaced }).agent)

/** One run to its end; the events in order. */
export const run = (message: string, rest: Partial<RunRequest> = {}) =>
  Effect.flatMap(AgentRuntime, (runtime) =>
    Effect.map(Stream.runCollect(runtime.run({ principal: owner, message, ...rest })), (chunk) => [...chunk])
  )

export const of = <T extends RunEvent["_tag"]>(events: ReadonlyArray<RunEvent>, tag: T) =>
  events.filter((event): event is Extract<RunEvent, { _tag: T }> => event._tag === tag)
