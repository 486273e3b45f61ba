/** An OpenTelemetry collector on this machine that keeps whatever it is sent. */
import { createServer } from "node:http"
import { Effect, Schema } from "effect"

const Value = Schema.Struct({
  stringValue: Schema.optional(Schema.String),
  intValue: Schema.optional(Schema.Union(Schema.Number, Schema.String)),
  doubleValue: Schema.optional(Schema.Number),
  boolValue: Schema.optional(Schema.Boolean),
  arrayValue: Schema.optional(Schema.Unknown)
})
const Attributes = Schema.Array(Schema.Struct({ key: Schema.String, value: Value }))
const Span = Schema.Struct({
  traceId: Schema.String.pipe(Schema.pattern(/^[0-9a-f]{32}$/)),
  spanId: Schema.String.pipe(Schema.pattern(/^[0-9a-f]{16}$/)),
  parentSpanId: Schema.optional(Schema.String),
  name: Schema.String,
  kind: Schema.Number,
  startTimeUnixNano: Schema.String.pipe(Schema.pattern(/^\d+$/)),
  endTimeUnixNano: Schema.String.pipe(Schema.pattern(/^\d+$/)),
  attributes: Attributes,
  events: Schema.Array(Schema.Unknown),
  status: Schema.Struct({ code: Schema.Number, message: Schema.optional(Schema.String) })
})
const Traces = Schema.parseJson(
  Schema.Struct({
    resourceSpans: Schema.Array(
      Schema.Struct({
        resource: Schema.Struct({ attributes: Attributes }),
        scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) }))
      })
    )
  })
)
export type Span = typeof Span.Type

export interface Received {
  readonly path: string
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: string
}

export const attribute = ({ attributes }: { readonly attributes: typeof Attributes.Type }, key: string) => {
  const found = attributes.find((each) => each.key === key)?.value
  return found?.stringValue ?? (found?.intValue === undefined ? found?.doubleValue : Number(found.intValue))
}

export const open = Effect.acquireRelease(
  Effect.async<{ readonly url: string; readonly received: Array<Received>; readonly close: () => void }>((resume) => {
    const received: Array<Received> = []
    const server = createServer((request, response) => {
      let body = ""
      request.setEncoding("utf8").on("data", (text: string) => (body += text))
      request.on("end", () => {
        received.push({ path: request.url ?? "", headers: request.headers, body })
        response.writeHead(200, { "content-type": "application/json" }).end("{}")
      })
    })
    server.listen(0, "127.0.0.1", () => {
      const at = server.address()
      const port = typeof at === "object" && at !== null ? at.port : 0
      const close = () => (server.close(), server.closeAllConnections())
      resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, received, close }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const decode = Schema.decodeUnknownSync(Traces)

/** Every span that came, read strictly. */
export const spansOf = (received: ReadonlyArray<Received>): ReadonlyArray<Span> =>
  received
    .filter(({ path }) => path === "/v1/traces")
    .flatMap(({ body }) => decode(body).resourceSpans)
    .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))

export const resourcesOf = (received: ReadonlyArray<Received>) =>
  received
    .filter(({ path }) => path === "/v1/traces")
    .flatMap(({ body }) => decode(body).resourceSpans.map(({ resource }) => resource))
