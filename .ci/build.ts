/**
 * build: makes dist/ from src/, ready to be packed.
 *
 *   npm run build            (node .ci/build.ts [ENTRY] [OUT])
 *
 * dist/ai-desk.js            the command: version guard, compile cache, then main.js
 * dist/main.js, *.js         the program, bundled and minified; dynamic imports stay chunks of their own
 * dist/dashboard/            what the gateway hands to browsers: one script per page, its style, its icon
 * dist/THIRD-PARTY-NOTICES   licence texts of every package inside the bundle
 *
 * Everything is bundled except better-sqlite3, the only thing that has a native part. Fails if the
 * bundle still wants any other package, or holds one without a licence text.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { isBuiltin } from "node:module"
import { dirname, join, resolve } from "node:path"
import { stripVTControlCharacters } from "node:util"
import { build, type Rolldown } from "tsdown"

const root = resolve(import.meta.dirname, "..")
const entry = resolve(process.argv[2] ?? join(root, "src/main.ts"))
const target = resolve(process.argv[3] ?? join(root, "dist"))
/** Built aside and moved into place whole, so that a failed build leaves the last good one. */
const out = `${target}.${process.pid}`
const native = ["better-sqlite3"]

const started = performance.now()
const bundled = new Set<string>()
const wanted = new Set<string>()

/** `…/node_modules/@scope/name/lib/x.js` → `…/node_modules/@scope/name` */
const packageOf = (file: string): string | undefined =>
  /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file.replace(/^\0/, ""))?.[1]

const record: Rolldown.Plugin = {
  name: "record-packages",
  generateBundle(_options, chunks) {
    for (const chunk of Object.values(chunks)) {
      if (chunk.type !== "chunk") continue
      for (const [file, module] of Object.entries(chunk.modules)) {
        const from = packageOf(file)
        if (from !== undefined && module.renderedLength > 0) bundled.add(from)
      }
      for (const name of [...chunk.imports, ...chunk.dynamicImports]) {
        if (!isBuiltin(name) && chunks[name] === undefined) wanted.add(name)
      }
    }
  }
}

const failed = (error: unknown): never => {
  const message = error instanceof Error ? error.message : String(error)
  console.error(process.stderr.isTTY ? message : stripVTControlCharacters(message))
  process.exit(1)
}

process.once("exit", () => rmSync(out, { recursive: true, force: true }))
await build({
  config: false,
  cwd: root,
  entry: { main: entry },
  outDir: out,
  format: "esm",
  platform: "node",
  target: "node22.18",
  minify: true,
  sourcemap: false,
  dts: false,
  clean: false,
  report: false,
  logLevel: "warn",
  fixedExtension: false,
  tsconfig: join(root, "tsconfig.json"),
  deps: { neverBundle: native, alwaysBundle: [/.*/], onlyBundle: false },
  // Its main file is UMD, whose inner require calls no bundler can follow.
  alias: { "jsonc-parser": join(root, "node_modules/jsonc-parser/lib/esm/main.js") },
  plugins: [record],
  outputOptions: { chunkFileNames: "[name]-[hash].js" }
}).catch(failed)

/** Each page's script by itself, so that a page is one request; what they share is small. */
const pages = join(root, "src/dashboard")
for (const page of ["login", "chat"]) {
  await build({
    config: false,
    cwd: root,
    entry: { [page]: join(pages, `${page}.ts`) },
    outDir: join(out, "dashboard"),
    format: "esm",
    platform: "browser",
    target: "es2023",
    minify: true,
    sourcemap: false,
    dts: false,
    clean: false,
    report: false,
    logLevel: "warn",
    fixedExtension: false,
    tsconfig: join(pages, "tsconfig.json"),
    deps: { alwaysBundle: [/.*/], onlyBundle: false },
    plugins: [record]
  }).catch(failed)
}
for (const file of ["style.css", "favicon.svg"]) copyFileSync(join(pages, file), join(out, "dashboard", file))
const made = readdirSync(join(out, "dashboard")).sort().join(" ")
if (made !== "chat.js favicon.svg login.js style.css") throw new Error(`the pages became other files: ${made}`)

const unexpected = [...wanted].filter((name) => !native.includes(name))
if (unexpected.length > 0) {
  throw new Error(`the bundle would need packages that an installation does not bring: ${unexpected.join(", ")}`)
}

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license?: string
  readonly author?: string | { readonly name: string }
}
const readManifest = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))

/** The package's own text; a package that only names MIT gets that licence's wording with its author. */
const licenceText = (folder: string, { author, license, name }: Manifest): string => {
  const file = readdirSync(folder).find((each) => /^(licen[cs]e|copying|unlicense)/i.test(each))
  if (file !== undefined) return readFileSync(join(folder, file), "utf8").trim()
  if (license !== "MIT")
    throw new Error(`${name} (${license ?? "no licence"}) ships no licence text: it may not be bundled`)
  const holder = typeof author === "string" ? author : (author?.name ?? `the authors of ${name}`)
  const mit = readFileSync(join(root, "LICENSE"), "utf8").trim()
  return mit.replace(/^Copyright .*$/m, `Copyright (c) ${holder}`)
}
const texts = new Map<string, Array<string>>()
for (const folder of [...bundled].sort()) {
  const manifest = readManifest(folder)
  const text = licenceText(folder, manifest)
  texts.set(text, [...(texts.get(text) ?? []), `${manifest.name} ${manifest.version}`])
}
writeFileSync(
  join(out, "THIRD-PARTY-NOTICES"),
  `ai-desk contains code of the following packages.\n\n${[...texts]
    .map(([text, names]) => `${"=".repeat(80)}\n${names.join("\n")}\n\n${text}\n`)
    .join("\n")}`
)

const { version } = readManifest(root)
writeFileSync(
  join(out, "ai-desk.js"),
  readFileSync(join(root, ".ci/bin.js"), "utf8").replace("AI_DESK_VERSION", version)
)
chmodSync(join(out, "ai-desk.js"), 0o755)

const files = readdirSync(out).filter((name) => name.endsWith(".js"))
const size = files.reduce((sum, name) => sum + statSync(join(out, name)).size, 0)
if (!existsSync(join(out, "main.js"))) throw new Error(`${dirname(entry)}: the entry did not become main.js`)
rmSync(target, { recursive: true, force: true })
renameSync(out, target)
console.log(
  `${files.length} files, ${Math.round(size / 1024)} KB, ${bundled.size} packages inside, ${Math.round(performance.now() - started)} ms`
)
