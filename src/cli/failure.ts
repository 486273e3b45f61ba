/**
 * The one way in which a verb fails: one message, the fix if there is one, and an exit code.
 *
 *   0 done · 1 failed · 2 bad usage or settings · 3 refused by a guard · 4 not found
 *   5 ground (disk, keys, audit, another process) · 130 interrupted
 */
import { Cause, Data, Effect, Option, Schema } from "effect"
import { redactRegistered, redactText } from "../kernel/Redaction.ts"
import { lossIn } from "./control/GatewayLost.ts"
import { Output, visible } from "./Output.ts"

/** A command line that cannot be understood. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", {
  detail: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** A verb has failed and has said so; only the exit code is left to be given. */
export class Exited extends Data.TaggedError("Exited")<{ readonly code: number }> {}

const codes: Readonly<Record<string, number>> = {
  UsageError: 2,
  AlreadySetUp: 2,
  InvalidInput: 2,
  SettingsInvalid: 2,
  InvalidCredential: 2,
  HttpApiDecodeError: 2,
  ThreatBlocked: 3,
  BudgetExceeded: 3,
  AgentPaused: 3,
  UnknownPrice: 3,
  ToolDenied: 3,
  ApprovalInvalid: 3,
  SessionOfOtherAgent: 2,
  NothingToResume: 2,
  NotInstalled: 4,
  NotExpressible: 2,
  NoServiceManager: 5,
  ServiceFailed: 5,
  ProgramMissing: 5,
  NoAuthority: 2,
  AuthorityExpired: 2,
  TlsFileUnusable: 2,
  PasswordRefused: 2,
  PasswordNotSet: 2,
  LoginNotOffered: 2,
  Forbidden: 3,
  TooManyRequests: 3,
  CertificateNotFound: 4,
  TokenNotFound: 4,
  AgentNotFound: 4,
  SessionNotFound: 4,
  SandboxUnavailable: 5,
  GroundFailed: 5,
  WeakPassphrase: 2,
  AuditUnavailable: 5,
  StartFailed: 5,
  GatewayLost: 5,
  NoGateway: 5,
  DataDirInUse: 5,
  PortTaken: 5,
  ListenFailed: 5,
  GatewayRunning: 5,
  DidNotStart: 5,
  DidNotStop: 5,
  NotRunning: 4,
  ExportFailed: 5,
  FileError: 5,
  InstallationIncomplete: 5
}

interface Failure {
  readonly _tag: string
  readonly message: string
  readonly fix?: string
  /** Of StartFailed and GroundFailed: the tag of what went wrong underneath. */
  readonly kind?: string
}

const isFailure = (error: unknown): error is Failure =>
  typeof error === "object" &&
  error !== null &&
  "_tag" in error &&
  "message" in error &&
  typeof error.message === "string"

export const exitCodeOf = (thrown: unknown): number => {
  const error = lossIn(thrown)
  if (!isFailure(error)) return 1
  return codes[error.kind ?? ""] ?? codes[error._tag] ?? 1
}

const internal: Failure = {
  _tag: "InternalError",
  message: "an internal error; nothing more is known to be wrong with what you asked",
  fix: "run it again with AI_DESK_LOG_LEVEL=debug and report what the log says"
}

/** For people: `error:` and `fix:` lines. For machines: one JSON object on stderr. */
export const report = (error: unknown): Effect.Effect<void, never, Output> =>
  Effect.gen(function* () {
    const output = yield* Output
    const known = lossIn(error)
    const failure = isFailure(known) ? known : internal
    // Messages about settings name variables and kinds, never values; what looks like `KEY: value` there is our own wording.
    const isOurs = failure._tag === "SettingsInvalid" || failure.kind === "SettingsInvalid"
    const clean = (text: string): string => visible(isOurs ? String(redactRegistered(text)) : redactText(text))
    const message = clean(failure.message)
    const fix = failure.fix === undefined ? undefined : clean(failure.fix)
    if (output.json) {
      const body = { error: failure.kind ?? failure._tag, message, ...(fix === undefined ? {} : { fix }) }
      return yield* output.error(JSON.stringify(body))
    }
    yield* output.error(`${output.style("red", "error:")} ${message}`)
    if (fix !== undefined) yield* output.error(`  ${output.style("bold", "fix:")} ${fix}`)
  })

/** A part of the program, or what it is built on, is not where it was installed. */
const incomplete = (defect: unknown): Failure | undefined => {
  if (!(defect instanceof Error) || !("code" in defect)) return undefined
  return defect.code === "ERR_MODULE_NOT_FOUND" ||
    defect.code === "MODULE_NOT_FOUND" ||
    defect.code === "ERR_DLOPEN_FAILED"
    ? {
        _tag: "InstallationIncomplete",
        message: `a part of the program cannot be loaded: ${defect.message.split("\n")[0] ?? ""}`,
        fix: "install the package again"
      }
    : undefined
}

/** What a cause comes to for a person. Defects are reported without their insides; those go to the log. */
export const errorOf = (cause: Cause.Cause<unknown>): unknown =>
  Option.getOrElse(Cause.failureOption(cause), () =>
    Option.getOrUndefined(Option.map(Cause.dieOption(cause), incomplete))
  )
