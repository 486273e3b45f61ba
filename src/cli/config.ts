/** `config`: is the file right, what may stand in it, which one is it. Reads settings only; starts nothing. */
import * as Command from "@effect/cli/Command"
import { Effect, Option, Schema } from "effect"
import { checkFile, configPath, jsonSchema, SettingsProblem } from "../kernel/Settings.ts"
import { Output, visible } from "./Output.ts"
import { config, Exited, json, verb } from "./shared.ts"

const optionsOf = (path: Option.Option<string>) => ({ configPath: Option.getOrUndefined(path) })

const describe = (p: SettingsProblem): string =>
  [
    `  ${p.at}: expected ${p.expected}, found ${p.found}${p.nearest === undefined ? "" : ` (did you mean "${p.nearest}"?)`}`,
    ...(p.fix === undefined ? [] : [`    fix: ${p.fix}`])
  ].join("\n")

const check = Command.make("check", { config, json }, (input) =>
  verb(
    input.json,
    Effect.gen(function* () {
      const output = yield* Output
      const { source, problems, warnings } = yield* checkFile(optionsOf(input.config))
      const encoded = Schema.encodeSync(Schema.Array(SettingsProblem))(problems)
      yield* output.result({ source, problems: encoded, warnings }, () =>
        [
          problems.length === 0 ? `${source}: good` : `${source}: ${problems.length} problem${problems.length === 1 ? "" : "s"}`,
          ...problems.map((p) => visible(describe(p))),
          ...warnings.map((w) => `  warning: ${visible(w)}`)
        ].join("\n")
      )
      if (problems.length > 0) return yield* new Exited({ code: 2 })
    })
  )
).pipe(Command.withDescription("Check ai-desk.json, .env and the environment without starting anything. Exit code 2 when something is wrong."))

const schema = Command.make("schema", {}, () =>
  verb(
    false,
    Effect.flatMap(Output, (output) => output.line(JSON.stringify(jsonSchema(), null, 2)))
  )
).pipe(Command.withDescription("Print the JSON Schema of ai-desk.json, for editors."))

const path = Command.make("path", { config, json }, (input) =>
  verb(
    input.json,
    Effect.gen(function* () {
      const output = yield* Output
      const found = yield* configPath(optionsOf(input.config))
      yield* output.result({ path: found }, () => found)
    })
  )
).pipe(Command.withDescription("Print where the settings file is, or would be."))

export const command = Command.make("config").pipe(
  Command.withDescription("The settings file."),
  Command.withSubcommands([check, schema, path])
)
