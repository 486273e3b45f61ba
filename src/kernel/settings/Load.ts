/**
 * Load: one reading of file, environment and `.env`. Nothing is kept between readings.
 *
 * Guarantees: a file that others may write, or that someone else owns, is refused before a byte of
 * it is believed; secrets come out as `Redacted` and are registered for redaction at once; the
 * master key has exactly one source.
 */
import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync } from "node:fs"
import { dirname, isAbsolute, join, resolve } from "node:path"
import { Either, Option, Redacted } from "effect"
import type { Config } from "../../domain/Config.ts"
import { systemCode } from "../DurableFile.ts"
import { Secrets } from "../Redaction.ts"
import type { LoadedSettings } from "../Settings.ts"
import { decodeBytes, decodeText, maxBytes } from "./Decode.ts"
import { builtInKeys, dataDirIn, type Env, environment } from "./DotEnv.ts"
import { invalid, type SettingsInvalid, SettingsProblem } from "./Problems.ts"
import { resolveAgents } from "./Resolve.ts"
import { contains, realPath } from "./Workspace.ts"

export interface Sources {
  /** As given on the command line. */
  readonly configPath: string | null
  /** Absolute. */
  readonly cwd: string
  readonly env: Env
  /** Absolute. */
  readonly home: string
}

export interface Reading {
  readonly settings: LoadedSettings
  /** Unknown keys that were set aside; also among the warnings. */
  readonly unknown: ReadonlyArray<SettingsProblem>
  /** Equal for two readings of the same words. */
  readonly fingerprint: string
}

type FileProblem =
  | { readonly missing: true }
  | { readonly missing: false; readonly found: string; readonly fix: string }

const refused = (found: string, fix: string): Either.Either<never, FileProblem> =>
  Either.left({ missing: false, found, fix })

/** Whose files count as ours: this user's and root's, who can change everything anyway. */
const trusted = (uid: number): boolean => uid === process.geteuid?.() || uid === 0 || process.geteuid === undefined

interface Contents {
  readonly bytes: Uint8Array
  readonly mode: number
}

/** Checks and reads through one descriptor, so that what was checked is what is read. */
const readOwn = (path: string, forbidden: number): Either.Either<Contents, FileProblem> => {
  let fd: number
  try {
    // Without O_NONBLOCK the open of a named pipe would wait for a writer.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    const code = systemCode(cause)
    return code === "ENOENT"
      ? Either.left({ missing: true })
      : refused(`a file that cannot be opened (${code})`, `make ${path} readable for this user`)
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) return refused("something that is not a regular file", `put a regular file at ${path}`)
    if (!trusted(stat.uid)) return refused("a file of another user", `chown ${process.geteuid?.() ?? ""} ${path}`)
    if ((stat.mode & forbidden) !== 0) {
      const how = (forbidden & 0o044) === 0 ? "write" : "read or write"
      return refused(`a file that others may ${how}`, forbidden === 0o002 ? `chmod o-w ${path}` : `chmod 600 ${path}`)
    }
    if (stat.size > maxBytes) return refused("a file of more than 1 MiB", "make it smaller")
    return Either.right({ bytes: readFileSync(fd), mode: stat.mode })
  } catch (cause) {
    return refused(`a file that cannot be read (${systemCode(cause)})`, `check the disk and ${path}`)
  } finally {
    closeSync(fd)
  }
}

const fileProblem = (at: string, problem: FileProblem): SettingsProblem =>
  problem.missing
    ? new SettingsProblem({
        at,
        expected: "a file that can be read",
        found: "nothing",
        fix: "correct the path, or create one with: ai-desk onboard"
      })
    : new SettingsProblem({
        at,
        expected: "a file that only its owner can change",
        found: problem.found,
        fix: problem.fix
      })

export interface Lookup {
  readonly path: string
  /** False for ./ai-desk.json, which need not exist. */
  readonly asked: boolean
  /** What asked for it. */
  readonly by: string
}

/** Where the config is looked for: --config, AI_DESK_CONFIG, ./ai-desk.json. */
export const lookup = (sources: Sources): Lookup => {
  if (sources.configPath !== null)
    return { path: resolve(sources.cwd, sources.configPath), asked: true, by: "--config" }
  const named = sources.env.AI_DESK_CONFIG
  return named === undefined || named === ""
    ? { path: join(sources.cwd, "ai-desk.json"), asked: false, by: "ai-desk.json" }
    : { path: resolve(sources.cwd, named), asked: true, by: "AI_DESK_CONFIG" }
}

/**
 * Where the settings and the data folder are, without judging anything: for finding what runs there.
 * Whoever goes on to use either of them has it judged by `load`.
 */
export const whereabouts = (sources: Sources): { readonly path: string | null; readonly dataDir: string } => {
  const { path } = lookup(sources)
  const file = existsSync(path)
  const dir = file ? dirname(path) : sources.cwd
  const dotEnv = file ? readOwn(join(dir, ".env"), 0o002) : Either.left(null)
  const named = sources.env.AI_DESK_DATA_DIR ?? (Either.isRight(dotEnv) ? dataDirIn(dotEnv.right.bytes) : undefined)
  return { path: file ? path : null, dataDir: resolve(dir, named || defaultDataDir) }
}

interface FromEnvironment {
  readonly dataDir: string
  readonly masterKey: Redacted.Redacted<string> | null
  readonly masterKeySource: LoadedSettings["masterKeySource"]
  readonly providerKeys: ReadonlyMap<string, Redacted.Redacted<string>>
  readonly telemetryHeaders: Redacted.Redacted<string> | null
  readonly logLevel: Config["log"]["level"] | null
  readonly problems: ReadonlyArray<SettingsProblem>
}

const defaultDataDir = ".ai-desk-data"

const levels: ReadonlyArray<Config["log"]["level"]> = ["debug", "info", "warn", "error"]

const withoutFinalNewline = (text: string): string => text.replace(/\r?\n$/, "")

interface MasterKey {
  readonly key: string
  readonly source: NonNullable<LoadedSettings["masterKeySource"]>
}

const readMasterKey = (vars: Env, sources: Sources, dir: string): Either.Either<MasterKey | null, SettingsProblem> => {
  const fromFile = (at: string, path: string, forbidden: number) =>
    readOwn(path, forbidden).pipe(
      Either.mapLeft((problem) => fileProblem(at, problem)),
      Either.map(({ bytes }) => withoutFinalNewline(new TextDecoder().decode(bytes))),
      Either.filterOrLeft(
        (key) => key.trim() !== "",
        () => new SettingsProblem({ at, expected: "a passphrase", found: "an empty file" })
      ),
      Either.map((key): MasterKey => ({ key, source: "file" }))
    )
  const value = vars.AI_DESK_MASTER_KEY
  const file = vars.AI_DESK_MASTER_KEY_FILE
  if (value !== undefined && file !== undefined) {
    return Either.left(
      new SettingsProblem({
        at: "AI_DESK_MASTER_KEY",
        expected: "one source of the master key",
        found: "also AI_DESK_MASTER_KEY_FILE",
        fix: "unset one of the two"
      })
    )
  }
  if (value !== undefined) {
    return value.trim() === ""
      ? Either.left(
          new SettingsProblem({
            at: "AI_DESK_MASTER_KEY",
            expected: "a passphrase",
            found: "an empty text",
            fix: "set it to the passphrase, or unset it"
          })
        )
      : Either.right({ key: value, source: sources.env.AI_DESK_MASTER_KEY === undefined ? ".env" : "environment" })
  }
  if (file !== undefined) return fromFile("AI_DESK_MASTER_KEY_FILE", resolve(dir, file), 0o077)
  const folder = sources.env.CREDENTIALS_DIRECTORY
  if (folder !== undefined && isAbsolute(folder)) {
    // The service manager owns this folder and gives its files the modes it sees fit.
    const path = join(folder, "ai-desk-master-key")
    const credential = readOwn(path, 0o002)
    if (Either.isRight(credential) || !credential.left.missing) return fromFile("CREDENTIALS_DIRECTORY", path, 0o002)
  }
  return Either.right(null)
}

const readEnvironment = (
  config: Config,
  vars: Env,
  sources: Sources,
  dir: string,
  configPath: string | null
): FromEnvironment => {
  const problems: Array<SettingsProblem> = []
  const own = (at: string, expected: string, found: string, fix: string) =>
    problems.push(new SettingsProblem({ at, expected, found, fix }))

  const dataDir = resolve(dir, vars.AI_DESK_DATA_DIR || defaultDataDir)
  const real = realPath(dataDir)
  const unfit = [sources.home, ...(configPath === null ? [] : [configPath])].some((path) =>
    [dataDir, real ?? dataDir].some((data) => contains(data, path))
  )
  if (dataDir.includes("\0")) own("AI_DESK_DATA_DIR", "a path", "a text with a zero byte", "correct it")
  else if (unfit) {
    own(
      "AI_DESK_DATA_DIR",
      "a folder of its own",
      "one that contains the config or the home folder",
      "use a folder that holds nothing else, for example ./.ai-desk-data"
    )
  }

  const master = readMasterKey(vars, sources, dir)
  if (Either.isLeft(master)) problems.push(master.left)
  const found = Either.getOrNull(master)
  const masterKey = found === null ? null : Redacted.make(found.key)
  if (masterKey !== null) Secrets.register(masterKey)

  const providerKeys = new Map<string, Redacted.Redacted<string>>()
  const names = new Map<string, string>(Object.entries(builtInKeys))
  for (const [provider, { apiKeyEnv }] of Object.entries(config.providers)) {
    if (apiKeyEnv !== undefined) names.set(provider, apiKeyEnv)
  }
  for (const [provider, name] of names) {
    const key = vars[name]?.trim()
    if (key === undefined || key === "") continue
    if (/[^\x21-\x7e]/.test(key))
      own(name, "a key", "a text with spaces or unusual characters", "copy the key again, on one line")
    const secret = Redacted.make(key)
    Secrets.register(secret)
    providerKeys.set(provider, secret)
  }
  const others = [
    "TELEGRAM_BOT_TOKEN",
    "DISCORD_BOT_TOKEN",
    ...Object.values(config.webhooks).map((hook) => hook.secretEnv)
  ]
  for (const name of others) {
    const value = vars[name]?.trim()
    if (value !== undefined && value !== "") Secrets.register(Redacted.make(value))
  }

  const { headersEnv } = config.telemetry
  const headers = headersEnv === undefined ? "" : (vars[headersEnv]?.trim() ?? "")
  const telemetryHeaders = headers === "" ? null : Redacted.make(headers)
  for (const header of headers.split(",")) {
    const value = header.slice(header.indexOf("=") + 1).trim()
    if (value !== "") Secrets.register(Redacted.make(value))
  }

  const asked = vars.AI_DESK_LOG_LEVEL || null
  const logLevel = levels.find((level) => level === asked?.toLowerCase()) ?? null
  if (asked !== null && logLevel === null) {
    own("AI_DESK_LOG_LEVEL", `one of ${levels.join(", ")}`, "another word", "correct or unset it")
  }
  return {
    dataDir,
    masterKey,
    masterKeySource: found?.source ?? null,
    providerKeys,
    telemetryHeaders,
    logLevel,
    problems
  }
}

const secretName = /key|token|secret|passw|auth|cookie|credential/i

/** Values in the file itself that look like secrets by their name. */
const registerFromConfig = (config: Config): void => {
  const records = [
    config.agents.defaults.sandbox.env,
    ...config.agents.list.map((entry) => entry.sandbox?.env ?? {}),
    ...Object.values(config.providers).map((provider) => provider.headers ?? {}),
    ...Object.values(config.mcp.servers).map((server) => server.env)
  ]
  for (const [name, value] of records.flatMap(Object.entries<string>)) {
    if (secretName.test(name)) Secrets.register(Redacted.make(value))
  }
}

const fail = (source: string, problems: ReadonlyArray<SettingsProblem>): Either.Either<void, SettingsInvalid> => {
  const failure = invalid(source, problems)
  return failure === null ? Either.void : Either.left(failure)
}

/** One reading; with `instead`, as if these bytes stood in the file. Never throws. */
export const load = (sources: Sources, instead?: Uint8Array): Either.Either<Reading, SettingsInvalid> =>
  Either.gen(function* () {
    const wanted = lookup(sources)
    const file = instead === undefined ? readOwn(wanted.path, 0o002) : Either.right({ bytes: instead, mode: 0o600 })
    const absent = Either.isLeft(file) && file.left.missing
    if (Either.isLeft(file) && (wanted.asked || !absent)) yield* fail(wanted.path, [fileProblem(wanted.by, file.left)])

    const path = Either.isRight(file) ? wanted.path : null
    const dir = path === null ? sources.cwd : dirname(path)
    const source = path ?? "default settings"
    const decoded = Either.isRight(file) ? decodeBytes(file.right.bytes) : decodeText("{}")
    yield* fail(source, decoded.errors)
    const config = Option.getOrThrow(decoded.config)
    registerFromConfig(config)

    const warnings = decoded.unknown.map((problem) => `${problem.line}; it is ignored`)
    const dotEnvPath = join(dir, ".env")
    const dotEnv = readOwn(dotEnvPath, 0o002)
    if (Either.isLeft(dotEnv) && !dotEnv.left.missing && path !== null)
      yield* fail(dotEnvPath, [fileProblem(".env", dotEnv.left)])
    if (Either.isRight(dotEnv)) {
      if (path === null) warnings.push(`${dotEnvPath} is not read, because there is no ai-desk.json beside it`)
      else if ((dotEnv.right.mode & 0o077) !== 0)
        warnings.push(`${dotEnvPath} can be read by others; run: chmod 600 ${dotEnvPath}`)
    }
    const dotEnvText = Either.isRight(dotEnv) && path !== null ? new TextDecoder().decode(dotEnv.right.bytes) : null

    const vars = environment(config, sources.env, dotEnvText)
    const found = readEnvironment(config, vars, sources, dir, path)
    yield* fail("environment", found.problems)
    const resolved = resolveAgents(config, { dir, configPath: path, dataDir: found.dataDir, home: sources.home })
    yield* fail(source, resolved.problems)

    const text = Either.isRight(file) ? new TextDecoder().decode(file.right.bytes) : ""
    return {
      settings: {
        config: found.logLevel === null ? config : { ...config, log: { ...config.log, level: found.logLevel } },
        path,
        dir,
        dataDir: found.dataDir,
        agents: resolved.agents,
        masterKey: found.masterKey,
        masterKeySource: found.masterKeySource,
        providerKeys: found.providerKeys,
        ...(found.telemetryHeaders === null ? {} : { telemetryHeaders: found.telemetryHeaders }),
        home: sources.home,
        warnings: [...warnings, ...resolved.warnings]
      },
      unknown: decoded.unknown,
      fingerprint: JSON.stringify([path, text, dotEnvText])
    }
  })
