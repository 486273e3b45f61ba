/**
 * ToolRegistry: the tools there are. Built-ins are registered by the layer; other subsystems
 * (sub-agents, MCP, skills) register theirs for as long as their scope lives. A name can be taken
 * once; a tool's labels are fixed at registration.
 */
import { Context, Effect, JSONSchema, Layer, Option, Schema, type Scope } from "effect"
import { ToolSpec } from "../domain/Model.ts"
import { builtins } from "./builtin/Builtins.ts"
import type { Tool } from "./Tool.ts"

export { type Tool, ToolFailed } from "./Tool.ts"

export class ToolNameTaken extends Schema.TaggedError<ToolNameTaken>()("ToolNameTaken", { name: Schema.String }) {
  override get message(): string {
    return `a tool named ${this.name} is already registered`
  }
}

export class ToolRegistry extends Context.Tag("ai-desk/tools/ToolRegistry")<
  ToolRegistry,
  {
    /** Gone again when the scope closes. */
    readonly register: (tool: Tool) => Effect.Effect<void, ToolNameTaken, Scope.Scope>
    readonly get: (name: string) => Effect.Effect<Option.Option<Tool>>
    /** Sorted by name, so that prompts stay cacheable. */
    readonly all: Effect.Effect<ReadonlyArray<Tool>>
    /** A tool as offered to a model. */
    readonly spec: (tool: Tool) => ToolSpec
  }
>() {}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const specOf = (tool: Tool): ToolSpec => {
  const schema: unknown = JSONSchema.make(tool.parameters, { target: "jsonSchema2020-12" })
  // Providers refuse or ignore the dialect's name; the rest is the same in all of them.
  const { $schema: _, ...parameters } = isRecord(schema) ? schema : {}
  return new ToolSpec({ name: tool.name, description: tool.description, parameters })
}

export const make = (initial: ReadonlyArray<Tool>): typeof ToolRegistry.Service => {
  const tools = new Map<string, Tool>()
  // Made once per tool: computing a JSON Schema costs more than the rest of an offer.
  const specs = new WeakMap<Tool, ToolSpec>()
  const add = (tool: Tool): Effect.Effect<Tool, ToolNameTaken> =>
    Effect.suspend(() => {
      if (tools.has(tool.name)) return Effect.fail(new ToolNameTaken({ name: tool.name }))
      const fixed = Object.freeze({ ...tool, labels: Object.freeze(tool.labels) })
      tools.set(tool.name, fixed)
      return Effect.succeed(fixed)
    })
  for (const tool of initial) tools.set(tool.name, Object.freeze(tool))

  return {
    register: (tool) =>
      Effect.asVoid(Effect.acquireRelease(add(tool), (fixed) => Effect.sync(() => tools.delete(fixed.name)))),
    get: (name) => Effect.sync(() => Option.fromNullable(tools.get(name))),
    all: Effect.sync(() => [...tools.values()].sort((a, b) => (a.name < b.name ? -1 : 1))),
    spec: (tool) => {
      const known = specs.get(tool)
      if (known !== undefined) return known
      const spec = specOf(tool)
      specs.set(tool, spec)
      return spec
    }
  }
}

/** With the built-in tools. */
export const layer = Layer.effect(ToolRegistry, Effect.map(builtins, make))

/** With exactly these tools. */
export const layerOf = (tools: ReadonlyArray<Tool>): Layer.Layer<ToolRegistry> =>
  Layer.sync(ToolRegistry, () => make(tools))
