/**
 * SetupWizard: what the gateway serves while there is no settings file: `/setup`, which writes one.
 * It does what `ai-desk onboard` does, by the same checks and the same writer.
 *
 * Guarantees: without the one-time code from the terminal it tells nothing and writes nothing; another
 * page of the same browser, another name for this machine and a repeated form are refused; it works
 * once, and is closed from then on, as it is wherever a settings file has appeared meanwhile. A secret
 * that was typed is in no answer and in no log.
 */
import { existsSync } from "node:fs"
import { dirname } from "node:path"
import type { HttpServerError } from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Deferred, Effect, Either, Fiber, Option, Redacted, Ref, type Scope } from "effect"
import type { AppOptions } from "../domain/App.ts"
import { type ProviderName, splitModelRef } from "../domain/Model.ts"
import { redactText } from "../kernel/Redaction.ts"
import { configPath, type SettingsInvalid, withoutConfig } from "../kernel/Settings.ts"
import * as Setup from "../kernel/Setup.ts"
import { problemWith } from "./auth/PasswordPolicy.ts"
import { check, policy } from "./Boundary.ts"
import type { App } from "./Door.ts"
import { nodeOf } from "./door/Admitted.ts"
import { type AssetMissing, load, respond as respondAsset } from "./pages/Assets.ts"
import * as Answers from "./setup/Answers.ts"
import * as OneTimeCode from "./setup/OneTimeCode.ts"
import { closedPage, codePage, donePage, formPage, halfDonePage, refusedPage } from "./setup/SetupPages.ts"

/** A failure on the new ground; every error of ours has these. */
export interface StepFailure {
  readonly message: string
  readonly fix?: string | undefined
}

/** What is done with the new settings before anybody logs in. */
export interface Ground {
  /** Is recorded. */
  readonly completed: Effect.Effect<void, StepFailure>
  readonly storeKey: (provider: ProviderName, secret: Redacted.Redacted<string>) => Effect.Effect<void, StepFailure>
  /** Of the owner. */
  readonly firstToken: Effect.Effect<Redacted.Redacted<string>, StepFailure>
  readonly setPassword: (password: Redacted.Redacted<string>) => Effect.Effect<void, StepFailure>
  /** A short way to the log-in for the person who has just set up; null where there is none. */
  readonly link: Effect.Effect<Redacted.Redacted<string> | null, StepFailure>
}

export interface WizardOptions {
  readonly app: AppOptions
  /** Shows a one-time code on the terminal. */
  readonly tell: (code: string) => Effect.Effect<void>
  /** Opens the ground of the new settings; closed again before the wizard answers. */
  readonly ground: (app: AppOptions) => Effect.Effect<Ground, StepFailure, Scope.Scope>
}

export interface Wizard {
  readonly app: App
  /** Where the settings will stand. */
  readonly config: string
  /** Returns when there is a settings file, written here or elsewhere, and the wizard has closed. */
  readonly finished: Effect.Effect<void>
}

/** Bytes; a form of ours has a tenth of that. */
const mostBody = 65_536

const form = "application/x-www-form-urlencoded"

const elsewhere = "Open this page under the address that the terminal shows, on this computer."

const pathOf = (url: string): string => url.split(/[?#]/, 1)[0] ?? ""

const redirect = (to: string) =>
  HttpServerResponse.empty({ status: 303, headers: { location: to, "cache-control": "no-store" } })

export const make = (options: WizardOptions): Effect.Effect<Wizard, SettingsInvalid | AssetMissing> =>
  Effect.gen(function* () {
    const { config: given, cwd, env } = options.app
    const sources = { configPath: given, cwd, env }
    const config = yield* configPath(sources)
    const before = yield* withoutConfig(sources, dirname(config))
    const rules = policy(before.config.gateway)
    const assets = yield* load()
    const code = yield* OneTimeCode.make(options.tell)
    const kept = yield* Ref.make(Answers.nothingKept)
    const finished = yield* Deferred.make<void>()
    const oneAtATime = yield* Effect.makeSemaphore(1)

    const placeNow = Effect.sync(
      (): Setup.Place => ({ config, keyFile: Setup.keyFileFor(before.home, config), before })
    )

    const fields = Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      if ((request.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() !== form) return undefined
      const body = yield* request.urlParamsBody.pipe(
        HttpServerRequest.withMaxBodySize(Option.some(mostBody)),
        Effect.catchAll((_: HttpServerError) => Effect.succeed(undefined))
      )
      return body === undefined ? undefined : Answers.fieldsOf(body)
    })

    const enter = Effect.fnUntraced(function* (typed: string) {
      yield* code.ensure
      const redeemed = yield* code.redeem(typed)
      switch (redeemed.how) {
        case "right":
          yield* Ref.set(kept, Answers.nothingKept)
          return formPage({
            ticket: redeemed.ticket,
            plain: Answers.start,
            kept: Answers.nothingKept,
            wrong: {},
            place: yield* placeNow,
            trouble: null
          })
        case "wrong":
          return codePage(
            `That is not the code. ${redeemed.left === 1 ? "One more try" : `${redeemed.left} more tries`} before it changes.`,
            403
          )
        case "renewed":
          return codePage("That was wrong too often: the terminal shows a new code now.", 403)
        case "busy":
          return codePage("Too many codes are being tried at once. Wait a few seconds.", 429)
      }
    })

    /** After this the wizard is closed, however it ends. */
    const carryOut = (choices: Setup.Choices, place: Setup.Place, judged: Answers.Judged) =>
      Effect.gen(function* () {
        const done = yield* Setup.plan(choices, place, judged.auth).pipe(Effect.flatMap(Setup.write))
        const after = Effect.gen(function* () {
          const ground = yield* options.ground({ ...options.app, config })
          yield* ground.completed
          if (choices.key !== null) yield* ground.storeKey(splitModelRef(choices.model).provider, choices.key)
          const password = judged.kept.password
          if (judged.auth === "password" && password !== null) yield* ground.setPassword(password)
          const token = judged.auth === "token" ? yield* ground.firstToken : null
          const link = yield* ground.link
          return donePage({
            done,
            token: token === null ? null : Redacted.value(token),
            link: link === null ? null : Redacted.value(link)
          })
        })
        return yield* after.pipe(
          Effect.scoped,
          Effect.catchAll((failure) =>
            Effect.as(
              Effect.logError(`set-up: the settings were written, and then: ${failure.message}`),
              halfDonePage(redactText(failure.message), failure.fix)
            )
          ),
          Effect.ensuring(Ref.set(kept, Answers.nothingKept)),
          Effect.ensuring(Deferred.succeed(finished, undefined))
        )
        // In a fiber of its own: once it began, it is not left half done because a browser went away. Not by making it
        // uninterruptible, which whatever the ground runs in the background would inherit, and never end.
      }).pipe(Effect.interruptible, Effect.forkDaemon, Effect.flatMap(Fiber.join))

    const submit = Effect.fnUntraced(function* (sent: Answers.Sent) {
      const ticket = sent.get("ticket") ?? ""
      if (!(yield* code.accepts(ticket))) {
        yield* code.ensure
        return codePage("This page has expired. Type the code that the terminal shows now.", 403)
      }
      const place = yield* placeNow
      const names = [...Object.values(Answers.plainOf(sent)), ...dirname(config).split("/").slice(-3)]
      const judged = Answers.judge(sent, yield* Ref.get(kept), place, (password) => problemWith(password, names))
      yield* Ref.set(kept, judged.kept)
      const again = (trouble: string | null, status: number) =>
        formPage({ ticket, plain: judged.plain, kept: judged.kept, wrong: judged.wrong, place, trouble }, status)
      const { choices } = judged
      if (choices === null) return again(null, 422)
      return yield* carryOut(choices, place, judged).pipe(
        Effect.catchTags({
          AlreadySetUp: (error) => Effect.succeed(again(`${error.message}.`, 409)),
          FileError: (error) => Effect.succeed(again(`${error.message}.`, 500))
        })
      )
    })

    /** Null when it may come. What comes over no connection of the server's may not. */
    const turnedAway = Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
      const node = nodeOf(request)
      if (node === undefined) return refusedPage(421, elsewhere)
      const passed = check(node, rules)
      if (Either.isRight(passed)) return null
      switch (passed.left._tag) {
        case "NotForThisDoor":
          return refusedPage(421, elsewhere)
        case "Forbidden":
          return refusedPage(403, "This was sent by another page.")
        default:
          return refusedPage(passed.left.status, "That is not possible here.")
      }
    })

    const closed = Effect.sync(() => existsSync(config)).pipe(
      Effect.tap((exists) => (exists ? Deferred.succeed(finished, undefined) : Effect.void))
    )

    const setup = (asks: boolean) =>
      Effect.gen(function* () {
        if (yield* closed) return closedPage
        if (asks) {
          yield* code.ensure
          return codePage(null)
        }
        const sent = yield* fields
        if (sent === undefined) return refusedPage(400, "That was no form of this page.")
        if (sent.has("code")) return yield* enter(sent.get("code") ?? "")
        // One at a time, and looked at again: of two forms at once one is too late.
        return yield* Effect.flatMap(closed, (late) => (late ? Effect.succeed(closedPage) : submit(sent))).pipe(
          oneAtATime.withPermits(1)
        )
      })

    const app: App = Effect.gen(function* () {
      const { headers, method, url } = yield* HttpServerRequest.HttpServerRequest
      const away = yield* turnedAway
      if (away !== null) return away
      const path = pathOf(url)
      const asks = method === "GET" || method === "HEAD"
      if (path === "/setup") {
        return asks || method === "POST"
          ? yield* setup(asks)
          : HttpServerResponse.setHeader(
              refusedPage(405, "This page is read and sent, nothing else."),
              "allow",
              "GET, HEAD, POST"
            )
      }
      const asset = asks
        ? assets.get(path === "/favicon.ico" ? "favicon.svg" : path.replace(/^\/dashboard\/assets\//, ""))
        : undefined
      if (asset !== undefined) return respondAsset(asset, headers["if-none-match"])
      if (asks && ["/", "/login", "/dashboard", "/dashboard/"].includes(path)) return redirect("/setup")
      return HttpServerResponse.unsafeJson(
        {
          _tag: "NotSetUp",
          message: "this gateway is not set up yet",
          fix: "open /setup in a browser on this computer, or run: ai-desk onboard"
        },
        { status: 503, headers: { "cache-control": "no-store" } }
      )
    }).pipe(Effect.withSpan("SetupWizard.answer"))

    // So that the terminal shows a code from the start.
    yield* code.ensure
    return { app, config, finished: Deferred.await(finished) }
  })
