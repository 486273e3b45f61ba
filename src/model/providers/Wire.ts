/**
 * Wire: how a vendor's optional fields are read. Providers use "missing" and "null" for the same
 * thing; past this door there is only missing.
 */
import { Schema } from "effect"

export const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })
