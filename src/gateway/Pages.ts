/**
 * Pages: what a browser is shown: the log-in, the chat, and the files that both need. They hold nothing
 * of the gateway's data: the scripts ask the contract for that, with the credential of whoever reads.
 *
 * Guarantees: every answer comes from a fixed table; every page has a policy that runs no script but
 * this server's own; the set-up stays closed.
 */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect } from "effect"
import { Settings } from "../kernel/Settings.ts"
import type { App } from "./Door.ts"
import { type AssetMissing, load, respond as respondAsset } from "./pages/Assets.ts"
import { chatPage, loginPage, missingPage } from "./pages/Shell.ts"
import { closedPage } from "./setup/SetupPages.ts"

const assetPath = /^\/dashboard\/assets\/([a-z]{1,32}\.(?:js|css|svg))$/

const redirect = (to: string) =>
  HttpServerResponse.empty({ status: 303, headers: { location: to, "cache-control": "no-store" } })

const notAllowed = HttpServerResponse.setHeader(missingPage(405), "allow", "GET, HEAD")

/** Whether a path, without its query, is answered here. */
export const owns = (path: string): boolean =>
  ["/", "/login", "/dashboard", "/dashboard/", "/favicon.ico", "/setup"].includes(path) ||
  path.startsWith("/dashboard/assets/")

export const make: Effect.Effect<App, AssetMissing, Settings> = Effect.gen(function* () {
  const settings = yield* Settings
  const assets = yield* load()
  const app: App = Effect.gen(function* () {
    const { headers, method, url } = yield* HttpServerRequest.HttpServerRequest
    const path = url.split(/[?#]/, 1)[0] ?? ""
    if (path === "/setup") return closedPage
    if (method !== "GET" && method !== "HEAD") return notAllowed
    switch (path) {
      case "/":
        return redirect("/dashboard")
      case "/login":
        return loginPage((yield* settings.current).config.gateway.auth.mode)
      case "/dashboard":
      case "/dashboard/":
        return chatPage
      default: {
        const name = path === "/favicon.ico" ? "favicon.svg" : assetPath.exec(path)?.[1]
        const asset = name === undefined ? undefined : assets.get(name)
        return asset === undefined ? missingPage(404) : respondAsset(asset, headers["if-none-match"])
      }
    }
  })
  return app
})
