/**
 * SettingsFile: changes `ai-desk.json` for its owner and puts the change in force.
 *
 * Guarantees: a change is written only when the whole file with it is one that the gateway would
 * start with on this machine; one change at a time, and none over a version that its sender has not
 * seen; recorded in the audit log before it is made; at every instant the path holds the whole old
 * or the whole new file, and comments, layout and mode stay. What the file must not give away is
 * hidden in what is read here.
 */
import { accessSync, constants, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { Context, Effect, Either, Layer } from "effect"
import { AuditEvent, AuditUnavailable } from "../domain/Audit.ts"
import type { PrincipalId } from "../domain/Ids.ts"
import {
  hiddenValue,
  SettingsConflict,
  SettingsEdited,
  SettingsRefused,
  VersionMissing
} from "../domain/SettingsEdit.ts"
import { Audit } from "./Audit.ts"
import { sha256Hex } from "./Crypto.ts"
import { type FileError, fileError, replaceFile, systemCode } from "./DurableFile.ts"
import { redactValue } from "./Redaction.ts"
import { check, preview, Settings, type SettingsInvalid, type SettingsOptions, SettingsProblem } from "./Settings.ts"
import { poisonous } from "./settings/Decode.ts"
import { edited, isRecord, type JsonRecord, meaning, pathOf, type Step, tooDeep } from "./settings/Edit.ts"
import { realPath } from "./settings/Workspace.ts"

/** The file at one moment. */
export interface SettingsText {
  /** Absolute; where it is, or would be. */
  readonly path: string
  readonly exists: boolean
  readonly text: string
  /** What it says, as plain data; an empty object when there is no file or it cannot be read. */
  readonly value: JsonRecord
  /** Changes with every byte. */
  readonly version: string
}

export interface Change<E> {
  readonly principal: PrincipalId
  /** What the sender has seen; `*` for whatever is there, null when they did not say. */
  readonly ifVersion: string | null
  /** From what the file says to what must change. */
  readonly steps: (value: JsonRecord) => Effect.Effect<ReadonlyArray<Step>, E>
}

export class SettingsFile extends Context.Tag("ai-desk/kernel/SettingsFile")<
  SettingsFile,
  {
    readonly read: Effect.Effect<SettingsText, FileError>
    /** Durable and in force on return. A change of nothing writes nothing. */
    readonly change: <E>(
      change: Change<E>
    ) => Effect.Effect<
      SettingsEdited,
      E | SettingsRefused | SettingsConflict | VersionMissing | AuditUnavailable | FileError
    >
  }
>() {}

const secretRecords =
  /^(agents\.(defaults|list\.\d+)\.sandbox\.env|providers\.[^.]+\.headers|mcp\.servers\.[^.]+\.env)$/

/** What a file or its decoded form says, without values that may be secrets: these stand in named places, or look like one. */
export const withoutSecrets = (value: unknown, path = ""): unknown => {
  if (Array.isArray(value)) return value.map((item, i) => withoutSecrets(item, `${path}.${i}`.replace(/^\./, "")))
  if (!isRecord(value)) return redactValue(value)
  const hidden = secretRecords.test(path)
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      hidden ? hiddenValue : withoutSecrets(inner, path === "" ? key : `${path}.${key.replaceAll(".", "_")}`)
    ])
  )
}

/** Read at the start only: what the door is bolted to. */
const atStart = /^(gateway(\.(bind|port|tls|reverseProxy|auth\b.*))?|telemetry|log)\b/

/** Whether this, or anything in it, is so. For what is not too deep. */
const somewhere = (value: unknown, is: (value: unknown) => boolean): boolean =>
  is(value) ||
  (typeof value === "object" && value !== null && Object.values(value).some((inner) => somewhere(inner, is)))
const holdsHidden = ({ value }: Step) => somewhere(value, (inner) => inner === hiddenValue)
const holdsReserved = ({ path, value }: Step) =>
  path.some((key) => poisonous.has(String(key))) ||
  somewhere(value, (inner) => isRecord(inner) && Object.keys(inner).some((key) => poisonous.has(key)))

const refused = ({ problems }: SettingsInvalid | { readonly problems: ReadonlyArray<SettingsProblem> }) =>
  new SettingsRefused({ problems: problems.map((problem) => ({ ...problem })) })

const refuse = (at: string, expected: string, found: string) =>
  refused({ problems: [new SettingsProblem({ at, expected, found })] })

/** More names than this help nobody, and an audit row holds small facts. */
const shownPaths = 20

const make = <E extends { readonly message: string }>(options: SettingsOptions, log: Layer.Layer<Audit, E>) =>
  Effect.gen(function* () {
    const settings = yield* Settings
    const scope = yield* Effect.scope
    const memoMap = yield* Layer.CurrentMemoMap
    // Reading the settings must not need a key; the log, which does, starts with the first change.
    let started: Context.Context<Audit> | null = null
    const recorder = Effect.gen(function* () {
      started ??= yield* Layer.buildWithMemoMap(log, memoMap, scope)
      return Context.get(started, Audit)
    }).pipe(Effect.mapError(({ message }) => new AuditUnavailable({ reason: message })))
    const oneAtATime = yield* Effect.makeSemaphore(1)

    const read = Effect.gen(function* () {
      const { dir, path: inForce } = yield* settings.current
      const path = inForce ?? join(dir, "ai-desk.json")
      const bytes = yield* Effect.try({
        try: () => readFileSync(path),
        catch: (cause) => fileError(path, "read", cause)
      }).pipe(
        Effect.catchIf(
          (error) => error.reason === "missing" && inForce === null,
          () => Effect.succeed(null)
        )
      )
      const text = bytes === null ? "{}\n" : new TextDecoder().decode(bytes)
      const value = meaning(text)
      const version = bytes === null ? "none" : sha256Hex(bytes).slice(0, 32)
      return { path, exists: bytes !== null, text, value: isRecord(value) ? value : {}, version }
    })

    /** A link is followed, so that it stays one; the file behind it is replaced. */
    const write = (path: string, text: string) =>
      Effect.gen(function* () {
        const target = realPath(path) ?? path
        const mode = yield* Effect.try({
          try: () => {
            const { mode } = statSync(target)
            accessSync(target, constants.W_OK)
            return mode & 0o777
          },
          catch: (cause) => ({ missing: systemCode(cause) === "ENOENT", error: fileError(target, "write", cause) })
        }).pipe(Effect.catchAll(({ error, missing }) => (missing ? Effect.succeed(0o600) : Effect.fail(error))))
        yield* replaceFile(target, text, mode)
      })

    const change = <E>({ ifVersion, principal, steps: stepsOf }: Change<E>) =>
      Effect.gen(function* () {
        if (ifVersion === null) return yield* new VersionMissing()
        const before = yield* read
        if (ifVersion !== "*" && ifVersion !== before.version)
          return yield* new SettingsConflict({ version: before.version })
        const steps = yield* stepsOf(before.value)
        const changed = steps.map(({ path }) => pathOf(path))
        const answer = (version: string, warnings: ReadonlyArray<string>) =>
          SettingsEdited.make({
            version,
            changed,
            needsRestart: changed.some((path) => atStart.test(path)),
            warnings
          })
        if (steps.length === 0) return answer(before.version, (yield* settings.current).warnings)
        if (steps.some(({ value }) => tooDeep(value))) return yield* refuse("the change", "a flatter one", "a deep one")
        const reserved = steps.find(holdsReserved)
        if (reserved !== undefined)
          return yield* refuse(pathOf(reserved.path), "a name that is not reserved", "a reserved name")
        const hidden = steps.find(holdsHidden)
        if (hidden !== undefined)
          return yield* refuse(pathOf(hidden.path), "a value of your own", "the words that stand for a hidden one")
        const text = yield* Either.mapLeft(edited(before.text, steps), (problem) => refused({ problems: [problem] }))
        const known = new Set(check(before.text).map(({ line }) => line))
        const fresh = check(text).filter(({ line }) => !known.has(line))
        if (fresh.length > 0) return yield* refused({ problems: fresh })
        yield* Either.mapLeft(preview(options, Buffer.from(text)), refused)
        const version = sha256Hex(text).slice(0, 32)
        const facts = { from: before.version, to: version, settings: changed.slice(0, shownPaths).join(" ") }
        const record = (data: AuditEvent["data"]) => AuditEvent.make({ type: "config.changed", principal, data })
        // Before what may not be interrupted: what starts here must stay stoppable.
        const audit = yield* recorder
        return yield* Effect.uninterruptible(
          Effect.gen(function* () {
            yield* audit.append(record({ ...facts, count: changed.length }))
            const undone = audit.note(record({ ...facts, undone: true }))
            yield* Effect.tapError(write(before.path, text), () => undone)
            const loaded = yield* settings.reload.pipe(
              Effect.tapError(() =>
                // Something else became wrong meanwhile, such as .env: the file goes back to what it was.
                Effect.zipRight(undone, Effect.ignoreLogged(write(before.path, before.text)))
              ),
              Effect.mapError(refused)
            )
            return answer(version, loaded.warnings)
          })
        )
      }).pipe(oneAtATime.withPermits(1), Effect.withSpan("SettingsFile.change"))

    return SettingsFile.of({ read, change })
  })

/** `log` is started when the first change is recorded, and shared with whoever else is built from it. */
export const layer = <E extends { readonly message: string }>(
  options: SettingsOptions,
  log: Layer.Layer<Audit, E>
): Layer.Layer<SettingsFile, never, Settings> => Layer.scoped(SettingsFile, make(options, log))
