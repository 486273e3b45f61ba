/** `gateway`: the server that browsers, programs and chats reach. */
import { resolve } from "node:path"
import { Effect, Ref } from "effect"
import manifest from "../../package.json" with { type: "json" }
import type { LoadedSettings } from "../kernel/Settings.ts"
import * as Background from "./control/Background.ts"
import * as Running from "./control/Running.ts"
import { file, flag, type Group, option, verb, wholeNumber } from "./Grammar.ts"
import { Output, visible } from "./Output.ts"
import { Surroundings } from "./Surroundings.ts"
import { appOptions, config, json, looked, present, when } from "./shared.ts"

const waysIn: Readonly<Record<LoadedSettings["config"]["gateway"]["auth"]["mode"], string>> = {
  token: "access token (ai-desk token create makes one)",
  password: "password (ai-desk password set)",
  certificate: "client certificate (ai-desk cert issue)"
}

const rows = (lines: ReadonlyArray<readonly [string, string]>) =>
  Effect.flatMap(Output, (output) =>
    Effect.forEach(lines, ([name, value]) => output.note(`  ${name.padEnd(10)}${visible(value)}`), { discard: true })
  )

/** For a person, on stderr: results have stdout. */
const greet = (url: string, { agents, config: settings, path, warnings }: LoadedSettings) =>
  Effect.gen(function* () {
    const output = yield* Output
    yield* output.note(`${output.style("bold", "Ai_DESK")} listens on ${output.style("cyan", url)}`)
    yield* rows([
      ["settings", path ?? "the defaults; there is no ai-desk.json"],
      ["log-in by", waysIn[settings.gateway.auth.mode]],
      ["agents", agents.map(({ id }) => id).join(", ")],
      ["open", `${settings.gateway.reverseProxy?.publicUrl ?? url}/dashboard`],
      ["stop", "Ctrl-C; twice to stop at once"]
    ])
    for (const warning of warnings) yield* output.note(`${output.style("yellow", "warning:")} ${visible(warning)}`)
  })

const tellCode = (output: typeof Output.Service, code: string) =>
  output.note(`  ${"code".padEnd(10)}${output.style("bold", code)}`)

/** To whoever has nothing yet. `code`: the first that the set-up page takes. */
const welcome = (url: string, path: string, code: string | null) =>
  Effect.gen(function* () {
    const output = yield* Output
    yield* output.note(`${output.style("bold", "Ai_DESK")} is not set up yet. Open ${output.style("cyan", url)}`)
    if (code !== null) yield* tellCode(output, code)
    yield* rows([
      ["writes", path],
      ["or", "ai-desk onboard, here in the terminal"],
      ["stop", "Ctrl-C"]
    ])
  })

const serve = verb({
  summary: "Start the server.",
  about:
    "Runs until it is told to stop; what is under way then has a few seconds to finish. Without an ai-desk.json it serves a set-up page first.",
  examples: [
    "ai-desk gateway",
    "ai-desk gateway --config /etc/ai-desk/ai-desk.json",
    "ai-desk gateway --background",
    "ai-desk gateway status"
  ],
  params: {
    background: flag("Start it as a process of its own, and return when it answers."),
    port: option(wholeNumber(0, 65_535), "N", "Port instead of the settings'; 0 takes any free one."),
    log: option(file, "FILE", "Append the log to this file instead of stderr."),
    config,
    json
  },
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const { cwd, ending } = yield* Surroundings
        const given = yield* appOptions(input.config)
        if (input.background) return yield* Background.start(given, input)
        const App = yield* Effect.promise(() => import("../App.ts"))
        const options = input.log === undefined ? given : { ...given, log: resolve(cwd ?? "", input.log) }
        const stoppable = ending === undefined ? Effect.void : ending(0)
        // The first code is there before the address is: it waits to be told below it.
        const first = yield* Ref.make<string | null>(null)
        const welcomed = yield* Ref.make(false)
        const served = App.serve(options, {
          port: input.port,
          version: manifest.version,
          reachable: (url, path) =>
            Effect.gen(function* () {
              // From here on being told to stop is no failure.
              yield* stoppable
              yield* Ref.set(welcomed, true)
              yield* welcome(url, path, yield* Ref.get(first))
            }).pipe(Effect.provideService(Output, output)),
          tell: (code) =>
            Effect.flatMap(Ref.get(welcomed), (already) => (already ? tellCode(output, code) : Ref.set(first, code)))
        })
        const { announcement, settings } = yield* Effect.catchTag(served, "DataDirInUse", Background.taken)
        if (input.log === undefined) yield* greet(announcement.url, settings)
        if (output.json) yield* output.line(JSON.stringify(announcement))
        yield* stoppable
        return yield* Effect.never
      }).pipe(Effect.scoped)
    )
})

const status = verb({
  summary: "Show whether the gateway of these settings runs, and where.",
  about: "Exit code 4 when it does not.",
  params: { config, json },
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const { dataDir } = yield* looked(input.config)
        const found = yield* Running.onFolder(dataDir)
        if (found === null) return yield* new Background.NotRunning({ dataDir })
        yield* output.result({ running: true, ...found }, () =>
          [
            `running since ${when(found.startedAt)} UTC, process ${found.pid}, version ${found.version}`,
            `address   ${found.url}`,
            `settings  ${found.config ?? "the defaults"}`
          ].join("\n")
        )
      })
    )
})

const stop = verb({
  summary: "Stop the running gateway, and wait until it has ended.",
  about: "Exit code 4 when none runs.",
  params: { config, json },
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const { dataDir } = yield* looked(input.config)
        const pid = yield* Background.stop(dataDir)
        yield* output.result({ stopped: true, pid }, () => `process ${pid} has ended`)
      })
    )
})

export const group: Group = { summary: "The server.", verbs: { "": serve, status, stop } }
