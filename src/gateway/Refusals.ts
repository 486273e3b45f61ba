/**
 * Refusals: what is answered when no handler answers. A request that does not decode is told what is
 * wrong with it and where, in one line and without repeating what it held; a path that leads nowhere
 * is told so; a handler that breaks is an internal error to the client, and its cause is in the log.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import { isServerError } from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Cause, Effect, Option, Schema } from "effect"
import { Refused } from "../contract/access.ts"
import { InternalFailure } from "../contract/failures.ts"
import * as Compatible from "./compatible/Failure.ts"

type Issue = HttpApiDecodeError["issues"][number]

/** What was sent may be a secret, so it is never part of the answer. */
const withoutValue = (message: string): string => message.replace(/, actual [^]*$/, "")

/** More than these help nobody. */
const mostIssues = 5

const sentence = ({ _tag, message, path }: Issue): string => {
  const at = path.map(String).join(".")
  const where = at === "" ? "the request" : at.slice(0, 200)
  if (_tag === "Missing") return `${where}: is missing`
  return `${where}: ${withoutValue(message).replace(/^[A-Z](?=[a-z])/, (c) => c.toLowerCase())}`
}

/** The same failure in one line, without the values. */
export const inWords = ({ issues }: HttpApiDecodeError): HttpApiDecodeError =>
  new HttpApiDecodeError({
    issues: issues.slice(0, mostIssues).map((issue) => ({ ...issue, message: withoutValue(issue.message) })),
    message: issues.slice(0, mostIssues).map(sentence).join("; ") || "the request cannot be read"
  })

const notJson = new HttpApiDecodeError({
  issues: [],
  message: "the body: expected JSON, and it cannot be read as that"
})

const encodeDecodeError = Schema.encodeSync(HttpApiDecodeError)
const badRequest = (error: HttpApiDecodeError) =>
  HttpServerResponse.unsafeJson(encodeDecodeError(error), { status: 400 })

export const notFound = Effect.map(HttpServerRequest.HttpServerRequest, ({ method, url }) =>
  HttpServerResponse.unsafeJson(
    { _tag: "RouteNotFound", message: `nothing answers ${method} ${url.split("?", 1)[0]?.slice(0, 200) ?? ""}` },
    { status: 404 }
  )
)

const internal = new InternalFailure()
const encodedInternal = {
  ...Schema.encodeSync(InternalFailure)(internal),
  message: internal.message,
  fix: internal.fix
}
/** Nothing of the cause goes to the client; the log has it. */
export const broken = (cause: Cause.Cause<unknown>) =>
  Effect.as(Effect.logError("a request broke", cause), HttpServerResponse.unsafeJson(encodedInternal, { status: 500 }))

/** The platform dies of a body that it cannot read, so its own errors are looked for among defects as well. */
const serverErrorIn = (cause: Cause.Cause<unknown>) =>
  Option.filter(
    Option.orElse(Cause.failureOption(cause), () => Cause.dieOption(cause)),
    isServerError
  )

/** Typed as an app that cannot fail, as the platform does; what comes through it all the same is seen here. */
export const answer: HttpApiBuilder.MiddlewareFn<never> = (app) =>
  Effect.catchAllCause(app, (cause) => {
    const ofServer = serverErrorIn(cause)
    if (Option.isSome(ofServer)) {
      return ofServer.value._tag === "RouteNotFound" ? notFound : Effect.succeed(badRequest(notJson))
    }
    const failure: Option.Option<unknown> = Cause.failureOption(cause)
    if (Option.isSome(failure)) {
      // The contract's own errors are encoded with their status by the api.
      return failure.value instanceof HttpApiDecodeError
        ? Effect.succeed(badRequest(inWords(failure.value)))
        : Effect.failCause(cause)
    }
    return Cause.isInterruptedOnly(cause) ? Effect.failCause(cause) : broken(cause)
  })

const isRefused = Schema.is(Refused)

/** The same at a compatible endpoint, in its vendor's form. Null: it is not such a failure. */
const vendorFailure = (cause: Cause.Cause<unknown>): Compatible.CompatibleFailure | null => {
  const ofServer = serverErrorIn(cause)
  if (Option.isSome(ofServer)) {
    return ofServer.value._tag === "RouteNotFound" ? Compatible.noRoute : Compatible.unreadable(notJson.message)
  }
  const failure: Option.Option<unknown> = Cause.failureOption(cause)
  if (Option.isNone(failure)) return null
  if (failure.value instanceof HttpApiDecodeError) {
    const { issues, message } = inWords(failure.value)
    return Compatible.unreadable(message, issues[0]?.path)
  }
  return isRefused(failure.value) ? Compatible.ofRefused(failure.value) : null
}

/** Official clients of other vendors ask at their own paths, and understand their own words only. */
const answerVendor = (vendor: Compatible.Vendor, app: Parameters<typeof answer>[0]): ReturnType<typeof answer> =>
  Effect.catchAllCause(app, (cause) => {
    if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause)
    const failure = vendorFailure(cause)
    return failure === null
      ? Effect.as(broken(cause), Compatible.respond(vendor, Compatible.internal))
      : Effect.succeed(Compatible.respond(vendor, failure))
  })

const answerAny: HttpApiBuilder.MiddlewareFn<never> = (app) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers, url }) => {
    const vendor = Compatible.vendorOf(url, headers)
    return vendor === null ? answer(app) : answerVendor(vendor, app)
  })

/** For every group at once. */
export const layer = HttpApiBuilder.middleware(answerAny)
