/**
 * Telemetry: traces and metrics for an OpenTelemetry collector, when the settings name one. To mount:
 * build the layer in the server's scope and provide its runtime to everything that serves.
 *
 * Guarantees: of a span only its name, times, outcome and attributes from a fixed list leave the
 * process, each with secrets taken out: no message, argument, address or error text; logs are not
 * exported at all. A collector that is away costs nothing but its data. Nothing is loaded or sent when
 * none is named.
 */
import { Effect, Layer, Redacted, Schedule } from "effect"
import { redactText } from "../kernel/Redaction.ts"
import { Settings } from "../kernel/Settings.ts"

/** What may be said of a span: by the semantic conventions of OpenTelemetry, those for generative AI among them. */
const allowed: ReadonlySet<string> = new Set([
  "error.type",
  "gen_ai.agent.name",
  "gen_ai.conversation.id",
  "gen_ai.operation.name",
  "gen_ai.provider.name",
  "gen_ai.request.max_tokens",
  "gen_ai.request.model",
  "gen_ai.response.finish_reasons",
  "gen_ai.response.model",
  "gen_ai.tool.call.id",
  "gen_ai.tool.name",
  "gen_ai.tool.type",
  "gen_ai.usage.input_tokens",
  "gen_ai.usage.output_tokens",
  "http.request.method",
  "http.response.status_code",
  "http.route",
  "server.address",
  "server.port"
])

type Json = { readonly [key: string]: Json } | ReadonlyArray<Json> | string | number | boolean | null | undefined

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The library's own records, made of plain data; whatever is neither is left out. */
const plain = (value: unknown): Json => {
  if (typeof value === "string") return redactText(value)
  if (typeof value === "number" || typeof value === "boolean" || value === null) return value
  if (typeof value === "bigint") return String(value)
  if (Array.isArray(value)) return value.map(plain)
  if (!isRecord(value)) return undefined
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
}

const list = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

const field = (value: unknown, key: string): unknown => (isRecord(value) ? value[key] : undefined)

/** An identifier or a number of the trace, which is no text of anyone's. */
const kept = ["traceId", "spanId", "parentSpanId", "kind", "startTimeUnixNano", "endTimeUnixNano"] as const

const cleanSpan = (span: unknown): Json => {
  const attributes = list(field(span, "attributes")).filter((each) => allowed.has(String(field(each, "key"))))
  const code = field(field(span, "status"), "code")
  return {
    ...Object.fromEntries(kept.map((key) => [key, plainId(field(span, key))])),
    name: plain(field(span, "name")),
    attributes: attributes.map(plain),
    // Its events and the message of its status hold the texts of errors.
    events: [],
    links: [],
    status: { code: typeof code === "number" ? code : 0 }
  }
}

const plainId = (value: unknown): Json => (typeof value === "string" || typeof value === "number" ? value : undefined)

/** What is left of a batch of spans. */
export const cleanTraces = (data: unknown): Json => ({
  resourceSpans: list(field(data, "resourceSpans")).map((each) => ({
    resource: plain(field(each, "resource")),
    scopeSpans: list(field(each, "scopeSpans")).map((scope) => ({
      scope: plain(field(scope, "scope")),
      spans: list(field(scope, "spans")).map(cleanSpan)
    }))
  }))
})

/** `name=value,name=value`, each value as in a URL, as OpenTelemetry's own variable has it. Undefined for what is not that. */
export const parseHeaders = (text: string): Readonly<Record<string, string>> | undefined => {
  const entries: Array<readonly [string, string]> = []
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") continue
    const at = part.indexOf("=")
    const name = part.slice(0, Math.max(0, at)).trim()
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name)) return undefined
    try {
      const value = decodeURIComponent(part.slice(at + 1).trim())
      if (!/^[\x20-\x7e]*$/.test(value)) return undefined
      entries.push([name.toLowerCase(), value])
    } catch {
      return undefined
    }
  }
  return Object.fromEntries(entries)
}

/** For what is still to be sent when the gateway stops; it has ten seconds for all of that. */
const lastWords = "500 millis"

/** How often the process's own figures are taken, and all figures sent. */
const metricsEvery = "10 seconds"

const exporting = (version: string, otlpUrl: string, headers: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const Tracer = yield* Effect.promise(() => import("@effect/opentelemetry/OtlpTracer"))
    const MetricsExport = yield* Effect.promise(() => import("@effect/opentelemetry/OtlpMetrics"))
    const { OtlpSerialization } = yield* Effect.promise(() => import("@effect/opentelemetry/OtlpSerialization"))
    const HttpBody = yield* Effect.promise(() => import("@effect/platform/HttpBody"))
    const Fetch = yield* Effect.promise(() => import("@effect/platform/FetchHttpClient"))
    const { sampler } = yield* Effect.promise(() => import("./Metrics.ts"))
    const base = otlpUrl.replace(/\/+$/, "")
    const common = {
      resource: { serviceName: "ai-desk", serviceVersion: version },
      headers,
      shutdownTimeout: lastWords
    } as const
    const encoded = Layer.succeed(
      OtlpSerialization,
      OtlpSerialization.of({
        traces: (data) => HttpBody.unsafeJson(cleanTraces(data)),
        metrics: (data) => HttpBody.unsafeJson(plain(data)),
        logs: () => HttpBody.unsafeJson({ resourceLogs: [] })
      })
    )
    // A collector that sends elsewhere would get what was meant for another.
    const client = Layer.provide(Fetch.layer, Layer.succeed(Fetch.RequestInit, { redirect: "error" }))
    const sampling = Layer.scopedDiscard(
      Effect.flatMap(sampler, (take) =>
        Effect.forkScoped(Effect.repeat(Effect.withTracerEnabled(take, false), Schedule.spaced(metricsEvery)))
      )
    )
    return Layer.mergeAll(
      sampling,
      MetricsExport.layer({ ...common, url: `${base}/v1/metrics`, exportInterval: metricsEvery }),
      Tracer.layer({ ...common, url: `${base}/v1/traces` })
    ).pipe(Layer.provide(encoded), Layer.provide(client))
  })

/** Spans that nobody collects are not made: they cost a request more than its answer does. */
const untraced: Layer.Layer<never> = Layer.setTracerEnabled(false)

/** Traces nothing when `telemetry.otlpUrl` is not set; it is read once, at the start. */
export const layer = (version: string): Layer.Layer<never, never, Settings> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const { config, telemetryHeaders } = yield* (yield* Settings).current
      const { otlpUrl } = config.telemetry
      if (otlpUrl === undefined) return untraced
      const headers = telemetryHeaders === undefined ? {} : parseHeaders(Redacted.value(telemetryHeaders))
      if (headers === undefined) {
        yield* Effect.logError(
          `nothing is exported: ${config.telemetry.headersEnv} does not hold headers as name=value,name=value`
        )
        return untraced
      }
      return yield* exporting(version, otlpUrl, headers)
    })
  )
