/** An agent as settings would give it, for tests: everything allowed that a test does not narrow. */
import { Agent, SandboxLimits } from "../../src/domain/Agent.ts"
import { AgentId } from "../../src/domain/Ids.ts"
import { ModelRef } from "../../src/domain/Model.ts"

export const testLimits = (overrides: Partial<SandboxLimits> = {}): SandboxLimits =>
  new SandboxLimits({
    timeoutMs: 20_000,
    maxMemoryMb: 512,
    maxProcesses: 64,
    maxDiskMb: 64,
    maxOutputBytes: 1_048_576,
    env: {},
    ...overrides
  })

export const testAgent = (overrides: Partial<Agent> & { readonly workspace: string }): Agent =>
  new Agent({
    id: AgentId.make("tester"),
    isDefault: true,
    systemPrompt: "You help.",
    model: { primary: ModelRef.make("rehearsal/rehearsal-1"), failover: [] },
    maxOutputTokens: 1024,
    sandbox: testLimits(),
    tools: { profile: "full", allow: [], deny: [], requireApproval: [], egress: [], maxRounds: 16 },
    budget: {},
    compaction: { threshold: 0.8 },
    skills: [],
    ...overrides
  })
