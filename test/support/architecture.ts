/**
 * The rules of the house as functions over parsed source files, so that each can be shown to fail on
 * a bad sample. A rule returns one line per offence; `architecture.test.ts` asks for none in src/.
 * Code is read through the TypeScript parser: a word in a comment or a string is no offence.
 */
import ts from "typescript"

export interface Import {
  readonly specifier: string
  /** Path below src/ for a relative import, otherwise undefined. */
  readonly target: string | undefined
  readonly names: ReadonlyArray<string>
  readonly dynamic: boolean
  readonly typeOnly: boolean
}

export interface Source {
  /** Path below src/, such as `agent/Turn.ts`. */
  readonly path: string
  readonly text: string
  readonly imports: ReadonlyArray<Import>
  /** Every `a.b` in the code, such as `process.env`, with its line. */
  readonly accesses: ReadonlyArray<{ readonly text: string; readonly line: number }>
  /** Calls of a method: `.prepare(` gives `prepare`. */
  readonly calls: ReadonlyArray<{ readonly name: string; readonly line: number }>
  readonly classes: ReadonlyArray<{
    readonly name: string
    /** What stands after `extends`, without type arguments: `Context.Tag`, `Schema.TaggedError`, `Error`. */
    readonly base: string
    /** The first string among the arguments of the heritage call. */
    readonly key: string | undefined
  }>
}

const resolvePath = (from: string, specifier: string): string => {
  const parts = from.split("/").slice(0, -1)
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop()
    else if (part !== ".") parts.push(part)
  }
  return parts.join("/")
}

/** `Schema.TaggedError<X>()("X", {…})` → its innermost callee and the first string given on the way. */
const heritage = (expression: ts.Expression): { readonly base: string; readonly key: string | undefined } => {
  let key: string | undefined
  let node = expression
  for (;;) {
    if (ts.isCallExpression(node)) {
      const first = node.arguments[0]
      if (first !== undefined && ts.isStringLiteralLike(first)) key ??= first.text
      node = node.expression
    } else if (ts.isExpressionWithTypeArguments(node)) node = node.expression
    else return { base: node.getText(), key }
  }
}

export const parse = (path: string, text: string): Source => {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const imports: Array<Import> = []
  const accesses: Array<{ text: string; line: number }> = []
  const calls: Array<{ name: string; line: number }> = []
  const classes: Array<{ name: string; base: string; key: string | undefined }> = []
  const line = (node: ts.Node) => file.getLineAndCharacterOfPosition(node.getStart()).line + 1
  const add = (specifier: string, names: ReadonlyArray<string>, dynamic: boolean, typeOnly: boolean) => {
    const target = specifier.startsWith(".") ? resolvePath(path, specifier) : undefined
    imports.push({ specifier, target, names, dynamic, typeOnly })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const clause = node.importClause
      const bindings = clause?.namedBindings
      const names = [
        ...(clause?.name === undefined ? [] : ["default"]),
        ...(bindings === undefined
          ? []
          : ts.isNamespaceImport(bindings)
            ? ["*"]
            : bindings.elements.map((element) => (element.propertyName ?? element.name).text))
      ]
      add(node.moduleSpecifier.text, names, false, clause?.isTypeOnly ?? false)
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      const names =
        node.exportClause !== undefined && ts.isNamedExports(node.exportClause)
          ? node.exportClause.elements.map((element) => (element.propertyName ?? element.name).text)
          : ["*"]
      add(node.moduleSpecifier.text, names, false, node.isTypeOnly)
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) add(node.argument.literal.text, ["*"], false, true)
    } else if (ts.isCallExpression(node)) {
      const first = node.arguments[0]
      if (
        node.expression.kind === ts.SyntaxKind.ImportKeyword &&
        first !== undefined &&
        ts.isStringLiteralLike(first)
      ) {
        add(first.text, ["*"], true, false)
      }
      if (ts.isPropertyAccessExpression(node.expression))
        calls.push({ name: node.expression.name.text, line: line(node) })
    } else if (ts.isClassLike(node)) {
      const clause = node.heritageClauses?.find((each) => each.token === ts.SyntaxKind.ExtendsKeyword)?.types[0]
      if (clause !== undefined) classes.push({ name: node.name?.text ?? "", ...heritage(clause) })
    }
    if (ts.isPropertyAccessExpression(node)) accesses.push({ text: node.getText(), line: line(node) })
    if (ts.isElementAccessExpression(node) && ts.isStringLiteral(node.argumentExpression)) {
      accesses.push({ text: `${node.expression.getText()}.${node.argumentExpression.text}`, line: line(node) })
    }
    // `const { env } = process` reads the same thing.
    if (ts.isVariableDeclaration(node) && ts.isObjectBindingPattern(node.name) && node.initializer !== undefined) {
      for (const element of node.name.elements) {
        const name = (element.propertyName ?? element.name).getText()
        accesses.push({ text: `${node.initializer.getText()}.${name}`, line: line(node) })
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return { path, text, imports, accesses, calls, classes }
}

export type Rule = (sources: ReadonlyArray<Source>) => ReadonlyArray<string>

const perSource =
  (check: (source: Source) => ReadonlyArray<string>): Rule =>
  (sources) =>
    sources.flatMap((source) => check(source).map((problem) => `${source.path}: ${problem}`))

/** Which folders each folder may import from; itself always. */
const below: Readonly<Record<string, ReadonlyArray<string>>> = {
  domain: [],
  contract: ["domain"],
  kernel: ["domain"],
  model: ["kernel", "domain"],
  tools: ["kernel", "domain"],
  skills: ["tools", "model", "kernel", "domain"],
  agent: ["skills", "tools", "model", "kernel", "domain"],
  orchestration: ["agent", "skills", "tools", "model", "kernel", "domain"],
  messaging: ["agent", "skills", "tools", "model", "kernel", "domain"],
  gateway: ["contract", "messaging", "orchestration", "agent", "skills", "tools", "model", "kernel", "domain"],
  dashboard: ["contract", "domain"],
  cli: ["contract", "domain"]
}
const cliAlso = ["kernel/Settings.ts", "kernel/DataDir.ts", "kernel/Setup.ts", "kernel/Redaction.ts"]

export const importDirections: Rule = perSource((source) => {
  const own = source.path.split("/")[0] ?? ""
  return source.imports.flatMap((each) => {
    if (each.target === undefined) return []
    const target = each.target
    const folder = target.split("/")[0] ?? ""
    const allowed =
      // The version a command shows.
      (target === "package.json" && own === "cli") ||
      (source.path === "main.ts"
        ? folder === "cli" || target === "App.ts"
        : source.path === "App.ts"
          ? folder in below && folder !== "cli" && folder !== "dashboard"
          : folder === own ||
            (below[own] ?? []).includes(folder) ||
            (own === "cli" && (cliAlso.includes(target) || (target === "App.ts" && (each.dynamic || each.typeOnly)))))
    return allowed ? [] : [`may not import ${target}${each.dynamic ? " (dynamically)" : ""}`]
  })
})

export const knownFolders: Rule = perSource((source) => {
  const folder = source.path.split("/")[0] ?? ""
  if (!source.path.includes("/")) {
    return ["main.ts", "App.ts"].includes(source.path) ? [] : ["only main.ts and App.ts stand directly in src/"]
  }
  return folder in below ? [] : [`src/${folder}/ is not a folder of the house; add it to the table of directions`]
})

export const noBarrels: Rule = perSource((source) => [
  ...(/(^|\/)index\.tsx?$/.test(source.path) ? ["index files only hide where things come from"] : []),
  ...source.imports
    .filter((each) => each.specifier === "@effect/platform" || each.specifier === "@effect/platform-node")
    .map((each) => `import a subpath of ${each.specifier}, its barrel drags in everything`)
])

const maxLines = 500
export const fileSizes: Rule = perSource((source) => {
  const lines = source.text.trimEnd().split("\n").length
  return lines > maxLines ? [`${lines} lines, at most ${maxLines}: split it by concept`] : []
})

export const headers: Rule = perSource((source) =>
  /^(#!.*\n)?(\/\/ @effect-diagnostics.*\n)*\/\*\*[\s\S]{20,}?\*\//.test(source.text)
    ? []
    : ["must begin with a header comment that says what the module guarantees"]
)

/** `@effect/platform` HttpApi classes and requests are keyed by their own tables, only services by path. */
const tagBases = ["Context.Tag", "Effect.Tag", "Effect.Service", "Context.Reference"]
export const tagKeys: Rule = (sources) => {
  const seen = new Map<string, string>()
  return sources.flatMap((source) =>
    source.classes
      .filter((each) => tagBases.includes(each.base))
      .flatMap((each) => {
        const expected = `ai-desk/${source.path.split("/")[0]}/${each.name}`
        const problems = each.key === expected ? [] : [`${source.path}: tag key ${each.key} should be ${expected}`]
        const other = seen.get(each.key ?? "")
        if (other !== undefined) problems.push(`${source.path}: tag key ${each.key} is taken by ${other}`)
        seen.set(each.key ?? "", source.path)
        return problems
      })
  )
}

const errorBases = ["Schema.TaggedError", "Data.TaggedError"]
const untagged = /^(Error|TypeError|RangeError|SyntaxError|AggregateError|Data\.Error|globalThis\.Error)$/
export const errorTags: Rule = (sources) => {
  const seen = new Map<string, string>()
  return sources.flatMap((source) =>
    source.classes.flatMap((each) => {
      if (untagged.test(each.base)) return [`${source.path}: ${each.name} extends ${each.base}; every error is tagged`]
      if (!errorBases.includes(each.base)) return []
      const problems = each.key === each.name ? [] : [`${source.path}: error ${each.name} has the tag ${each.key}`]
      const other = seen.get(each.key ?? "")
      if (other !== undefined) problems.push(`${source.path}: error tag ${each.key} is taken by ${other}`)
      seen.set(each.key ?? "", source.path)
      return problems
    })
  )
}

/** An import that only some files may have. `specifier` is matched against the whole import. */
const importsOnlyIn = (what: string, specifier: RegExp, allowed: (path: string) => boolean): Rule =>
  perSource((source) =>
    allowed(source.path)
      ? []
      : source.imports.filter((each) => specifier.test(each.specifier)).map(() => `${what} has its own place`)
  )

const accessOnlyIn = (what: RegExp, allowed: (path: string) => boolean): Rule =>
  perSource((source) =>
    allowed(source.path)
      ? []
      : source.accesses.filter((each) => what.test(each.text)).map((each) => `line ${each.line}: ${each.text}`)
  )

export const cryptoHome: Rule = (sources) => [
  ...importsOnlyIn("node:crypto", /^(node:)?crypto$/, (path) => path === "kernel/Crypto.ts")(sources),
  ...accessOnlyIn(/^(globalThis\.)?crypto\.(subtle|randomUUID)$/, (path) => path === "kernel/Crypto.ts")(sources),
  // The browser's own, for the keys of messages: a page cannot import what the gateway has.
  ...accessOnlyIn(
    /^(globalThis\.)?crypto\.getRandomValues$/,
    (path) => path === "kernel/Crypto.ts" || path === "dashboard/tab.ts"
  )(sources)
]

const processHomes = /^(tools\/Sandbox\.ts|tools\/sandbox\/[^/]+\.ts|cli\/Daemon\.ts|cli\/control\/Detached\.ts)$/
export const processHome: Rule = (sources) => {
  const rule = importsOnlyIn("node:child_process", /^(node:)?child_process$/, (path) => processHomes.test(path))
  const inSandbox = sources.filter(
    (source) =>
      source.path.startsWith("tools/") && source.imports.some((each) => /^(node:)?child_process$/.test(each.specifier))
  )
  return [
    ...rule(sources),
    ...(inSandbox.length > 1
      ? [`child processes are started in one file of tools/, not in ${inSandbox.map((each) => each.path).join(", ")}`]
      : [])
  ]
}

export const vendorHome: Rule = importsOnlyIn(
  "a vendor SDK",
  /^(@anthropic-ai\/|@google\/genai|openai($|\/))/,
  (path) => path.startsWith("model/providers/")
)

export const environmentHome: Rule = accessOnlyIn(
  /^(globalThis\.)?process\.env$/,
  (path) => path === "kernel/Settings.ts"
)

/** Built-ins of Node: not in what runs in a browser, and not in the pure middle of the path. */
export const builtinHomes: Rule = importsOnlyIn(
  "a Node built-in",
  /^node:/,
  (path) => !/^(domain|contract|dashboard)\//.test(path)
)

/** The edges where an effect is really run. */
const runners = ["main.ts"]
export const runHome: Rule = accessOnlyIn(/^(Effect|NodeRuntime|BunRuntime|Runtime)\.run[A-Z]\w*$/, (path) =>
  runners.includes(path)
)

export const noConsole: Rule = accessOnlyIn(/^(globalThis\.)?console\.\w+$/, () => false)

/** A proof is worth something only while nobody else can make one. */
const minters: Readonly<Record<string, ReadonlyArray<string>>> = {
  mintScanned: ["agent/ThreatScanner.ts"],
  mintLease: ["model/Budget.ts"],
  mintPermitted: ["tools/ToolPolicy.ts", "tools/Approvals.ts"]
}
export const proofs: Rule = perSource((source) =>
  source.imports
    .filter((each) => each.target === "domain/Proof.ts" && !each.typeOnly)
    .flatMap((each) =>
      each.names.flatMap((name) => {
        if (name === "*") return ["imports all of domain/Proof.ts; name what is needed"]
        const allowed = minters[name]
        return allowed === undefined || allowed.includes(source.path) ? [] : [`may not import ${name}`]
      })
    )
)

/** SQL stands in the stores alone; whoever else wants data asks a store. */
// DataDir's lock is an exclusively opened SQLite file.
const stores = [/^kernel\/(DataDir|Database|Audit|Credentials|Crypto)\.ts$/, /^kernel\/(database|audit|crypto)\//]
  .concat([/^model\/(Budget|ResponseCache|Pricing)\.ts$/, /^model\/(budget|cache)\//])
  .concat([/^tools\/Approvals\.ts$/, /^agent\/SessionStore\.ts$/, /^agent\/(sessions?|store)\//])
export const sqlHomes: Rule = perSource((source) =>
  stores.some((store) => store.test(source.path))
    ? []
    : [
        ...source.calls
          .filter((each) => each.name === "prepare")
          .map((each) => `line ${each.line}: SQL outside a store`),
        ...source.imports
          .filter((each) => /^(better-sqlite3|node:sqlite)/.test(each.specifier))
          .map((each) => `${each.specifier} outside a store`)
      ]
)

export const rules: Readonly<Record<string, Rule>> = {
  importDirections,
  knownFolders,
  noBarrels,
  fileSizes,
  headers,
  tagKeys,
  errorTags,
  cryptoHome,
  processHome,
  vendorHome,
  environmentHome,
  builtinHomes,
  runHome,
  noConsole,
  proofs,
  sqlHomes
}
