/**
 * Systemd: the unit that runs the gateway, as tightly as the sandbox of the tools allows.
 *
 * What is left open, and why: bubblewrap makes namespaces of every kind and mounts in them, so
 * namespaces and @mount stay allowed; a new /proc can be mounted only where none of /proc is
 * covered, so ProtectKernelTunables, ProtectKernelLogs and ProcSubset stay off; it names its host, so
 * ProtectHostname stays off; V8 compiles code, so MemoryDenyWriteExecute stays off.
 */
import { Either } from "effect"
import { NotExpressible, type Plan, sayable, stopSeconds, type Text } from "./Plan.ts"

/** `%` begins a specifier everywhere in a unit. */
const percent = (text: string): string => text.replaceAll("%", "%%")

/** One word of a list, or of a command line whose variables are not expanded. */
export const quoted = (what: string, value: string): Text =>
  Either.map(sayable(what, value), (text) => `"${percent(text.replaceAll("\\", "\\\\").replaceAll('"', '\\"'))}"`)

/** The whole rest of a line: nothing is quoted there, so what the line would lose at its ends is refused. */
export const bare = (what: string, value: string): Text =>
  Either.flatMap(sayable(what, value), (text) =>
    text.trim() !== text || text.endsWith("\\") || text === ""
      ? Either.left(new NotExpressible({ what, why: "it begins or ends with a space, or ends with a backslash" }))
      : Either.right(percent(text))
  )

/** Homes of people and their sessions: what lies there is shut away unless the service needs it. */
const homes = /^\/(home|root|run\/user)(\/|$)/
const temporary = /^\/(var\/)?tmp(\/|$)/

/** Ports below this need a capability. */
const firstFreePort = 1024

/** Of the machine's memory; what an agent's tools take counts too. */
const memoryMax = "75%"
/** Threads and processes, the tools' included; Node has a dozen threads. */
const tasksMax = 1024

export const unit = (plan: Plan): Text =>
  Either.gen(function* () {
    const writable = [...new Set([plan.dataDir, plan.configDir, ...plan.workspaces])].sort()
    const needed = [...writable, ...plan.argv.filter((word) => word.startsWith("/"))]
    const lost = needed.find((path) => temporary.test(path))
    if (lost !== undefined) {
      return yield* Either.left(
        new NotExpressible({ what: lost, why: "a service has temporary folders of its own and would not find it" })
      )
    }
    const [program, ...words] = plan.argv
    if (/["'\\]/.test(program)) {
      return yield* Either.left(
        new NotExpressible({
          what: program,
          why: "systemd runs no program with a quotation mark or a backslash in its path"
        })
      )
    }
    // The colon keeps $ in the words from being taken for variables.
    const command = [yield* quoted("the program", `:${program}`)]
    for (const word of words) command.push(yield* quoted("an argument of the program", word))
    const paths: Array<string> = []
    for (const path of writable) paths.push(yield* quoted(path, path))
    const environment: Array<string> = []
    for (const [name, value] of Object.entries(plan.environment)) {
      environment.push(`Environment=${yield* quoted(`the variable ${name}`, `${name}=${value}`)}`)
    }
    const low = plan.port > 0 && plan.port < firstFreePort
    const lines = [
      "# Written by: ai-desk daemon install. Run it again to change this file.",
      "[Unit]",
      "Description=Ai_DESK gateway",
      ...(plan.runsAs === null ? [] : ["Wants=network-online.target", "After=network-online.target"]),
      "StartLimitIntervalSec=300",
      "StartLimitBurst=5",
      "",
      "[Service]",
      "Type=exec",
      `ExecStart=${command.join(" ")}`,
      `WorkingDirectory=${yield* bare("the folder of the settings", plan.configDir)}`,
      ...environment,
      ...(plan.keyFile === null
        ? []
        : [`LoadCredential=ai-desk-master-key:${yield* bare("the key file", plan.keyFile)}`]),
      ...(plan.runsAs === null ? [] : [`User=${plan.runsAs.uid}`, `Group=${plan.runsAs.gid}`]),
      "Restart=on-failure",
      "RestartSec=2",
      "# Bad usage or settings, a refusal, something missing: another try would end the same way.",
      "RestartPreventExitStatus=2 3 4",
      "KillMode=mixed",
      `TimeoutStopSec=${stopSeconds}`,
      "",
      `MemoryMax=${memoryMax}`,
      `TasksMax=${tasksMax}`,
      "LimitCORE=0",
      "UMask=0077",
      "",
      "NoNewPrivileges=yes",
      ...(low
        ? ["CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "AmbientCapabilities=CAP_NET_BIND_SERVICE"]
        : ["CapabilityBoundingSet=", "AmbientCapabilities=", "PrivateUsers=yes"]),
      "ProtectSystem=strict",
      `ProtectHome=${needed.some((path) => homes.test(path)) ? "read-only" : "yes"}`,
      `ReadWritePaths=${paths.join(" ")}`,
      "PrivateTmp=yes",
      "PrivateDevices=yes",
      "PrivateMounts=yes",
      "ProtectProc=invisible",
      "ProtectKernelModules=yes",
      "ProtectControlGroups=yes",
      "ProtectClock=yes",
      "LockPersonality=yes",
      "RestrictRealtime=yes",
      "RestrictSUIDSGID=yes",
      "RemoveIPC=yes",
      "KeyringMode=private",
      "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
      "SystemCallArchitectures=native",
      "SystemCallFilter=@system-service @mount seccomp sethostname",
      "SystemCallFilter=~@resources",
      "SystemCallErrorNumber=EPERM",
      "",
      "[Install]",
      `WantedBy=${plan.runsAs === null ? "default.target" : "multi-user.target"}`
    ]
    return `${lines.join("\n")}\n`
  })
