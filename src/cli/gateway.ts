/** `gateway`: the server that browsers, programs and chats reach. */
import { Effect } from "effect"
import manifest from "../../package.json" with { type: "json" }
import type { LoadedSettings } from "../kernel/Settings.ts"
import { type Group, option, verb, wholeNumber } from "./Grammar.ts"
import { Output, visible } from "./Output.ts"
import { Surroundings } from "./Surroundings.ts"
import { appOptions, config, json, present } from "./shared.ts"

const port = option(wholeNumber(0, 65_535), "N", "Port instead of the settings'; 0 takes any free one.")

const waysIn: Readonly<Record<LoadedSettings["config"]["gateway"]["auth"]["mode"], string>> = {
  token: "access tokens (ai-desk token create makes one)",
  password: "a password (ai-desk password set)",
  certificate: "client certificates (ai-desk cert issue)"
}

/** For a person, on stderr: results have stdout. */
const greeting = (url: string, { agents, config, path, warnings }: LoadedSettings) =>
  Effect.gen(function* () {
    const output = yield* Output
    const rows = [
      ["settings", path ?? "the defaults; there is no ai-desk.json"],
      ["log-in by", waysIn[config.gateway.auth.mode]],
      ["agents", agents.map(({ id }) => id).join(", ")],
      ["open", `${url}/dashboard`],
      ["stop", "Ctrl-C"]
    ]
    yield* output.note(`${output.style("bold", "Ai_DESK")} listens on ${output.style("cyan", url)}`)
    for (const [name, value] of rows) yield* output.note(`  ${(name ?? "").padEnd(10)}${visible(value ?? "")}`)
    for (const warning of warnings) yield* output.note(`${output.style("yellow", "warning:")} ${visible(warning)}`)
  })

const serve = verb({
  summary: "Start the server.",
  about: "Runs until it is told to stop. Ctrl-C once lets what is under way finish, twice ends it at once.",
  examples: ["ai-desk gateway", "ai-desk gateway --config /etc/ai-desk/ai-desk.json"],
  params: { port, config, json },
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const { ending } = yield* Surroundings
        const options = yield* appOptions(input.config)
        const App = yield* Effect.promise(() => import("../App.ts"))
        const { announcement, settings } = yield* App.serve(options, { port: input.port, version: manifest.version })
        yield* greeting(announcement.url, settings)
        if (output.json) yield* output.line(JSON.stringify(announcement))
        // From here on being told to stop is no failure.
        if (ending !== undefined) yield* ending(0)
        return yield* Effect.never
      }).pipe(Effect.scoped)
    )
})

export const group: Group = { summary: "The server.", verbs: { "": serve } }
