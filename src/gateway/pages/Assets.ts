/**
 * Assets: the files of the browser side, read once at start. From the package they are what the build
 * made; from the sources, TypeScript with its types taken out.
 *
 * Guarantees: an answer comes from a table of known names; no part of a request ever names a file of
 * the disk. Each has an ETag of its contents.
 */
import { existsSync, readFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Schema } from "effect"
import { sha256Hex } from "../../kernel/Crypto.ts"

/** A file of the browser side is not where it was installed. */
export class AssetMissing extends Schema.TaggedError<AssetMissing>()("AssetMissing", { path: Schema.String }) {
  override get message(): string {
    return `${this.path} of the pages cannot be read`
  }
  get fix(): string {
    return "install ai-desk again; its folder dashboard must stand beside the program"
  }
}

/** Modules that a page begins with; the build puts everything that they import into them. */
export const entries = ["login", "chat"] as const

/** Imported by the entries, files of their own only when run from the sources. */
const modules = ["api", "connection", "dom", "history", "lists", "tab", "thread", "transcript", "view"] as const

export interface Asset {
  readonly bytes: Uint8Array
  readonly type: string
  /** With its quotes. */
  readonly etag: string
}

const script = "text/javascript; charset=utf-8"

const read = (folder: URL, name: string): Effect.Effect<string, AssetMissing> =>
  Effect.try({
    try: () => readFileSync(new URL(name, folder), "utf8"),
    catch: () => new AssetMissing({ path: new URL(name, folder).pathname })
  })

/** Node says on stderr that this is experimental, to whoever starts from the sources; there it is what runs them all. */
const withoutTypes = (text: string): string => {
  const { emitWarning } = process
  process.emitWarning = () => undefined
  try {
    return stripTypeScriptTypes(text)
  } finally {
    process.emitWarning = emitWarning
  }
}

const fromSource = (text: string): string => withoutTypes(text).replaceAll(/(from "\.\/[a-z]+)\.ts"/g, '$1.js"')

/** By name, such as `style.css`. */
export const load = (base: string | URL = import.meta.url): Effect.Effect<ReadonlyMap<string, Asset>, AssetMissing> =>
  Effect.gen(function* () {
    // Beside the bundle, or two folders up from this file.
    const beside = new URL("./dashboard/", base)
    const built = existsSync(new URL("login.js", beside))
    const folder = built ? beside : new URL("../../dashboard/", base)
    const texts: Array<readonly [name: string, type: string, text: string]> = [
      ["style.css", "text/css; charset=utf-8", yield* read(folder, "style.css")],
      ["favicon.svg", "image/svg+xml", yield* read(folder, "favicon.svg")]
    ]
    for (const name of built ? entries : [...entries, ...modules]) {
      const text = yield* read(folder, built ? `${name}.js` : `${name}.ts`)
      texts.push([`${name}.js`, script, built ? text : fromSource(text)])
    }
    return new Map(
      texts.map(([name, type, text]): [string, Asset] => [
        name,
        { bytes: new TextEncoder().encode(text), type, etag: `"${sha256Hex(text).slice(0, 32)}"` }
      ])
    )
  })

/** `held`: the If-None-Match of the request. */
export const respond = (asset: Asset, held: string | undefined): HttpServerResponse.HttpServerResponse => {
  const headers = {
    etag: asset.etag,
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    // An SVG is a document when opened by itself.
    "content-security-policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; sandbox"
  }
  const known = (held ?? "").split(",").map((each) => each.trim().replace(/^W\//, ""))
  return known.includes(asset.etag)
    ? HttpServerResponse.empty({ status: 304, headers })
    : HttpServerResponse.uint8Array(asset.bytes, { contentType: asset.type, headers })
}
