/** Changes of ai-desk.json: what they keep, what they refuse, and that nothing is ever half-written. */
import { chmodSync, lstatSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Layer } from "effect"
import { applyEdits, modify } from "jsonc-parser"
import { owner } from "../../src/domain/Ids.ts"
import { hiddenValue } from "../../src/domain/SettingsEdit.ts"
import { Audit, layer as auditLayer } from "../../src/kernel/Audit.ts"
import { AuditUnavailable } from "../../src/domain/Audit.ts"
import { Settings } from "../../src/kernel/Settings.ts"
import { SettingsFile, withoutSecrets } from "../../src/kernel/SettingsFile.ts"
import { edited, isRecord, type JsonRecord, meaning, mergeSteps } from "../../src/kernel/settings/Edit.ts"
import * as App from "../../src/App.ts"
import * as Path from "../support/path.ts"

const withFile = <A, E>(
  place: Path.Place,
  effect: Effect.Effect<A, E, SettingsFile | Settings | Audit>,
  replaced: Partial<App.Parts> = {}
) => {
  const { settingsFile, shared } = App.stack(place.options, { ...App.parts, ...replaced })
  return Effect.provide(effect, Layer.fresh(Layer.provideMerge(settingsFile, shared)))
}

const patch = (value: JsonRecord, ifVersion: string | null = "*") =>
  Effect.flatMap(SettingsFile, (file) =>
    file.change({ principal: owner, ifVersion, steps: (there) => Effect.succeed(mergeSteps(there, value)) })
  )

const commented = (workspace: string) => `{
    // The one who answers.
    "agents": {
        "list": [
            { "id": "main", "workspace": ${JSON.stringify(workspace)}, /* slow but good */ "model": { "primary": "rehearsal/rehearsal-1" } },
        ],
    },
    "log": { "level": "error" }, // quiet
}
`

describe("a change of the settings file", () => {
  it.live("is in force and recorded when it returns, and leaves comments, layout and mode as they were", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      writeFileSync(place.config, commented(place.workspace))
      chmodSync(place.config, 0o640)
      yield* withFile(
        place,
        Effect.gen(function* () {
          const file = yield* SettingsFile
          const before = yield* file.read
          const done = yield* patch({ cache: { ttlSeconds: 60 }, log: null }, before.version)
          assert.deepStrictEqual(done.changed, ["cache", "log"])
          assert.strictEqual((yield* (yield* Settings).current).config.cache.ttlSeconds, 60)
          const text = readFileSync(place.config, "utf8")
          assert.include(text, "    // The one who answers.")
          assert.include(text, "/* slow but good */")
          assert.include(text, '    "cache": {')
          assert.notInclude(text, '"log"')
          assert.strictEqual(statSync(place.config).mode & 0o777, 0o640)
          assert.strictEqual((yield* file.read).version, done.version)
          const [entry] = yield* (yield* Audit).tail({ type: "config.changed", limit: 5 })
          assert.deepInclude(entry?.event.data, { from: before.version, to: done.version, settings: "cache log" })
          assert.strictEqual(entry?.event.principal, owner)
        })
      )
    }).pipe(Effect.scoped)
  )

  const refusals: ReadonlyArray<readonly [string, JsonRecord, string, RegExp]> = [
    ["a value of the wrong kind", { gateway: { port: "x" } }, "SettingsRefused", /gateway\.port/],
    ["an unknown key", { cach: { ttlSeconds: 5 } }, "SettingsRefused", /cach.*unknown.*cache/],
    ["a mode without proof", { gateway: { auth: { mode: "none" } } }, "SettingsRefused", /auth\.mode/],
    ["JavaScript's own names", JSON.parse('{"__proto__":{"polluted":true}}'), "SettingsRefused", /reserved/],
    [
      "a workspace that holds the config",
      { agents: { list: [{ id: "main", workspace: "." }] } },
      "SettingsRefused",
      /workspace/
    ],
    [
      "the words for a hidden value",
      { log: { level: hiddenValue } },
      "SettingsRefused",
      /log: expected a value of your own/
    ],
    ["a deep value", { prices: JSON.parse(`${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`) }, "SettingsRefused", /./]
  ]
  for (const [what, value, tag, words] of refusals) {
    it.live(`is refused for ${what}, and nothing is written or recorded`, () =>
      Effect.gen(function* () {
        const place = yield* Path.place()
        const before = readFileSync(place.config, "utf8")
        yield* withFile(
          place,
          Effect.gen(function* () {
            const refused = yield* Effect.flip(patch(value))
            assert.strictEqual(refused._tag, tag)
            assert.match(refused.message, words)
            assert.lengthOf(yield* (yield* Audit).tail({ type: "config.changed", limit: 5 }), 0)
          })
        )
        assert.strictEqual(readFileSync(place.config, "utf8"), before)
        assert.isUndefined(Reflect.get({}, "polluted"))
      }).pipe(Effect.scoped)
    )
  }

  it.live("names a version; an older one is refused, and of many at once exactly one wins", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* withFile(
        place,
        Effect.gen(function* () {
          assert.strictEqual((yield* Effect.flip(patch({ cache: { ttlSeconds: 1 } }, null)))._tag, "VersionMissing")
          const { version } = yield* (yield* SettingsFile).read
          const tried = yield* Effect.forEach(
            Array.from({ length: 8 }, (_, i) => i + 1),
            (seconds) => Effect.either(patch({ cache: { ttlSeconds: seconds } }, version)),
            { concurrency: "unbounded" }
          )
          assert.lengthOf(
            tried.filter(({ _tag }) => _tag === "Right"),
            1
          )
          for (const one of tried) if (one._tag === "Left") assert.strictEqual(one.left._tag, "SettingsConflict")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("that cannot be recorded does not happen", () =>
    Effect.gen(function* () {
      const refusing = Layer.effect(
        Audit,
        Effect.map(Audit, (audit) => ({ ...audit, append: () => new AuditUnavailable({ reason: "disk gone" }) }))
      ).pipe(Layer.provide(auditLayer))
      const place = yield* Path.place()
      const before = readFileSync(place.config, "utf8")
      const refused = yield* Effect.flip(withFile(place, patch({ cache: { ttlSeconds: 9 } }), { audit: refusing }))
      assert.strictEqual(refused._tag, "AuditUnavailable")
      assert.strictEqual(readFileSync(place.config, "utf8"), before)
    }).pipe(Effect.scoped)
  )

  it.live("of a link changes the file behind it, and the link stays", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const behind = `${place.config}.real`
      renameSync(place.config, behind)
      symlinkSync(behind, place.config)
      yield* withFile(place, patch({ cache: { ttlSeconds: 7 } }))
      assert.isTrue(lstatSync(place.config).isSymbolicLink())
      assert.include(readFileSync(behind, "utf8"), '"ttlSeconds": 7')
    }).pipe(Effect.scoped)
  )
})

describe("edited text", () => {
  const word = fc.stringMatching(/^[a-z]{1,3}$/)
  const value = fc.letrec<{ value: unknown; record: Record<string, unknown> }>((tie) => ({
    record: fc.dictionary(word, tie("value"), { maxKeys: 4 }),
    value: fc.oneof(
      { maxDepth: 3 },
      fc.integer(),
      fc.string(),
      fc.boolean(),
      fc.constant(null),
      fc.array(fc.integer(), { maxLength: 3 }),
      tie("record")
    )
  })).record

  /** RFC 7396, as it is written there. */
  const merged = (target: unknown, change: unknown): unknown => {
    if (!isRecord(change)) return change
    const out = new Map<string, unknown>(isRecord(target) ? Object.entries(target) : [])
    for (const [key, inner] of Object.entries(change)) {
      if (inner === null) out.delete(key)
      else out.set(key, merged(out.get(key), inner))
    }
    return Object.fromEntries(out)
  }
  const layouts: ReadonlyArray<(json: JsonRecord) => string> = [
    (json) => JSON.stringify(json),
    (json) => `// first\n${JSON.stringify(json, null, 4)}\n// last\n`,
    (json) => JSON.stringify(json, null, "\t").replaceAll("\n", "\r\n"),
    // A comma after every last entry, and a comment after every comma at the end of a line.
    (json) => JSON.stringify(json, null, 2).replaceAll(/([^{[\s,])\n(\s*[}\]])/g, "$1, // c\n$2")
  ]

  it("means what the merge patch says, whatever the layout", () => {
    fc.assert(
      fc.property(value, value, fc.integer({ min: 0, max: layouts.length - 1 }), (before, change, layout) => {
        const text = layouts[layout]?.(before) ?? ""
        const after = edited(text, mergeSteps(before, change))
        assert.strictEqual(after._tag, "Right")
        if (after._tag === "Right") assert.deepStrictEqual(meaning(after.right), merged(before, change))
      }),
      { numRuns: 400 }
    )
  })

  it("needs its own check: the library alone breaks a list whose only entry is followed by a comma", () => {
    const text = '{"a": {"b": 1,}}'
    assert.isUndefined(meaning(applyEdits(text, modify(text, ["a", "b"], undefined, {}))))
    assert.deepStrictEqual(edited(text, [{ path: ["a", "b"], value: undefined }])._tag, "Right")
  })
})

describe("what is shown of settings", () => {
  it("has no value of a place where secrets stand, nor one that looks like a secret", () => {
    const secret = `sk-ant-api03-${"Ab1".repeat(16)}`
    const shown = JSON.stringify(
      withoutSecrets({
        agents: {
          defaults: { sandbox: { env: { A: "s3cret" } } },
          list: [{ id: "x", sandbox: { env: { B: "s3cret" } } }]
        },
        providers: { own: { headers: { "X-Key": "s3cret" }, baseUrl: "https://example.org" } },
        mcp: { servers: { files: { command: "run", args: [`--key=${secret}`], env: { C: "s3cret" } } } }
      })
    )
    assert.notInclude(shown, "s3cret")
    assert.notInclude(shown, secret)
    assert.include(shown, hiddenValue)
    assert.include(shown, "https://example.org")
  })
})
