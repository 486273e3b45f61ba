/**
 * The contract itself: every question is documented, has a status for each failure, and an OpenAPI
 * document; and everything that goes over the wire comes back as it went.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as OpenApi from "@effect/platform/OpenApi"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Context, FastCheck as fc, Option, Schema, SchemaAST } from "effect"
import { Api } from "../../src/contract/Api.ts"
import { GroundFailed, InternalFailure } from "../../src/contract/failures.ts"
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
  readonly errors: ReadonlyMap<number, string>
}

const endpoints: Array<Endpoint> = []
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ endpoint, errors, group, mergedAnnotations }) => {
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
          Option.match(ast, { onNone: () => "", onSome: (found) => JSON.stringify(found) })
        ])
      )
    })
  }
})

const keyOf = ({ group, name }: Endpoint) => `${group}.${name}`

describe("every endpoint", () => {
  it("is there", () => assert.isAtLeast(endpoints.length, 22))

  for (const endpoint of endpoints) {
    it(`${keyOf(endpoint)} says what it is for, and stands under its group's path`, () => {
      assert.match(endpoint.summary, /^[A-Z][^.]+$/, "a summary of a few words, without a full stop")
      assert.isAbove(endpoint.description.length, 0)
      const under =
        endpoint.path === `/dashboard/api/${endpoint.group}` ||
        endpoint.path.startsWith(`/dashboard/api/${endpoint.group}/`)
      assert.isTrue(under, endpoint.path)
      assert.isTrue(endpoint.method !== "GET" || !/set|remove|clear|stop|rotate/.test(endpoint.name))
    })
  }

  it("has a path and method of its own", () => {
    const asked = endpoints.map(({ method, path }) => `${method} ${path}`)
    assert.lengthOf(new Set(asked), asked.length)
  })

  const statuses: Readonly<Record<string, ReadonlyArray<number>>> = {
    "agents.list": [400, 500],
    "approvals.pending": [400, 500],
    "approvals.answer": [400, 409, 500, 503],
    "audit.export": [400, 500, 503],
    "audit.tail": [400, 500, 503],
    "audit.verify": [400, 500, 503],
    "budget.resume": [400, 404, 500, 503],
    "budget.show": [400, 500, 503],
    "cache.clear": [400, 500, 503],
    "cache.purge": [400, 500, 503],
    "cache.stats": [400, 500, 503],
    "credentials.list": [400, 500, 503],
    "credentials.remove": [400, 500, 503],
    "credentials.set": [400, 500, 503],
    "keys.rotateData": [400, 500, 503],
    "keys.rotatePassphrase": [400, 500, 503],
    "runs.resume": [400, 500],
    "runs.start": [400, 500],
    "runs.stop": [400, 500],
    "security.audit": [400, 500, 503],
    "security.sandboxCheck": [400, 500, 503],
    "sessions.export": [400, 404, 500, 503],
    "sessions.list": [400, 500, 503],
    "sessions.show": [400, 404, 500, 503]
  }
  it("fails with the statuses that are written here", () => {
    const found = Object.fromEntries(
      endpoints.map((endpoint) => [keyOf(endpoint), [...endpoint.errors.keys()].sort((a, b) => a - b)])
    )
    assert.deepStrictEqual(found, statuses)
  })
})

describe("the OpenAPI document", () => {
  const document = OpenApi.fromApi(Api)

  it("has every endpoint, with its summary", () => {
    const operations = Object.values(document.paths).flatMap((path) => Object.values(path))
    assert.lengthOf(operations, endpoints.length)
    assert.isTrue(operations.every((operation) => (operation.summary ?? "") !== ""))
    assert.strictEqual(document.info.title, "Ai_DESK")
  })

  it("is plain JSON", () => assert.deepStrictEqual(JSON.parse(JSON.stringify(document)).openapi, document.openapi))
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
