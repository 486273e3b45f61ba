/**
 * The running gateway against requests that are for another place or come from one: paths that two
 * readers take for two places, names and origins that look like ours, halves of a log-in put together
 * anew, and a sender that says they are somebody else.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Attack from "../support/attack.ts"
import * as Path from "../support/path.ts"
import { ask } from "../support/served.ts"

const place = (gateway: object = {}) =>
  Path.place({
    sections: { gateway: { rateLimit: { maxPerSecond: 10_000, maxConnections: 500 }, ...gateway } }
  })
const api = "/dashboard/api/agents"

describe("a path", () => {
  it.live("is exactly what it is: every other spelling leads nowhere, with a credential and without", () =>
    Effect.gen(function* () {
      const { port, token } = yield* Attack.target(yield* place())
      const owner = yield* token("owner", ["owner"])
      const spellings = [
        "//dashboard/api/agents",
        "/dashboard//api/agents",
        "/dashboard/api//agents",
        "/dashboard/api/agents//",
        "/dashboard/api/agents/.",
        "/dashboard/api/./agents",
        "/dashboard/api/../api/agents",
        "/login/../dashboard/api/agents",
        "/dashboard/assets/../api/agents",
        "/dashboard/assets/%2e%2e/api/agents",
        "/dashboard/assets/..%2fapi/agents",
        "/dashboard/assets/%252e%252e/api/agents",
        "/dashboard/assets/..\\api\\agents",
        "/dashboard/assets/..%5capi%5cagents",
        "/dashboard/assets/%c0%ae%c0%ae/api/agents",
        "/dashboard/assets/../../../../../../etc/passwd",
        "/dashboard/assets/%2e%2e%2f%2e%2e%2fpackage.json",
        "/dashboard/assets//etc/passwd",
        "/dashboard/api/agents.",
        "/dashboard/api/agents%2e",
        "/dashboard/api/agents.json",
        "/dashboard/api/agents;x=1",
        "/dashboard/api/agents%3bx",
        "/dashboard/api/agents%00",
        "/dashboard/api/agents%00.css",
        "/dashboard/api/agents%20",
        "/dashboard/api/agents%0d%0aX:y",
        "/dashboard/api/agents%c2%85",
        "/dashboard/api/agents%ff",
        "/dashboard/api/agents%",
        "/dashboard/api/agents%2",
        "/dashboard/api/agents#x",
        "/dashboard%2fapi%2fagents",
        "/dashboard/api%2fagents",
        "/Dashboard/api/agents",
        "/dashboard/API/agents",
        "/dashboard/api/AGENTS",
        "/DASHBOARD/API/AGENTS",
        "/dashboard/api/agents\xc3\xa9",
        "/dashboard/api",
        "/dashboard/api/",
        "/v1",
        "/v1/",
        "/v1//models",
        "/V1/models",
        "/v1/models/../../dashboard/api/agents",
        "/v1/models/..%2f..%2fdashboard%2fapi%2fagents",
        "/HEALTHZ",
        "/metrics/",
        "/metrics/../metrics",
        "/openapi.json/",
        "/%6fpenapi.json%00",
        `/dashboard/api/${"a".repeat(3000)}`,
        `/${"dashboard/".repeat(200)}`
      ]
      const found: Array<string> = []
      yield* Effect.forEach(
        spellings,
        (path) =>
          Effect.gen(function* () {
            for (const method of ["GET", "HEAD", "POST"]) {
              for (const auth of ["", `Authorization: Bearer ${owner}\r\n`]) {
                const answer = yield* Attack.raw(
                  port,
                  `${method} ${path} HTTP/1.1\r\nH\r\n${auth}Connection: close\r\n\r\n`,
                  800
                )
                const [status = 0] = Attack.statuses(answer)
                const fine = auth === "" ? [400, 401, 404, 405, 431] : [400, 404, 405, 415, 431]
                if (!fine.includes(status) || /root:|"model"|devDependencies/.test(answer))
                  found.push(`${method} ${path.slice(0, 80)} ${auth === "" ? "nobody" : "owner"}: ${status}`)
              }
            }
          }),
        { concurrency: 12, discard: true }
      )
      assert.deepStrictEqual(found, [])
      // What is encoded without need, or ends in a slash, is the same place: it asks for the same credential.
      for (const path of [
        "/%64ashboard/api/agents",
        "/dashboard/api/%61gents",
        "/dashboard/api/agents/",
        "/healthz/"
      ]) {
        const answer = yield* Attack.raw(port, `GET ${path} HTTP/1.1\r\nH\r\nConnection: close\r\n\r\n`, 800)
        assert.deepStrictEqual(Attack.statuses(answer), [401], path)
      }
    }).pipe(Effect.scoped)
  )
})

describe("names and origins", () => {
  it.live("that only look like ours are refused, on every kind of route", () =>
    Effect.gen(function* () {
      const { port, token } = yield* Attack.target(yield* place())
      const owner = yield* token("owner", ["owner"])
      const auth = `Authorization: Bearer ${owner}\r\n`
      const sent = (path: string, lines: ReadonlyArray<string>, method = "GET") =>
        Effect.map(
          Attack.raw(
            port,
            `${method} ${path} HTTP/1.1\r\n${[...lines, ""].join("\r\n")}${auth}Connection: close\r\n\r\n`,
            800
          ),
          (answer) => Attack.statuses(answer)[0] ?? 0
        )
      const hosts = [
        `127.0.0.1.:${port}`,
        `localhost.:${port}`,
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:",
        `127.0.0.1:${port}:${port}`,
        `127.0.0.1:0${port}0`,
        `127.0.0.1:${port + 1}`,
        `127.0.0.2:${port}`,
        `127.1:${port}`,
        `2130706433:${port}`,
        `0x7f000001:${port}`,
        `0177.0.0.1:${port}`,
        `[::ffff:7f00:2]:${port}`,
        `[::]:${port}`,
        `[::1`,
        `::1:${port}`,
        `[::1%25lo]:${port}`,
        `user@127.0.0.1:${port}`,
        `127.0.0.1:${port}@evil.com`,
        `127.0.0.1:${port}/evil.com`,
        `127.0.0.1:${port}#evil.com`,
        `127.0.0.1:${port}, evil.com`,
        `evil.com, 127.0.0.1:${port}`,
        `127.0.0.1.evil.com:${port}`,
        `localhost.evil.com:${port}`,
        `evil.com`,
        `evil.com:${port}`,
        `xn--lcalhost-n4d:${port}`,
        "",
        " ",
        "*",
        `127.0.0.1 :${port}`
      ]
      const found: Array<string> = []
      for (const path of [api, "/v1/models", "/login", "/healthz", "/metrics", "/openapi.json"]) {
        yield* Effect.forEach(
          hosts,
          (host) =>
            Effect.map(
              sent(path, [`Host: ${host}`]),
              (status) => void (status === 421 || status === 400 || found.push(`${path} Host ${host}: ${status}`))
            ),
          { concurrency: 12, discard: true }
        )
      }
      assert.deepStrictEqual(found, [])
      for (const host of [`127.0.0.1:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`, `[0:0:0:0:0:0:0:1]:${port}`]) {
        const status = yield* sent(api, [`Host: ${host}`])
        // What is not the name that was asked for may be refused; what is must not be.
        assert.include(host.startsWith("[0:") ? [200, 421] : [200], status, host)
      }
      // Somebody else's word for the host counts for nothing.
      const told = ["X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded", "X-HTTP-Host-Override"]
      assert.strictEqual(yield* sent(api, ["Host: evil.com", ...told.map((name) => `${name}: 127.0.0.1:${port}`)]), 421)

      const own = `Host: 127.0.0.1:${port}`
      const origins = [
        "null",
        "http://127.0.0.1",
        `http://127.0.0.1:${port + 1}`,
        `http://127.0.0.1.evil.com:${port}`,
        `http://127.0.0.1.evil.com`,
        `http://localhost:${port}.evil.com`,
        `http://localhost:${port}`,
        `http://[::1]:${port}`,
        `https://127.0.0.1:${port}`,
        `https://127.0.0.1`,
        `HTTP://127.0.0.1:${port}`,
        `http://127.0.0.1:${port}/`,
        `http://127.0.0.1:${port} `.concat("x"),
        `http://evil.com`,
        `http://evil.com, http://127.0.0.1:${port}`,
        `http://user@127.0.0.1:${port}`,
        `http://127.0.0.1:${port}@evil.com`,
        "file://",
        "chrome-extension://abcdefghijklmnop",
        "about:blank",
        `127.0.0.1:${port}`,
        "x"
      ]
      for (const path of [api, "/v1/models", "/dashboard/api/events", "/metrics"]) {
        for (const method of ["GET", "POST", "OPTIONS"]) {
          yield* Effect.forEach(
            origins,
            (origin) =>
              Effect.map(
                sent(path, [own, `Origin: ${origin}`], method),
                (status) => void (status === 403 || found.push(`${method} ${path} Origin ${origin}: ${status}`))
              ),
            { concurrency: 12, discard: true }
          )
        }
      }
      assert.deepStrictEqual(found, [])
      const ours = `Origin: http://127.0.0.1:${port}`
      const matrix: ReadonlyArray<readonly [ReadonlyArray<string>, number]> = [
        [[], 200],
        [[ours], 200],
        [[ours, "Sec-Fetch-Site: same-origin"], 200],
        [["Sec-Fetch-Site: same-origin"], 200],
        [["Sec-Fetch-Site: none"], 200],
        [["Sec-Fetch-Site: same-site"], 403],
        [["Sec-Fetch-Site: cross-site"], 403],
        [["Sec-Fetch-Site: SAME-ORIGIN"], 403],
        [["Sec-Fetch-Site: same-origin, cross-site"], 403],
        [["Sec-Fetch-Site: whatever"], 403],
        [[ours, "Sec-Fetch-Site: same-site"], 403],
        [[ours, "Sec-Fetch-Site: cross-site"], 403],
        [["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], 403],
        [["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"], 400],
        [[ours, "Origin: http://evil.com"], 400]
      ]
      for (const [lines, expected] of matrix) {
        assert.strictEqual(yield* sent(api, [own, ...lines]), expected, lines.join(" | "))
      }
    }).pipe(Effect.scoped)
  )
})

describe("half a log-in", () => {
  it.live("is none, however it is put together, and no header says who somebody is", () =>
    Effect.gen(function* () {
      const { port, token, url } = yield* Attack.target(yield* place({ auth: { maxFailedAttempts: 1000 } }))
      const owner = yield* token("owner", ["owner"])
      const login = Effect.gen(function* () {
        const body = JSON.stringify({ token: owner })
        const answer = yield* Attack.raw(
          port,
          `POST /dashboard/api/login HTTP/1.1\r\nH\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
        )
        const cookie = /set-cookie: (ai-desk=[^;]+)/i.exec(answer)?.[1] ?? ""
        const proof = /"proof":"([^"]+)"/.exec(answer)?.[1] ?? ""
        assert.isTrue(cookie.length > 30 && proof.length > 30, answer)
        return { cookie, proof }
      })
      const [one, two] = [yield* login, yield* login]
      assert.notStrictEqual(one.cookie, two.cookie)
      const sent = (lines: ReadonlyArray<string>, path = api) =>
        Effect.map(
          Attack.raw(port, `GET ${path} HTTP/1.1\r\nH\r\n${[...lines, ""].join("\r\n")}Connection: close\r\n\r\n`, 800),
          (answer) => Attack.statuses(answer)[0] ?? 0
        )
      const proof = (text: string) => `X-AI-Desk-Proof: ${text}`
      assert.strictEqual(yield* sent([`Cookie: ${one.cookie}`, proof(one.proof)]), 200)
      assert.strictEqual(yield* sent([`Cookie: theirs=1; ${one.cookie}; also=2`, proof(one.proof)]), 200)
      const value = one.cookie.replace("ai-desk=", "")
      const refused: ReadonlyArray<readonly [name: string, lines: ReadonlyArray<string>, path?: string]> = [
        ["the cookie alone", [`Cookie: ${one.cookie}`]],
        ["the proof alone", [proof(one.proof)]],
        ["another's proof", [`Cookie: ${one.cookie}`, proof(two.proof)]],
        ["the proof in the cookie", [`Cookie: ${one.cookie}; proof=${one.proof}; x-ai-desk-proof=${one.proof}`]],
        ["the proof as the cookie", [`Cookie: ai-desk=${one.proof}`, proof(one.proof)]],
        ["the cookie as the proof", [`Cookie: ${one.cookie}`, proof(value)]],
        ["two cookies", [`Cookie: ${one.cookie}; ${two.cookie}`, proof(one.proof)]],
        ["two cookies, the other first", [`Cookie: ${two.cookie}; ${one.cookie}`, proof(one.proof)]],
        ["two headers", [`Cookie: ${one.cookie}`, `Cookie: ${two.cookie}`, proof(one.proof)]],
        ["two proofs", [`Cookie: ${one.cookie}`, proof(one.proof), proof(two.proof)]],
        ["a cookie of another name", [`Cookie: AI-DESK=${value}`, proof(one.proof)]],
        ["a prefixed one beside", [`Cookie: __Host-ai-desk=${two.cookie.slice(8)}; ${one.cookie}`, proof(one.proof)]],
        ["the proof in the URL", [`Cookie: ${one.cookie}`], `${api}?proof=${one.proof}`],
        ["the cookie as a token", [`Authorization: Bearer ${value}`]],
        ["the proof as a token", [`Authorization: Bearer ${one.proof}`]],
        ["a quoted cookie", [`Cookie: ai-desk="${value}"`, proof(one.proof)]],
        ["an empty proof", [`Cookie: ${one.cookie}`, proof("")]],
        ["a token in the URL", [], `${api}?token=${owner}&access_token=${owner}&api_key=${owner}`],
        ["a token in a cookie", [`Cookie: ai-desk=${owner}; token=${owner}; authorization=Bearer ${owner}`]],
        ["a token by another header", [`Proxy-Authorization: Bearer ${owner}`, `X-Auth-Token: ${owner}`]],
        ["a name", ["X-Forwarded-User: owner", "X-Remote-User: owner", "Remote-User: owner", "X-Real-User: owner"]],
        [
          "a nearer address",
          ["X-Forwarded-For: 127.0.0.1", "X-Real-IP: ::1", "Forwarded: for=127.0.0.1", "Via: 1.1 localhost"]
        ],
        ["another path", ["X-Original-URL: /healthz", "X-Rewrite-URL: /healthz", "X-Forwarded-Prefix: /login"]],
        ["another method", ["X-HTTP-Method-Override: OPTIONS", "X-Method-Override: HEAD"]],
        ["a verified certificate", ["X-SSL-Client-Verify: SUCCESS", "X-Client-Cert: x", "X-SSL-Client-DN: CN=owner"]]
      ]
      for (const [name, lines, path] of refused) {
        const status = yield* sent(lines, path)
        assert.isTrue(status === 401 || status === 400, `${name}: ${status}`)
      }
      // Both still count; and logging out ends one, not the other.
      const end = yield* ask(url, "/dashboard/api/login/end", {
        method: "POST",
        headers: { cookie: one.cookie, "x-ai-desk-proof": one.proof }
      })
      assert.strictEqual(end.status, 200, end.text)
      assert.strictEqual(yield* sent([`Cookie: ${one.cookie}`, proof(one.proof)]), 401)
      assert.strictEqual(yield* sent([`Cookie: ${two.cookie}`, proof(two.proof)]), 200)
      // The token that it was made with takes the log-in along.
      const { text } = yield* ask(url, "/dashboard/api/tokens", { headers: Attack.bearer(owner) })
      const id = /tok-[0-9A-Z]{26}/.exec(text)?.[0] ?? ""
      yield* ask(url, `/dashboard/api/tokens/${id}`, { method: "DELETE", headers: Attack.bearer(owner) })
      assert.strictEqual(yield* sent([`Cookie: ${two.cookie}`, proof(two.proof)]), 401)
    }).pipe(Effect.scoped)
  )
})
