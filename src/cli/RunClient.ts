/** RunClient: the runs group as a stream of typed events; the contract's frames are decoded here and nowhere else. */
import * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Sse from "@effect/experimental/Sse"
import { Effect, Schema, Stream } from "effect"
import { type RunFailure, RunEventJson, RunFailureJson, StartRun } from "../contract/runs.ts"
import type { SessionId } from "../domain/Ids.ts"
import type { RunEvent } from "../domain/RunEvent.ts"
import { GatewayLost, lossIn } from "./control/GatewayLost.ts"
import { ControlClient, type StartFailed } from "./ControlClient.ts"

/** The other end broke the protocol, or refused the request before the run began. */
export class RunRefused extends Schema.TaggedError<RunRefused>()("RunRefused", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

const decodeEvent = Schema.decodeUnknown(RunEventJson)
const decodeFailure = Schema.decodeUnknown(RunFailureJson)
const Refusal = Schema.Struct({ message: Schema.String })

const fromFrame = (frame: Sse.Event): Effect.Effect<RunEvent, RunFailure | RunRefused> =>
  Effect.gen(function* () {
    if (frame.event === "failed") return yield* yield* decodeFailure(frame.data)
    return yield* decodeEvent(frame.data)
  }).pipe(
    Effect.catchTag(
      "ParseError",
      () => new RunRefused({ detail: "the run's stream holds a frame that this release does not know" })
    )
  )

const refusedBy = (error: HttpClientError.HttpClientError) => {
  const loss = lossIn(error)
  return loss instanceof GatewayLost ? loss : new RunRefused({ detail: loss.message })
}

const post = (
  path: string,
  body: unknown
): Stream.Stream<RunEvent, RunFailure | RunRefused | GatewayLost | StartFailed, ControlClient> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const control = yield* ControlClient
      const client = yield* control.connect("runs")
      const request = HttpClientRequest.post(`http://ai-desk.local${path}`, { body: HttpBody.unsafeJson(body) })
      const response = yield* client.execute(request).pipe(Effect.mapError(refusedBy))
      if (response.status !== 200) {
        const refusal = yield* response.json.pipe(
          Effect.flatMap(Schema.decodeUnknown(Refusal)),
          Effect.orElseSucceed(() => ({ message: `the request was refused with status ${response.status}` }))
        )
        return yield* new RunRefused({ detail: refusal.message })
      }
      return response.stream.pipe(
        Stream.mapError(refusedBy),
        Stream.decodeText(),
        Stream.pipeThroughChannel(Sse.makeChannel()),
        Stream.mapEffect(fromFrame)
      )
    })
  )

export const start = (run: typeof StartRun.Encoded) => post("/dashboard/api/runs", run)

export const resume = (session: SessionId, approver: boolean) =>
  post("/dashboard/api/runs/resume", { session, approver })
