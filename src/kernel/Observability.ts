/**
 * Observability: structured logs that cannot carry secrets.
 *
 * Guarantees: message, annotations, spans, causes and defects all pass redaction (twice: value by
 * value, and the finished line), whoever logs them; one event is one line, control characters
 * escaped, so that logged text cannot forge a line; a value that cannot be printed never breaks
 * the program that logged it. Logs go to stderr, because stdout belongs to answers.
 */
import { closeSync, constants, fchmodSync, fstatSync, openSync, renameSync, writeSync } from "node:fs"
import { Cause, Effect, HashMap, Layer, List, Logger, LogLevel, type Scope } from "effect"
import type { Config } from "../domain/Config.ts"
import { type FileError, fileError } from "./DurableFile.ts"
import { redactText, redactValue } from "./Redaction.ts"
import { Settings } from "./Settings.ts"

export { redactText, redactValue, Secrets } from "./Redaction.ts"

export type LogFormat = "pretty" | "json"

/** Longer lines help nobody and fill disks; characters. */
const longest = 16_384

const escapeControls = (text: string): string =>
  text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (char) => {
    if (char === "\n") return "\\n"
    if (char === "\t") return "\\t"
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`
  })

const shorten = (text: string): string =>
  text.length > longest ? `${text.slice(0, longest)}… (${text.length} characters)` : text

const show = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? String(value)))

interface Entry {
  readonly time: string
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
  /** Milliseconds since each open log span began. */
  readonly spans: Readonly<Record<string, number>>
  readonly cause: string | null
}

const entryOf = (options: Logger.Logger.Options<unknown>): Entry => {
  const parts = Array.isArray(options.message) ? options.message : [options.message]
  const now = options.date.getTime()
  return {
    time: options.date.toISOString(),
    level: options.logLevel.label.toLowerCase(),
    message: shorten(parts.map((part) => show(redactValue(part))).join(" ")),
    fields: Object.fromEntries(
      HashMap.toEntries(options.annotations).map(([key, value]) => [redactText(key), redactValue(value)])
    ),
    spans: Object.fromEntries(
      List.toArray(options.spans).map((span) => [redactText(span.label), now - span.startTime])
    ),
    cause: Cause.isEmpty(options.cause)
      ? null
      : shorten(redactText(Cause.pretty(options.cause, { renderErrorCause: true })))
  }
}

const jsonLine = (entry: Entry): string => {
  const { time, level, message, fields, spans, cause } = entry
  const extra = { ...(Object.keys(spans).length === 0 ? {} : { spans }), ...(cause === null ? {} : { cause }) }
  // Own words first and last: an annotation named `level` must not pass for the level.
  return JSON.stringify({ time, level, message, ...(Object.keys(fields).length === 0 ? {} : { fields }), ...extra })
}

const prettyLine = (entry: Entry): string => {
  const fields = Object.entries(entry.fields).map(([key, value]) => ` ${key}=${show(value)}`)
  const spans = Object.entries(entry.spans).map(([label, ms]) => ` ${label}=${ms}ms`)
  const first = `${entry.time.slice(11, 23)} ${entry.level.toUpperCase().padEnd(5)} ${entry.message}${fields.join("")}${spans.join("")}`
  const cause = entry.cause === null ? [] : entry.cause.split("\n").map((line) => `    ${escapeControls(line)}`)
  return [escapeControls(first), ...cause].join("\n")
}

/** Formats and redacts; `write` gets one finished line with its newline. */
export const makeLogger = (format: LogFormat, write: (line: string) => void): Logger.Logger<unknown, void> =>
  Logger.make((options) => {
    const line = format === "json" ? jsonLine : prettyLine
    write(`${redactText(line(entryOf(options)))}\n`)
  })

const levels: Readonly<Record<Config["log"]["level"], LogLevel.LogLevel>> = {
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warn: LogLevel.Warning,
  error: LogLevel.Error
}

const toStderr = (line: string): void => {
  process.stderr.write(line)
}

const installed = (logger: Logger.Logger<unknown, void>, level: Config["log"]["level"]): Layer.Layer<never> =>
  Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(levels[level]))

/** Replaces the default logger by the redacting one on stderr; level and format by the settings. */
export const layer: Layer.Layer<never, never, Settings> = Layer.unwrapEffect(
  Effect.gen(function* () {
    const { log } = (yield* (yield* Settings).current).config
    const format = log.format === "auto" ? (process.stderr.isTTY ? "pretty" : "json") : log.format
    return installed(makeLogger(format, toStderr), log.level)
  })
)

/** Bytes after which a log begins anew; the one before it is kept as `.1`. */
const rotateAt = 16 * 1024 * 1024

const openAppending = (path: string): number => {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants
  const fd = openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600)
  fchmodSync(fd, 0o600)
  return fd
}

const openLog = (path: string): Effect.Effect<(line: string) => void, FileError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const fd = openAppending(path)
        return { fd, size: fstatSync(fd).size }
      },
      catch: (cause) => fileError(path, "open the log", cause)
    }),
    (log) => Effect.sync(() => closeSync(log.fd))
  ).pipe(
    Effect.map((log) => (line: string) => {
      try {
        if (log.size > rotateAt) {
          renameSync(path, `${path}.1`)
          const fresh = openAppending(path)
          closeSync(log.fd)
          Object.assign(log, { fd: fresh, size: 0 })
        }
        log.size += writeSync(log.fd, line)
      } catch {
        toStderr(line)
      }
    })
  )

/** As `layer`, but appends JSON lines to a file (0600), of which it keeps two. A line that the disk does not take goes to stderr. */
export const layerFile = (path: string): Layer.Layer<never, FileError, Settings> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const { log } = (yield* (yield* Settings).current).config
      const write = yield* openLog(path)
      return installed(makeLogger(log.format === "pretty" ? "pretty" : "json", write), log.level)
    })
  )
