/**
 * TaskScheduler: the task by which Windows runs the gateway, for the user who installs it. It starts
 * at log-on with that user's own rights, never elevated, comes back after a failure, and runs once.
 */
import { Either } from "effect"
import { type Plan, sayable, type Text, xml } from "./Plan.ts"

export const taskName = "Ai_DESK gateway"

/** One argument as Windows programs take their command line apart again. */
export const argument = (what: string, value: string): Text =>
  Either.map(sayable(what, value), (text) =>
    /^[^\s"]+$/.test(text)
      ? text
      : // Backslashes are doubled only where a quotation mark follows.
        `"${text.replaceAll(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, "$1$1")}"`
  )

export const task = (plan: Plan): Text =>
  Either.gen(function* () {
    const [program, ...words] = plan.argv
    const written: Array<string> = []
    for (const word of words) written.push(yield* argument("an argument of the program", word))
    const lines = [
      '<?xml version="1.0" encoding="UTF-16"?>',
      '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">',
      "  <RegistrationInfo>",
      "    <Description>Ai_DESK gateway</Description>",
      "  </RegistrationInfo>",
      "  <Triggers>",
      "    <LogonTrigger>",
      "      <Enabled>true</Enabled>",
      "    </LogonTrigger>",
      "  </Triggers>",
      "  <Principals>",
      '    <Principal id="Author">',
      "      <LogonType>InteractiveToken</LogonType>",
      "      <RunLevel>LeastPrivilege</RunLevel>",
      "    </Principal>",
      "  </Principals>",
      "  <Settings>",
      "    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>",
      "    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>",
      "    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>",
      "    <AllowHardTerminate>true</AllowHardTerminate>",
      "    <StartWhenAvailable>true</StartWhenAvailable>",
      "    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>",
      "    <RestartOnFailure>",
      "      <Interval>PT1M</Interval>",
      "      <Count>5</Count>",
      "    </RestartOnFailure>",
      "  </Settings>",
      '  <Actions Context="Author">',
      "    <Exec>",
      `      <Command>${yield* xml("the program", program)}</Command>`,
      `      <Arguments>${yield* xml("the arguments", written.join(" "))}</Arguments>`,
      `      <WorkingDirectory>${yield* xml("the folder of the settings", plan.configDir)}</WorkingDirectory>`,
      "    </Exec>",
      "  </Actions>",
      "</Task>"
    ]
    return `${lines.join("\r\n")}\r\n`
  })
