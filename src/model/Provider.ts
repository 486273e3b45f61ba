/**
 * Provider: one vendor's API behind one shape, through the vendor's own SDK with its retries off.
 *
 * Guarantees: exactly one `Completed` ends a stream that does not fail; a call without a genuine
 * lease or scan is refused before anything is sent; errors arrive in the router's taxonomy with no
 * raw provider body, prompt or key in them; interruption closes the connection.
 */
import { Context, Effect, Layer, Option, type Redacted, Stream } from "effect"
import {
  ModelError,
  type ModelEvent,
  type ModelRef,
  type ModelRequest,
  type ProviderName,
  splitModelRef
} from "../domain/Model.ts"
import { type BudgetLease, isGenuine, type Scanned } from "../domain/Proof.ts"
import { Credentials } from "../kernel/Credentials.ts"
import { type LoadedSettings, Settings } from "../kernel/Settings.ts"
import { anthropicAddress, askAnthropic } from "./providers/Anthropic.ts"
import { claudeOAuthWarning, inspectClaudeOAuth } from "./providers/ClaudeOAuth.ts"
import { askGoogle, googleAddress } from "./providers/Google.ts"
import { askOpenAi } from "./providers/OpenAiCompatible.ts"
import { askOpenRouter, openRouterAddress } from "./providers/OpenRouter.ts"
import { askRehearsal } from "./providers/Rehearsal.ts"

export interface Provider {
  readonly name: ProviderName
  /** Asks `lease.model`. Deadlines and retries are the router's. */
  readonly stream: (request: Scanned<ModelRequest>, lease: BudgetLease) => Stream.Stream<ModelEvent, ModelError>
}

export class Providers extends Context.Tag("ai-desk/model/Providers")<
  Providers,
  {
    /** The adapter for a model. Fails with `auth` when no key is known, `bad_request` when no such provider is configured. SDKs load on first use. */
    readonly get: (model: ModelRef) => Effect.Effect<Provider, ModelError>
    /** Names that could be used now: those with a key, configured servers, and `rehearsal`. */
    readonly available: Effect.Effect<ReadonlyArray<ProviderName>>
  }
>() {}

type Ask = (model: ModelRef, request: ModelRequest, leaseId: string) => Stream.Stream<ModelEvent, ModelError>

interface Secret {
  readonly secret: Redacted.Redacted<string>
  readonly auth: "key" | "oauth"
}

const keyed = ["anthropic", "google", "openrouter"] as const
type Keyed = (typeof keyed)[number]
const isKeyed = (name: string): name is Keyed => keyed.some((k) => k === name)

const addresses: Record<Keyed, string> = {
  anthropic: anthropicAddress,
  google: googleAddress,
  openrouter: openRouterAddress
}

const refusal = (model: ModelRef, failure: "auth" | "bad_request", detail: string): ModelError =>
  new ModelError({ model, failure, detail, partial: false, unsent: true })

/** The one door to every adapter: without genuine proofs nothing behind it runs. */
const guarded = (name: ProviderName, ask: Ask): Provider => ({
  name,
  stream: (request, lease) =>
    Stream.suspend(() => {
      if (!isGenuine(lease)) {
        return Stream.fail(refusal(lease.model, "bad_request", "refused: nothing was reserved for this call"))
      }
      if (!isGenuine(request)) {
        return Stream.fail(refusal(lease.model, "bad_request", "refused: this request was never scanned"))
      }
      if (splitModelRef(lease.model).provider !== name) {
        return Stream.fail(refusal(lease.model, "bad_request", `refused: the reservation is not for ${name}`))
      }
      return ask(lease.model, request.value, lease.id)
    })
})

/** Servers that the owner has named; each needs an address. */
const serversOf = (settings: LoadedSettings): ReadonlyArray<string> =>
  Object.entries(settings.config.providers).flatMap(([name, entry]) =>
    !isKeyed(name) && name !== "rehearsal" && entry.baseUrl !== undefined ? [name] : []
  )

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const credentials = yield* Credentials
  let warned = false

  /** An API key if there is one, else Claude Code's log-in where the owner has opted in. */
  const secretFor = Effect.fn("Providers.secretFor")(function* (name: ProviderName, loaded: LoadedSettings) {
    const asA =
      (auth: Secret["auth"]) =>
      (secret: Redacted.Redacted<string>): Secret => ({ secret, auth })
    const key = yield* credentials.get(name)
    if (Option.isSome(key) || name !== "anthropic") return Option.map(key, asA("key"))
    const { token } = yield* inspectClaudeOAuth(loaded)
    return Option.map(token, asA("oauth"))
  })

  const get = Effect.fn("Providers.get")(function* (model: ModelRef) {
    const loaded = yield* settings.current
    const { provider: name } = splitModelRef(model)
    if (name === "rehearsal") return guarded(name, askRehearsal)
    const entry = Object.hasOwn(loaded.config.providers, name) ? loaded.config.providers[name] : undefined
    const headers = entry?.headers ?? {}
    const secret = yield* secretFor(name, loaded).pipe(
      Effect.mapError((error) => refusal(model, "auth", `the key stored for ${name} cannot be read: ${error.message}`))
    )
    if (isKeyed(name)) {
      if (Option.isNone(secret)) {
        return yield* refusal(model, "auth", `no key for ${name}; set one with: ai-desk credential set ${name}`)
      }
      const { secret: key, auth } = secret.value
      if (auth === "oauth" && !warned) {
        warned = true
        yield* Effect.logWarning(claudeOAuthWarning)
      }
      const options = { baseUrl: entry?.baseUrl ?? addresses[name], key, headers }
      switch (name) {
        case "anthropic":
          return guarded(name, askAnthropic({ ...options, auth }))
        case "google":
          return guarded(name, askGoogle(options))
        case "openrouter":
          return guarded(name, askOpenRouter(options))
      }
    }
    if (entry?.baseUrl === undefined) {
      return yield* refusal(
        model,
        "bad_request",
        `no provider "${name}" is configured; name it in ai-desk.json: "providers": {"${name}": {"kind": "openai-compatible", "baseUrl": "http://127.0.0.1:11434/v1"}}`
      )
    }
    const key = Option.getOrNull(Option.map(secret, (s) => s.secret))
    return guarded(name, askOpenAi({ baseUrl: entry.baseUrl, key, headers, extra: {} }))
  })

  const available = Effect.gen(function* () {
    const loaded = yield* settings.current
    const withKey = yield* Effect.filter(keyed, (name) =>
      secretFor(name, loaded).pipe(
        Effect.map(Option.isSome),
        // A key that cannot be read cannot be used; why not is for the log, not for a list of names.
        Effect.catchAll((error) => Effect.as(Effect.logWarning(`key for ${name}: ${error.message}`), false))
      )
    )
    return [...withKey, ...serversOf(loaded), "rehearsal"]
  })

  return Providers.of({ get, available })
})

/** What Claude Code has left on this machine, and whether it is used. Never fails, sends nothing. */
export const claudeOAuthStatus = Effect.gen(function* () {
  const loaded = yield* (yield* Settings).current
  const { status } = yield* inspectClaudeOAuth(loaded)
  return status
})

export const layer = Layer.effect(Providers, make)
