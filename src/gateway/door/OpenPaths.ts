/**
 * OpenPaths: what is answered without a credential. The contract says it of its own endpoints; beside
 * them only the pages, which hold no data. What is not found here needs one: a path that is misspelt,
 * or spelt in a way that only the router understands, is on the safe side.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import { Effect } from "effect"
import { Open } from "../../contract/access.ts"

/** A page, its scripts and pictures, the shell of the documentation, and the way to a first set-up. */
const pages: ReadonlySet<string> = new Set([
  "/",
  "/login",
  "/dashboard",
  "/dashboard/",
  "/docs",
  "/docs/",
  "/favicon.ico"
])
const setUp = "/setup"
const assets = "/dashboard/assets/"

export const isSetUp = (path: string): boolean => path === setUp

/** A file of the pages, answered from memory. */
export const isAsset = (method: string, path: string): boolean =>
  (method === "GET" || method === "HEAD") && (path.startsWith(assets) || path === "/favicon.ico")

/** By the decoded path. */
export const isPage = (method: string, path: string): boolean =>
  method === "GET" || method === "HEAD"
    ? pages.has(path) || isSetUp(path) || path.startsWith(assets)
    : method === "POST" && isSetUp(path)

export interface OpenEndpoint {
  readonly method: string
  /** As the contract has it, such as `/dashboard/api/login/:link`. */
  readonly path: string
}

/** All endpoints of the contract that ask for no credential. */
export const openEndpoints: Effect.Effect<ReadonlyArray<OpenEndpoint>> = Effect.map(
  // The whole contract is loaded with the first request, not before the gateway is ready.
  Effect.promise(() => import("../../contract/Api.ts")),
  ({ Api }) => {
    const found: Array<OpenEndpoint> = []
    HttpApi.reflect(Api, {
      onGroup: () => {},
      onEndpoint: ({ endpoint, middleware }) => {
        if ([...middleware].some(({ key }) => key === Open.key))
          found.push({ method: endpoint.method, path: endpoint.path })
      }
    })
    return found
  }
)

const segmentsOf = (path: string): ReadonlyArray<string> => path.split("/")

/** Whether somebody without a credential may ask it. */
export const matcher = (endpoints: ReadonlyArray<OpenEndpoint>) => {
  const templates = endpoints.map(({ method, path }) => ({ method, segments: segmentsOf(path) }))
  return (method: string, path: string): boolean => {
    if (isPage(method, path)) return true
    const asked = segmentsOf(path)
    return templates.some(
      (template) =>
        (template.method === method || (template.method === "GET" && method === "HEAD")) &&
        template.segments.length === asked.length &&
        template.segments.every((segment, index) =>
          segment.startsWith(":") ? asked[index] !== "" : segment === asked[index]
        )
    )
  }
}
