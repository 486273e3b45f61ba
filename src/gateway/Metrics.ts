/**
 * Metrics: GET /metrics, in Prometheus' text format 0.0.4, for whoever has the scope `read`; and the
 * counting of HTTP requests. To mount: `make` for the path /metrics, and the door as `observing` has
 * it, so that what the door refuses is counted too.
 *
 * Guarantees: a route is one of a fixed list, whatever path was asked for; no figure carries what was
 * said, by whom or from where.
 */
import { monitorEventLoopDelay } from "node:perf_hooks"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Clock, Effect, Metric, MetricKeyType, type MetricPair, MetricState, type Scope } from "effect"
import { Forbidden, Unauthenticated } from "../contract/access.ts"
import { Caller, may } from "../domain/Caller.ts"
import * as Meters from "../kernel/Meters.ts"
import type { App, Door } from "./Door.ts"

// --- The text format ---

const name = (raw: string): string => raw.replaceAll(/[^a-zA-Z0-9_:]/g, "_").replace(/^(?=\d)/, "_")

const labelName = (raw: string): string => name(raw).replaceAll(":", "_")

const escapeHelp = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

const escapeLabel = (text: string): string => escapeHelp(text).replaceAll('"', '\\"')

const number = (value: number | bigint): string => {
  if (value === Number.POSITIVE_INFINITY) return "+Inf"
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value)
}

type Label = readonly [name: string, value: string]

const sample = (metric: string, labels: ReadonlyArray<Label>, value: number | bigint): string => {
  const inside = labels.map(([key, text]) => `${labelName(key)}="${escapeLabel(text)}"`).join(",")
  return `${metric}${inside === "" ? "" : `{${inside}}`} ${number(value)}`
}

type Pair = MetricPair.MetricPair.Untyped

const typeOf = ({ metricKey: { keyType } }: Pair): string => {
  if (MetricKeyType.isCounterKey(keyType)) return keyType.incremental ? "counter" : "gauge"
  if (MetricKeyType.isFrequencyKey(keyType)) return "counter"
  if (MetricKeyType.isHistogramKey(keyType)) return "histogram"
  return MetricKeyType.isSummaryKey(keyType) ? "summary" : "gauge"
}

const samples = (metric: string, { metricKey, metricState: state }: Pair): ReadonlyArray<string> => {
  const labels = metricKey.tags.map(({ key, value }): Label => [key, value])
  if (MetricState.isCounterState(state)) return [sample(metric, labels, state.count)]
  if (MetricState.isGaugeState(state)) return [sample(metric, labels, state.value)]
  if (MetricState.isFrequencyState(state)) {
    return [...state.occurrences].map(([key, count]) => sample(metric, [...labels, ["key", key]], count))
  }
  if (MetricState.isHistogramState(state)) {
    const buckets = state.buckets.filter(([bound]) => Number.isFinite(bound))
    return [
      ...buckets.map(([bound, count]) => sample(`${metric}_bucket`, [...labels, ["le", number(bound)]], count)),
      sample(`${metric}_bucket`, [...labels, ["le", "+Inf"]], state.count),
      sample(`${metric}_sum`, labels, state.sum),
      sample(`${metric}_count`, labels, state.count)
    ]
  }
  if (MetricState.isSummaryState(state)) {
    return [
      ...state.quantiles.flatMap(([quantile, value]) =>
        value._tag === "Some" ? [sample(metric, [...labels, ["quantile", number(quantile)]], value.value)] : []
      ),
      sample(`${metric}_sum`, labels, state.sum),
      sample(`${metric}_count`, labels, state.count)
    ]
  }
  return []
}

/** All of one name stand together below its help and type, as the format asks. */
export const render = (pairs: ReadonlyArray<Pair>): string => {
  const groups = Map.groupBy(pairs, ({ metricKey }) => name(metricKey.name))
  const lines = [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([metric, [first, ...rest]]) => {
      if (first === undefined) return []
      const type = typeOf(first)
      const help = first.metricKey.description
      return [
        ...(help._tag === "Some" ? [`# HELP ${metric} ${escapeHelp(help.value)}`] : []),
        `# TYPE ${metric} ${type}`,
        // One name with two types would be two metrics; the first one counts.
        ...[first, ...rest].filter((pair) => typeOf(pair) === type).flatMap((pair) => samples(metric, pair))
      ]
    })
  return `${lines.join("\n")}\n`
}

// --- The process ---

const resident = Metric.gauge("process_resident_memory_bytes", { description: "Resident memory." })
const cpu = Metric.counter("process_cpu_seconds_total", {
  description: "User and system time used.",
  incremental: true
})
const lag = Metric.gauge("ai_desk_event_loop_lag_seconds", {
  description: "How late the event loop was since the figures were last taken, by quantile."
})
/** Of the whole process, whoever takes the figures: it must not be counted twice. */
let countedCpu = 0

const lagResolutionMs = 20

// What is measured is the whole pause between two looks; its own share is no lag.
const late = (nanos: number): number => (Number.isFinite(nanos) ? Math.max(0, nanos / 1e9 - lagResolutionMs / 1000) : 0)

const watchingDelay = Effect.acquireRelease(
  Effect.sync(() => {
    const histogram = monitorEventLoopDelay({ resolution: lagResolutionMs })
    histogram.enable()
    return histogram
  }),
  (histogram) => Effect.sync(() => histogram.disable())
)

/** Takes the process's own figures into the registry, whenever it is run. */
export const sampler: Effect.Effect<Effect.Effect<void>, never, Scope.Scope> = Effect.map(watchingDelay, (delay) =>
  Effect.sync(() => {
    Meters.add(resident, process.memoryUsage.rss())
    const { system, user } = process.cpuUsage()
    const used = (system + user) / 1e6
    Meters.add(cpu, Math.max(0, used - countedCpu))
    countedCpu = used
    Meters.add(lag, late(delay.percentile(50)), { quantile: "0.5" })
    Meters.add(lag, late(delay.percentile(99)), { quantile: "0.99" })
    Meters.add(lag, late(delay.max), { quantile: "1" })
    delay.reset()
  })
)

// --- The page ---

const refuse = (error: Unauthenticated | Forbidden, status: number) =>
  HttpServerResponse.unsafeJson(
    { _tag: error._tag, message: error.message, ...("fix" in error ? { fix: error.fix } : {}) },
    { status }
  )

/** Answers /metrics, whatever else the path has; ends with the scope in which it was made. */
export const make: Effect.Effect<App, never, Scope.Scope> = Effect.map(sampler, (take) =>
  Effect.gen(function* () {
    const caller = yield* Caller
    if (caller.by === "nobody") return refuse(new Unauthenticated({ reason: "missing" }), 401)
    if (!may(caller, "read")) return refuse(new Forbidden({ detail: "this needs the scope owner or read" }), 403)
    const { method } = yield* HttpServerRequest.HttpServerRequest
    if (method !== "GET" && method !== "HEAD") {
      return HttpServerResponse.unsafeJson(
        { _tag: "MethodNotAllowed", message: "the figures can only be read" },
        { status: 405, headers: { allow: "GET, HEAD" } }
      )
    }
    yield* take
    const text = render(Metric.unsafeSnapshot())
    return HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
  })
)

// --- Counting requests ---

const others: ReadonlySet<string> = new Set([
  ...["/", "/login", "/logout", "/dashboard", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics", "/setup"],
  ...["/v1/models", "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"],
  ...["/dashboard/api/chat", "/dashboard/api/events"]
])

/** One of few, whatever was asked for. `groups` are the names behind /dashboard/api/. */
export const routeOf = (url: string, groups: ReadonlySet<string>): string => {
  const path = url.split(/[?#]/, 1)[0] ?? ""
  if (others.has(path)) return path
  const group = /^\/dashboard\/api\/([a-z]+)(?:\/|$)/.exec(path)?.[1]
  if (group !== undefined && groups.has(group)) return `/dashboard/api/${group}`
  const top = /^\/(dashboard|docs|setup|assets)\//.exec(path)?.[1]
  return top === undefined || path.startsWith("/dashboard/api/") ? "other" : `/${top}`
}

/** Others than these do not come from a client of ours. */
const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

const held = (kind: "sse" | "ws") =>
  Effect.acquireRelease(
    Effect.sync(() => Meters.add(Meters.httpOpen, 1, { kind })),
    () => Effect.sync(() => Meters.add(Meters.httpOpen, -1, { kind }))
  )

/** Counts what the app answers, and traces it. A stream counts as open until the request's scope closes. */
export const observe = (app: App, groups: ReadonlySet<string>): App =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const route = routeOf(request.url, groups)
    const method = methods.has(request.method) ? request.method : "other"
    const began = yield* Clock.currentTimeMillis
    const count = (status: string) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        Meters.add(Meters.httpRequests, 1, { method, route, status })
        Meters.add(Meters.httpSeconds, Math.max(0, now - began) / 1000, { route })
      })
    if (request.headers["upgrade"]?.toLowerCase() === "websocket") yield* held("ws")
    return yield* app.pipe(
      Effect.tap((response) =>
        Effect.gen(function* () {
          yield* count(String(response.status))
          yield* Effect.annotateCurrentSpan("http.response.status_code", response.status)
          if (response.headers["content-type"]?.startsWith("text/event-stream") === true) yield* held("sse")
        })
      ),
      Effect.tapErrorCause(() => count("none")),
      Effect.withSpan(`${method} ${route}`, {
        kind: "server",
        attributes: { "http.request.method": method, "http.route": route }
      })
    )
  })

/** The same door, and what it answers is counted; also what it refuses. */
export const observing = (door: typeof Door.Service, groups: ReadonlyArray<string>): typeof Door.Service => {
  const known = new Set(groups)
  return { ...door, guard: (app) => observe(door.guard(app), known) }
}
