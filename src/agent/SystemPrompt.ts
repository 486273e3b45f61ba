/**
 * SystemPrompt: the standing instructions of an agent: the owner's own, then the house rules of
 * `prompts/system.v1.md`. Holds nothing that changes from call to call, so that providers can cache it.
 */
import type { Agent } from "../domain/Agent.ts"
import * as Prompts from "./Prompts.ts"

/** The house rules, read once at start: a package without them does not start. */
export const rules = Prompts.load("system.v1")

/** The text sent as `system`; a client program's own instructions come last and change nothing above them. */
export const systemPrompt = (agent: Agent, houseRules: string, instructions = ""): string => {
  const own = agent.systemPrompt.trim() === "" ? houseRules : `${agent.systemPrompt.trim()}\n\n${houseRules}`
  return instructions.trim() === ""
    ? own
    : `${own}\n\nThe program through which the person speaks asks for the following, within the rules above:\n\n${instructions.trim()}`
}
