/**
 * Launchd: the property list by which macOS runs the gateway, for the user who installs it. It starts
 * at log-in, comes back after a failure, and is given the time to finish that it needs.
 */
import { Either } from "effect"
import { type Plan, stopSeconds, type Text, xml } from "./Plan.ts"

export const label = "ai-desk.gateway"

/** Seconds between two starts when it keeps failing. */
const throttleSeconds = 10

/** 0077, which a property list can only say as a decimal number. */
const umask = 0o077

export const plist = (plan: Plan, logFile: string): Text =>
  Either.gen(function* () {
    const words: Array<string> = []
    for (const word of plan.argv) words.push(`    <string>${yield* xml("a word of the command", word)}</string>`)
    const environment: Array<string> = []
    for (const [name, value] of Object.entries(plan.environment)) {
      environment.push(
        `    <key>${yield* xml("a variable's name", name)}</key>`,
        `    <string>${yield* xml(`the variable ${name}`, value)}</string>`
      )
    }
    const log = yield* xml("the log's path", logFile)
    const lines = [
      '<?xml version="1.0" encoding="UTF-8"?>',
      '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
      '<plist version="1.0">',
      "<dict>",
      "  <key>Label</key>",
      `  <string>${label}</string>`,
      "  <key>ProgramArguments</key>",
      "  <array>",
      ...words,
      "  </array>",
      "  <key>WorkingDirectory</key>",
      `  <string>${yield* xml("the folder of the settings", plan.configDir)}</string>`,
      "  <key>EnvironmentVariables</key>",
      "  <dict>",
      ...environment,
      "  </dict>",
      "  <key>RunAtLoad</key>",
      "  <true/>",
      "  <key>KeepAlive</key>",
      "  <dict>",
      "    <key>SuccessfulExit</key>",
      "    <false/>",
      "  </dict>",
      "  <key>ThrottleInterval</key>",
      `  <integer>${throttleSeconds}</integer>`,
      "  <key>ExitTimeOut</key>",
      `  <integer>${stopSeconds}</integer>`,
      "  <key>ProcessType</key>",
      "  <string>Background</string>",
      "  <key>Umask</key>",
      `  <integer>${umask}</integer>`,
      "  <key>StandardOutPath</key>",
      `  <string>${log}</string>`,
      "  <key>StandardErrorPath</key>",
      `  <string>${log}</string>`,
      "</dict>",
      "</plist>"
    ]
    return `${lines.join("\n")}\n`
  })
