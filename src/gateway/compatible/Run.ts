/**
 * Run: one compatible request on its way, whatever the vendor's form. Chooses between an agent's own
 * run and a bare completion, and tells what comes of it as the same few pieces.
 *
 * Guarantees: text that was shown is never taken back: if an attempt that had begun to answer turns
 * out void, the stream ends with an error instead of going on with another model's words; a failure
 * before anything was shown has a status of its own; a client that goes away ends the run; no answer
 * holds one of the gateway's own secrets, in whatever pieces a model says it.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Cause, Effect, type Mailbox, Option, type Scope, Stream } from "effect"
import type { AgentRuntime, RunError } from "../../agent/AgentRuntime.ts"
import type { CompletionError, CompletionEvent, Completions } from "../../agent/Completions.ts"
import type { CallerInfo } from "../../domain/Caller.ts"
import { type Message, textOf, ToolCallPart, toolCallsOf } from "../../domain/Message.ts"
import { type FinishReason, type ModelRequest, noUsage, type Usage } from "../../domain/Model.ts"
import type { RunEvent } from "../../domain/RunEvent.ts"
import { redactRegistered, streamRedactor } from "../../kernel/Redaction.ts"
import { CompatibleFailure, internal, invalid, ofError, respond, type Vendor } from "./Failure.ts"
import * as Target from "./Target.ts"

/** A request in any vendor's form. */
export interface Asked {
  readonly model: string
  /** The client's system prompt. */
  readonly instructions: string
  readonly messages: readonly [Message, ...ReadonlyArray<Message>]
  readonly tools: ModelRequest["tools"]
  readonly settings: Partial<
    Pick<ModelRequest, "maxOutputTokens" | "temperature" | "topP" | "stop" | "toolChoice" | "parallelCalls" | "format">
  >
}

/** `Cut`: the run was ended from outside. `Round`: a model begins to answer; an agent's run has several. `Void`: what the round has said so far does not count. */
export type Piece =
  | { readonly _tag: "Begun"; readonly run: string }
  | { readonly _tag: "Round" }
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Void" }
  | { readonly _tag: "Cut"; readonly failure: CompatibleFailure }
  | { readonly _tag: "Ping" }
  | {
      readonly _tag: "Done"
      readonly calls: ReadonlyArray<ToolCallPart>
      readonly finish: FinishReason
      readonly usage: Usage
    }

export interface Answer {
  readonly run: string
  readonly text: string
  readonly calls: ReadonlyArray<ToolCallPart>
  readonly finish: FinishReason
  readonly usage: Usage
}

type PathError = RunError | CompletionError | CompatibleFailure

/** What has come since the last look, waiting for the first; and whether that was all. */
interface Pieces {
  readonly take: Effect.Effect<readonly [ReadonlyArray<Piece>, done: boolean], PathError>
}

const nothing: ReadonlyArray<Piece> = []

/** One per answer. What a model prints of the gateway's own secrets is kept back, wherever its pieces are cut. */
const cleaner = () => {
  const redactor = streamRedactor()
  const textOf = (text: string): ReadonlyArray<Piece> => (text === "" ? nothing : [{ _tag: "Text", text }])
  return (piece: Piece): ReadonlyArray<Piece> => {
    switch (piece._tag) {
      case "Text":
        return textOf(redactor.next(piece.text))
      case "Void":
        // What was held back of it was never shown.
        redactor.rest()
        return [piece]
      case "Done": {
        const calls = piece.calls.map(
          (call) => new ToolCallPart({ ...call, arguments: redactRegistered(call.arguments) })
        )
        return [...textOf(redactor.rest()), { ...piece, calls }]
      }
      case "Round":
      case "Cut":
        return [...textOf(redactor.rest()), piece]
      case "Begun":
      case "Ping":
        return [piece]
    }
  }
}

const piecesOf = <Event, E extends PathError>(
  mailbox: Mailbox.ReadonlyMailbox<Event, E>,
  translate: (event: Event) => ReadonlyArray<Piece>
): Pieces => {
  const clean = cleaner()
  return {
    take: Effect.map(
      mailbox.takeAll,
      ([events, done]) => [[...events].flatMap(translate).flatMap(clean), done] as const
    )
  }
}

export interface Services extends Target.Services {
  readonly runtime: typeof AgentRuntime.Service
  readonly completions: typeof Completions.Service
}

const ofCompletion = (event: CompletionEvent): ReadonlyArray<Piece> => {
  switch (event._tag) {
    case "Begun":
      return [event]
    case "AttemptStarted":
      return [{ _tag: "Round" }]
    case "TextDelta":
      return [{ _tag: "Text", text: event.text }]
    case "AttemptFailed":
      return event.error.partial ? [{ _tag: "Void" }] : nothing
    case "Answered": {
      const { finish, message, usage } = event.answer
      return [{ _tag: "Done", calls: toolCallsOf(message), finish, usage }]
    }
    case "Cached":
      return [
        { _tag: "Text", text: textOf(event.answer.message) },
        { _tag: "Done", calls: [], finish: "stop", usage: noUsage }
      ]
    case "Reserved":
    case "ToolCallStarted":
      return nothing
  }
}

/** One per run: it remembers how the last answer ended. */
const ofRun = () => {
  let finish: FinishReason = "stop"
  return (event: RunEvent): ReadonlyArray<Piece> => {
    switch (event._tag) {
      case "RunStarted":
        return [{ _tag: "Begun", run: event.run }]
      case "ModelStarted":
        return [{ _tag: "Round" }]
      case "AnswerDelta":
        return [{ _tag: "Text", text: event.text }]
      case "ModelAttemptFailed":
        return event.discard ? [{ _tag: "Void" }] : nothing
      case "ModelFinished":
        finish = event.finish
        return nothing
      case "RunEnded": {
        if (event.end === "stopped" || event.end === "interrupted") {
          const failure = new CompatibleFailure({ kind: "unavailable", code: event.end, text: event.text })
          return [{ _tag: "Cut", failure }]
        }
        const done: Piece = {
          _tag: "Done",
          calls: [],
          finish: finish === "tool_calls" ? "stop" : finish,
          usage: event.usage
        }
        // Why the run was cut short is the last thing it says.
        return event.end === "loop" ? [{ _tag: "Round" }, { _tag: "Text", text: event.text }, done] : [done]
      }
      default:
        return nothing
    }
  }
}

/** Checks the target first, so that nothing is begun for one that is not there or not allowed. */
const pieces = (services: Services, caller: CallerInfo, asked: Asked) =>
  Effect.gen(function* () {
    const target = yield* Target.resolve(services, caller, asked.model)
    const { instructions, messages, settings, tools } = asked
    const last = messages.at(-1)
    const { allowance, principal } = caller
    if ("agent" in target && tools.length === 0 && settings.format === undefined && last?._tag === "User") {
      const message = textOf(last)
      if (message.trim() === "") return yield* invalid("messages", "the last message is empty")
      const earlier = messages.slice(0, -1)
      const run = yield* services.runtime.open({
        agent: target.agent,
        principal,
        message,
        ...(allowance === null ? {} : { allowance }),
        ...(settings.maxOutputTokens === undefined ? {} : { maxOutputTokens: settings.maxOutputTokens }),
        ...(earlier.length === 0 && instructions === "" ? {} : { history: { instructions, messages: earlier } })
      })
      return piecesOf(run, ofRun())
    }
    const { maxOutputTokens, ...rest } = settings
    const completion = yield* services.completions.open({
      ask: target,
      principal,
      allowance,
      request: { ...rest, system: instructions, messages: [...messages], tools, maxOutputTokens }
    })
    return piecesOf(completion, ofCompletion)
  })

const failureOf = (cause: Cause.Cause<PathError>): Effect.Effect<CompatibleFailure> =>
  Option.match(Cause.failureOption(cause), {
    onSome: (error) => Effect.succeed(ofError(error)),
    onNone: () =>
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : Effect.as(Effect.logError("a compatible request broke", cause), internal)
  })

const endless = Effect.dieMessage("a run ended without an end")

/** Between what two answers of one run say. */
export const betweenRounds = "\n\n"

/** The whole answer at once; what turned out void is left out. */
const collect = ({ take }: Pieces): Effect.Effect<Answer, PathError> =>
  Effect.gen(function* () {
    const rounds: Array<Array<string>> = [[]]
    let run = ""
    let done: Extract<Piece, { _tag: "Done" }> | undefined
    while (done === undefined) {
      const [pieces, over] = yield* take
      for (const piece of pieces) {
        if (piece._tag === "Begun") run = piece.run
        else if (piece._tag === "Round") rounds.push([])
        else if (piece._tag === "Text") rounds.at(-1)?.push(piece.text)
        else if (piece._tag === "Void") rounds.splice(-1, 1, [])
        else if (piece._tag === "Cut") return yield* piece.failure
        else if (piece._tag === "Done") done = piece
      }
      if (over && done === undefined) return yield* endless
    }
    const text = rounds
      .map((round) => round.join(""))
      .filter((round) => round !== "")
      .join(betweenRounds)
    return { run, text, calls: done.calls, finish: done.finish, usage: done.usage }
  })

/** Writes one stream in a vendor's protocol. It keeps what it has opened, so each serves one stream. */
export interface Encoder {
  /** Once, before anything else. */
  readonly open: (run: string) => string
  readonly text: (text: string) => string
  /** The end of a stream that did not fail. */
  readonly done: (answer: Pick<Answer, "calls" | "finish" | "usage">) => string
  /** Said while nothing happens, so that nobody on the way gives up the connection. */
  readonly ping: string
  readonly fail: (failure: CompatibleFailure) => string
}

const pingEvery = "15 seconds"
const utf8 = new TextEncoder()

const voided = new CompatibleFailure({
  kind: "unavailable",
  code: "answer_cut",
  text: "the model failed in the middle of its answer; ask again"
})

/** Pieces of one turn of the loop as one text; null when the stream is to end here. */
const writer = (encoder: Encoder) => {
  let opened = false
  let shown = false
  let shownInRound = false
  let needsBreak = false
  let over = false
  let run = ""
  const open = (): string => {
    if (opened) return ""
    opened = true
    return encoder.open(run)
  }
  const fail = (failure: CompatibleFailure): string => {
    over = true
    return open() + encoder.fail(failure)
  }
  const write = (chunk: Iterable<Piece>): string => {
    let out = ""
    let text = ""
    const flush = () => {
      if (text === "") return
      out += open() + encoder.text(text)
      text = ""
    }
    for (const piece of chunk) {
      if (over) break
      switch (piece._tag) {
        case "Begun":
          run = piece.run
          break
        case "Round":
          needsBreak = shown
          shownInRound = false
          break
        case "Text":
          if (piece.text === "") break
          text += needsBreak ? betweenRounds + piece.text : piece.text
          needsBreak = false
          shown = true
          shownInRound = true
          break
        case "Void":
          if (!shownInRound) break
          flush()
          out += fail(voided)
          break
        case "Cut":
          flush()
          out += fail(piece.failure)
          break
        case "Ping":
          flush()
          out += open() + encoder.ping
          break
        case "Done":
          flush()
          over = true
          out += open() + encoder.done(piece)
      }
    }
    if (!over) flush()
    return out
  }
  return { write, fail, over: () => over }
}

const isShown = (piece: Piece): boolean => piece._tag === "Text" || piece._tag === "Done" || piece._tag === "Ping"

const ping: ReadonlyArray<Piece> = [{ _tag: "Ping" }]

/** The answer as it comes. Waits for its first piece, so that a failure until then has its own status. */
const streamed = ({ take }: Pieces, encoder: Encoder) =>
  Effect.gen(function* () {
    const patient = Effect.map(
      Effect.timeoutOption(take, pingEvery),
      Option.getOrElse(() => [ping, false] as const)
    )
    const { fail, over, write } = writer(encoder)
    const head: Array<Piece> = []
    while (!head.some(isShown)) {
      const [pieces, done] = yield* patient
      head.push(...pieces)
      const cut = head.find((piece) => piece._tag === "Cut")
      if (cut !== undefined) return yield* cut.failure
      if (done && !head.some(isShown)) return yield* endless
    }
    const next = Effect.suspend(() =>
      over()
        ? Effect.fail(Option.none<never>())
        : patient.pipe(
            Effect.map(([pieces, done]) => {
              const text = write(pieces)
              return done && !over() ? text + fail(internal) : text
            }),
            Effect.catchAllCause((cause) => Effect.map(failureOf(cause), fail))
          )
    )
    const body = Stream.concat(
      Stream.sync(() => write(head)),
      Stream.repeatEffectOption(next)
    )
    return HttpServerResponse.stream(
      Stream.map(body, (text) => utf8.encode(text)),
      {
        contentType: "text/event-stream",
        headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
      }
    )
  })

/** Answers one request: as a stream by `encoder`, or whole by `whole`. */
export const answer = (
  services: Services,
  caller: CallerInfo,
  vendor: Vendor,
  asked: Effect.Effect<Asked, CompatibleFailure>,
  form: { readonly encoder: Encoder } | { readonly whole: (answer: Answer) => object }
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope> =>
  Effect.gen(function* () {
    const found = yield* pieces(services, caller, yield* asked)
    if ("encoder" in form) return yield* streamed(found, form.encoder)
    const collected = yield* collect(found)
    return HttpServerResponse.unsafeJson(form.whole(collected), { headers: { "request-id": collected.run } })
  }).pipe(Effect.catchAllCause((cause) => Effect.map(failureOf(cause), (failure) => respond(vendor, failure))))
