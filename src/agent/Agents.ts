/**
 * Agents: the agents of the settings in force. A reload takes effect with the next run; a run that
 * has begun keeps the agent it began with.
 */
import { Context, Effect, Layer } from "effect"
import { type Agent, AgentNotFound } from "../domain/Agent.ts"
import { Settings } from "../kernel/Settings.ts"

export class Agents extends Context.Tag("ai-desk/agent/Agents")<
  Agents,
  {
    /** The default agent first. */
    readonly list: Effect.Effect<ReadonlyArray<Agent>>
    /** Without a name: the default agent. */
    readonly get: (name?: string) => Effect.Effect<Agent, AgentNotFound>
  }
>() {}

export const layer = Layer.effect(
  Agents,
  Effect.gen(function* () {
    const settings = yield* Settings
    const list = Effect.map(settings.current, (loaded) => loaded.agents)
    return Agents.of({
      list,
      get: (name) =>
        Effect.flatMap(list, (agents) => {
          const found = name === undefined ? agents.find((a) => a.isDefault) : agents.find((a) => a.id === name)
          return found === undefined
            ? new AgentNotFound({ agent: name ?? "(default)", known: agents.map((a) => a.id) })
            : Effect.succeed(found)
        })
    })
  })
)
