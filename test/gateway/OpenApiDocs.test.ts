/** The OpenAPI document and its page: complete, clean by an independent linter, and shown to the right people. */
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as HttpApp from "@effect/platform/HttpApp"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Caller, type CallerInfo, localOwner, nobody } from "../../src/domain/Caller.ts"
import { document, make, owns, text } from "../../src/gateway/OpenApiDocs.ts"

const redocly = join(dirname(createRequire(import.meta.url).resolve("@redocly/cli/package.json")), "bin/cli.js")

const Report = Schema.parseJson(
  Schema.Struct({
    problems: Schema.Array(Schema.Struct({ ruleId: Schema.String, message: Schema.String, severity: Schema.String }))
  })
)

/** In a folder and environment of its own: offline, and nothing is sent home. */
const lint = (json: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "ai-desk-openapi-"))),
    (dir) =>
      Effect.async<ReadonlyArray<string>>((resume) => {
        writeFileSync(join(dir, "openapi.json"), json)
        const env = {
          PATH: process.env.PATH,
          HOME: dir,
          REDOCLY_TELEMETRY: "off",
          REDOCLY_SUPPRESS_UPDATE_NOTICE: "true"
        }
        const options = { cwd: dir, env, maxBuffer: 64 * 1024 * 1024 }
        execFile(process.execPath, [redocly, "lint", "--format", "json", "openapi.json"], options, (_, out) => {
          const { problems } = Schema.decodeUnknownSync(Report)(out.slice(out.indexOf("{")))
          resume(Effect.succeed(problems.map(({ message, ruleId, severity }) => `${severity} ${ruleId}: ${message}`)))
        })
      }),
    (dir) => Effect.sync(() => rmSync(dir, { recursive: true, force: true }))
  )

const get = (path: string, caller: CallerInfo, headers: Record<string, string> = {}, method = "GET") =>
  Effect.gen(function* () {
    const app = yield* make
    const handler = HttpApp.toWebHandlerRuntime(yield* Effect.runtime<never>())(
      Effect.provideService(app, Caller, caller)
    )
    return yield* Effect.promise(() => handler(new Request(`http://gateway.test${path}`, { headers, method })))
  })

const operations = () => Object.values(document().paths).flatMap((methods) => Object.values(methods))

describe("the OpenAPI document", () => {
  it.live("is clean by the linter's recommended rules, and the linter does look", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* lint(text()), [])
      const broken = text().replaceAll('"operationId":"agents.list"', '"operationId":"agents.show"')
      assert.isAbove((yield* lint(broken)).length, 0)
    })
  )

  it("says of every operation who may ask it, and asks no proof of those that anyone may", () => {
    for (const operation of operations()) {
      assert.notStrictEqual(operation["x-access"], "nobody", operation.operationId)
      assert.strictEqual(operation.security.length === 0, operation["x-access"] === "anyone", operation.operationId)
      assert.isNotEmpty(operation.summary)
    }
  })

  it.live("is for callers with a credential, and is not sent again to who has it", () =>
    Effect.gen(function* () {
      const refused = yield* get("/openapi.json", nobody)
      assert.strictEqual(refused.status, 401)
      assert.include(yield* Effect.promise(() => refused.text()), "Unauthenticated")
      const read: CallerInfo = { ...localOwner, scopes: ["read"], by: "token" }
      const sent = yield* get("/openapi.json", read)
      assert.strictEqual(sent.status, 200)
      assert.strictEqual(yield* Effect.promise(() => sent.text()), text())
      const again = yield* get("/openapi.json", read, { "if-none-match": sent.headers.get("etag") ?? "" })
      assert.strictEqual(again.status, 304)
      assert.strictEqual((yield* get("/openapi.json", read, {}, "POST")).status, 405)
    })
  )
})

describe("the page of the documentation", () => {
  it.live("names every operation and schema, runs no script and holds no style of its own", () =>
    Effect.gen(function* () {
      const answer = yield* get("/docs", nobody)
      assert.strictEqual(answer.status, 200)
      assert.include(answer.headers.get("content-security-policy") ?? "", "script-src 'none'")
      const page = yield* Effect.promise(() => answer.text())
      assert.notMatch(page, /<script|<style|\sstyle=|\son[a-z]+=|https?:\/\/(?!127\.0\.0\.1)/)
      for (const { operationId } of operations()) assert.include(page, `id="${operationId}"`)
      for (const name of Object.keys(document().components.schemas)) assert.include(page, `id="schema-${name}"`)
      // Every link within the page leads somewhere.
      for (const [, target = ""] of page.matchAll(/href="#([^"]+)"/g)) assert.include(page, `id="${target}"`)
    })
  )

  it("answers its own paths and no others", () => {
    assert.deepStrictEqual(["/openapi.json", "/docs", "/docs/", "/docs/x", "/openapi.jsonx"].map(owns), [
      true,
      true,
      true,
      false,
      false
    ])
  })
})
