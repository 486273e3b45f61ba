/**
 * Gate: the order of things at the door, the same for everybody: may such a request come at all; who
 * asks; what does it bring. Only then the app.
 *
 * Guarantees: nothing of the app runs for a request that was refused, and no body is read for one that
 * need not be; every answer, a refusal or a failure as well, carries the headers of the house.
 */
import type { IncomingMessage } from "node:http"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Cause, Context, Effect, Either, Option, type Scope, Stream } from "effect"
import { InternalFailure } from "../../contract/failures.ts"
import { Caller, type CallerInfo } from "../../domain/Caller.ts"
import { randomBytes } from "../../kernel/Crypto.ts"
import type { Passed } from "../Boundary.ts"
import type { App } from "../Door.ts"
import { Admitted, nodeOf } from "./Admitted.ts"
import * as Body from "./Body.ts"
import { dress, preflight } from "./Headers.ts"
import { type Refusal, render } from "./Refusal.ts"

type Request = HttpServerRequest.HttpServerRequest

/** Who asks, and what the request may bring. */
export interface Admission {
  readonly caller: CallerInfo
  readonly body: Body.BodyRule
  readonly upgrade: Request["upgrade"]
  /** The client's; null to leave what the request says. */
  readonly address: string | null
}

export interface Rules {
  /** Whether it may come; null where everything may. */
  readonly pass: (node: IncomingMessage) => Effect.Effect<Passed | null, Refusal>
  readonly admit: (
    request: Request,
    node: IncomingMessage,
    passed: Passed | null
  ) => Effect.Effect<Admission, Refusal, Scope.Scope>
}

const pathOf = (url: string): string => url.split("?", 1)[0] ?? ""

/** Closes after what is still coming was thrown away for a while; the answer itself goes out at once. */
const unread = (response: HttpServerResponse.HttpServerResponse, node: IncomingMessage) => {
  const { body } = response
  return body._tag !== "Uint8Array"
    ? response
    : HttpServerResponse.stream(
        Stream.concat(Stream.make(body.body), Stream.drain(Stream.fromEffect(Body.linger(node)))),
        {
          status: response.status,
          headers: { ...response.headers, "content-type": body.contentType, connection: "close" },
          contentLength: body.body.length
        }
      )
}

export const gate = (rules: Rules, app: App): App =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const node = nodeOf(request)
    const requestId = Buffer.from(randomBytes(8)).toString("hex")
    if (node === undefined) {
      yield* Effect.logError("the door was handed a request that came over no connection")
      return render(new InternalFailure(), pathOf(request.url), request.headers, requestId)
    }
    let encrypted = "encrypted" in node.socket && node.socket.encrypted === true
    let foreignOrigin: string | null = null

    const answer = Effect.gen(function* () {
      const passed = yield* rules.pass(node)
      foreignOrigin = passed?.foreignOrigin ?? null
      encrypted = passed?.encrypted ?? encrypted
      if (passed?.preflight === true) return preflight(request.headers)
      const { address, body: rule, caller, upgrade } = yield* rules.admit(request, node, passed)
      const problem = Body.refused(request.method, request.headers, rule)
      if (problem !== undefined) return yield* problem
      const body = yield* Body.read(node, request.headers, rule)
      const admitted = new Admitted(
        request,
        body,
        upgrade,
        address === null ? request.remoteAddress : Option.some(address)
      )
      return yield* Effect.mapInputContext(app, (context: Context.Context<Request | Scope.Scope>) =>
        Context.add(Context.add(context, HttpServerRequest.HttpServerRequest, admitted), Caller, caller)
      )
    }).pipe(
      Effect.catchAll((refusal) => {
        const response = render(refusal, pathOf(request.url), request.headers, requestId)
        return Effect.succeed(Body.brings(request.headers) && !node.complete ? unread(response, node) : response)
      }),
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.failCause(cause)
          : Effect.as(
              Effect.logError("a request broke", cause),
              render(new InternalFailure(), pathOf(request.url), request.headers, requestId)
            )
      ),
      Effect.annotateLogs("request", requestId)
    )
    return dress(yield* answer, { requestId, encrypted, foreignOrigin })
  })

/** What the boundary's pure rules say. */
export const either = <A, E extends Refusal>(result: Either.Either<A, E>): Effect.Effect<A, E> =>
  Either.isLeft(result) ? Effect.fail(result.left) : Effect.succeed(result.right)
