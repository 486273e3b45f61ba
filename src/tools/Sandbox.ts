/**
 * Sandbox: runs a command so that it can reach its workspace and nothing else.
 *
 * Guarantees: no run without a genuine `Permitted`; no run outside the profile (a missing or failing
 * backend is `SandboxUnavailable`, never a plain child process); limits come from settings, never
 * from a model; nothing of the call is alive once `run` has returned, also when it is interrupted;
 * nothing runs before the self-test has found every wall standing.
 */
import { Context, Data, Effect, Layer, Ref } from "effect"
import type { Agent } from "../domain/Agent.ts"
import { isGenuine, type Permitted } from "../domain/Proof.ts"
import type { SandboxProbe } from "../domain/Security.ts"
import { SandboxUnavailable } from "../domain/Tool.ts"
import type { Command, SandboxBackend, SandboxResult } from "./sandbox/Backend.ts"
import { makeBubblewrap } from "./sandbox/Bubblewrap.ts"
import { bwrapPaths } from "./sandbox/Host.ts"
import type { Guard } from "./sandbox/Profile.ts"

export { type Command, type SandboxResult, Stopped } from "./sandbox/Backend.ts"

/** A defect: something tried to run a call that no guard of this process has let through. */
export class ForgedPermission extends Data.TaggedError("ForgedPermission")<{ readonly tool: string }> {
  override get message(): string {
    return `a call of ${this.tool} reached the sandbox without permission by the tool policy or an approval`
  }
}

export class Sandbox extends Context.Tag("ai-desk/tools/Sandbox")<
  Sandbox,
  {
    /** `bubblewrap` on Linux; the seam for other systems' backends. */
    readonly backend: string
    /** Runs the command under the profile of the permitted call's agent. Interruption kills the whole tree. */
    readonly run: (permitted: Permitted, command: Command) => Effect.Effect<SandboxResult, SandboxUnavailable>
    /** The profile as argv for a person's own command with the terminal passed through (`sandbox run`); ends with its exit code. */
    readonly runInteractive: (
      agent: Agent,
      argv: readonly [string, ...ReadonlyArray<string>]
    ) => Effect.Effect<number, SandboxUnavailable>
    /** Runs the self-test now. All confined means usable. */
    readonly check: Effect.Effect<ReadonlyArray<SandboxProbe>, SandboxUnavailable>
  }
>() {}

export interface SandboxOptions {
  /** Ai_DESK's own absolute paths (data folder, configuration file): hidden when a workspace holds them. */
  readonly hidden: ReadonlyArray<string>
  readonly platform: NodeJS.Platform
  readonly bwrapPaths: ReadonlyArray<string>
  /** For tests that show what each guard is worth: takes it away. The self-test then refuses every run, unless it is skipped too. */
  readonly without: ReadonlySet<Guard>
  readonly skipSelfTest: boolean
}

const standard: SandboxOptions = {
  hidden: [],
  platform: process.platform,
  bwrapPaths,
  without: new Set(),
  skipSelfTest: false
}

const noBackend = (platform: string): SandboxBackend => {
  const refusal = Effect.fail(
    new SandboxUnavailable({
      reason: `there is no sandbox backend for ${platform} yet`,
      fix: "run Ai_DESK on Linux, for example in a virtual machine or under WSL 2"
    })
  )
  return { name: "none", run: () => refusal, interactive: () => refusal, check: refusal }
}

const judge = (probes: ReadonlyArray<SandboxProbe>): Effect.Effect<void, SandboxUnavailable> => {
  const open = probes.filter(({ confined }) => !confined)
  return open.length === 0
    ? Effect.void
    : new SandboxUnavailable({
        reason: `its self-test failed: ${open.map(({ id, detail }) => `${id} (${detail})`).join(", ")}`,
        fix: "see what is open: ai-desk sandbox check"
      })
}

export const makeWith = (over: Partial<SandboxOptions>): Effect.Effect<Context.Tag.Service<Sandbox>> =>
  Effect.gen(function* () {
    const options = { ...standard, ...over }
    const backend = options.platform === "linux" ? yield* makeBubblewrap(options) : noBackend(options.platform)
    const trusted = yield* Ref.make(options.skipSelfTest)
    const once = yield* Effect.makeSemaphore(1)
    const failed = yield* Ref.make<{ readonly tests: number; readonly why?: SandboxUnavailable }>({ tests: 0 })
    const test = backend.check.pipe(
      Effect.flatMap(judge),
      Effect.zipRight(Ref.set(trusted, true)),
      Effect.tapError((why) => Ref.update(failed, ({ tests }) => ({ tests: tests + 1, why }))),
      Effect.withSpan("Sandbox.selfTest")
    )
    /**
     * Success is kept, failure is not: what the owner mends works without a restart. Only calls that
     * came while a failing test ran share its answer, else each of many would make its own in turn.
     */
    const ready = Effect.unlessEffect(
      Effect.gen(function* () {
        const { tests } = yield* Ref.get(failed)
        const mine = Effect.gen(function* () {
          if (yield* Ref.get(trusted)) return
          const now = yield* Ref.get(failed)
          return yield* now.tests > tests && now.why !== undefined ? now.why : test
        })
        yield* once.withPermits(1)(mine)
      }),
      Ref.get(trusted)
    )
    const run = Effect.fn("Sandbox.run")(function* (permitted: Permitted, command: Command) {
      if (!isGenuine(permitted)) return yield* Effect.die(new ForgedPermission({ tool: String(permitted.tool) }))
      yield* ready
      const { workspace, sandbox: limits } = permitted.agent
      return yield* backend.run({ workspace, limits, command })
    })
    const runInteractive = Effect.fn("Sandbox.runInteractive")(function* (
      agent: Agent,
      argv: readonly [string, ...ReadonlyArray<string>]
    ) {
      yield* ready
      return yield* backend.interactive({
        workspace: agent.workspace,
        limits: agent.sandbox,
        command: { argv, workspace: "read-write" }
      })
    })
    return { backend: backend.name, run, runInteractive, check: backend.check }
  })

/** Hides the given absolute paths (data folder, configuration file) as a second layer under the settings' own check. */
export const layerHiding = (hidden: ReadonlyArray<string>): Layer.Layer<Sandbox> =>
  Layer.effect(Sandbox, makeWith({ hidden }))

export const layer: Layer.Layer<Sandbox> = layerHiding([])
