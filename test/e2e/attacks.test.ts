/**
 * The running gateway under attack from the network: what is no request, what is one for somebody
 * else, what comes from a foreign page, without a credential, with half of one or with one that does
 * not reach so far. It always answers as the contract says or hangs up, and stays well.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Attack from "../support/attack.ts"
import * as Path from "../support/path.ts"
import { ask } from "../support/served.ts"

const place = (gateway: object = {}) =>
  Path.place({
    sections: {
      gateway: {
        auth: { maxFailedAttempts: 1000 },
        rateLimit: { maxPerSecond: 10_000, maxConnections: 500 },
        ...gateway
      }
    }
  })

const api = "/dashboard/api/agents"

/** Only the head of what never ends. */
const head = (port: number, method: string, path: string, headers: Readonly<Record<string, string>>, body?: string) =>
  Effect.map(
    Attack.raw(
      port,
      [
        `${method} ${path} HTTP/1.1`,
        "H",
        ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
        ...(body === undefined ? [] : ["Content-Type: application/json", `Content-Length: ${body.length}`]),
        "Connection: close",
        "",
        body ?? ""
      ].join("\r\n"),
      700
    ),
    (text) => ({ status: Attack.statuses(text)[0] ?? 0, text })
  )

interface Operation {
  readonly "x-access": string
  readonly responses: Readonly<Record<string, unknown>>
}
const scopesOf: Readonly<Record<string, ReadonlyArray<string>>> = {
  owner: [],
  "owner or read": ["read"],
  "owner or chat": ["chat"],
  "owner, read or chat": ["read", "chat"],
  "owner or client": ["client"]
}

describe("the route table of the document", () => {
  it.live("holds: nobody and no wrong credential gets in, and no token further than its scope", () =>
    Effect.gen(function* () {
      const { port, token, url } = yield* Attack.target(yield* place())
      const tokens = {
        read: yield* token("read", ["read"]),
        chat: yield* token("chat", ["chat"]),
        client: yield* token("client", ["client"])
      }
      const { text } = yield* ask(url, "/openapi.json", { headers: Attack.bearer(tokens.client) })
      const paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> = JSON.parse(text).paths
      const table = Object.entries(paths).flatMap(([path, operations]) =>
        Object.entries(operations).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation }))
      )
      assert.isAbove(table.length, 60)
      const found: Array<string> = []
      yield* Effect.forEach(
        table,
        ({ method, operation, path }) =>
          Effect.gen(function* () {
            const at = path.replaceAll(/\{\w+\}/g, "x")
            const body = method === "GET" || method === "DELETE" ? undefined : "{}"
            const access = operation["x-access"]
            const name = `${method} ${path} (${access})`
            const documented = (status: number) => String(status) in operation.responses
            const tried = (as: string, headers: Readonly<Record<string, string>>, expected: (s: number) => boolean) =>
              Effect.map(head(port, method, at, headers, body), ({ status }) => {
                if (!expected(status) || !documented(status)) found.push(`${name} ${as}: ${status}`)
              })
            if (access === "anyone") {
              yield* tried("nobody", {}, (status) => status < 500 || status === 503)
              return
            }
            assert.isDefined(scopesOf[access], name)
            yield* tried("nobody", {}, (status) => status === 401)
            yield* tried("empty", { Authorization: "Bearer " }, (status) => status === 401)
            yield* tried("basic", { Authorization: "Basic b3duZXI6b3duZXI=" }, (status) => status === 401)
            yield* tried("wrong", Attack.bearer(`aidt_${"x".repeat(49)}`), (status) => status === 401)
            for (const [scope, secret] of Object.entries(tokens)) {
              const allowed = scopesOf[access]?.includes(scope) === true
              yield* tried(scope, Attack.bearer(secret), (status) =>
                allowed ? status !== 401 && status !== 403 && (status < 500 || status === 503) : status === 403
              )
            }
          }),
        { concurrency: 12, discard: true }
      )
      assert.deepStrictEqual(found, [])
      // Methods that the document does not name do nothing, whoever asks.
      const other: Array<string> = []
      yield* Effect.forEach(
        Object.entries(paths),
        ([path, operations]) =>
          Effect.forEach(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"], (method) => {
            if (method.toLowerCase() in operations || (method === "HEAD" && "get" in operations)) return Effect.void
            return Effect.map(
              head(port, method, path.replaceAll(/\{\w+\}/g, "x"), {
                ...Attack.bearer(tokens.read),
                "X-HTTP-Method-Override": Object.keys(operations)[0] ?? "GET"
              }),
              ({ status }) => void ([400, 403, 404, 405].includes(status) || other.push(`${method} ${path}: ${status}`))
            )
          }),
        { concurrency: 12, discard: true }
      )
      assert.deepStrictEqual(other, [])
    }).pipe(Effect.scoped)
  )
})

describe("what is no request, or two", () => {
  it.live("is refused or hung up on, and nothing behind it is answered", () =>
    Effect.gen(function* () {
      const { port, token, url } = yield* Attack.target(yield* place())
      const owner = yield* token("owner", ["owner"])
      const auth = `Authorization: Bearer ${owner}`
      const hidden = `GET ${api} HTTP/1.1\r\nH\r\n${auth}\r\n\r\n`
      const post = (headers: string, body: string) =>
        `POST /dashboard/api/tokens HTTP/1.1\r\nH\r\n${auth}\r\nContent-Type: application/json\r\n${headers}\r\n\r\n${body}`
      const json = `{"label":"smuggled","scopes":["owner"]}`
      const bad: Readonly<Record<string, string>> = {
        "both lengths": post(`Content-Length: 6\r\nTransfer-Encoding: chunked`, `0\r\n\r\n${hidden}`),
        "both lengths, the other way round": post(
          `Transfer-Encoding: chunked\r\nContent-Length: 6`,
          `0\r\n\r\n${hidden}`
        ),
        "two lengths": post("Content-Length: 2\r\nContent-Length: 39", json),
        "two lengths alike": post("Content-Length: 39\r\nContent-Length: 39", json),
        "a list of lengths": post("Content-Length: 39, 39", json),
        "a signed length": post("Content-Length: +39", json),
        "a negative length": post("Content-Length: -1", json),
        "a length in hex": post("Content-Length: 0x27", json),
        "an endless length": post("Content-Length: 99999999999999999999999", json),
        "another coding": post("Transfer-Encoding: xchunked", `27\r\n${json}\r\n0\r\n\r\n`),
        "chunked twice": post("Transfer-Encoding: chunked, chunked", `27\r\n${json}\r\n0\r\n\r\n`),
        "chunked and more": post("Transfer-Encoding: chunked, identity", `27\r\n${json}\r\n0\r\n\r\n`),
        "codings in two headers": post(
          "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
          `27\r\n${json}\r\n0\r\n\r\n`
        ),
        "a coding before a tab": post("Transfer-Encoding:\x0bchunked", `27\r\n${json}\r\n0\r\n\r\n`),
        "a space before the colon": post("Transfer-Encoding : chunked", `27\r\n${json}\r\n0\r\n\r\n`),
        "a chunk of no size": post("Transfer-Encoding: chunked", `zz\r\n${json}\r\n0\r\n\r\n`),
        "a chunk of negative size": post("Transfer-Encoding: chunked", `-27\r\n${json}\r\n0\r\n\r\n`),
        "a chunk too large": post("Transfer-Encoding: chunked", `fffffffffffffffff\r\n${json}\r\n0\r\n\r\n`),
        "a chunk longer than it says": post("Transfer-Encoding: chunked", `2\r\n${json}\r\n0\r\n\r\n`),
        "bare line feeds in chunks": post("Transfer-Encoding: chunked", `27\n${json}\n0\n\n`),
        "a folded header": `GET ${api} HTTP/1.1\r\nH\r\nX-One: a\r\n ${auth}\r\n\r\n`,
        "bare line feeds": `GET ${api} HTTP/1.1\nHost: 127.0.0.1:${port}\n${auth}\n\n`,
        "a bare carriage return": `GET ${api} HTTP/1.1\r\nH\r\nX-One: a\r${auth}\r\n\r\n`,
        "NUL in a header": `GET ${api} HTTP/1.1\r\nH\r\nX-One: a\0b\r\n${auth}\r\n\r\n`,
        "a header without a name": `GET ${api} HTTP/1.1\r\nH\r\n: x\r\n${auth}\r\n\r\n`,
        "a header without a colon": `GET ${api} HTTP/1.1\r\nH\r\nnothing\r\n${auth}\r\n\r\n`,
        "no version": `GET ${api}\r\n\r\n`,
        "version 9": `GET ${api} HTTP/9.9\r\nH\r\n${auth}\r\n\r\n`,
        "version 2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a TLS greeting": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "an asterisk": `OPTIONS * HTTP/1.1\r\nH\r\n${auth}\r\n\r\n`,
        "a tunnel": `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nH\r\n${auth}\r\n\r\n${hidden}`,
        "a whole URL": `GET http://127.0.0.1:${port}${api} HTTP/1.1\r\nH\r\n${auth}\r\n\r\n`,
        "a whole URL of another host": `GET http://evil.com${api} HTTP/1.1\r\nH\r\n${auth}\r\n\r\n`,
        "no slash": `GET dashboard/api/agents HTTP/1.1\r\nH\r\n${auth}\r\n\r\n`,
        "a host and two slashes": `GET //127.0.0.1:${port}${api} HTTP/1.1\r\nH\r\n${auth}\r\n\r\n`,
        "a method in lower case": `get ${api} HTTP/1.1\r\nH\r\n${auth}\r\n\r\n`,
        "two hosts": `GET ${api} HTTP/1.1\r\nH\r\nH\r\n${auth}\r\n\r\n`,
        "no host": `GET ${api} HTTP/1.1\r\n${auth}\r\n\r\n`,
        "no host, as of old": `GET ${api} HTTP/1.0\r\n${auth}\r\n\r\n`,
        "two credentials": `GET ${api} HTTP/1.1\r\nH\r\n${auth}\r\nAuthorization: Bearer x\r\n\r\n`,
        "two credentials that differ": `GET ${api} HTTP/1.1\r\nH\r\n${auth}\r\nX-Api-Key: x\r\n\r\n`,
        "a body to a question": `GET ${api} HTTP/1.1\r\nH\r\n${auth}\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
        "101 headers": `GET ${api} HTTP/1.1\r\nH\r\n${auth}\r\n${"X-A: b\r\n".repeat(101)}\r\n`,
        "a huge header": `GET ${api} HTTP/1.1\r\nH\r\n${auth}\r\nX-A: ${"b".repeat(20_000)}\r\n\r\n`,
        "a huge path": `GET ${api}${"/x".repeat(9000)} HTTP/1.1\r\nH\r\n${auth}\r\n\r\n`,
        "a compressed body": post("Content-Encoding: gzip\r\nContent-Length: 39", json),
        "a form": post("Content-Length: 39", json).replace("application/json", "application/x-www-form-urlencoded"),
        "plain text": post("Content-Length: 39", json).replace("application/json", "text/plain"),
        "two kinds": post("Content-Type: text/plain\r\nContent-Length: 39", json),
        "another character set": post("Content-Length: 39", json).replace(
          "application/json",
          "application/json; charset=utf-7"
        )
      }
      const found: Array<string> = []
      yield* Effect.forEach(
        Object.entries(bad),
        ([name, text]) =>
          Effect.map(Attack.raw(port, text, 1000), (answer) => {
            const seen = Attack.statuses(answer)
            if (seen.some((status) => status < 400 || status >= 500) || seen.length > 2 || answer.includes(owner)) {
              found.push(`${name}: ${seen.join(", ")} ${answer.slice(0, 80)}`)
            }
          }),
        { concurrency: 10, discard: true }
      )
      assert.deepStrictEqual(found, [])
      const tokens = yield* ask(url, "/dashboard/api/tokens", { headers: Attack.bearer(owner) })
      assert.notInclude(tokens.text, "smuggled")

      // Requests in a row: each is judged by what it brought itself.
      const plain = `GET ${api} HTTP/1.1\r\nH\r\n`
      const row = yield* Attack.raw(
        port,
        `${plain}\r\n${plain}${auth}\r\n\r\n${plain}\r\n${plain}${auth}\r\nConnection: close\r\n\r\n`
      )
      assert.deepStrictEqual(Attack.statuses(row), [401, 200, 401, 200])
      const many = yield* Attack.raw(port, `${plain}${auth}\r\n\r\n`.repeat(200) + `${plain}Connection: close\r\n\r\n`)
      assert.strictEqual(Attack.statuses(many).length, 201)
      assert.strictEqual(Attack.statuses(many).at(-1), 401)
      const old = yield* Attack.raw(port, `GET ${api} HTTP/1.0\r\nH\r\n${auth}\r\n\r\n`)
      assert.deepStrictEqual(Attack.statuses(old), [200])
      // An honest chunked body, and one that waits to be asked for it.
      const chunked = yield* Attack.raw(
        port,
        post(
          "Transfer-Encoding: chunked\r\nConnection: close",
          `27\r\n${json.replace("smuggled", "honestly")}\r\n0\r\n\r\n`
        )
      )
      assert.deepStrictEqual(Attack.statuses(chunked), [200])
      const refused = yield* Attack.raw(
        port,
        `POST /dashboard/api/tokens HTTP/1.1\r\nH\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 39\r\n\r\n`
      )
      assert.deepStrictEqual(
        Attack.statuses(refused).filter((status) => status !== 100),
        [401]
      )
      const strange = yield* Attack.raw(port, `${plain}${auth}\r\nExpect: 200-maybe\r\nConnection: close\r\n\r\n`)
      assert.isTrue(Attack.statuses(strange).every((status) => status === 417 || status === 200))
    }).pipe(Effect.scoped)
  )

  it.live("a WebSocket is opened only where there is one, and only in due form", () =>
    Effect.gen(function* () {
      const { port, token, url } = yield* Attack.target(yield* place())
      const owner = yield* token("owner", ["owner"])
      const read = yield* token("read", ["read"])
      const chat = "/dashboard/api/chat"
      const open = (path: string, more: ReadonlyArray<string>, key = "dGhlIHNhbXBsZSBub25jZQ==", version = "13") =>
        Effect.map(
          Attack.raw(
            port,
            [
              `GET ${path} HTTP/1.1`,
              "H",
              "Upgrade: websocket",
              "Connection: Upgrade",
              `Sec-WebSocket-Key: ${key}`,
              `Sec-WebSocket-Version: ${version}`,
              ...more,
              "",
              ""
            ].join("\r\n"),
            800
          ),
          (answer) => Attack.statuses(answer)[0] ?? 0
        )
      const auth = `Authorization: Bearer ${owner}`
      const form = "Sec-WebSocket-Protocol: ai-desk.chat.v1"
      assert.strictEqual(yield* open(chat, [auth, form]), 101)
      assert.strictEqual(yield* open(chat, [`${form}, ai-desk.token.${owner}`]), 101)
      const refused: ReadonlyArray<readonly [string, Effect.Effect<number>]> = [
        ["no credential", open(chat, [form])],
        ["a credential in the URL", open(`${chat}?token=${owner}`, [form])],
        ["a wrong one", open(chat, [`${form}, ai-desk.token.aidt_${"x".repeat(49)}`])],
        ["of another scope", open(chat, [`Authorization: Bearer ${read}`, form])],
        ["two that differ", open(chat, [auth, `${form}, ai-desk.token.${read}`])],
        ["a foreign page", open(chat, [auth, form, "Origin: http://evil.com"])],
        ["no page's origin", open(chat, [auth, form, "Origin: null"])],
        ["another port's page", open(chat, [auth, form, `Origin: http://127.0.0.1:${port + 1}`])],
        ["another name's page", open(chat, [auth, form, `Origin: http://localhost:${port}`])],
        [
          "another site's page",
          open(chat, [auth, form, `Origin: http://127.0.0.1:${port}`, "Sec-Fetch-Site: cross-site"])
        ],
        ["another version", open(chat, [auth, form], undefined, "8")],
        ["no key", open(chat, [auth, form], "")],
        ["a short key", open(chat, [auth, form], "abc")]
      ]
      for (const [name, tried] of refused) {
        const status = yield* tried
        assert.isTrue(status >= 400 && status < 500, `${name}: ${status}`)
      }
      // Elsewhere nothing becomes a WebSocket.
      for (const path of [
        api,
        "/v1/models",
        "/healthz",
        "/login",
        "/dashboard/api/events",
        "/nowhere",
        `${chat}/x`,
        `/${chat}`
      ]) {
        assert.notStrictEqual(yield* open(path, [auth, form]), 101, path)
      }
      for (const other of ["h2c", "TLS/1.0", "websocket, h2c", "foo"]) {
        const answer = yield* Attack.raw(
          port,
          `GET ${chat} HTTP/1.1\r\nH\r\n${auth}\r\nUpgrade: ${other}\r\nConnection: Upgrade, close\r\n\r\n`,
          800
        )
        assert.isTrue(
          Attack.statuses(answer).every((status) => status >= 400 && status < 500),
          `${other}: ${answer.slice(0, 60)}`
        )
      }
      assert.strictEqual((yield* ask(url, "/healthz")).status, 200)
    }).pipe(Effect.scoped)
  )
})
