/**
 * docs: writes what README.md can take from the code into its marked blocks.
 *
 *   npm run docs                rewrites the blocks
 *   npm run docs -- --check     exits 1 when a block is not what the code says now
 *
 * A block stands between `<!-- generated:NAME -->` and `<!-- /generated:NAME -->`; what is between
 * them is never edited by hand. Settings, variables, command line, exit codes, endpoints, tools and
 * the words of both logs come from the very values that the program runs on.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Effect, Layer, Option, Schema, SchemaAST } from "effect"
import type { Group, Verb } from "../src/cli/Grammar.ts"
import { ofVerb } from "../src/cli/help.ts"
import { groups } from "../src/cli/program.ts"
import { Refused } from "../src/contract/access.ts"
import { Api } from "../src/contract/Api.ts"
import { Agent, type ToolProfile, ToolProfile as Profile } from "../src/domain/Agent.ts"
import { AuditType } from "../src/domain/Audit.ts"
import { Config } from "../src/domain/Config.ts"
import { AgentId } from "../src/domain/Ids.ts"
import { SessionEvent } from "../src/domain/SessionEvent.ts"
import { accessRules } from "../src/gateway/OpenApiDocs.ts"
import { describeFields, variables } from "../src/kernel/Settings.ts"
import { resolveAgents } from "../src/kernel/settings/Resolve.ts"
import { builtins } from "../src/tools/builtin/Builtins.ts"
import * as Egress from "../src/tools/Egress.ts"
import { makeWith, Sandbox } from "../src/tools/Sandbox.ts"
import type { Tool } from "../src/tools/Tool.ts"
import { denialReason } from "../src/tools/ToolPolicy.ts"

const root = join(import.meta.dirname, "..")

// --- Markdown ---

const cell = (text: string): string =>
  text
    .replaceAll("|", "\\|")
    .replaceAll(/\s*\n\s*/g, " ")
    .replaceAll("<", "&lt;")
    .trim()
const code = (text: string): string => (text === "" ? "" : `\`${text.replaceAll("|", "\\|")}\``)

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n")

// --- Settings ---

/** One of each entry that lists and named groups can have, so that the defaults inside an entry show. */
const specimen = {
  agents: { list: [{ id: "main" }] },
  providers: { x: {} },
  mcp: { servers: { x: {} } },
  roles: { x: {} },
  teams: { x: { members: [{ agent: "main" }] } },
  schedule: { x: { cron: "0 8 * * *", prompt: "x" } },
  webhooks: { x: { prompt: "x", secretEnv: "X" } }
}

const inside = (value: unknown, path: string): unknown =>
  path
    .replaceAll("[]", ".0")
    .replaceAll("*", "x")
    .split(".")
    .reduce<unknown>(
      (at, key) =>
        typeof at === "object" && at !== null && Object.hasOwn(at, key)
          ? Object.entries(at).find(([k]) => k === key)?.[1]
          : undefined,
      value
    )

/** One table per section of the first level. */
const settings = (): string => {
  const filled: unknown = Schema.encodeSync(Config)(Schema.decodeUnknownSync(Config)(specimen))
  const rows = describeFields()
    .filter((row) => row.path !== "")
    .map((row) => {
      const nested = /\[\]|\*/.test(row.path)
      const value = row.default === "" && nested ? inside(filled, row.path) : undefined
      return value === undefined ? row : { ...row, default: JSON.stringify(value) }
    })
  const firstOf = (path: string) => /^[^.[]+/.exec(path)?.[0] ?? path
  const described = new Map(
    (SchemaAST.isTransformation(Config.ast) ? SchemaAST.getPropertySignatures(Config.ast.from) : []).map((p) => [
      String(p.name),
      Option.getOrElse(SchemaAST.getDescriptionAnnotation(p.type), () => "")
    ])
  )
  const head = ["Setting", "Takes", "Default", "What it does"]
  const line = (row: (typeof rows)[number]) => [
    code(row.path),
    cell(row.type),
    row.default === "required" ? "required" : code(row.default),
    cell(row.description)
  ]
  const names = [...new Set(rows.map((row) => firstOf(row.path)))]
  const single = rows.filter((row) => rows.filter((other) => firstOf(other.path) === firstOf(row.path)).length === 1)
  return [
    table(head, single.map(line)),
    ...names
      .filter((name) => single.every((row) => row.path !== name))
      .map((name) => {
        const own = rows.filter((row) => firstOf(row.path) === name && row.path !== name)
        const about = rows.find((row) => row.path === name)?.description ?? described.get(name) ?? ""
        return `#### \`${name}\`\n\n${about}\n\n${table(head, own.map(line))}`
      })
  ].join("\n\n")
}

const environment = (): string =>
  table(
    ["Variable", "What it is for"],
    variables.map(({ description, name }) => [code(name), cell(description)])
  )

// --- Command line ---

interface NamedVerb {
  /** `ai-desk agent test`. */
  readonly name: string
  readonly verb: Verb
}

/** Every command that does something, in the order of the help. A group whose only verb has no name is a command by itself. */
export const verbs = (): ReadonlyArray<NamedVerb> =>
  Object.entries<Group>(groups).flatMap(([group, { verbs: own }]) =>
    Object.entries(own).map(([word, verb]) => ({ name: `ai-desk ${group} ${word}`.trim(), verb }))
  )

/** The very text that `--help` shows. */
const cli = (): string =>
  verbs()
    .map(({ name, verb }) => `#### \`${name}\`\n\n\`\`\`text\n${ofVerb(name, verb, (text) => text)}\n\`\`\``)
    .join("\n\n")

/** From the source itself: the meanings stand in the header of cli/failure.ts, the errors in its table. */
const exitCodes = (): string => {
  const source = readFileSync(join(root, "src/cli/failure.ts"), "utf8")
  const header = source.slice(0, source.indexOf("*/"))
  const meanings = [...header.matchAll(/(?:^ \*\s+|· )(\d+) ([^·\n]+)/gm)].map(
    ([, number = "", text = ""]) => [number, text.trim()] as const
  )
  const errors = [...source.matchAll(/^ {2}([A-Z]\w+): (\d+),?$/gm)].map(
    ([, tag = "", number = ""]) => [number, tag] as const
  )
  if (meanings.length < 5 || errors.length < 5)
    throw new Error("src/cli/failure.ts no longer has the form that .ci/docs.ts reads")
  return table(
    ["Code", "Meaning", "Errors"],
    meanings.map(([number, text]) => [
      number,
      cell(text),
      errors.flatMap(([n, tag]) => (n === number ? [code(tag)] : [])).join(" ")
    ])
  )
}

// --- API ---

const nameOf = (ast: SchemaAST.AST): string => {
  const named = SchemaAST.getIdentifierAnnotation(ast)
  if (Option.isSome(named)) return code(named.value)
  switch (ast._tag) {
    case "Transformation":
      return nameOf(ast.to)
    case "Refinement":
      return nameOf(ast.from)
    case "TupleType":
      return `list of ${ast.rest.map((rest) => nameOf(rest.type)).join(", ")}`
    case "Union":
      return [...new Set(ast.types.map(nameOf))].join(", ")
    case "TypeLiteral":
      return `{${ast.propertySignatures.map((p) => (p.isOptional ? `${String(p.name)}?` : String(p.name))).join(", ")}}`
    case "StringKeyword":
      return "text"
    case "VoidKeyword":
      return "nothing"
    default:
      return ast._tag
  }
}

const typesOf = (map: ReadonlyMap<number, { readonly ast: Option.Option<SchemaAST.AST> }>): string =>
  [...map]
    .map(([status, { ast }]) => `${status} ${Option.match(ast, { onNone: () => "empty", onSome: nameOf })}`)
    .join("; ")

const api = (): string => {
  const rows: Array<ReadonlyArray<string>> = []
  HttpApi.reflect(Api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint, errors, group, middleware, payloads, successes }) => {
      // Every question can be refused by its rule of access, and in the same ways; said once, above the table.
      const refusals = new Set(Refused.members.map(HttpApiSchema.getStatusError))
      const sent = [...payloads.values()].map(({ ast }) => nameOf(ast))
      const query = Option.match(endpoint.urlParamsSchema, {
        onNone: () => [],
        onSome: (schema) => [`query ${nameOf(schema.ast)}`]
      })
      rows.push([
        code(`${group.identifier}.${endpoint.name}`),
        code(`${endpoint.method} ${endpoint.path}`),
        [...sent.filter(() => endpoint.method !== "GET"), ...query].join("; "),
        cell(accessRules[[...middleware][0]?.key.replace(/^.*\//, "") ?? ""] ?? ""),
        typesOf(successes),
        typesOf(
          new Map(
            [...errors].filter(
              ([status]) => status !== 400 && (endpoint.path.startsWith("/v1/") || !refusals.has(status))
            )
          )
        )
      ])
    }
  })
  const refused = Refused.members.map((one) => `${HttpApiSchema.getStatusError(one)} ${nameOf(one.ast)}`).join("; ")
  return `Any of them can also be refused before it is looked at: 400 \`HttpApiDecodeError\`; ${refused}.\n\n${table(
    ["Question", "Method and path", "Sent", "For", "Answer", "Failures"],
    rows
  )}`
}

// --- Tools ---

const agentWith = (profile: ToolProfile): Agent => {
  const config = Schema.decodeUnknownSync(Config)({
    agents: { defaults: { tools: { profile } }, list: [{ id: "main" }] }
  })
  const found = resolveAgents(config, {
    dir: root,
    configPath: null,
    dataDir: join(root, ".ai-desk-data"),
    home: "/nonexistent"
  })
  const [agent] = found.agents
  if (agent === undefined) throw new Error("the settings give no agent")
  return new Agent({ ...agent, id: AgentId.make("main") })
}

/** No tool is run here, so the sandbox may be one that refuses everything. */
const allTools = (): ReadonlyArray<Tool> =>
  Effect.runSync(
    builtins.pipe(Effect.provide(Layer.mergeAll(Layer.effect(Sandbox, makeWith({ platform: "aix" })), Egress.layer)))
  )

const tools = (): string => {
  const agents = Profile.literals.map((profile) => [profile, agentWith(profile)] as const)
  return table(
    ["Tool", "What it does", "Profiles that allow it", "Runs in", "Effect", "Result", "Asks first by default"],
    allTools().map((tool) => [
      code(tool.name),
      cell(tool.description),
      agents.flatMap(([profile, agent]) => (denialReason(agent, tool) === undefined ? [code(profile)] : [])).join(" "),
      tool.confinement,
      tool.labels.effect,
      tool.labels.source,
      agents[0]?.[1].tools.requireApproval.includes(tool.name) === true ? "yes" : "no"
    ])
  )
}

// --- Logs ---

const auditTypes = (): string => AuditType.literals.map(code).join(" ")

const sessionEvents = (): string => SessionEvent.members.map((member) => code(member._tag)).join(" ")

// --- README ---

export const sections: Readonly<Record<string, () => string>> = {
  settings,
  environment,
  cli,
  "exit-codes": exitCodes,
  api,
  tools,
  "audit-types": auditTypes,
  "session-events": sessionEvents
}

/** The text with every block brought up to date. Throws when a block is missing or unknown. */
export const render = (text: string): string => {
  const present = [...text.matchAll(/<!-- generated:([\w-]+) -->/g)].map(([, name = ""]) => name)
  const wrong = [
    ...Object.keys(sections).filter((name) => present.filter((other) => other === name).length !== 1),
    ...present.filter((name) => !Object.hasOwn(sections, name))
  ]
  if (wrong.length > 0)
    throw new Error(`README.md must hold each generated block once, and no other: ${wrong.join(", ")}`)
  return text.replaceAll(
    /<!-- generated:([\w-]+) -->[\s\S]*?<!-- \/generated:\1 -->/g,
    (_, name: string) => `<!-- generated:${name} -->\n\n${sections[name]?.() ?? ""}\n\n<!-- /generated:${name} -->`
  )
}

if (import.meta.main) {
  const path = join(root, "README.md")
  const before = readFileSync(path, "utf8")
  const after = render(before)
  if (process.argv.includes("--check")) {
    process.stdout.write(
      before === after ? "README.md is up to date\n" : "README.md is not up to date; run: npm run docs\n"
    )
    process.exitCode = before === after ? 0 : 1
  } else {
    if (before !== after) writeFileSync(path, after)
    process.stdout.write(before === after ? "README.md was up to date\n" : "README.md was rewritten\n")
  }
}
