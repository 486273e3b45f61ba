/**
 * ClaudeOAuth: the log-in that Claude Code keeps in `~/.claude/.credentials.json`.
 *
 * Guarantees: the file is only looked at; the log-in is used only where the owner has switched it on,
 * and then with a warning about the provider's terms; it is never renewed here, because renewing
 * would log Claude Code out; the token leaves only as `Redacted`.
 */
import { open } from "node:fs/promises"
import { join } from "node:path"
import { Clock, Effect, Option, type Redacted, Schema } from "effect"
import type { LoadedSettings } from "../../kernel/Settings.ts"

export class ClaudeOAuthStatus extends Schema.Class<ClaudeOAuthStatus>("ClaudeOAuthStatus")({
  /** `unusable`: there is a file, but not one we understand. `in_use`: switched on, and no API key takes precedence over it here. */
  state: Schema.Literal("absent", "unusable", "expired", "detected", "in_use"),
  path: Schema.String,
  /** Epoch milliseconds. */
  expiresAt: Schema.optional(Schema.Number),
  /** One sentence for people; present in every state but `absent`. */
  note: Schema.optional(Schema.String)
}) {}

export const claudeOAuthWarning =
  "the log-in of Claude Code is used for requests to Anthropic; the provider's terms may allow it for Claude Code only, and the account may be limited or closed for other use: check them, or set an API key with: ai-desk credential set anthropic"

const File = Schema.parseJson(
  Schema.Struct({
    claudeAiOauth: Schema.Struct({
      accessToken: Schema.Redacted(
        Schema.NonEmptyString.pipe(Schema.maxLength(4096), Schema.pattern(/^[\x21-\x7e]+$/))
      ),
      /** Epoch milliseconds. */
      expiresAt: Schema.Number
    })
  })
)
const decodeFile = Schema.decodeUnknown(File)

/** The real file is a few hundred bytes. */
const mostBytes = 65_536

const readSome = (path: string): Effect.Effect<Option.Option<string>> =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => open(path, "r")),
    (file) =>
      Effect.tryPromise(() => file.read(new Uint8Array(mostBytes), 0, mostBytes, 0)).pipe(
        Effect.map(({ buffer, bytesRead }) => new TextDecoder().decode(buffer.subarray(0, bytesRead)))
      ),
    (file) => Effect.promise(() => file.close())
  ).pipe(Effect.option)

/** What there is, and the token if it may be used now. */
export const inspectClaudeOAuth = (
  settings: LoadedSettings
): Effect.Effect<{ readonly status: ClaudeOAuthStatus; readonly token: Option.Option<Redacted.Redacted<string>> }> =>
  Effect.gen(function* () {
    const path = join(settings.home, ".claude", ".credentials.json")
    const found = (
      fields: Omit<typeof ClaudeOAuthStatus.Type, "path">,
      token: Option.Option<Redacted.Redacted<string>> = Option.none()
    ) => ({ status: new ClaudeOAuthStatus({ ...fields, path }), token })
    const text = yield* readSome(path)
    if (Option.isNone(text)) return found({ state: "absent" })
    const decoded = yield* Effect.option(decodeFile(text.value))
    if (Option.isNone(decoded)) {
      return found({ state: "unusable", note: `${path} is not in the form that Claude Code writes` })
    }
    const { accessToken, expiresAt } = decoded.value.claudeAiOauth
    if (expiresAt <= (yield* Clock.currentTimeMillis)) {
      return found({
        state: "expired",
        expiresAt,
        note: "the log-in of Claude Code has expired: start claude once to renew it"
      })
    }
    return settings.config.claudeOAuth.use
      ? found({ state: "in_use", expiresAt, note: claudeOAuthWarning }, Option.some(accessToken))
      : found({
          state: "detected",
          expiresAt,
          note: 'a log-in of Claude Code was found and is not used; to use it, check the provider\'s terms and set "claudeOAuth": {"use": true}'
        })
  })
