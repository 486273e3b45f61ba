import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { beforeSetUp, Door } from "../../src/gateway/Door.ts"
import { Settings } from "../../src/kernel/Settings.ts"
import { ask, goodSession, goodToken, ground, open, otherToken, post, raw } from "../support/door.ts"

const api = "/dashboard/api/agents"

describe("Door: who is meant", () => {
  it.scoped("answers to its own names only, with the port that was connected to", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const { port } = place
      for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`]) {
        expect([host, (yield* ask(place, { headers: { host } })).status]).toEqual([host, 200])
      }
      const foreign = ["evil.com", `evil.com:${port}`, "127.0.0.1", "localhost", `127.0.0.1:${port + 1}`]
        .concat([
          `localhost.:${port}`,
          `127.0.0.1.nip.io:${port}`,
          `localhost:${port}@evil.com`,
          `evil.com#localhost:${port}`
        ])
        .concat([
          `0.0.0.0:${port}`,
          `[::]:${port}`,
          `127.1:${port}`,
          `2130706433:${port}`,
          `0x7f.1:${port}`,
          " ",
          `,localhost:${port}`
        ])
        .concat([`127.0.0.1:0${port}0`, `localhost:${port}, evil.com`, `[::1%25lo]:${port}`, `user@localhost:${port}`])
      for (const path of [api, "/healthz", "/login", "/v1/models", "/setup", "/nowhere"]) {
        for (const host of foreign) {
          const { json, status, text } = yield* ask(place, { path, headers: { host } })
          expect([path, host, status]).toEqual([path, host, 421])
          expect(text).not.toContain("evil")
          if (!path.startsWith("/v1")) expect(json).toMatchObject({ _tag: "NotForThisDoor", fix: expect.any(String) })
        }
      }
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("refuses a whole URL, a missing and a second Host", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const auth = `Authorization: Bearer ${goodToken}\r\nConnection: close\r\n\r\n`
      const own = `127.0.0.1:${place.port}`
      const refused = [
        `GET http://${own}${api} HTTP/1.1\r\nH\r\n${auth}`,
        `GET http://evil.com${api} HTTP/1.1\r\nH\r\n${auth}`,
        `GET ${api} HTTP/1.0\r\n${auth}`,
        `GET ${api} HTTP/1.1\r\nH\r\nHost: evil.com\r\n${auth}`,
        `GET ${api} HTTP/1.1\r\nHost: evil.com\r\nH\r\n${auth}`,
        `GET ${api} HTTP/1.1\r\nHost:\r\n${auth}`
      ]
      for (const text of refused) {
        expect([text, (yield* raw(place, text)).split(" ")[1]]).toEqual([text, "421"])
      }
      expect(yield* raw(place, `GET ${api} HTTP/1.1\r\n${auth}`)).toMatch(/^HTTP\/1\.1 400 /)
      expect(place.seen.requests).toBe(0)
      expect(yield* raw(place, `GET ${api} HTTP/1.1\r\nH\r\n${auth}`)).toMatch(/^HTTP\/1\.1 200 /)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("knows a proxy's name, and the further names of the settings", () =>
    Effect.gen(function* () {
      const place = yield* open()
      for (const [host, status] of [
        ["desk.example.org", 200],
        ["desk.example.org:443", 200],
        ["desk.example.org:8443", 421],
        ["nas.lan", 200],
        ["NAS.lan:8080", 200],
        ["x.nas.lan", 421]
      ] as const) {
        expect([host, (yield* ask(place, { headers: { host } })).status]).toEqual([host, status])
      }
    }).pipe(
      Effect.provide(
        ground({
          allowedHosts: ["nas.lan"],
          reverseProxy: { trusted: ["127.0.0.1/32"], publicUrl: "https://desk.example.org" }
        })
      )
    )
  )
})

describe("Door: settings", () => {
  it.effect("does not open while it cannot tell which proxies are meant", () =>
    Effect.gen(function* () {
      const reverseProxy = { trusted: ["10.0.0.0/8", "1.2.3.4/99"], publicUrl: "https://desk.example.org" }
      const failure = yield* Effect.flip(Effect.scoped(Layer.build(ground({ reverseProxy }))))
      expect(failure).toMatchObject({ _tag: "SettingsInvalid", problems: [{ at: "gateway.reverseProxy.trusted" }] })
    })
  )
})

describe("Door: whose page asks", () => {
  const refused = { status: 403, tag: "Forbidden" }

  it.scoped("refuses pages of other origins on every route, before anything runs", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const { port } = place
      const origins = [
        "http://evil",
        "http://127.0.0.1:3000",
        "http://127.0.0.1",
        "null",
        "",
        `https://127.0.0.1:${port}`
      ]
        .concat([`http://localhost:${port}`, `http://127.0.0.1:${port}.evil.com`, `http://evil@127.0.0.1:${port}`])
        .concat([
          `http://127.0.0.1:${port}/`,
          `http://127.0.0.1:${port}, http://evil`,
          "file://",
          "chrome-extension://abc"
        ])
      for (const [method, path] of [
        ["GET", api],
        ["POST", api],
        ["GET", "/healthz"],
        ["POST", "/setup"],
        ["GET", "/login"],
        ["DELETE", "/v1/models"],
        ["OPTIONS", api]
      ] as const) {
        for (const origin of origins) {
          const headers = { origin, cookie: `ai-desk=${goodSession.cookie}`, "x-ai-desk-proof": goodSession.proof }
          const { status, headers: got } = yield* ask(place, { method, path, headers, token: null })
          expect([method, path, origin, status]).toEqual([method, path, origin, refused.status])
          expect(got["access-control-allow-origin"]).toBeUndefined()
        }
      }
      expect(place.seen.requests).toBe(0)
      const own = { headers: { origin: `http://127.0.0.1:${port}` } }
      expect((yield* ask(place, own)).status).toBe(200)
      expect((yield* post(place, "{}", own)).status).toBe(200)
      const contradicting = { headers: { ...own.headers, "sec-fetch-site": "cross-site" } }
      expect((yield* post(place, "{}", contradicting)).status).toBe(403)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("believes a browser that says a page of another site asks", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const asks = (path: string, headers: Record<string, string>, method = "GET") =>
        Effect.map(ask(place, { path, headers, method }), ({ status }) => status)
      const link = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" }
      for (const site of ["cross-site", "same-site", "anything"]) {
        expect(yield* asks(api, { "sec-fetch-site": site })).toBe(403)
        expect(yield* asks("/healthz", { "sec-fetch-site": site })).toBe(403)
        expect(yield* asks("/dashboard", { ...link, "sec-fetch-site": site, "sec-fetch-dest": "iframe" })).toBe(403)
        expect(yield* asks(api, { ...link, "sec-fetch-site": site })).toBe(403)
        expect(yield* asks("/Dashboard/API/agents", { ...link, "sec-fetch-site": site })).toBe(403)
      }
      // A person may follow a link to a page, which shows everybody the same.
      expect(yield* asks("/dashboard", link)).toBe(200)
      expect(yield* asks("/setup", link, "POST")).toBe(403)
      for (const site of ["none", "same-origin"]) expect(yield* asks(api, { "sec-fetch-site": site })).toBe(200)
      // A form of our own page comes without an origin, because the page sends no referrer.
      const form = { "content-type": "application/x-www-form-urlencoded", origin: "null" }
      const setUp = (headers: Record<string, string>) =>
        Effect.map(
          post(place, "a=1", { path: "/setup", token: null, headers: { ...form, ...headers } }),
          (a) => a.status
        )
      expect(yield* setUp({ "sec-fetch-site": "same-origin" })).toBe(200)
      expect(yield* setUp({ "sec-fetch-site": "cross-site" })).toBe(403)
      expect(yield* setUp({})).toBe(403)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("lets the pages of the settings call, and tells their browsers so; nobody else's", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const origin = "https://page.example.org"
      const wish = { "access-control-request-method": "POST", "access-control-request-headers": "authorization" }
      const before = yield* ask(place, { method: "OPTIONS", headers: { origin, ...wish }, token: null })
      expect(before.status).toBe(204)
      expect(before.headers).toMatchObject({ "access-control-allow-origin": origin, vary: "origin" })
      expect(before.headers["access-control-allow-headers"]).toContain("authorization")
      expect(before.headers["access-control-allow-credentials"]).toBeUndefined()
      const after = yield* post(place, "{}", { headers: { origin, "sec-fetch-site": "cross-site" } })
      expect([after.status, after.headers["access-control-allow-origin"]]).toEqual([200, origin])
      const noOne = yield* ask(place, { headers: { origin }, token: null })
      expect([noOne.status, noOne.headers["access-control-allow-origin"]]).toEqual([401, origin])
      const stranger = { headers: { origin: "https://page.example.org.evil", ...wish }, method: "OPTIONS" }
      expect((yield* ask(place, stranger)).status).toBe(403)
      expect((yield* ask(place, { method: "OPTIONS" })).status).toBe(405)
      const ownPage = { origin: `http://127.0.0.1:${place.port}`, ...wish }
      for (const headers of [wish, ownPage, { origin }]) {
        expect((yield* ask(place, { method: "OPTIONS", headers })).status).toBe(405)
      }
      // Through the proxy, whose name the browser knows.
      const proxied = { headers: { origin: "https://desk.example.org", "sec-fetch-site": "same-origin" } }
      expect((yield* post(place, "{}", proxied)).status).toBe(200)
      const further = { headers: { host: "nas.lan", origin: "https://nas.lan" } }
      expect((yield* post(place, "{}", further)).status).toBe(200)
    }).pipe(
      Effect.provide(
        ground({
          allowedHosts: ["nas.lan"],
          allowedOrigins: ["https://page.example.org:443"],
          reverseProxy: { trusted: ["127.0.0.1/32"], publicUrl: "https://desk.example.org" }
        })
      )
    )
  )
})

describe("Door: the request line", () => {
  it.scoped("takes no method that hides or shows what it should not", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const head = `Authorization: Bearer ${goodToken}\r\nConnection: close\r\n\r\n`
      for (const method of ["TRACE", "PROPFIND", "SEARCH", "PURGE", "LINK", "QUERY"]) {
        const answer = yield* raw(place, `${method} ${api} HTTP/1.1\r\nH\r\n${head}`)
        expect([method, /^HTTP\/1\.1 405 [^]*allow: GET, HEAD, POST/i.test(answer)]).toEqual([method, true])
        expect(answer).not.toContain(goodToken)
      }
      expect(yield* raw(place, `CONNECT evil.com:80 HTTP/1.1\r\nH\r\n${head}`)).toMatch(/^HTTP\/1\.1 405 /)
      expect(yield* raw(place, `BREW ${api} HTTP/1.1\r\nH\r\n${head}`)).toMatch(/^HTTP\/1\.1 400 /)
      expect(place.seen.requests).toBe(0)
      const overridden = yield* ask(place, {
        headers: { "x-http-method-override": "DELETE", "x-method-override": "PUT" }
      })
      expect(overridden.json).toMatchObject({ method: "GET" })
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("lets no path through that two readers could take for two places", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const paths = ["/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/dashboard/assets/%252e%252e/x", "/a/../b"]
        .concat(["/a\\..\\b", "/a%5cb", "/a;b", "/a%3bb", "/a%00b", "/a%0d%0ab", "/a%7f", "//dashboard/api/agents"])
        .concat([
          "/dashboard//api/agents",
          "/%c0%ae%c0%ae/x",
          "/%ff",
          "/%",
          "/%zz",
          "/./a",
          "/a/.",
          "/v1/models/..%2f..%2fx"
        ])
        .concat(["/dashboard%2fapi/agents", "/v1/models/a%2fb/c%2fd", `/${"a".repeat(3000)}`, "/a#b", "*", "/%25"])
      for (const path of paths) {
        const answer = yield* raw(
          place,
          `GET ${path} HTTP/1.1\r\nH\r\nAuthorization: Bearer ${goodToken}\r\nConnection: close\r\n\r\n`
        )
        expect([path, answer.split(" ")[1]]).toEqual([path, "404"])
      }
      expect(place.seen.requests).toBe(0)
      expect((yield* ask(place, { path: "/v1/models/anthropic%2Fclaude-sonnet-4-6" })).status).toBe(200)
      expect((yield* ask(place, { path: "/dashboard/api/budget/my%20agent" })).status).toBe(200)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("refuses a query that two readers could read in two ways", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const queries = [
        "a=1&a=2",
        "a=1&%61=2",
        "a&a",
        "a=%ff",
        "a=%zz",
        "__proto__=1",
        "constructor=1",
        "%5f_proto__=1"
      ].concat([`a=${"x".repeat(9000)}`, Array.from({ length: 101 }, (_, i) => `k${i}=1`).join("&"), "a=1&&"])
      for (const query of queries) {
        const { json, status } = yield* ask(place, { path: `${api}?${query}` })
        expect([query.slice(0, 20), status]).toEqual([query.slice(0, 20), 400])
        expect(json).toMatchObject({ _tag: "HttpApiDecodeError", message: expect.stringContaining("the query:") })
      }
      expect(place.seen.requests).toBe(0)
      expect((yield* ask(place, { path: `${api}?a=1&b=2&c` })).status).toBe(200)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("refuses doubled and too many headers; Node's parser refuses what smuggles", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const start = `POST ${api} HTTP/1.1\r\nH\r\nAuthorization: Bearer ${goodToken}\r\nConnection: close\r\n`
      const json = "Content-Type: application/json\r\n"
      const status = (text: string) => Effect.map(raw(place, text), (answer) => answer.split(" ")[1])
      for (const twice of [
        "Authorization: Bearer x\r\n",
        `${json}Content-Type: text/plain\r\n`,
        "Origin: http://a\r\nOrigin: http://b\r\n",
        "X-API-Key: a\r\nX-API-Key: b\r\n",
        "Cookie: a=1\r\nCookie: b=2\r\n"
      ]) {
        expect([twice, yield* status(`${start}${twice}\r\n`)]).toEqual([twice, "400"])
      }
      const many = Array.from({ length: 120 }, (_, i) => `X-${i}: 1\r\n`).join("")
      expect(yield* status(`${start}${many}\r\n`)).toBe("431")
      expect(yield* status(`${start}X: ${"a".repeat(20_000)}\r\n\r\n`)).toBe("431")
      const smuggled = [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Content-Length: +2\r\n\r\n{}",
        " X: folded\r\n\r\n"
      ]
      for (const text of smuggled) expect([text, yield* status(`${start}${json}${text}`)]).toEqual([text, "400"])
      expect(place.seen.requests).toBe(0)
    }).pipe(Effect.provide(ground()))
  )
})

describe("Door: who asks", () => {
  it.scoped("asks a credential of everything that is not named as open", () =>
    Effect.gen(function* () {
      const place = yield* open()
      for (const [method, path] of [
        ["GET", api],
        ["GET", "/v1/models"],
        ["POST", "/v1/messages"],
        ["GET", "/metrics"],
        ["GET", "/openapi.json"],
        ["GET", "/nowhere"],
        ["GET", "/HEALTHZ"],
        ["GET", "/healthz/"],
        ["POST", "/healthz"],
        ["GET", "/dashboard/API/agents"],
        ["GET", "/dashboard/api"],
        ["GET", "/dashboard/%61pi/agents"],
        ["DELETE", "/dashboard"],
        ["GET", "/dashboard/assets"]
      ] as const) {
        for (const headers of [{}, { authorization: "Bearer " }, { "x-api-key": "" }, { cookie: "ai-desk=a-cookie" }]) {
          const answer = yield* ask(place, { method, path, token: null, headers })
          expect([method, path, answer.status]).toEqual([method, path, 401])
          expect(answer.headers["www-authenticate"]).toBe("Bearer")
        }
        const inUrl = yield* ask(place, {
          method,
          path: `${path}?token=${goodToken}&access_token=${goodToken}`,
          token: null
        })
        expect(inUrl.status).toBe(401)
        expect(inUrl.text).not.toContain(goodToken)
      }
      expect(place.seen.requests).toBe(0)
      for (const path of [
        "/",
        "/login",
        "/dashboard",
        "/dashboard/assets/x.js",
        "/docs",
        "/setup",
        "/favicon.ico",
        "/healthz",
        "/readyz"
      ]) {
        const answer = yield* ask(place, { path, token: null })
        expect([path, answer.status]).toEqual([path, 200])
        // Whoever it is, on these they are nobody.
        if (path !== "/login") expect((yield* ask(place, { path })).json).toMatchObject({ caller: "nobody" })
      }
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("reads a credential from headers, a cookie with its proof, and nowhere else", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const by = (headers: Record<string, string>) =>
        Effect.map(ask(place, { token: null, headers }), ({ json, status }) =>
          status === 200 ? (json as { caller: string }).caller : status
        )
      const cookie = `ai-desk=${goodSession.cookie}`
      const proof = { "x-ai-desk-proof": goodSession.proof }
      expect(yield* by({ authorization: `Bearer ${goodToken}` })).toBe("token")
      expect(yield* by({ authorization: `bearer   ${goodToken}` })).toBe("token")
      expect(yield* by({ "x-api-key": goodToken })).toBe("token")
      expect(yield* by({ authorization: `Bearer ${goodToken}`, "x-api-key": goodToken })).toBe("token")
      expect(yield* by({ authorization: `Bearer ${goodToken}`, cookie })).toBe("token")
      expect(yield* by({ cookie: `a=b; ${cookie}`, ...proof })).toBe("session")
      expect(yield* by({ cookie: `__Host-ai-desk=${goodSession.cookie}; ai-desk=tossed`, ...proof })).toBe("session")
      expect(yield* by({ cookie })).toBe(401)
      expect(yield* by(proof)).toBe(401)
      expect(yield* by({ cookie: `${cookie}; ai-desk=other`, ...proof })).toBe(401)
      expect(yield* by({ authorization: `Basic ${goodToken}` })).toBe(401)
      expect(yield* by({ authorization: `Bearer ${goodToken}`, "x-api-key": otherToken })).toBe(400)
      expect(yield* by({ authorization: `Bearer ${goodToken}`, cookie, ...proof })).toBe(400)
      expect(yield* by({ "sec-websocket-protocol": `ai-desk.token.${goodToken}` })).toBe(401)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("answers in the form that a vendor's library reads", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const openAi = yield* ask(place, { path: "/v1/models", token: "wrong" })
      expect(openAi.json).toEqual({
        error: {
          message: expect.stringContaining("ai-desk token create"),
          type: "authentication_error",
          param: null,
          code: "invalid_api_key"
        }
      })
      const anthropic = { type: "error", error: { type: "authentication_error", message: expect.any(String) } }
      expect((yield* ask(place, { path: "/v1/messages", token: "wrong" })).json).toMatchObject(anthropic)
      const headers = { "anthropic-version": "2023-06-01" }
      expect((yield* ask(place, { path: "/v1/models", token: "wrong", headers })).json).toMatchObject(anthropic)
      const ours = yield* ask(place, { token: "wrong" })
      expect(ours.json).toMatchObject({
        _tag: "Unauthenticated",
        reason: "invalid",
        message: expect.any(String),
        fix: expect.any(String)
      })
    }).pipe(Effect.provide(ground()))
  )
})

describe("Door: answers", () => {
  it.scoped("carry the headers of the house, whoever made them", () =>
    Effect.gen(function* () {
      const place = yield* open()
      const answers = [
        yield* ask(place),
        yield* ask(place, { path: "/login", token: null }),
        yield* ask(place, { token: null }),
        yield* ask(place, { headers: { host: "evil.com" } }),
        yield* ask(place, { path: "/a%00" }),
        yield* ask(place, { path: "/dashboard/api/broken" })
      ]
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 401, 421, 404, 500])
      for (const { headers } of answers) {
        expect(headers).toMatchObject({
          "x-content-type-options": "nosniff",
          "referrer-policy": "no-referrer",
          "cross-origin-opener-policy": "same-origin",
          "cross-origin-resource-policy": "same-origin",
          "cache-control": "no-store",
          "x-frame-options": "DENY",
          "x-request-id": expect.stringMatching(/^[0-9a-f]{16}$/)
        })
        const policy = headers["content-security-policy"]
        expect(policy).toContain("default-src 'none'")
        expect(policy).toContain("frame-ancestors 'none'")
        expect(policy).not.toMatch(/unsafe|\*|data:/)
        for (const name of ["server", "x-powered-by", "strict-transport-security", "access-control-allow-origin"]) {
          expect(headers[name]).toBeUndefined()
        }
      }
      expect(answers[1]?.headers["content-security-policy"]).toContain("script-src 'self'")
      expect(answers[5]?.text).not.toContain("inside")
      expect(answers[5]?.json).toMatchObject({ _tag: "InternalFailure", message: expect.any(String) })
      expect(new Set(answers.map(({ headers }) => headers["x-request-id"])).size).toBe(answers.length)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("say over TLS that there is no other way", () =>
    Effect.gen(function* () {
      const place = yield* open({ tls: true })
      const { headers, status } = yield* ask(place, { tls: true })
      expect([status, headers["strict-transport-security"]]).toEqual([200, "max-age=31536000"])
      const own = { tls: true, headers: { origin: `https://127.0.0.1:${place.port}` } }
      expect((yield* ask(place, own)).status).toBe(200)
      const plain = { tls: true, headers: { origin: `http://127.0.0.1:${place.port}` } }
      expect((yield* ask(place, plain)).status).toBe(403)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("say so as well where a proxy encrypts the way, to whoever is let in or sent away", () =>
    Effect.gen(function* () {
      const place = yield* open()
      for (const given of [{}, { token: null }, { path: "/login" }, { path: "/nowhere" }]) {
        const { headers, status } = yield* ask(place, given)
        expect([status, headers["strict-transport-security"]]).toEqual([status, "max-age=31536000"])
      }
    }).pipe(
      Effect.provide(ground({ reverseProxy: { publicUrl: "https://desk.example.org/", trusted: ["127.0.0.1/32"] } }))
    )
  )

  it.scoped("trust the owner's own socket, and still not every body", () =>
    Effect.gen(function* () {
      const door = yield* Door
      const place = yield* open({ wrap: door.local })
      const bare = { token: null, headers: { host: "whatever", origin: "http://evil" } }
      expect((yield* ask(place, bare)).json).toMatchObject({ caller: "local" })
      expect((yield* post(place, '{"a":1}', bare)).json).toMatchObject({ caller: "local", json: { a: 1 } })
      expect((yield* post(place, '{"__proto__":1}', bare)).status).toBe(400)
      expect((yield* post(place, "a=1", { headers: { "content-type": "text/plain" } })).status).toBe(415)
    }).pipe(Effect.provide(ground()))
  )

  it.scoped("hold before the set-up as they do after it, when nobody can prove anything", () =>
    Effect.gen(function* () {
      const { config } = yield* Effect.flatMap(Settings, (settings) => settings.current)
      const place = yield* open({ wrap: (app) => beforeSetUp(config.gateway, app) })
      expect((yield* ask(place, { path: "/setup", headers: { host: "evil.com" } })).status).toBe(421)
      expect((yield* ask(place, { path: "/setup", headers: { origin: "http://evil" } })).status).toBe(403)
      expect((yield* ask(place, { path: "/setup/..%2fx" })).status).toBe(404)
      expect((yield* post(place, "{}", { path: "/setup" })).status).toBe(415)
      expect(place.seen.requests).toBe(0)
      const { headers, json } = yield* ask(place, { path: "/setup" })
      expect(json).toMatchObject({ caller: "nobody" })
      expect(headers["content-security-policy"]).toContain("frame-ancestors 'none'")
    }).pipe(Effect.provide(ground()))
  )
})
