/** Requests that nobody meant, for every route of the contract: made from its schemas, valid or spoilt. */
import * as HttpApi from "@effect/platform/HttpApi"
import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import { Arbitrary, Either, FastCheck as fc, Option, Schema, type SchemaAST } from "effect"
import { Api, type GroupName } from "../../src/contract/Api.ts"

export interface Route {
  readonly group: GroupName
  readonly name: string
  readonly endpoint: HttpApiEndpoint.HttpApiEndpoint.AnyWithProps
  readonly access: string
  readonly answers: ReadonlyMap<number, Option.Option<SchemaAST.AST>>
}

export const routes: Array<Route> = []
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ endpoint, errors, group, middleware, successes }) => {
    const both = [...successes, ...errors].map(([status, { ast }]) => [status, ast] as const)
    routes.push({
      // The names of the groups are the keys of the app's handlers; an unknown one fails to start below.
      group: group.identifier as GroupName,
      name: `${group.identifier}.${endpoint.name}`,
      endpoint: endpoint as unknown as HttpApiEndpoint.HttpApiEndpoint.AnyWithProps,
      access: [...middleware][0]?.key.replace(/^.*\//, "") ?? "",
      answers: new Map(both)
    })
  }
})

export interface Asked {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
}

const nasty = fc.oneof(
  fc.constantFrom<unknown>(null, true, -1, 1e308, 0.5, "", "\0", "\ud800", "../../etc/passwd", "%00", "=cmd()", [], {}),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constant("x".repeat(70_000)),
  fc.constant("é€😀‮".repeat(2000)),
  fc.jsonValue({ maxDepth: 4 }),
  fc.constant(JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}')),
  fc.constant(JSON.parse(`${'{"a":'.repeat(55)}0${"}".repeat(55)}`))
)

const encoded = (schema: Schema.Schema.All): fc.Arbitrary<unknown> => {
  // The contract's schemas need nothing from a context.
  const plain = schema as Schema.Schema.AnyNoContext
  const encode = Schema.encodeEither(plain)
  return Arbitrary.make(plain).map((value) => Either.getOrElse(encode(value), () => ({})))
}

/** Now and then one field is something else, is gone, or there is one more. */
const spoilt = (base: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 4, arbitrary: base },
    { weight: 1, arbitrary: nasty },
    {
      weight: 4,
      arbitrary: fc
        .tuple(base, nasty, fc.nat(), fc.constantFrom("set", "drop", "add"))
        .map(([value, other, at, how]) => {
          if (typeof value !== "object" || value === null) return other
          const entries = Object.entries(value)
          const index = entries.length === 0 ? 0 : at % entries.length
          if (how === "add") return Object.fromEntries([...entries, ["__proto__x", other]])
          return Object.fromEntries(
            entries.flatMap(([key, inner], i) => (i !== index ? [[key, inner]] : how === "drop" ? [] : [[key, other]]))
          )
        })
    }
  )

const text = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? ""))

const optional = (schema: Option.Option<Schema.Schema.All>): fc.Arbitrary<unknown> =>
  Option.match(schema, { onNone: () => fc.constant({}), onSome: (found) => encoded(found) })

const entriesOf = (value: unknown): ReadonlyArray<readonly [string, unknown]> =>
  typeof value === "object" && value !== null ? Object.entries(value) : []

const inPath = (value: unknown): string => {
  const made = encodeURIComponent(text(value).slice(0, 60).toWellFormed())
  // The router takes a longer part for no path of its own; that is a 404 before any endpoint.
  return made === "" || made.length > 100 ? "x" : made
}

export const requestTo = ({ endpoint }: Route): fc.Arbitrary<Asked> => {
  const hasBody = endpoint.payloadSchema._tag === "Some" && endpoint.method !== "GET" && endpoint.method !== "DELETE"
  const body = Option.match(endpoint.payloadSchema, {
    onNone: () => fc.constant(undefined),
    onSome: (schema) => spoilt(encoded(schema))
  })
  return fc
    .record({
      path: spoilt(optional(endpoint.pathSchema)),
      query: spoilt(optional(endpoint.urlParamsSchema)),
      headers: optional(endpoint.headersSchema),
      whatever: fc.boolean(),
      body,
      twice: fc.nat({ max: 9 }).map((n) => n === 0),
      kind: fc.oneof(
        { weight: 8, arbitrary: fc.constant("application/json") },
        {
          weight: 1,
          arbitrary: fc.constantFrom("text/plain", "application/x-www-form-urlencoded", "x")
        }
      ),
      cut: fc.nat({ max: 12 })
    })
    .map(({ body: payload, cut, headers, kind, path, query, twice, whatever }) => {
      const parts = new Map(entriesOf(path))
      const place = endpoint.path.replaceAll(/:(\w+)/g, (_, name: string) => inPath(parts.get(name) ?? "x"))
      const pairs = entriesOf(query).flatMap(([key, value]) => {
        const pair = `${encodeURIComponent(key.toWellFormed())}=${encodeURIComponent(text(value).toWellFormed().slice(0, 3000))}`
        return twice ? [pair, pair] : [pair]
      })
      const json = text(payload === undefined ? {} : payload)
      const sent = entriesOf(headers).flatMap(([key, value]) =>
        typeof value === "string" ? [[key, value.replaceAll(/[^\x20-\x7e]/g, "")]] : []
      )
      return {
        method: endpoint.method,
        url: `http://gateway.test${place}${pairs.length === 0 ? "" : `?${pairs.join("&")}`}`,
        headers: {
          ...(hasBody ? { "content-type": kind } : {}),
          ...Object.fromEntries(sent),
          ...(whatever && endpoint.headersSchema._tag === "Some" ? { "if-match": "*" } : {})
        },
        body: hasBody ? (cut === 0 ? json.slice(0, json.length / 2) : json) : null
      }
    })
}
