import * as HttpApi from "@effect/platform/HttpApi"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Api } from "../../../src/contract/Api.ts"
import * as OpenApiDocs from "../../../src/gateway/OpenApiDocs.ts"
import * as OpenPaths from "../../../src/gateway/door/OpenPaths.ts"
import * as Pages from "../../../src/gateway/Pages.ts"

/** Every endpoint of the contract with its access. */
const endpoints = () => {
  const found: Array<{ method: string; path: string; access: ReadonlyArray<string> }> = []
  HttpApi.reflect(Api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint, middleware }) => {
      const access = [...middleware].map(({ key }) => key.replace("ai-desk/contract/", ""))
      found.push({ method: endpoint.method, path: endpoint.path.replaceAll(/:[^/]+/g, "x"), access })
    }
  })
  return found
}

describe("OpenPaths", () => {
  it.effect("are those endpoints of the contract that say so, and no other", () =>
    Effect.gen(function* () {
      const isOpen = OpenPaths.matcher(yield* OpenPaths.openEndpoints)
      const all = endpoints()
      expect(all.length).toBeGreaterThan(20)
      for (const { access, method, path } of all) {
        expect([method, path, isOpen(method, path)]).toEqual([method, path, access.includes("Open")])
        for (const other of [`${path}/`, `${path}/more`, path.toUpperCase(), `/${path}`, path.slice(0, -1)]) {
          if (!all.some((each) => each.path === other && each.access.includes("Open"))) {
            expect([method, other, isOpen(method, other)]).toEqual([method, other, false])
          }
        }
      }
      expect(all.filter(({ access }) => access.includes("Open")).map(({ path }) => path)).toEqual(
        expect.arrayContaining(["/healthz", "/readyz"])
      )
      for (const { path } of all.filter(({ access }) => access.includes("Open"))) {
        // Health and logging in: nothing else is anybody's.
        expect(path).toMatch(/^\/(healthz|readyz|dashboard\/api\/(login|auth)(\/.*)?)$/)
      }
    })
  )

  it("are open by their own method, to be looked at where they may be read, and with every part of them", () => {
    const isOpen = OpenPaths.matcher([
      { method: "GET", path: "/read/:id" },
      { method: "POST", path: "/write" }
    ])
    const open = [
      ["GET", "/read/x"],
      ["HEAD", "/read/x"],
      ["POST", "/write"]
    ] as const
    for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      for (const path of ["/read/x", "/read/", "/read", "/read/x/", "/write", "/write/"]) {
        const expected = open.some(([m, p]) => m === method && p === path)
        expect([method, path, isOpen(method, path)]).toEqual([method, path, expected])
      }
    }
  })

  it.effect("open a page to be looked at, and nothing to be changed but the set-up", () =>
    Effect.gen(function* () {
      const isOpen = OpenPaths.matcher(yield* OpenPaths.openEndpoints)
      const pages = [
        "/",
        "/login",
        "/dashboard",
        "/dashboard/",
        "/favicon.ico",
        "/docs",
        "/docs/",
        "/setup",
        "/dashboard/assets/a.js"
      ]
      for (const path of pages) {
        expect([path, Pages.owns(path) || OpenApiDocs.owns(path), isOpen("GET", path), isOpen("HEAD", path)]).toEqual([
          path,
          true,
          true,
          true
        ])
        for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
          expect([path, method, isOpen(method, path)]).toEqual([path, method, method === "POST" && path === "/setup"])
        }
      }
      for (const path of [
        "/dashboard/api",
        "/dashboard/api/agents",
        "/dashboard/x",
        "/v1/models",
        "/metrics",
        "/openapi.json",
        "/Login"
      ]) {
        expect([path, isOpen("GET", path)]).toEqual([path, false])
      }
    })
  )
})
