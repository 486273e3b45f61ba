/**
 * ConfigFields: the building blocks of the configuration schema. A field always carries its
 * description; a field made by `field` or `section` always has a default, so that leaving it out
 * can never make a file invalid.
 */
import { Schema } from "effect"
import { fromUsd, NanoUsd, toUsd } from "./Money.ts"

/** A field that may be left out of the file: `fallback` is then in force. `B` keeps literals from widening. */
export const field = <A, I, const B extends A>(schema: Schema.Schema<A, I>, description: string, fallback: () => B) =>
  Schema.optionalWith(schema.annotations({ description }), { default: (): A => fallback(), exact: true })

/** A field that is absent unless stated. */
export const may = <A, I>(schema: Schema.Schema<A, I>, description: string) =>
  Schema.optionalWith(schema.annotations({ description }), { exact: true })

/** A section of which every field has a default; left out, all of them are in force. */
export const section = <A, I>(schema: Schema.Schema<A, I>, description: string) =>
  field(schema, description, () => Schema.decodeUnknownSync(schema)({}))

export const Text = Schema.String.pipe(Schema.maxLength(65_536))
export const Name = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, {
    message: () => "a name: 1 to 64 of letters, digits, _, . and -, starting with a letter or digit"
  })
)
export const EnvName = Schema.String.pipe(
  Schema.pattern(/^[A-Z][A-Z0-9_]{0,99}$/, {
    message: () => "the name of an environment variable, in capitals, such as MY_PROVIDER_KEY"
  }),
  // Its value is sent to a provider; the master key must never be.
  Schema.filter((name) => !name.startsWith("AI_DESK_"), {
    message: () => "the name of an environment variable other than Ai_DESK's own"
  })
)
export const Url = Schema.String.pipe(
  Schema.pattern(/^https?:\/\/[^\s/@]+(\/[^\s]*)?$/, {
    message: () => "a URL that starts with http:// or https:// and holds no user name or password"
  })
)
export const Millis = (least: number, most: number) => Schema.Int.pipe(Schema.between(least, most))
export const Count = (least: number, most: number) => Schema.Int.pipe(Schema.between(least, most))
export const Share = Schema.Number.pipe(Schema.between(0, 1))
export const PerMillion = Schema.Number.pipe(Schema.between(0, 1_000_000))
export const record = <K extends string, A, I>(key: Schema.Schema<K, string>, value: Schema.Schema<A, I>) =>
  Schema.Record({ key, value })

/** Up to a million dollars, so that the way to nano-USD and back is exact. */
export const Usd = Schema.transform(
  Schema.Number.pipe(Schema.between(0, 1_000_000)),
  NanoUsd.pipe(Schema.lessThanOrEqualTo(1e15)),
  { strict: true, decode: fromUsd, encode: toUsd }
)
