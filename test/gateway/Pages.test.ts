/** The pages: what every answer carries, and that only known names are answered. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { request } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Pages from "../../src/gateway/Pages.ts"
import * as Server from "../../src/gateway/Server.ts"
import { layer as settingsLayer } from "../../src/kernel/Settings.ts"
import { tempDir } from "../support/tempdir.ts"

/** Sends the path as it stands, which fetch would not. */
const asked = (port: number, path: string, method = "GET", headers: Record<string, string> = {}) =>
  Effect.async<{ status: number; headers: Record<string, unknown>; text: string }>((resume) => {
    const sent = request({ host: "127.0.0.1", port, path, method, headers }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("end", () =>
        resume(Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, text }))
      )
    })
    sent.on("error", (error) => resume(Effect.die(error)))
    sent.end()
  })

const served = Effect.gen(function* () {
  const dir = yield* tempDir
  const app = yield* Pages.make.pipe(Effect.provide(settingsLayer({ cwd: dir, env: { HOME: dir } })))
  const server = createServer(Server.nodeOptions)
  yield* Server.attach(server, app)
  yield* Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void)))
  // Listening on TCP, so the address is no pipe's.
  return (server.address() as AddressInfo).port
})

describe("pages", () => {
  it.scopedLive("every page runs nothing but this server's own scripts, and is framed and kept by nobody", () =>
    Effect.gen(function* () {
      const port = yield* served
      const pages = [
        yield* asked(port, "/login"),
        yield* asked(port, "/dashboard"),
        yield* asked(port, "/dashboard/?gatewayUrl=ws://evil.example"),
        yield* asked(port, "/dashboard/assets/none.js"),
        yield* asked(port, "/login", "POST"),
        yield* asked(port, "/setup")
      ]
      expect(pages.map(({ status }) => status)).toEqual([200, 200, 200, 404, 405, 410])
      for (const { headers, text } of pages) {
        const policy = String(headers["content-security-policy"])
        for (const rule of [
          "default-src 'none'",
          "style-src 'self'",
          "base-uri 'none'",
          "frame-ancestors 'none'",
          "require-trusted-types-for 'script'"
        ]) {
          expect(policy).toContain(rule)
        }
        expect(policy).not.toMatch(/unsafe|\*|https?:|data:/)
        expect(headers).toMatchObject({
          "x-content-type-options": "nosniff",
          "referrer-policy": "no-referrer",
          "cross-origin-opener-policy": "same-origin",
          "x-frame-options": "DENY",
          "cache-control": "no-store"
        })
        // Nothing that the policy would have to forbid.
        expect(text).not.toMatch(/<script(?![^>]* src="\/)|<style|\son[a-z]+=|style="|javascript:|https?:\/\//)
        expect(text).not.toContain("evil")
      }
    })
  )

  it.scopedLive("answers known names only, with their ETag", () =>
    Effect.gen(function* () {
      const port = yield* served
      for (const name of ["style.css", "login.js", "chat.js", "favicon.svg"]) {
        const first = yield* asked(port, `/dashboard/assets/${name}`)
        expect([name, first.status]).toEqual([name, 200])
        expect(first.headers["x-content-type-options"]).toBe("nosniff")
        const again = yield* asked(port, `/dashboard/assets/${name}`, "GET", {
          "if-none-match": `"other", W/${String(first.headers["etag"])}`
        })
        expect([again.status, again.text]).toEqual([304, ""])
      }
      const script = yield* asked(port, "/dashboard/assets/chat.js")
      expect(script.headers["content-type"]).toBe("text/javascript; charset=utf-8")
      // Types are gone, and nothing is left that has to be found elsewhere.
      expect(script.text).not.toMatch(/import type|innerHTML|\.ts"/)
      const tries = [
        "..%2fpackage.json",
        "../package.json",
        "..%252fpackage.json",
        "..\\package.json",
        "style.css;.js",
        "style.css%00",
        "style.css/",
        "STYLE.css",
        "chat.ts",
        "tsconfig.json",
        "constructor",
        "__proto__",
        "a".repeat(4000),
        ""
      ]
      for (const name of tries) {
        const { status, text } = yield* asked(port, `/dashboard/assets/${name}`)
        expect([name, status]).toEqual([name, 404])
        expect(text).not.toMatch(/"name": "ai-desk"|compilerOptions|--ground/)
      }
      expect((yield* asked(port, "/favicon.ico")).headers["content-type"]).toBe("image/svg+xml")
      const home = yield* asked(port, "/")
      expect([home.status, home.headers["location"]]).toEqual([303, "/dashboard"])
    })
  )
})
