/** `config`: is the file right, what may stand in it, which one is it. Reads settings only; starts nothing. */
import { Effect, Schema } from "effect"
import { checkFile, configPath, jsonSchema, SettingsProblem } from "../kernel/Settings.ts"
import { Exited } from "./failure.ts"
import { type Group, verb } from "./Grammar.ts"
import { Output, visible } from "./Output.ts"
import { config, json, present, settingsOptions } from "./shared.ts"

const describe = (p: SettingsProblem): string =>
  [
    `  ${p.at}: expected ${p.expected}, found ${p.found}${p.nearest === undefined ? "" : ` (did you mean "${p.nearest}"?)`}`,
    ...(p.fix === undefined ? [] : [`    fix: ${p.fix}`])
  ].join("\n")

const check = verb({
  summary: "Check ai-desk.json, .env and the environment without starting anything.",
  about: "Exit code 2 when something is wrong.",
  params: { config, json },
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const { source, problems, warnings } = yield* Effect.flatMap(settingsOptions(input.config), checkFile)
        const encoded = Schema.encodeSync(Schema.Array(SettingsProblem))(problems)
        yield* output.result({ source, problems: encoded, warnings }, () =>
          [
            problems.length === 0
              ? `${source}: good`
              : `${source}: ${problems.length} problem${problems.length === 1 ? "" : "s"}`,
            ...problems.map((p) => visible(describe(p))),
            ...warnings.map((w) => `  warning: ${visible(w)}`)
          ].join("\n")
        )
        if (problems.length > 0) return yield* new Exited({ code: 2 })
      })
    )
})

const schema = verb({
  summary: "Print the JSON Schema of ai-desk.json, for editors.",
  examples: ["ai-desk config schema > ai-desk.schema.json"],
  params: {},
  run: () =>
    present(
      false,
      Effect.flatMap(Output, (output) => output.line(JSON.stringify(jsonSchema(), null, 2)))
    )
})

const path = verb({
  summary: "Print where the settings file is, or would be.",
  params: { config, json },
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const found = yield* Effect.flatMap(settingsOptions(input.config), configPath)
        yield* output.result({ path: found }, () => found)
      })
    )
})

export const group: Group = { summary: "The settings file.", verbs: { check, schema, path } }
