/**
 * Manager: for each kind of service manager, which file describes the gateway and which commands
 * install, start, stop, show and remove it. Pure: what is written and run is decided here, and done
 * by `verbs.ts`.
 */
import { posix, win32 } from "node:path"
import { Either } from "effect"
import type { Machine } from "../Daemon.ts"
import * as Launchd from "./Launchd.ts"
import type { Plan, Text } from "./Plan.ts"
import * as Systemd from "./Systemd.ts"
import * as TaskScheduler from "./TaskScheduler.ts"
import { NotExpressible } from "./Plan.ts"

export type Command = readonly [program: string, ...words: ReadonlyArray<string>]

export interface Manager {
  readonly name: string
  /** Where its file goes. Absolute. */
  readonly file: string
  readonly mode: number
  readonly encoding: "utf8" | "utf16le"
  readonly describe: (plan: Plan) => Text
  /** Fails where this service manager does not run. */
  readonly probe: Command
  readonly installed: ReadonlyArray<Command>
  readonly start: Command
  readonly stop: Command
  readonly restart: Command
  /** Its output says what `running` looks for. */
  readonly status: Command
  readonly running: (output: string) => boolean
  /** Before the file is removed. Each may fail when there is nothing to remove. */
  readonly removing: ReadonlyArray<Command>
  readonly removed: ReadonlyArray<Command>
  /** Null: it keeps none. */
  readonly logs: ((lines: number, follow: boolean) => Command) | null
  /** To be said after an installation. */
  readonly hint: string | null
}

export const service = "ai-desk.service"

export const systemd = ({ home }: Machine, system: boolean): Manager => {
  const control = (...words: ReadonlyArray<string>): Command =>
    system ? ["systemctl", "--no-ask-password", ...words] : ["systemctl", "--user", ...words]
  return {
    name: system ? "systemd" : "systemd, for this user",
    file: system ? posix.join("/etc/systemd/system", service) : posix.join(home, ".config/systemd/user", service),
    mode: system ? 0o644 : 0o600,
    encoding: "utf8",
    describe: Systemd.unit,
    probe: control("show", "--property=Version", "--value"),
    installed: [control("daemon-reload"), control("enable", service)],
    start: control("start", service),
    stop: control("stop", service),
    restart: control("restart", service),
    status: control(
      "show",
      service,
      "--property=LoadState,UnitFileState,ActiveState,SubState,MainPID,NRestarts,Result"
    ),
    running: (output) => /^ActiveState=active$/m.test(output),
    removing: [control("disable", "--now", service)],
    removed: [control("daemon-reload")],
    logs: (lines, follow) => [
      "journalctl",
      ...(system ? [] : ["--user"]),
      ...["--unit", service, "--lines", String(lines), "--no-pager", "--output", "cat"],
      ...(follow ? ["--follow"] : [])
    ],
    hint: system ? null : "to keep it running while you are logged out: loginctl enable-linger"
  }
}

export const launchd = ({ home, uid }: Machine): Manager => {
  const domain = `gui/${uid ?? 0}`
  const target = `${domain}/${Launchd.label}`
  const file = posix.join(home, "Library/LaunchAgents", `${Launchd.label}.plist`)
  const log = posix.join(home, "Library/Logs/ai-desk.log")
  return {
    name: "launchd",
    file,
    mode: 0o600,
    encoding: "utf8",
    describe: (plan) => Launchd.plist(plan, log),
    probe: ["launchctl", "print", domain],
    installed: [],
    start: ["launchctl", "bootstrap", domain, file],
    stop: ["launchctl", "bootout", target],
    restart: ["launchctl", "kickstart", "-k", target],
    status: ["launchctl", "print", target],
    running: (output) => /^\s*state = running$/m.test(output),
    removing: [["launchctl", "bootout", target]],
    removed: [],
    logs: (lines, follow) => ["tail", "-n", String(lines), ...(follow ? ["-f"] : []), log],
    hint: null
  }
}

export const taskScheduler = ({ home }: Machine): Manager => {
  const file = win32.join(home, "AppData", "Local", "ai-desk", "daemon.xml")
  const task = ["/TN", TaskScheduler.taskName] as const
  return {
    name: "Task Scheduler",
    file,
    mode: 0o600,
    encoding: "utf16le",
    describe: (plan) =>
      Object.keys(plan.environment).length === 0
        ? TaskScheduler.task(plan)
        : Either.left(
            new NotExpressible({
              what: Object.keys(plan.environment).join(", "),
              why: "a task has no variables of its own; write it into the .env beside ai-desk.json"
            })
          ),
    probe: ["schtasks", "/Query", "/FO", "LIST"],
    installed: [["schtasks", "/Create", "/F", ...task, "/XML", file]],
    start: ["schtasks", "/Run", ...task],
    stop: ["schtasks", "/End", ...task],
    restart: ["schtasks", "/Run", ...task],
    status: ["schtasks", "/Query", ...task, "/V", "/FO", "LIST"],
    running: (output) => /:\s+Running\s*$/m.test(output),
    removing: [["schtasks", "/Delete", "/F", ...task]],
    removed: [],
    logs: null,
    hint: null
  }
}

/** Null: none that is known. */
export const managerOf = (machine: Machine, system: boolean): Manager | null => {
  switch (machine.platform) {
    case "linux":
      return systemd(machine, system)
    case "darwin":
      return system ? null : launchd(machine)
    case "win32":
      return system ? null : taskScheduler(machine)
    default:
      return null
  }
}
