/**
 * The contract itself: every question is documented, has a status for each failure, and an OpenAPI
 * document; and everything that goes over the wire comes back as it went.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Context, FastCheck as fc, Option, Schema, SchemaAST } from "effect"
import { Api } from "../../src/contract/Api.ts"
import { Forbidden, Refused } from "../../src/contract/access.ts"
import { GroundFailed, InternalFailure, worded } from "../../src/contract/failures.ts"
import { KeyRotated } from "../../src/contract/keys.ts"
import { RunEventJson, RunFailureJson, StartRun } from "../../src/contract/runs.ts"
import { Agent } from "../../src/domain/Agent.ts"
import { AuditEntry, AuditReport } from "../../src/domain/Audit.ts"
import { AgentBudget } from "../../src/domain/Budget.ts"
import { CacheStats } from "../../src/domain/Cache.ts"
import { CredentialInfo } from "../../src/domain/Credential.ts"
import { SandboxProbe, SecurityCheck } from "../../src/domain/Security.ts"
import { SessionLog, SessionSummary } from "../../src/domain/Session.ts"
import { ApprovalDecision, ApprovalRequest } from "../../src/domain/Tool.ts"

interface Endpoint {
  readonly group: string
  readonly name: string
  readonly method: string
  readonly path: string
  readonly summary: string
  readonly description: string
  /** Names of the errors by status. */
  readonly errors: ReadonlyMap<number, ReadonlyArray<string>>
  /** Names of the access rules. */
  readonly access: ReadonlyArray<string>
}

const membersOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> =>
  SchemaAST.isUnion(ast) ? ast.types.flatMap(membersOf) : [ast]
const nameOf = (ast: SchemaAST.AST) => Option.getOrElse(SchemaAST.getJSONIdentifier(ast), () => `${ast}`)
const statusesOf = (ast: SchemaAST.AST) => Map.groupBy(membersOf(ast), HttpApiSchema.getStatusErrorAST)

const endpoints: Array<Endpoint> = []
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ endpoint, errors, group, mergedAnnotations, middleware }) => {
    endpoints.push({
      group: group.identifier,
      name: endpoint.name,
      method: endpoint.method,
      path: endpoint.path,
      summary: Option.getOrElse(Context.getOption(endpoint.annotations, OpenApi.Summary), () => ""),
      description: Option.getOrElse(Context.getOption(mergedAnnotations, OpenApi.Description), () => ""),
      errors: new Map(
        [...errors].map(([status, { ast }]) => [
          status,
          Option.match(ast, { onNone: () => [], onSome: (found) => membersOf(found).map(nameOf) })
        ])
      ),
      access: [...middleware].map(({ key }) => key.replace("ai-desk/contract/", ""))
    })
  }
})

const keyOf = ({ group, name }: Endpoint) => `${group}.${name}`

describe("every endpoint", () => {
  it("is there", () => assert.isAtLeast(endpoints.length, 22))

  for (const endpoint of endpoints) {
    it(`${keyOf(endpoint)} says what it is for, and stands under its group's path`, () => {
      assert.match(endpoint.summary, /^[A-Z].*[^.]$/, "a summary of a few words, without a full stop")
      assert.isAbove(endpoint.description.length, 0)
      // What other programs look for stands where they look for it.
      assert.match(
        endpoint.path,
        new RegExp(`^(/dashboard/api/${endpoint.group}(/|$)|/v1/|/(healthz|readyz|metrics)$)`)
      )
      assert.isTrue(endpoint.method !== "GET" || !/set|remove|clear|stop|rotate/.test(endpoint.name))
    })
  }

  it("has a path and method of its own", () => {
    const asked = endpoints.map(({ method, path }) => `${method} ${path}`)
    assert.lengthOf(new Set(asked), asked.length)
  })

  it("can be refused by its access rule, and is answered in a documented way when anything breaks", () => {
    const refusals = statusesOf(Refused.ast)
    assert.deepStrictEqual([...refusals.keys()].sort(), [401, 403, 413, 415, 421, 429])
    for (const endpoint of endpoints) {
      const all = [...refusals.keys(), 400, 500]
      assert.includeMembers([...endpoint.errors.keys()], all, keyOf(endpoint))
    }
  })

  it("names one access rule, and only looks under a rule for readers", () => {
    for (const endpoint of endpoints) {
      assert.lengthOf(endpoint.access, 1, keyOf(endpoint))
      const [rule = ""] = endpoint.access
      assert.include(["Owns", "Reads", "Chats", "Sees", "Calls", "Open"], rule, keyOf(endpoint))
      if (rule === "Reads" || rule === "Sees") assert.strictEqual(endpoint.method, "GET", keyOf(endpoint))
    }
  })

  it("fails with statuses that say what they mean, the same one for the same error everywhere", () => {
    const found = new Map<string, Set<number>>()
    for (const { errors } of endpoints) {
      for (const [status, names] of errors) {
        for (const name of names) found.set(name, (found.get(name) ?? new Set()).add(status))
      }
    }
    for (const [name, statuses] of found) {
      const [status = 0, ...others] = statuses
      assert.deepStrictEqual(others, [], name)
      if (name.endsWith("NotFound")) assert.strictEqual(status, 404, name)
      if (name.endsWith("Corrupt") || name === "InternalFailure") assert.strictEqual(status, 500, name)
      if (name === "GroundFailed" || name.endsWith("Unavailable")) assert.strictEqual(status, 503, name)
    }
  })
})

/** As much of a JSON Schema as is looked at here. */
const Shape = Schema.Struct({
  $ref: Schema.optional(Schema.String),
  anyOf: Schema.optional(Schema.Array(Schema.Unknown)),
  required: Schema.optional(Schema.Array(Schema.String))
})

describe("the OpenAPI document", () => {
  const document = OpenApi.fromApi(Api)

  it("has every endpoint, with its summary", () => {
    const operations = Object.values(document.paths).flatMap((path) => Object.values(path))
    assert.lengthOf(operations, endpoints.length)
    assert.isTrue(operations.every((operation) => (operation.summary ?? "") !== ""))
    assert.strictEqual(document.info.title, "Ai_DESK")
  })

  it("says of every failure what is wrong, in words", () => {
    const named: Readonly<Record<string, unknown>> = document.components.schemas
    const resolve = (schema: unknown): ReadonlyArray<unknown> => {
      const { $ref, anyOf } = Schema.decodeUnknownSync(Shape)(schema)
      if ($ref !== undefined) return resolve(named[$ref.replace("#/components/schemas/", "")])
      return anyOf === undefined ? [schema] : anyOf.flatMap(resolve)
    }
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, { responses }] of Object.entries(operations)) {
        for (const [status, { content }] of Object.entries(responses)) {
          if (Number(status) < 400) continue
          const alternatives = resolve(content?.["application/json"]?.schema)
          assert.isAbove(alternatives.length, 0)
          for (const alternative of alternatives) {
            const { required } = Schema.decodeUnknownSync(Shape)(alternative)
            // The compatible endpoints fail in their vendors' form, which has the words inside.
            const words = path.startsWith("/v1/") && !required?.includes("message") ? "error" : "message"
            assert.include(required ?? [], words, `${method} ${path} ${status}`)
          }
        }
      }
    }
  })

  it("is plain JSON", () => assert.deepStrictEqual(JSON.parse(JSON.stringify(document)).openapi, document.openapi))
})

describe("each group", () => {
  const root = join(import.meta.dirname, "../../src")
  const groups = [...new Set(endpoints.map(({ group }) => group))]

  for (const group of groups) {
    it(`${group} is one file of the contract and one that answers it, under one name`, async () => {
      const contract: Readonly<Record<string, unknown>> = await import(join(root, `contract/${group}.ts`))
      const apis = Object.keys(contract).filter((name) => name.endsWith("Api"))
      assert.deepStrictEqual(
        apis.map((name) => name.toLowerCase()),
        [`${group}api`]
      )
      const handlers = readFileSync(join(root, `gateway/handlers/${group}.ts`), "utf8")
      assert.include(handlers, `HttpApiBuilder.group(${apis[0]}, "${group}"`)
      const app = readFileSync(join(root, "App.ts"), "utf8")
      assert.match(app, new RegExp(`^  ${group}: (answered|HttpApiBuilder)`, "m"), "its routes")
      assert.match(app, new RegExp(`^    ${group}: (Layer\\.|routes\\.${group}\\b)`, "m"), "the parts that it needs")
    })
  }

  it("is the only kind of thing that answers: no handlers are left over", () => {
    const answering = readdirSync(join(root, "gateway/handlers"))
      .filter((name) => readFileSync(join(root, "gateway/handlers", name), "utf8").includes("HttpApiBuilder.group("))
      .map((name) => name.replace(".ts", ""))
    assert.sameMembers(answering, groups)
  })
})

describe("an error over the wire", () => {
  const failure = new GroundFailed({ kind: "DatabaseError", detail: "the disk is full", fix: "free some space" })
  const wire = worded(GroundFailed)
  const body = { _tag: "GroundFailed", kind: "DatabaseError", detail: "the disk is full", fix: "free some space" }

  it("has its words beside its fields", () =>
    assert.deepStrictEqual<unknown>(Schema.encodeSync(wire)(failure), { ...body, message: "the disk is full" }))

  it("is the same error again, whatever words came with it", () => {
    const read = Schema.decodeUnknownSync(wire)({ ...body, message: "all is well" })
    assert.instanceOf(read, GroundFailed)
    assert.deepStrictEqual(read, failure)
    assert.strictEqual(read.message, "the disk is full")
  })

  it("keeps its status, and has a fix only if it knows one", () => {
    assert.strictEqual(HttpApiSchema.getStatusErrorAST(wire.ast), 503)
    const forbidden = Schema.encodeSync(worded(Forbidden))(new Forbidden({ detail: "no" }))
    assert.deepStrictEqual<unknown>(forbidden, { _tag: "Forbidden", detail: "no", message: "no" })
  })
})

describe("what goes over the wire comes back as it went", () => {
  const schemas: Readonly<Record<string, Schema.Schema.AnyNoContext>> = {
    Agent,
    AgentBudget,
    ApprovalDecision,
    ApprovalRequest,
    AuditEntry,
    AuditReport,
    CacheStats,
    CredentialInfo,
    GroundFailed,
    InternalFailure,
    KeyRotated,
    RunEventJson,
    RunFailureJson,
    SandboxProbe,
    SecurityCheck,
    SessionLog,
    SessionSummary,
    StartRun
  }
  for (const [name, schema] of Object.entries(schemas)) {
    it(name, () => {
      const json = SchemaAST.isTransformation(schema.ast) && name.endsWith("Json") ? schema : Schema.parseJson(schema)
      const encode = Schema.encodeSync(json)
      const decode = Schema.decodeUnknownSync(json)
      fc.assert(
        fc.property(Arbitrary.make(schema), (value) => {
          const text = encode(value)
          // Tool arguments are any JSON, in which -0 is 0: what was read is compared, and what it is written as.
          assert.strictEqual(encode(decode(text)), text)
        }),
        { numRuns: 60 }
      )
    })
  }

  it("a message is refused when it is empty or endless, and nothing in between is", () => {
    const is = Schema.is(StartRun.fields.message)
    assert.isFalse(is(""))
    assert.isFalse(is(" \n\t"))
    assert.isTrue(is("x".repeat(200_000)))
    assert.isFalse(is("x".repeat(200_001)))
  })
})
