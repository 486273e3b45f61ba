/**
 * SystemPrompt: the standing instructions of an agent: the owner's own, then the house rules of
 * `prompts/system.v1.md`. Holds nothing that changes from call to call, so that providers can cache it.
 */
import { Effect } from "effect"
import type { Agent } from "../domain/Agent.ts"
import * as Prompts from "./Prompts.ts"

/** The text sent as `system`. */
export const systemPrompt = (agent: Agent): Effect.Effect<string, Prompts.PromptMissing> =>
  Effect.map(Prompts.load("system.v1"), (rules) =>
    agent.systemPrompt.trim() === "" ? rules : `${agent.systemPrompt.trim()}\n\n${rules}`
  )
