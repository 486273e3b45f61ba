/** `agent`: run one message from the command line, and see which agents there are. */
import { Effect, Schema } from "effect"
import { AgentsApi } from "../contract/agents.ts"
import { Agent } from "../domain/Agent.ts"
import * as ControlClient from "./ControlClient.ts"
import { argument, type Group, matching, option, text, verb } from "./Grammar.ts"
import { Output, table } from "./Output.ts"
import { SessionId } from "../domain/Ids.ts"
import { agentName, ask, config, json } from "./shared.ts"

const sessionId = matching(Schema.is(SessionId), "a session's id, as `ai-desk session list` shows it")

const test = verb({
  summary: "Send one message to an agent and watch every step.",
  about:
    "Shown are scan, cache, budget, model, tools, sandbox and cost. Without a configuration and a key it runs as a trial and leaves nothing behind.",
  examples: [
    'ai-desk agent test "List the files, then read notes.md"',
    'ai-desk agent test "And the second one?" --session sess-…',
    'ai-desk agent test --json "What can you do?" | jq -r .text'
  ],
  params: {
    message: argument(text, "MESSAGE", "What to ask, in quotes."),
    agent: option(agentName, "NAME", "Which agent answers; the default one otherwise.", { short: "a" }),
    session: option(sessionId, "ID", "Go on with this session instead of a new one."),
    config,
    json
  },
  // Following a run takes far more code than listing agents does; it is loaded when it is needed.
  run: (input) =>
    Effect.flatMap(
      Effect.promise(() => import("./agentTest.ts")),
      ({ run }) => run(input)
    )
})

const list = verb({
  summary: "List the configured agents.",
  examples: ["ai-desk agent list", "ai-desk agent list --json | jq '.[].id'"],
  params: { config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const client = yield* ControlClient.use(AgentsApi, "agents")
        const agents = yield* client.agents.list()
        yield* output.result(Schema.encodeSync(Schema.Array(Agent))(agents), () =>
          agents.length === 0
            ? "no agents are configured"
            : table([
                ["AGENT", "MODEL", "TOOLS", "WORKSPACE"],
                ...agents.map((a) => [
                  a.isDefault ? `${a.id} (default)` : a.id,
                  [a.model.primary, ...a.model.failover].join(" → "),
                  a.tools.profile,
                  a.workspace
                ])
              ])
        )
      })
    )
})

export const group: Group = { summary: "Send a message to an agent; list the agents.", verbs: { test, list } }
