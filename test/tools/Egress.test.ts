import { createServer, type RequestListener, type ServerResponse } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { Server } from "node:net"
import { gzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, type Scope } from "effect"
import { isPublic } from "../../src/tools/egress/Address.ts"
import { isAllowed, isNamed, targetOf } from "../../src/tools/egress/AllowList.ts"
import * as Egress from "../../src/tools/Egress.ts"
import { certificate, privateKey } from "../support/tls.ts"

const allows = (url: string, ...allow: ReadonlyArray<string>): boolean => {
  const target = targetOf(url)
  return typeof target !== "string" && isAllowed(target, allow)
}

describe("the allow list", () => {
  const list = [
    "ok.com",
    "*.sub.org",
    "port.net:8443",
    "plain.net:80",
    "bücher.example",
    "93.184.216.34",
    "[2606:2800::1]:9"
  ]
  const yes = [
    "https://ok.com",
    "https://OK.com:443/a?b#c",
    "https://ok.com./",
    "https://a.sub.org",
    "https://a.b.SUB.org/",
    "https://port.net:8443/",
    "http://plain.net/",
    "https://xn--bcher-kva.example/",
    "https://BÜCHER.example/",
    "https://93.184.216.34/",
    "https://0x5db8d822/",
    "https://[2606:2800:0::1]:9/"
  ]
  const no = [
    "http://ok.com/",
    "https://ok.com:8443/",
    "https://ok.com.evil.com/",
    "https://evil.com/ok.com",
    "https://evil.com?ok.com",
    "https://evil.com#ok.com",
    "https://okacom/",
    "https://notok.com/",
    "https://sub.org/",
    "https://evilsub.org/",
    "https://a.sub.org.evil.com/",
    "https://a.sub.org:444/",
    "https://port.net/",
    "http://port.net:8443@evil.com/",
    "https://ok.com@evil.com/",
    "https://evil.com\\@ok.com/",
    "https://evil.com%2f@ok.com/",
    "https://evil%00.ok.com/",
    "https://ok.com%00.evil.com/",
    "https://ok.com\0.evil.com/",
    "https://ok.com\t.evil.com/",
    " https://ok.com/",
    "https://ok.com\n/",
    "https:ok.com\\evil.com",
    "//ok.com/",
    "ok.com",
    "ftp://ok.com/",
    "file:///etc/passwd",
    "data:text/plain,x",
    "javascript:1",
    "gopher://ok.com/",
    "https://",
    "https://[::1/",
    "https://user:pw@ok.com/",
    "https://о\u043a.com/"
  ]
  it.each(yes)("lets %j through", (url) => expect(allows(url, ...list)).toBe(true))
  it.each(no)("keeps %j out", (url) => expect(allows(url, ...list)).toBe(false))

  it("an empty list, and entries that cannot be read, mean nowhere", () => {
    expect(allows("https://ok.com/")).toBe(false)
    const bad = [
      "*",
      "*.",
      "",
      ".",
      "https://ok.com",
      "ok.com/",
      "ok.com:0",
      "ok.com:99999",
      "o k.com",
      "*ok.com",
      "a.*.com",
      "u@ok.com",
      "*.127.0.0.1",
      "ok.com:443:1",
      "ok.com?",
      "%6fk.com:x"
    ]
    for (const entry of bad) expect(allows("https://ok.com/", entry), entry).toBe(false)
    expect(allows("https://1.2.3.4/", "*.3.4", "*")).toBe(false)
  })

  it("only an address and port in so many words name a private one", () => {
    expect(isNamed("127.0.0.1", 80, ["127.0.0.1:80"])).toBe(true)
    expect(isNamed("::1", 80, ["[0::1]:80"])).toBe(true)
    for (const entry of ["127.0.0.1", "127.0.0.1:81", "localhost:80", "*.0.0.1:80", "*:80"]) {
      expect(isNamed("127.0.0.1", 80, [entry]), entry).toBe(false)
    }
  })
})

describe("public addresses", () => {
  const no = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:a9fe:a9fe",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:1::",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%1",
    "fec0::1",
    "ff02::1",
    "2607:f8b0::5efe:7f00:1",
    "2607:f8b0::200:5efe:10.0.0.1",
    "4000::1",
    "",
    "localhost",
    "1.2.3",
    "0x7f.1",
    "1.2.3.4.5"
  ]
  const yes = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
    "2620:4f:7fff::1"
  ]
  it.each(no)("%s is not", (address) => expect(isPublic(address)).toBe(false))
  it.each(yes)("%s is", (address) => expect(isPublic(address)).toBe(true))

  it.prop("no IPv4 address is reachable through an IPv6 spelling of it", [fc.ipV4()], ([v4]) => {
    for (const prefix of ["::ffff:", "::", "64:ff9b::", "::ffff:0:"]) expect(isPublic(`${prefix}${v4}`)).toBe(false)
  })
})

const listen = <S extends Server>(server: S, host: string): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, host, () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () =>
      Effect.sync(
        () =>
          void ("closeAllConnections" in server &&
            (server as { closeAllConnections?: () => void }).closeAllConnections?.(),
          server.close())
      )
  )

const serve = (listener: RequestListener, host = "127.0.0.1") => listen(createServer(listener), host)

const text = (response: ServerResponse, body: string | Uint8Array, headers: Record<string, string> = {}) => {
  response.writeHead(200, { "content-type": "text/plain", ...headers })
  response.end(body)
}

const quick = { totalMs: 4000, idleMs: 2000 }
const fetching = (
  options: Partial<Egress.EgressOptions>,
  url: string,
  allow: ReadonlyArray<string>,
  method: "GET" | "HEAD" = "GET"
) => Egress.make({ ...Egress.defaults, ...quick, ...options }).fetch({ url, method, allow })
const words = (...args: Parameters<typeof fetching>) =>
  Effect.map(Effect.flip(fetching(...args)), (error) => `${error._tag}: ${error.message}`)

describe("fetching", () => {
  it.scopedLive("fetches text, with nothing of ours but its own name", () =>
    Effect.gen(function* () {
      let headers: NodeJS.Dict<string | Array<string>> = {}
      const port = yield* serve((request, response) => {
        headers = request.headers
        text(response, `you asked ${request.method} ${request.url}`, { "set-cookie": "a=b" })
      })
      const answer = yield* fetching({}, `http://127.0.0.1:${port}/a?b=c#d`, [`127.0.0.1:${port}`])
      expect(answer).toMatchObject({
        status: 200,
        body: "you asked GET /a?b=c",
        truncated: false,
        contentType: "text/plain"
      })
      expect(Object.keys(headers).sort()).toEqual(["accept", "accept-encoding", "connection", "host", "user-agent"])
      const head = yield* fetching({}, `http://127.0.0.1:${port}/`, [`127.0.0.1:${port}`], "HEAD")
      expect(head).toMatchObject({ status: 200, body: "" })
    })
  )

  it.scopedLive("SSRF: private addresses in every spelling get no connection", () =>
    Effect.gen(function* () {
      let hits = 0
      const port = yield* serve((_request, response) => {
        hits += 1
        text(response, "secret")
      })
      // Every host is allowed by name, so that only the check of addresses stands in the way.
      const spellings = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "192.168.0.1",
        "100.100.100.200",
        "①②⑦.⓪.⓪.①"
      ]
      for (const host of spellings) {
        const said = yield* words({}, `https://${host}/`, [host, host.replace(/\.$/, "")])
        expect(said, host).toMatch(/^EgressRefused: .*(not a public address|tools\.egress)/)
      }
      for (const address of ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1"]) {
        const said = yield* words({ resolve: () => Effect.succeed([address]) }, `http://name.test:${port}/`, [
          `name.test:${port}`
        ])
        expect(said).toContain("not a public address")
        // Hidden behind a good one.
        const mixed = yield* words(
          { resolve: () => Effect.succeed(["8.8.8.8", address]) },
          `http://name.test:${port}/`,
          [`name.test:${port}`]
        )
        expect(mixed).toContain("not a public address")
      }
      expect(hits).toBe(0)
    })
  )

  it.scopedLive("DNS rebinding: a name is resolved once, and that address is used", () =>
    Effect.gen(function* () {
      const port = yield* serve((request, response) => text(response, `host ${request.headers.host}`), "127.0.0.2")
      let asked = 0
      const resolve = () => Effect.sync(() => [asked++ === 0 ? "127.0.0.2" : "127.0.0.99"])
      const allow = [`name.test:${port}`, `127.0.0.2:${port}`]
      const answer = yield* fetching({ resolve }, `http://NAME.test.:${port}/`, allow)
      expect(answer.body).toBe(`host name.test:${port}`)
      expect(asked).toBe(1)
      const gone = yield* words({ resolve: () => Effect.fail("ENOTFOUND") }, `http://name.test:${port}/`, allow)
      expect(gone).toMatch(/^EgressFailed: .*cannot be resolved \(ENOTFOUND\)/)
    })
  )

  it.scopedLive("every hop of a redirect is checked like the first, and there are at most five", () =>
    Effect.gen(function* () {
      const reached: Array<string> = []
      const inner = yield* serve((_request, response) => {
        reached.push("inner")
        text(response, "secret")
      })
      const outer: number = yield* serve((request, response) => {
        reached.push(request.url ?? "")
        const step = Number(/^\/hop(\d+)$/.exec(request.url ?? "")?.[1])
        const to: Record<string, string> = {
          "/inner": `http://127.0.0.1:${inner}/`,
          "/name": `http://name.test:${outer}/`,
          "/user": `http://u:p@127.0.0.1:${outer}/ok`,
          "/file": "file:///etc/passwd",
          "/odd": "http://[",
          "/rel": "ok"
        }
        if (request.url === "/ok") return text(response, `cookie ${request.headers.cookie ?? "none"}`)
        const location = Number.isNaN(step) ? to[request.url ?? ""] : step === 0 ? "/ok" : `/hop${step - 1}`
        response.writeHead(302, { location: location ?? "/loop", "set-cookie": "a=b" })
        response.end("moved")
      })
      const allow = [`127.0.0.1:${outer}`, `name.test:${outer}`]
      const resolve = () => Effect.succeed(["169.254.169.254"])
      const at = (path: string) => `http://127.0.0.1:${outer}${path}`
      expect((yield* fetching({}, at("/rel"), allow)).body).toBe("cookie none")
      expect((yield* fetching({}, at("/hop4"), allow)).url).toBe(at("/ok"))
      expect(yield* words({}, at("/hop5"), allow)).toContain("more than 5 redirects")
      expect(yield* words({}, at("/loop"), allow)).toContain("more than 5 redirects")
      expect(yield* words({}, at("/inner"), allow)).toContain("is not in the agent's tools.egress")
      expect(yield* words({ resolve }, at("/name"), allow)).toContain("not a public address")
      expect(yield* words({}, at("/user"), allow)).toContain("contains credentials")
      expect(yield* words({}, at("/file"), allow)).toContain("file: is not supported")
      expect(yield* words({}, at("/odd"), allow)).toContain("not an absolute URL")
      expect(reached).not.toContain("inner")
    })
  )

  it.scopedLive("P13: size, time and silence are capped, also after decompression", () =>
    Effect.gen(function* () {
      const bomb = gzipSync(new Uint8Array(30_000_000).fill(0x61))
      const port = yield* serve((request, response) => {
        switch (request.url) {
          case "/endless": {
            response.writeHead(200, { "content-type": "text/plain" })
            const more = () => {
              while (!response.destroyed && response.write("x".repeat(65_536)));
            }
            response.on("drain", more)
            return more()
          }
          case "/bomb":
            return text(response, bomb, { "content-encoding": "gzip" })
          case "/small-gzip":
            return text(response, gzipSync("packed é"), { "content-encoding": "gzip" })
          case "/broken-gzip":
            return text(response, "not gzip", { "content-encoding": "gzip" })
          case "/odd-coding":
            return text(response, "x", { "content-encoding": "__proto__" })
          case "/silent":
            return
          case "/trickle": {
            response.writeHead(200, { "content-type": "text/plain" })
            const timer = setInterval(() => response.write("."), 30)
            return void response.on("close", () => clearInterval(timer))
          }
          case "/short":
            response.writeHead(200, { "content-type": "text/plain", "content-length": "100" })
            response.write("only this")
            return void setTimeout(() => response.destroy(), 50)
          case "/image":
            return text(response, "x", { "content-type": "image/png" })
          case "/huge-header":
            return text(response, "x", { "x-big": "y".repeat(40_000) })
          case "/latin":
            return text(response, new Uint8Array([0xe9]), { "content-type": "text/html; charset=ISO-8859-1" })
          case "/odd-charset":
            return text(response, "é", { "content-type": "text/html; charset=klingon" })
          default:
            response.writeHead(404, { "content-type": "application/problem+json" })
            response.end("{}")
        }
      })
      const allow = [`127.0.0.1:${port}`]
      const get = (path: string, options: Partial<Egress.EgressOptions> = {}) =>
        fetching(options, `http://127.0.0.1:${port}${path}`, allow)
      const no = (path: string, options: Partial<Egress.EgressOptions> = {}) =>
        words(options, `http://127.0.0.1:${port}${path}`, allow)
      for (const path of ["/endless", "/bomb"]) {
        const answer = yield* get(path, { maxBytes: 100_000 })
        expect([answer.truncated, answer.body.length], path).toEqual([true, 100_000])
      }
      expect((yield* get("/small-gzip")).body).toBe("packed é")
      expect((yield* get("/latin")).body).toBe("é")
      expect((yield* get("/odd-charset")).body).toBe("é")
      expect(yield* get("/missing")).toMatchObject({ status: 404, body: "{}" })
      expect(yield* no("/broken-gzip")).toContain("not valid gzip")
      expect(yield* no("/odd-coding")).toContain("is not supported")
      expect(yield* no("/silent", { idleMs: 100 })).toContain("nothing was heard for 100 ms")
      expect(yield* no("/trickle", { totalMs: 300 })).toContain("longer than 300 ms")
      expect(yield* no("/short")).toContain("broke off")
      expect(yield* no("/image")).toMatch(/^EgressRefused: .*image\/png is not text/)
      expect(yield* no("/huge-header")).toContain("EgressFailed")
    })
  )

  it.scopedLive("https: the certificate must be for the name, and a redirect to plain http is refused", () =>
    Effect.gen(function* () {
      const plain = yield* serve((_request, response) => text(response, "plain"))
      const port = yield* listen(
        createTlsServer({ cert: certificate, key: privateKey }, (request, response) => {
          if (request.url === "/down") {
            response.writeHead(302, { location: `http://127.0.0.1:${plain}/` })
            return response.end()
          }
          return text(response, "sealed")
        }),
        "127.0.0.1"
      )
      const allow = [`ok.test:${port}`, `evil.test:${port}`, `127.0.0.1:${port}`, `127.0.0.1:${plain}`]
      const options = { resolve: () => Effect.succeed(["127.0.0.1"]), ca: certificate }
      expect((yield* fetching(options, `https://ok.test:${port}/`, allow)).body).toBe("sealed")
      expect(yield* words(options, `https://evil.test:${port}/`, allow)).toContain("ERR_TLS_CERT_ALTNAME_INVALID")
      expect(yield* words(options, `https://127.0.0.1:${port}/`, allow)).toContain("ERR_TLS_CERT_ALTNAME_INVALID")
      const { ca: _, ...untrusting } = options
      expect(yield* words(untrusting, `https://ok.test:${port}/`, allow)).toContain("DEPTH_ZERO_SELF_SIGNED_CERT")
      expect(yield* words(options, `https://ok.test:${port}/down`, allow)).toContain("from https to plain http")
    })
  )

  it.scopedLive("messages name neither query nor credentials", () =>
    Effect.gen(function* () {
      for (const url of [
        "https://u:hunter2@x.test/",
        "https://x.test/?key=hunter2",
        "https://u:hunter2@x y/",
        "hunter2"
      ]) {
        expect(yield* words({}, url, ["ok.com"])).not.toContain("hunter2")
      }
      expect(yield* words({}, "https://x.test/", [])).toContain("may reach no host")
    })
  )

  it.scopedLive("interruption closes the connection", () =>
    Effect.gen(function* () {
      let closed = false
      const opened = Promise.withResolvers<void>()
      const port = yield* serve((_request, response) => {
        response.on("close", () => {
          closed = true
        })
        opened.resolve()
      })
      const fiber = yield* Effect.fork(fetching({}, `http://127.0.0.1:${port}/`, [`127.0.0.1:${port}`]))
      yield* Effect.promise(() => opened.promise)
      yield* fiber.interruptAsFork(fiber.id())
      yield* Effect.repeat(Effect.sleep(5), { until: () => closed, times: 400 })
      expect(closed).toBe(true)
    })
  )
})
