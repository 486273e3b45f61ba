/**
 * Rehearsal: a built-in model that needs no key and no network, so that the whole guarded path can
 * be tried, tested and measured. It is no language model: it follows a handful of plain requests by
 * real tool calls, and every answer says so.
 *
 * Guarantees: a pure function of the request; never more than six rounds for one message; calls only
 * tools that are offered; a refused or failed call ends its plan and is reported, not worked around.
 */
import { Schema, Stream } from "effect"
import { ToolCallId } from "../../domain/Ids.ts"
import {
  AssistantMessage,
  type Message,
  TextPart,
  ToolCallPart,
  textOf,
  type ToolResultPart,
  toolCallsOf
} from "../../domain/Message.ts"
import {
  Completed,
  ModelError,
  type ModelEvent,
  type ModelRef,
  type ModelRequest,
  splitModelRef,
  TextDelta,
  ToolCallStarted,
  Usage
} from "../../domain/Model.ts"
import { abilities, maxRounds, planOf, roundsOf, type Step } from "./RehearsalPlan.ts"

export const rehearsalModel = "rehearsal-1"
export const rehearsalLabel = "[rehearsal model — no provider was asked]"

const json = Schema.encodeSync(Schema.parseJson(Schema.Unknown))

/** 64 bits of FNV-1a in two lanes: makes call ids differ between conversations without randomness. */
const fingerprint = (text: string): string => {
  let a = 0x811c9dc5
  let b = 0x1000193
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    a = Math.imul(a ^ c, 0x01000193)
    b = Math.imul(b ^ (c + i), 0x85ebca6b)
  }
  return [a, b].map((n) => (n >>> 0).toString(16).padStart(8, "0")).join("")
}

const written = (message: Message): string => {
  switch (message._tag) {
    case "User":
      return textOf(message)
    case "Assistant":
      return `${textOf(message)}${toolCallsOf(message)
        .map((c) => `${c.name}${json(c.arguments ?? null)}`)
        .join("")}`
    case "Tool":
      return message.results.map((r) => r.content).join("")
  }
}

/** Four characters to a token, as a rule of thumb; at least one. */
const tokens = (chars: number) => Math.max(1, Math.ceil(chars / 4))

const lines = (text: string) => text.split("\n").filter((line) => line.trim() !== "")
const clip = (text: string, length: number) => (text.length <= length ? text : `${text.slice(0, length).trimEnd()} …`)
const few = (items: ReadonlyArray<string>, most: number) =>
  items.length <= most ? items.join(", ") : `${items.slice(0, most).join(", ")} and ${items.length - most} more`
const count = (n: number, one: string, many = `${one}s`) => `${n} ${n === 1 ? one : many}`

const report = (step: Step, result: ToolResultPart): string => {
  const { content } = result
  const full = lines(content)
  switch (step.kind) {
    case "list":
      return full.length === 0
        ? `${step.subject} is empty.`
        : `In ${step.subject} I found ${count(full.length, "entry", "entries")}: ${few(
            full.map((l) => l.trim()),
            20
          )}.`
    case "read":
      return content.trim() === ""
        ? `${step.subject} is empty.`
        : `${step.subject} says:\n${clip(content.trim(), 1500)}`
    case "summarise": {
      const words = content.split(/\s+/).filter((w) => w !== "").length
      const headings = full.filter((l) => /^#{1,6}\s/.test(l)).map((l) => l.replace(/^#+\s*/, "").trim())
      const body = full.filter((l) => !/^#{1,6}\s/.test(l))
      return [
        `${step.subject} has ${count(full.length, "line")} of text and ${count(words, "word")}.`,
        ...(headings.length > 0 ? [`Its headings: ${few(headings, 8)}.`] : []),
        ...(body[0] === undefined ? [] : [`It begins: “${clip(body[0].trim(), 200)}”`]),
        ...(body.length > 1 ? [`It ends: “${clip((body.at(-1) ?? "").trim(), 200)}”`] : [])
      ].join(" ")
    }
    case "write":
      return `I wrote ${count((step.arguments["content"] ?? "").length, "character")} to ${step.subject}. ${clip(full[0] ?? "", 200)}`.trim()
    case "edit":
      return `I changed ${step.subject}. ${clip(full[0] ?? "", 200)}`.trim()
    case "search":
      return full.length === 0
        ? `Nothing matches “${step.subject}”.`
        : `The search for “${step.subject}” gave ${count(full.length, "line")}:\n${clip(full.slice(0, 10).join("\n"), 1000)}`
    case "run":
      return full.length === 0
        ? `“${step.subject}” ran and printed nothing.`
        : `“${step.subject}” printed:\n${clip(content.trim(), 1500)}`
    case "fetch":
      return `${step.subject} answered: ${clip(content.trim(), 500)}`
  }
}

const narration: Record<Step["kind"], string> = {
  list: "Listing",
  read: "Reading",
  summarise: "Reading",
  write: "Writing",
  edit: "Editing",
  search: "Searching for",
  run: "Running",
  fetch: "Fetching"
}

const help = (greeting: string) =>
  `${greeting}I follow plain requests, joined by “and” or “then”:\n${abilities.map((a) => `- ${a}`).join("\n")}\nFor anything else, set a provider key.`

interface Reply {
  readonly text: string
  readonly calls: ReadonlyArray<{ readonly id: string; readonly step: Step }>
}

const replyTo = (request: ModelRequest): Reply => {
  const at = request.messages.findLastIndex((m) => m._tag === "User")
  const asked = request.messages[at]
  const text = asked?._tag === "User" ? textOf(asked) : ""
  const steps = planOf(text)
  if (steps.length === 0) {
    return { text: help(/^\s*(hi|hello|hey|good (morning|day|evening))\b/i.test(text) ? "Hello. " : ""), calls: [] }
  }
  const offered = new Set(request.tools.map((t) => t.name))
  const missing = steps.filter((s) => !offered.has(s.tool))
  const rounds = roundsOf(steps.filter((s) => offered.has(s.tool)))
  const idBase = `rehearsal-${fingerprint(
    request.messages
      .slice(0, at + 1)
      .map(written)
      .join("\n")
  )}`

  const since = request.messages.slice(at + 1)
  const results = new Map<string, ToolResultPart>(
    since.flatMap((m) => (m._tag === "Tool" ? m.results.map((r) => [r.id, r] as const) : []))
  )
  const asks = since.filter((m) => m._tag === "Assistant").length
  const keyed = rounds.map((round, r) => round.map((step, s) => ({ id: `${idBase}-${r}-${s}`, step })))

  const reports: Array<string> = []
  let failed = false
  for (const round of keyed) {
    const answered = round.flatMap(({ id, step }) => {
      const result = results.get(id)
      return result === undefined ? [] : [{ step, result }]
    })
    if (answered.length < round.length) {
      if (asks >= maxRounds) break
      return {
        text: `${round.map(({ step }) => `${narration[step.kind]} ${clip(step.subject, 80)}`).join("; ")}.`,
        calls: round
      }
    }
    for (const { step, result } of answered) {
      if (result.isError) failed = true
      reports.push(
        result.isError
          ? `${narration[step.kind]} ${clip(step.subject, 80)} did not work: ${clip(lines(result.content).join(" "), 400)}`
          : report(step, result)
      )
    }
    if (failed) {
      reports.push("I stopped there and tried no other way.")
      break
    }
  }
  if (missing.length > 0) {
    reports.push(
      `Not done, because this agent has no such tool: ${[...new Set(missing.map((s) => s.tool))].join(", ")}.`
    )
  }
  if (steps.length - missing.length > rounds.flat().length) {
    reports.push(`Only the first ${rounds.length} rounds were done.`)
  }
  return { text: reports.join("\n"), calls: [] }
}

/** Pieces that end at spaces, so that the stream looks like one. */
const pieces = (text: string): ReadonlyArray<string> => text.match(/[\s\S]{1,48}(?=\s)|[\s\S]{1,48}/g) ?? []

export const rehearse = (request: ModelRequest): ReadonlyArray<ModelEvent> => {
  const reply = replyTo(request)
  const whole = `${rehearsalLabel} ${reply.text}`
  const calls = reply.calls.map(
    ({ id, step }) => new ToolCallPart({ id: ToolCallId.make(id), name: step.tool, arguments: { ...step.arguments } })
  )
  const callTokens = calls.map((c) => tokens(c.name.length + json(c.arguments).length)).reduce((a, b) => a + b, 0)
  const fits = tokens(whole.length) + callTokens <= request.maxOutputTokens
  // A call cannot be cut short, so without room for all there are none.
  const kept = fits ? calls : []
  const text = fits ? whole : whole.slice(0, request.maxOutputTokens * 4)
  const usage = new Usage({
    inputTokens: tokens(
      request.system.length +
        request.messages.map((m) => written(m).length).reduce((a, b) => a + b, 0) +
        request.tools
          .map((t) => t.name.length + t.description.length + json(t.parameters).length)
          .reduce((a, b) => a + b, 0)
    ),
    outputTokens: tokens(text.length) + (fits ? callTokens : 0),
    cacheReadTokens: 0,
    cacheWriteTokens: 0
  })
  return [
    ...pieces(text).map((piece) => new TextDelta({ text: piece })),
    ...kept.map((c) => new ToolCallStarted({ id: c.id, name: c.name })),
    new Completed({
      message: new AssistantMessage({ content: [new TextPart({ text }), ...kept] }),
      finish: fits ? (kept.length > 0 ? "tool_calls" : "stop") : "max_tokens",
      usage
    })
  ]
}

export const askRehearsal = (model: ModelRef, request: ModelRequest): Stream.Stream<ModelEvent, ModelError> => {
  const refuse = (detail: string) =>
    Stream.fail(new ModelError({ model, failure: "bad_request", detail, partial: false }))
  if (splitModelRef(model).model !== rehearsalModel)
    return refuse(`the rehearsal model is called rehearsal/${rehearsalModel}`)
  if (request.messages.some((m) => m._tag === "User" && m.content.some((p) => p._tag === "Image"))) {
    return refuse("images are not supported yet")
  }
  return Stream.suspend(() => Stream.fromIterable(rehearse(request)))
}
