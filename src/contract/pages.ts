/**
 * Pages: how long lists are read in parts, and how two who change the same thing at once are kept
 * from undoing each other. A cursor is opaque: it is sent back as it came.
 */
import { Schema } from "effect"

/** How many entries an answer holds. */
export const Limit = (usual: number, most: number) =>
  Schema.optionalWith(
    Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, most)).annotations({
      description: `Entries per page, 1 to ${most}; ${usual} if left out.`,
      // As it stands in the URL.
      jsonSchema: { type: "integer", minimum: 1, maximum: most, default: usual }
    }),
    { default: () => usual }
  )

export const Cursor = Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9_-]{1,200}$/)).annotations({
  description: "From the page before: `next` or `previous`."
})

/** Epoch milliseconds in a URL. */
export const Moment = Schema.NumberFromString.pipe(Schema.int(), Schema.between(0, 8_640_000_000_000_000)).annotations({
  jsonSchema: { type: "integer", minimum: 0, maximum: 8_640_000_000_000_000 },
  description: "A moment, in milliseconds since 1970."
})

/** Text that must not be confused with a value: no control characters. */
export const Word = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(200))

/** For requests that change what others may be changing. */
export const IfMatch = Schema.Struct({
  "if-match": Schema.optional(
    Schema.String.pipe(Schema.maxLength(200)).annotations({
      description: "The ETag of the answer that is being changed, or * for whatever is there."
    })
  )
})

/** The version that a header names; null when it names none. */
export const versionIn = (header: string | undefined): string | null =>
  header === undefined || header.trim() === "" ? null : header.trim().replace(/^(W\/)?"(.*)"$/, "$2")

/** A JSON merge patch (RFC 7396): objects are merged, null removes, everything else replaces. */
export const MergePatch = Schema.Record({ key: Schema.String, value: Schema.Unknown }).annotations({
  identifier: "MergePatch",
  description: "A JSON merge patch (RFC 7396): objects are merged, null removes, everything else replaces.",
  jsonSchema: { type: "object", additionalProperties: true }
})

/** A place in a list, as a cursor: opaque in the URL, checked when it comes back. */
export const CursorOf = <A, I>(place: Schema.Schema<A, I>) =>
  Schema.compose(Schema.StringFromBase64Url, Schema.parseJson(place)).annotations({
    description: "From the page before.",
    jsonSchema: { type: "string", pattern: "^[A-Za-z0-9_-]{1,400}$" }
  })
