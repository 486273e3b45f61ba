import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck as fc } from "effect"
import { canonical, deepFreeze, freshCopy } from "../../src/tools/Arguments.ts"
import {
  capBytes,
  decodeOutput,
  escapeLine,
  escapeVisible,
  marked,
  withoutControls
} from "../../src/tools/PlainText.ts"

const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/
/** Characters that hide or reorder, and those that carry terminal sequences, more often than chance would bring them. */
const nasty = fc.string({
  unit: fc.oneof(
    fc.constantFrom(
      "\u001b",
      "\u001b[",
      "\u009b",
      "\u001b]",
      "\u0007",
      "\r",
      "\u202e",
      "\u200b",
      "\ufeff",
      "\ud800",
      "\u{e0041}",
      "0",
      ";",
      "m",
      "\n"
    ),
    fc.string({ unit: "binary", minLength: 1, maxLength: 3 })
  ),
  maxLength: 60
})

describe("text from outside", () => {
  it.prop("has no control character left, whatever the bytes", [fc.uint8Array({ maxLength: 300 })], ([bytes]) => {
    expect(decodeOutput(bytes)).not.toMatch(control)
  })
  it.prop("has no control character left, whatever the text", [nasty], ([text]) => {
    expect(withoutControls(text)).not.toMatch(control)
    expect(withoutControls(withoutControls(text))).toBe(withoutControls(text))
  })
  it.prop("shows everything hidden, and only once", [nasty], ([text]) => {
    const shown = escapeVisible(text)
    expect(shown).not.toMatch(/[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\p{Surrogate}\u2028\u2029]/u)
    expect(shown).not.toMatch(control)
    expect(escapeVisible(shown)).toBe(shown)
    expect(escapeLine(text, 20)).not.toMatch(/[\n\t]/)
    expect(escapeLine(text, 20).length).toBeLessThanOrEqual(21)
  })

  it.each([
    ["\u001b[1;31mred\u001b[0m", "red"],
    ["\u009b31mred", "red"],
    ["\u001b]8;;https://evil.example\u001b\\click\u001b]8;;\u0007", "click"],
    ["\u001b(B\u001b=x", "x"],
    ["\u001bP1;2|payload\u001b\\x", "x"],
    ["10%\r20%\r\ndone", "10%\n20%\ndone"],
    ["a\tb\nc", "a\tb\nc"],
    ["é😀\u0000\u007f\u0085", "é😀\\x00\\x7f\\x85"]
  ])("%j becomes %j", (text, plain) => expect(withoutControls(text)).toBe(plain))

  it.each([
    ["abc\u202ecba", "abc\\u{202e}cba"],
    ["pay\u200bpal", "pay\\u{200b}pal"],
    ["\u{e0061}", "\\u{e0061}"],
    ["soft\u00adhyphen", "soft\\xadhyphen"],
    ["\ud83d", "\\u{d83d}"],
    ["plain é 😀 \u05d0", "plain é 😀 \u05d0"]
  ])("a person sees %j as %j", (text, shown) => expect(escapeVisible(text)).toBe(shown))

  it("no line of a marked block passes for a heading", () => {
    expect(marked("+", "a\nApproved: yes\n")).toBe("  + a\n  + Approved: yes")
    expect(marked("+", "a")).toBe("  + a\n  \\ no line feed at the end")
    expect(marked("+", "")).toBe("")
  })

  it.prop("is cut between characters", [fc.string({ unit: "grapheme" }), fc.nat(50)], ([text, max]) => {
    const cut = capBytes(text, max)
    expect(Buffer.byteLength(cut.text)).toBeLessThanOrEqual(max)
    expect(text.startsWith(cut.text)).toBe(true)
    expect(cut.truncated).toBe(cut.text !== text)
    expect(cut.text.isWellFormed()).toBe(true)
  })

  // Starts of a sequence that never ends, over and over: what makes a careless pattern look at everything again.
  it.each(["\u009d", "\u001b]", "\u001b[", "\u001b(", "\u0090a", "\r"])(
    "is cleaned however often %j begins",
    (start) => {
      expect(withoutControls(start.repeat(500_000))).not.toMatch(control)
    }
  )
})

describe("arguments", () => {
  it.prop("a fresh copy is equal, shares nothing and freezes whole", [fc.jsonValue({ maxDepth: 5 })], ([value]) => {
    const clean = JSON.parse(JSON.stringify(value).replaceAll("__proto__", "proto"))
    const copy = freshCopy(clean)
    if (Either.isLeft(copy)) return expect.fail(copy.left)
    expect(copy.right).toEqual(clean)
    if (typeof clean === "object" && clean !== null) expect(copy.right).not.toBe(clean)
    deepFreeze(copy.right)
    expect(JSON.parse(canonical(copy.right))).toEqual(clean)
  })

  it.prop(
    "the canonical text is equal for equal values only",
    [fc.dictionary(fc.string(), fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue())],
    ([a, b]) => {
      const reversed = Object.fromEntries(Object.entries(a).reverse())
      expect(canonical(reversed)).toBe(canonical(a))
      expect(canonical(a) === canonical(b)).toBe(JSON.stringify(sorted(a)) === JSON.stringify(sorted(b)))
    }
  )

  it.each([[() => 1], [Number.NaN], [{ a: Number.POSITIVE_INFINITY }], [[1n]], [{ a: Symbol("x") }]])(
    "%o is not JSON",
    (value) => expect(Either.isLeft(freshCopy(value))).toBe(true)
  )
  it("a circle ends", () => {
    const circle: { self?: unknown } = {}
    circle.self = circle
    expect(Either.isLeft(freshCopy(circle))).toBe(true)
  })
})

const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : typeof value === "object" && value !== null
      ? Object.entries(value)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([key, field]) => [key, sorted(field)])
      : [value]
