import { describe, expect, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import * as FastCheck from "fast-check"
import { type JsonLimits, read } from "../../../src/gateway/door/Json.ts"

const limits: JsonLimits = { depth: 64, keys: 10_000, values: 50_000 }

const result = (input: string | Buffer, within: JsonLimits = limits) =>
  Effect.runPromise(Effect.either(read(typeof input === "string" ? Buffer.from(input) : input, within)))

const problem = async (input: string | Buffer, within?: JsonLimits) => {
  const outcome = await result(input, within)
  return Either.isLeft(outcome) ? outcome.left.message : "taken"
}

const nested = (depth: number, open: string, close: string) => `${open.repeat(depth)}1${close.repeat(depth)}`

describe("Json", () => {
  it("reads what is JSON as it is, and refuses what is not, whatever it is", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.jsonValue({ noUnicodeString: false }),
        FastCheck.nat(4),
        async (value, space) => {
          const text = JSON.stringify(value, null, space)
          if (/__proto__|constructor|prototype/.test(text)) return
          const outcome = await result(text)
          expect(Either.getOrThrow(outcome)).toEqual({ text, value: JSON.parse(text) })
        }
      )
    ))

  it("never fails but by saying so, and never takes what the parser does not", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.oneof(
          FastCheck.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
          FastCheck.array(
            FastCheck.constantFrom(
              "{",
              "}",
              "[",
              "]",
              ",",
              ":",
              '"',
              "\\",
              "a",
              "1",
              "-",
              "e",
              "null",
              " ",
              "__proto__",
              "\\u005f"
            ),
            { maxLength: 60 }
          ).map((parts) => Buffer.from(parts.join("")))
        ),
        async (bytes) => {
          const outcome = await result(bytes)
          let parsed: unknown
          let isJson = bytes.length > 0
          try {
            parsed = JSON.parse(bytes.toString("utf8"))
          } catch {
            isJson = false
          }
          if (Either.isRight(outcome) && bytes.length > 0) {
            expect(isJson).toBe(true)
            expect(outcome.right.value).toEqual(parsed)
          }
          if (Either.isLeft(outcome)) expect(outcome.left).toMatchObject({ _tag: "TurnedAway", status: 400 })
        }
      ),
      { numRuns: 500 }
    ))

  it("refuses keys that reach into JavaScript's own objects, at any depth and in any spelling", async () => {
    for (const key of [
      "__proto__",
      "constructor",
      "prototype",
      "\\u005f_proto__",
      "\\u005F\\u005Fproto\\u005f_",
      "con\\u0073tructor"
    ]) {
      for (const text of [
        `{"${key}":{"polluted":1}}`,
        `{"a":[{"b":{"${key}":1}}]}`,
        `{ "x" : "\\"" , "${key}"\n:1}`,
        `[{"a":"\\\\","${key}":1}]`,
        `{"a":{},"${key}":1}`,
        `{"a":[],"${key}":1}`,
        `{"a":[{"b":1},2],"${key}":1}`
      ]) {
        expect([text, await problem(text)]).toEqual([text, expect.stringContaining("which is not taken")])
      }
      // As a value it is a word like any other.
      expect(await problem(`["${key}",{"a":"${key}"}]`)).toBe("taken")
    }
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false)
  })

  it("refuses a key that stands twice in one object, and only that", async () => {
    for (const text of [
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061":2}',
      '[{"b":{"a":1,"c":{"a":1},"a":2}}]',
      '{"":1,"":1}',
      '{"é":1,"\\u00e9":1}'
    ]) {
      expect([text, await problem(text)]).toEqual([text, expect.stringContaining("twice in one object")])
    }
    for (const text of [
      '{"a":{"a":{"a":1}}}',
      '[{"a":1},{"a":1}]',
      '{"a":[{"a":1},"a","a"],"b":"a"}',
      '{"a":"a","b":"a"}'
    ]) {
      expect([text, await problem(text)]).toEqual([text, "taken"])
    }
  })

  it("bounds nesting, keys, values and numbers before anything is built", async () => {
    expect(await problem(nested(64, "[", "]"))).toBe("taken")
    expect(await problem(nested(65, "[", "]"))).toContain("more than 64 levels")
    expect(await problem(nested(65, '{"a":', "}"))).toContain("more than 64 levels")
    expect(await problem(nested(100_000, "[", "]"))).toContain("more than 64 levels")
    expect(await problem("[".repeat(1_000_000))).toContain("more than 64 levels")
    const keys = (count: number) => `{${Array.from({ length: count }, (_, i) => `"k${i}":1`).join(",")}}`
    expect(await problem(keys(10_000))).toBe("taken")
    expect(await problem(keys(10_001))).toContain("more than 10000 keys")
    expect(await problem(keys(1_000_000))).toContain("more than 10000 keys")
    expect(await problem(`[${"1,".repeat(60_000)}1]`)).toContain("more than 50000 values")
    expect(await problem(`[${"[],".repeat(40_000)}1]`)).toContain("more than 50000 values")
    expect(await problem("1".repeat(10_000_000))).toContain("a number of more than 128 digits")
    expect(await problem(`{"a":-1e${"0".repeat(200)}}`)).toContain("a number of more than 128 digits")
    expect(await problem(`"${"\\\\".repeat(40_000)}"`)).toContain("backslashes in a row")
    expect(await problem(`"${'\\"'.repeat(200_000)}"`)).toBe("taken")
    expect(await problem(`{"a":"${"x".repeat(900_000)}","b":"${"\\u00e9".repeat(1000)}"}`)).toBe("taken")
  })

  it("refuses bytes that are not UTF-8, and repeats nothing of what it was given", async () => {
    for (const bytes of [
      [0x22, 0xff, 0x22],
      [0x22, 0xc0, 0xaf, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
      [0xfe, 0xff, 0, 0x31]
    ]) {
      expect(await problem(Buffer.from(bytes))).toContain("UTF-8")
    }
    expect(await problem("\ufeff{}")).toContain("expected JSON")
    expect(await problem('{"token":"a-secret-canary"')).not.toContain("canary")
    expect(await problem('{"a":a-secret-canary}')).not.toContain("canary")
    expect(await problem(`{"${"k".repeat(500)}":1,"${"k".repeat(500)}":1}`)).toHaveLength(
      'the body: found the key "" twice in one object'.length + 65
    )
  })
})
