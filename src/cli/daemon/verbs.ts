/**
 * `daemon`: the gateway as a service of this machine. Every file that is written and every command
 * that is run is shown; nothing is installed by any other verb, and `install` starts nothing.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { Effect, Either, Schema } from "effect"
import { type LoadedSettings, Settings, layer as settingsLayer } from "../../kernel/Settings.ts"
import { machine, runTool, self } from "../Daemon.ts"
import { type Command, type Manager, managerOf } from "./Manager.ts"
import type { Plan } from "./Plan.ts"
import { UsageError } from "../failure.ts"
import { file, flag, type Group, option, optionOr, verb, wholeNumber } from "../Grammar.ts"
import { Output, visible } from "../Output.ts"
import { Surroundings } from "../Surroundings.ts"
import { config, json, looked, present, settingsOptions } from "../shared.ts"

/** There is no service manager here that could run the gateway. */
export class NoServiceManager extends Schema.TaggedError<NoServiceManager>()("NoServiceManager", {
  detail: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

export class ServiceFailed extends Schema.TaggedError<ServiceFailed>()("ServiceFailed", {
  detail: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

export class NotInstalled extends Schema.TaggedError<NotInstalled>()("NotInstalled", { file: Schema.String }) {
  override get message(): string {
    return `the gateway is not installed as a service: there is no ${this.file}`
  }
  get fix(): string {
    return "ai-desk daemon install"
  }
}

const system = flag("For the whole machine instead of this user (Linux; needs root).")
const shared = { system, config, json }

const shown = (command: Command): string =>
  visible(
    command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ")
  )

const elsewhere = "where there is none, as in a container, let its own restart policy run: ai-desk gateway"

const findManager = (forSystem: boolean) =>
  Effect.gen(function* () {
    const { env } = yield* Surroundings
    const here = yield* machine(env)
    const manager = managerOf(here, forSystem)
    if (manager !== null) return manager
    return yield* forSystem
      ? new UsageError({ detail: `--system: there is none on ${here.platform}`, fix: "leave it out" })
      : new NoServiceManager({ detail: `no service manager is known on ${here.platform}`, fix: elsewhere })
  })

const run = (command: Command, onOutput?: (text: string) => void) =>
  Effect.gen(function* () {
    const { env } = yield* Surroundings
    const [program, ...words] = command
    return yield* runTool(program, words, { env, ...(onOutput === undefined ? {} : { onOutput }) })
  })

const firstLine = (text: string): string => text.trim().split("\n")[0]?.slice(0, 300) ?? ""

/** Runs it, shows it, and fails with what it said when it fails. */
const insist = (command: Command) =>
  Effect.gen(function* () {
    const output = yield* Output
    yield* output.note(`${output.style("dim", "run")}    ${shown(command)}`)
    const ended = yield* run(command)
    if (ended.code === 0) return ended
    const said = firstLine(ended.stderr) || firstLine(ended.stdout) || `exit code ${ended.code}`
    return yield* new ServiceFailed({
      detail: `${shown(command)}: ${said}`,
      fix: "ai-desk daemon logs shows why it did not start; ai-desk daemon status, how it stands"
    })
  })

const reachable = (manager: Manager) =>
  Effect.gen(function* () {
    const ended = yield* run(manager.probe).pipe(
      Effect.catchTag(
        "ProgramMissing",
        ({ program }) =>
          new NoServiceManager({ detail: `${manager.name} is not here: there is no ${program}`, fix: elsewhere })
      )
    )
    if (ended.code === 0) return
    const said = firstLine(ended.stderr) || firstLine(ended.stdout) || `exit code ${ended.code}`
    return yield* new NoServiceManager({
      detail: `${manager.name} does not answer: ${said}`,
      fix: `log in as that user itself, not by su or sudo; ${elsewhere}`
    })
  })

const textOf = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // Missing or unreadable is the same to whoever asks: there is nothing of ours.
    return undefined
  }
}

const needsInstalled = (manager: Manager) =>
  textOf(manager.file) === undefined ? new NotInstalled({ file: manager.file }) : Effect.void

const onDisk = <A>(path: string, doing: string, f: () => A) =>
  Effect.try({
    try: f,
    catch: (cause) => {
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown"
      return new ServiceFailed({
        detail: `cannot ${doing} ${path} (${code})`,
        fix:
          code === "EACCES" || code === "EROFS"
            ? "run it with sudo, or leave --system out"
            : "see that the folder is there and writable"
      })
    }
  })

const writeFile = ({ encoding, file, mode }: Manager, text: string) =>
  onDisk(file, "write", () => {
    mkdirSync(dirname(file), { recursive: true })
    const temporary = `${file}.${process.pid}.tmp`
    writeFileSync(temporary, encoding === "utf16le" ? `\ufeff${text}` : text, { encoding, mode, flag: "wx" })
    chmodSync(temporary, mode)
    renameSync(temporary, file)
  })

/** The settings as the service will find them: its environment is not the one of the shell. */
const asService = (path: string | undefined, current: LoadedSettings) =>
  Effect.gen(function* () {
    const options = yield* settingsOptions(path)
    const settings = yield* Effect.flatMap(Settings, (service) => service.current).pipe(
      Effect.provide(settingsLayer({ ...options, configPath: current.path ?? undefined, env: { HOME: current.home } }))
    )
    return settings
  })

const planOf = (input: {
  readonly config: string | undefined
  readonly system: boolean
  readonly keyFile: string | undefined
}) =>
  Effect.gen(function* () {
    const output = yield* Output
    const { cwd } = yield* Surroundings
    const current = yield* looked(input.config)
    if (current.path === null) {
      return yield* new UsageError({
        detail: "there is no ai-desk.json that a service could run with",
        fix: "ai-desk onboard"
      })
    }
    const alone = yield* asService(input.config, current)
    if (alone.masterKeySource === null && input.keyFile === undefined) {
      return yield* new UsageError({
        detail: "the service would have no master key: the one in force comes from this shell's environment",
        fix: `put AI_DESK_MASTER_KEY_FILE=… into ${resolve(current.dir, ".env")}, or give --key-file`
      })
    }
    const lost = [...current.providerKeys.keys()].filter((name) => !alone.providerKeys.has(name))
    if (lost.length > 0) {
      yield* output.note(
        `${output.style("yellow", "note:")} the service does not see this shell's keys of ${lost.join(", ")}; store them: ai-desk credential set ${lost[0]}`
      )
    }
    const owner = input.system ? yield* onDisk(current.dir, "look at", () => statSync(current.dir)) : null
    if (owner?.uid === 0) {
      yield* output.note(
        `${output.style("yellow", "warning:")} ${current.dir} belongs to root, so the gateway would run as root; give it to a user of its own`
      )
    }
    const [node, script] = (yield* Surroundings).program ?? (yield* self)
    if (/[\\/]_npx[\\/]/.test(script)) {
      yield* output.note(
        `${output.style("yellow", "warning:")} the program lies in npx's cache, which may be emptied: npm install --global ai-desk`
      )
    }
    const plan: Plan = {
      argv: [node, script, "gateway", "--config", current.path],
      configDir: current.dir,
      dataDir: current.dataDir,
      workspaces: current.agents.map(({ workspace }) => workspace),
      keyFile: input.keyFile === undefined ? null : resolve(cwd ?? ".", input.keyFile),
      environment: alone.dataDir === current.dataDir ? {} : { AI_DESK_DATA_DIR: current.dataDir },
      runsAs: owner === null ? null : { uid: owner.uid, gid: owner.gid },
      port: current.config.gateway.port
    }
    return plan
  })

const install = verb({
  summary: "Install the gateway as a service; starts nothing.",
  about:
    "Writes a systemd unit (Linux), a launchd property list (macOS) or a task (Windows), and has it started at log-in or boot from then on. --dry-run prints the file and does nothing.",
  examples: [
    "ai-desk daemon install --dry-run",
    "sudo ai-desk daemon install --system --config /srv/ai-desk/ai-desk.json"
  ],
  params: {
    system,
    keyFile: option(file, "FILE", "File with the master key that the service manager hands over (systemd)."),
    dryRun: flag("Print the file, and do nothing."),
    config,
    json
  },
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const manager = yield* findManager(input.system)
        const plan = yield* planOf(input)
        const text = yield* Either.match(manager.describe(plan), { onLeft: Effect.fail, onRight: Effect.succeed })
        if (input.dryRun) return yield* output.result({ file: manager.file, text }, () => text.trimEnd())
        yield* reachable(manager)
        const before = textOf(manager.file)
        if (before !== undefined && manager.encoding === "utf8" && !/Ai_DESK|ai-desk/.test(before)) {
          return yield* new ServiceFailed({
            detail: `${manager.file} is there and is not of ours`,
            fix: "move it away"
          })
        }
        yield* output.note(`${output.style("dim", "write")}  ${visible(manager.file)}`)
        yield* writeFile(manager, text)
        for (const command of manager.installed) yield* insist(command)
        yield* output.result({ file: manager.file, manager: manager.name }, () =>
          ["installed; start it with: ai-desk daemon start", ...(manager.hint === null ? [] : [manager.hint])].join(
            "\n"
          )
        )
      })
    )
})

type Acting = "start" | "stop" | "restart"
const done: Readonly<Record<Acting, string>> = { start: "started", stop: "stopped", restart: "restarted" }

const acting = (what: Acting, summary: string) =>
  verb({
    summary,
    params: shared,
    run: (input) =>
      present(
        input.json,
        Effect.gen(function* () {
          const output = yield* Output
          const manager = yield* findManager(input.system)
          yield* needsInstalled(manager)
          yield* reachable(manager)
          yield* insist(manager[what])
          yield* output.result({ done: done[what] }, () => done[what])
        })
      )
  })

const status = verb({
  summary: "Show whether the service is installed and runs.",
  params: shared,
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const manager = yield* findManager(input.system)
        yield* needsInstalled(manager)
        yield* reachable(manager)
        const { stdout } = yield* run(manager.status)
        const running = manager.running(stdout)
        yield* output.result({ file: manager.file, manager: manager.name, running, detail: stdout.trim() }, () =>
          [running ? "running" : "not running", `file ${manager.file}`, visible(stdout.trim())].join("\n")
        )
      })
    )
})

const uninstall = verb({
  summary: "Stop the service and remove its file; data and settings stay.",
  params: shared,
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const output = yield* Output
        const manager = yield* findManager(input.system)
        yield* needsInstalled(manager)
        yield* reachable(manager)
        for (const command of manager.removing)
          yield* Effect.catchTag(insist(command), "ServiceFailed", (error) => output.note(error.message))
        yield* output.note(`${output.style("dim", "remove")} ${visible(manager.file)}`)
        yield* onDisk(manager.file, "remove", () => rmSync(manager.file))
        for (const command of manager.removed) yield* insist(command)
        yield* output.result({ removed: manager.file }, () => "the service is gone; data and settings are as they were")
      })
    )
})

const logs = verb({
  summary: "Show what the service has logged.",
  params: {
    lines: optionOr(wholeNumber(1, 10_000), "N", "How many lines (1 to 10000); 100 otherwise.", 100, { short: "n" }),
    follow: flag("Go on showing what comes; Ctrl-C ends it.", { short: "f" }),
    system,
    config,
    json
  },
  run: (input) =>
    present(
      input.json,
      Effect.gen(function* () {
        const { stdout } = yield* Surroundings
        const manager = yield* findManager(input.system)
        if (manager.logs === null) {
          return yield* new NoServiceManager({
            detail: `${manager.name} keeps no logs`,
            fix: "run ai-desk gateway in a terminal to see them"
          })
        }
        const command = manager.logs(input.lines, input.follow)
        const ended = yield* run(command, (text) => void stdout.write(visible(text)))
        if (ended.code !== 0) {
          return yield* new ServiceFailed({
            detail: `${shown(command)}: ${firstLine(ended.stderr) || `exit code ${ended.code}`}`,
            fix: "ai-desk daemon status shows whether it is installed"
          })
        }
      })
    )
})

export const group: Group = {
  summary: "The gateway as a service.",
  verbs: {
    install,
    start: acting("start", "Start the service."),
    stop: acting("stop", "Stop the service; what is under way may finish."),
    restart: acting("restart", "Stop and start the service."),
    status,
    uninstall,
    logs
  }
}
