/** Agents, calls, workspaces and a record of what was audited, for tests of the tools. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Stream } from "effect"
import { Agent, SandboxLimits } from "../../src/domain/Agent.ts"
import { AuditEntry, type AuditEvent, AuditReport, AuditUnavailable } from "../../src/domain/Audit.ts"
import { AgentId, RunId, SessionId, ToolCallId } from "../../src/domain/Ids.ts"
import { type Taint, type ToolLabels, untainted } from "../../src/domain/Labels.ts"
import { ToolCallPart } from "../../src/domain/Message.ts"
import { ModelRef } from "../../src/domain/Model.ts"
import { mintPermitted, type Permitted } from "../../src/domain/Proof.ts"
import { Audit } from "../../src/kernel/Audit.ts"
import type { CallContext } from "../../src/tools/ToolPolicy.ts"
import type { Tool } from "../../src/tools/ToolRegistry.ts"

export const session = SessionId.make("sess-01JD0000000000000000000000")
export const otherSession = SessionId.make("sess-01JD0000000000000000000001")
export const run = RunId.make("run-01JD0000000000000000000000")

type Tools = Agent["tools"]
type Limits = Agent["sandbox"]

export const agentWith = (
  over: { readonly id?: string; readonly workspace?: string } & Partial<Tools> & {
      readonly limits?: Partial<Limits>
    } = {}
): Agent => {
  const { id, limits, workspace, ...tools } = over
  return Agent.make({
    id: AgentId.make(id ?? "main"),
    isDefault: true,
    systemPrompt: "",
    workspace: workspace ?? "/nowhere",
    model: { primary: ModelRef.make("rehearsal/one"), failover: [] },
    maxOutputTokens: 1000,
    sandbox: SandboxLimits.make({
      timeoutMs: 20_000,
      maxMemoryMb: 512,
      maxProcesses: 64,
      maxDiskMb: 64,
      maxOutputBytes: 1_048_576,
      env: {},
      ...limits
    }),
    tools: { profile: "deny-all", allow: [], deny: [], requireApproval: [], egress: [], maxRounds: 25, ...tools },
    budget: {},
    compaction: { threshold: 0.8 },
    skills: []
  })
}

export const callOf = (name: string, args: unknown, id = "call-1"): ToolCallPart =>
  new ToolCallPart({ id: ToolCallId.make(id), name, arguments: args })

export const contextOf = (
  agent: Agent,
  name: string,
  args: unknown,
  over: { readonly taint?: Taint; readonly session?: SessionId } = {}
): CallContext => ({
  agent,
  session: over.session ?? session,
  run,
  taint: over.taint ?? untainted,
  call: callOf(name, args)
})

/** Leave for a call as the policy would give it, for tests of what comes after the policy. */
export const permittedFor = (agent: Agent, tool: string, args: unknown): Permitted =>
  mintPermitted({
    tool,
    arguments: args,
    agent,
    session,
    run,
    call: ToolCallId.make("call-1"),
    callHash: "00",
    by: "policy"
  })

/** A folder of its own that goes with the scope. */
export const workspaceFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "ai-desk-ws-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** An audit log in memory that can be told to be out of order. */
export const recordingAudit = () => {
  const events: Array<AuditEvent> = []
  const state = { down: false, onAppend: (_event: AuditEvent): void => undefined }
  const unavailable = new AuditUnavailable({ reason: "the disk is full" })
  const append = (event: AuditEvent) =>
    Effect.suspend(() => {
      state.onAppend(event)
      if (state.down) return Effect.fail(unavailable)
      events.push(event)
      return Effect.succeed(AuditEntry.make({ seq: events.length, at: 0, event, prev: "", hash: "" }))
    })
  const layer = Layer.succeed(
    Audit,
    Audit.of({
      append,
      note: (event) => Effect.sync(() => void events.push(event)),
      verify: Effect.succeed(
        AuditReport.make({ ok: true, entries: 0, checkpoints: 0, head: "", findings: [], durationMs: 0 })
      ),
      page: () => Effect.succeed({ entries: [], older: null, newer: 0 }),
      tail: () => Effect.succeed([]),
      entries: Stream.empty,
      checkpoint: Effect.void
    })
  )
  return { events, state, layer, types: () => events.map(({ type }) => type) }
}

/** A tool that does nothing, to be refused or let through by its name, kind and labels. */
export const toolNamed = (
  name: string,
  kind: Tool["kind"],
  labels: ToolLabels,
  over: Partial<Tool> & Pick<Tool, "parameters" | "run">
): Tool => ({
  name,
  description: name,
  kind,
  labels,
  risk: "low",
  confinement: "gateway",
  display: (args) => `${name} ${JSON.stringify(args)}`,
  sinks: () => [],
  ...over
})
