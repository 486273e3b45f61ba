/**
 * Describe: what `ai-desk.json` may contain, for people (rows of the README's table) and for
 * editors (JSON Schema). Both are computed from the schema that decodes the file, so they cannot
 * say anything else than what is in force.
 */
import { JSONSchema, ParseResult, Schema, SchemaAST } from "effect"
import { Config } from "../../domain/Config.ts"
import { child, expectation } from "./Problems.ts"

export interface FieldRow {
  /** `agents.list[].tools.allow`; `*` stands for a name that the owner chooses. */
  readonly path: string
  /** In words: `a whole number from 0 to 65535`. */
  readonly type: string
  /** As it would stand in the file; `required`, or empty where there is none. */
  readonly default: string
  readonly description: string
}

type Lookup = (key: string) => unknown

const defaults = (): unknown => Schema.encodeSync(Config)(Schema.decodeUnknownSync(Config)({}))

const inside =
  (value: unknown): Lookup =>
  (key) =>
    typeof value === "object" && value !== null && Object.hasOwn(value, key)
      ? (value as Record<string, unknown>)[key]
      : undefined

const shape = (ast: SchemaAST.AST): SchemaAST.AST =>
  SchemaAST.isTransformation(ast) || SchemaAST.isRefinement(ast) ? shape(ast.from) : ast

const descriptionOf = (ast: SchemaAST.AST): string => {
  const said = ast.annotations[SchemaAST.DescriptionAnnotationId]
  return typeof said === "string" ? said : ""
}

const row = (path: string, ast: SchemaAST.AST, value: unknown, required: boolean): FieldRow => ({
  path,
  type: expectation(ast, new ParseResult.Type(ast, undefined)),
  default: value === undefined ? (required ? "required" : "") : JSON.stringify(value),
  description: descriptionOf(ast)
})

const rowsOf = (ast: SchemaAST.AST, path: string, value: unknown, required: boolean): ReadonlyArray<FieldRow> => {
  const base = shape(ast)
  if (SchemaAST.isTupleType(base)) {
    const item = base.rest[0]?.type
    const inner =
      item !== undefined && SchemaAST.isTypeLiteral(shape(item)) ? rowsOf(item, `${path}[]`, undefined, false) : []
    return [row(path, ast, value, required), ...inner]
  }
  if (!SchemaAST.isTypeLiteral(base)) return [row(path, ast, value, required)]
  const at = inside(value)
  const own = base.propertySignatures.flatMap((property) =>
    rowsOf(property.type, child(path, property.name), at(String(property.name)), !property.isOptional)
  )
  const [index] = base.indexSignatures
  if (index === undefined) return own
  const inner = SchemaAST.isTypeLiteral(shape(index.type)) ? rowsOf(index.type, `${path}.*`, undefined, false) : []
  return [row(path, ast, value, required), ...own, ...inner]
}

/** Every setting, in the order of the file. */
export const describeFields = (): ReadonlyArray<FieldRow> => rowsOf(Config.ast, "", defaults(), false)

export interface JsonObject {
  readonly [key: string]: unknown
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** `allOf: [{$ref: Int, …}]` says `integer` in a way that editors show badly; titles such as `between(0, 9)` say nothing. */
const tidy = (node: unknown): unknown => {
  if (Array.isArray(node)) return node.map(tidy)
  if (!isObject(node)) return node
  const { allOf, $ref, ...rest } = node
  const merged: JsonObject = Array.isArray(allOf) && isObject(allOf[0]) ? { ...allOf[0], ...rest } : rest
  const ref = $ref ?? merged.$ref
  const integer = ref === "#/$defs/Int" ? { type: "integer" } : {}
  const entries = Object.entries(merged).filter(([key]) => key !== "$ref" && key !== "title")
  const kept = Object.fromEntries(
    entries.map(([key, value]) => [key, key === "properties" ? tidyEach(value) : tidy(value)])
  )
  return { ...integer, ...kept }
}

/** Below `properties` the keys are names of settings, which may happen to be `title`. */
const tidyEach = (node: unknown): unknown =>
  isObject(node) ? Object.fromEntries(Object.entries(node).map(([key, value]) => [key, tidy(value)])) : node

const withDefaults = (node: unknown, value: unknown): unknown => {
  if (!isObject(node)) return node
  if (!isObject(node.properties)) return value === undefined ? node : { ...node, default: value }
  const at = inside(value)
  const properties = Object.entries(node.properties).map(([key, inner]) => [key, withDefaults(inner, at(key))])
  return { ...node, properties: Object.fromEntries(properties) }
}

/** JSON Schema (draft 07) of the file as it is written, for `$schema` and editors. */
export const jsonSchema = (): JsonObject => {
  const made: unknown = JSON.parse(JSON.stringify(JSONSchema.make(Config)))
  const defs = isObject(made) && isObject(made.$defs) ? made.$defs : {}
  const root = withDefaults(tidy(defs.AiDeskConfig), defaults())
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "ai-desk.json",
    // Editors complain of what they see twice only when told to; comments are the file's own format.
    allowComments: true,
    allowTrailingCommas: true,
    ...(isObject(root) ? root : {})
  }
}
