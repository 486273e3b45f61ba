/**
 * Answers the agents group: from the settings in force, and by changing the settings file. Values of
 * environment variables that an agent's commands get may be secrets, and are shown to nobody.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { Agents } from "../../agent/Agents.ts"
import { AgentDetail, AgentsApi } from "../../contract/agents.ts"
import { Agent, AgentNotFound, SandboxLimits } from "../../domain/Agent.ts"
import { Caller, type CallerInfo } from "../../domain/Caller.ts"
import type { AgentId } from "../../domain/Ids.ts"
import { AgentConflict, hiddenValue } from "../../domain/SettingsEdit.ts"
import { SettingsFile, withoutSecrets } from "../../kernel/SettingsFile.ts"
import { isRecord, type JsonRecord, mergeSteps } from "../../kernel/settings/Edit.ts"
import { changeOf } from "./change.ts"
import { etag } from "./etag.ts"
import { ground } from "./ground.ts"

const shown = (agent: Agent): Agent =>
  Agent.make({
    ...agent,
    sandbox: SandboxLimits.make({
      ...agent.sandbox,
      env: Object.fromEntries(Object.keys(agent.sandbox.env).map((name) => [name, hiddenValue]))
    })
  })

const mayUse = ({ models }: CallerInfo, { id }: Agent): boolean => models === null || models.some((name) => name === id)

const entriesOf = (value: JsonRecord): ReadonlyArray<JsonRecord> =>
  isRecord(value.agents) && Array.isArray(value.agents.list) ? value.agents.list.filter(isRecord) : []

const entryIn = (value: JsonRecord, agent: string): JsonRecord | undefined =>
  entriesOf(value).find((entry) => entry.id === agent)

/** With an empty list there is one agent all the same; whoever adds to the list must not lose it. */
const listed = (value: JsonRecord, agents: ReadonlyArray<Agent>) =>
  entriesOf(value).length > 0 ? [] : agents.map(({ id }) => ({ id }))

export const layer = HttpApiBuilder.group(AgentsApi, "agents", (handlers) =>
  Effect.gen(function* () {
    const agents = yield* Agents
    const file = yield* SettingsFile
    const change = changeOf(file)

    const unknown = (agent: AgentId) =>
      Effect.map(agents.list, (known) => new AgentNotFound({ agent, known: known.map(({ id }) => id) }))

    return handlers
      .handle("list", () =>
        Effect.gen(function* () {
          const caller = yield* Caller
          return (yield* agents.list).filter((agent) => mayUse(caller, agent)).map(shown)
        })
      )
      .handle("show", ({ path }) =>
        Effect.gen(function* () {
          const agent = yield* agents.get(path.agent)
          const { value, version } = yield* ground(file.read)
          const entry = withoutSecrets({ agents: { list: [entryIn(value, path.agent) ?? {}] } })
          yield* etag(version)
          return AgentDetail.make({
            version,
            agent: shown(agent),
            entry: isRecord(entry) ? (entriesOf(entry)[0] ?? {}) : {}
          })
        })
      )
      .handle("create", ({ headers, payload: { entry, id } }) =>
        change(headers["if-match"], (value) =>
          Effect.gen(function* () {
            const known = yield* agents.list
            if (known.some((agent) => agent.id === id) || entryIn(value, id) !== undefined)
              return yield* new AgentConflict({ agent: id, reason: "exists" })
            const added = { ...entry, id }
            return entriesOf(value).length > 0
              ? [{ path: ["agents", "list", -1], value: added }]
              : [{ path: ["agents", "list"], value: [...listed(value, known), added] }]
          })
        )
      )
      .handle("edit", ({ headers, path, payload }) =>
        change(headers["if-match"], (value) =>
          Effect.gen(function* () {
            const index = entriesOf(value).findIndex((entry) => entry.id === path.agent)
            if (index !== -1) return mergeSteps(entriesOf(value)[index], payload, ["agents", "list", index])
            const known = yield* agents.list
            const implied = listed(value, known)
            if (!implied.some(({ id }) => id === path.agent)) return yield* yield* unknown(path.agent)
            const changed = implied.map((entry) => (entry.id === path.agent ? { ...payload, ...entry } : entry))
            return mergeSteps(value, { agents: { list: changed } })
          })
        )
      )
      .handle("remove", ({ headers, path }) =>
        change(headers["if-match"], (value) =>
          Effect.gen(function* () {
            const index = entriesOf(value).findIndex((entry) => entry.id === path.agent)
            const known = yield* agents.list
            if (index === -1 && !known.some(({ id }) => id === path.agent)) return yield* yield* unknown(path.agent)
            if (index === -1 || entriesOf(value).length < 2)
              return yield* new AgentConflict({ agent: path.agent, reason: "last" })
            return [{ path: ["agents", "list", index], value: undefined }]
          })
        )
      )
  })
)
