import { describe, expect, it } from "@effect/vitest"
import { Either, Schema } from "effect"
import * as FastCheck from "fast-check"
import { Config } from "../../src/domain/Config.ts"
import { type Asked, check, decodePath, isOurs, policy, queryProblem } from "../../src/gateway/Boundary.ts"

const gateway = (given: object = {}) => Schema.decodeUnknownSync(Config)({ gateway: given }).gateway
const rules = policy(gateway())
const port = 18_789
const here = { remoteAddress: "127.0.0.1", localAddress: "127.0.0.1", localPort: port }

const asked = (headers: Readonly<Record<string, string>>, rest: Partial<Asked> = {}): Asked => ({
  method: "GET",
  url: "/dashboard/api/agents",
  headers,
  rawHeaders: Object.entries(headers).flat(),
  socket: here,
  ...rest
})
const outcome = (given: Asked, within = rules): string => {
  const result = check(given, within)
  return Either.isRight(result) ? "passed" : result.left._tag
}

const hostChars = FastCheck.string({
  unit: FastCheck.constantFrom(..."localhost127.0:[]@/#?%,_- \t\\x"),
  maxLength: 24
})
const own = new Set([`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`])

describe("Boundary: Host", () => {
  it("is ours only if it is one of our names, letter for letter", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.oneof(
          hostChars,
          FastCheck.string(),
          FastCheck.domain(),
          FastCheck.tuple(hostChars, FastCheck.constantFrom(...own)).map(([a, b]) => `${a}${b}`),
          FastCheck.tuple(hostChars, FastCheck.constantFrom(...own)).map(([a, b]) => `${b}${a}`)
        ),
        (host) => {
          if (own.has(host.toLowerCase())) return
          expect([host, isOurs(host, rules, here)]).toEqual([host, false])
          expect(outcome(asked({ host }))).toBe("NotForThisDoor")
        }
      ),
      { numRuns: 2000 }
    )
    for (const host of own) expect(isOurs(host.toUpperCase(), rules, here)).toBe(true)
  })

  it("knows the address that was connected to when bound to all, and the usual ports", () => {
    const all = policy(gateway({ bind: "0.0.0.0" }))
    const lan = { ...here, localAddress: "::ffff:192.168.1.5" }
    expect(isOurs(`192.168.1.5:${port}`, all, lan)).toBe(true)
    expect(isOurs(`192.168.1.6:${port}`, all, lan)).toBe(false)
    expect(isOurs(`0.0.0.0:${port}`, all, { ...here, localAddress: "0.0.0.0" })).toBe(true)
    expect(isOurs(`0.0.0.0:${port}`, all, lan)).toBe(false)
    const six = { ...here, localAddress: "2001:db8::5" }
    expect(isOurs(`[2001:DB8:0::5]:${port}`, all, six)).toBe(true)
    expect(isOurs("localhost", all, { ...here, localPort: 80 })).toBe(true)
    expect(isOurs("localhost", all, { ...here, localPort: 443, encrypted: true })).toBe(true)
    expect(isOurs("localhost", all, { ...here, localPort: 443 })).toBe(false)
    expect(isOurs(`desk.lan:${port}`, policy(gateway({ bind: "desk.lan" })), here)).toBe(true)
  })
})

describe("Boundary: Origin", () => {
  it("is ours only if it is the scheme and the Host of this very request", () => {
    const host = `127.0.0.1:${port}`
    FastCheck.assert(
      FastCheck.property(
        FastCheck.oneof(
          FastCheck.string({ minLength: 1 }),
          FastCheck.webUrl(),
          FastCheck.domain().map((name) => `http://${name}:${port}`),
          FastCheck.nat(65_535).map((other) => `http://127.0.0.1:${other}`),
          FastCheck.string({ minLength: 1 }).map((more) => `http://${host}${more}`),
          FastCheck.constantFrom(
            "null",
            `https://${host}`,
            `ws://${host}`,
            `http://localhost:${port}`,
            `HTTP://${host}`
          )
        ),
        (origin) => {
          if (origin === `http://${host}`) return
          for (const url of ["/dashboard/api/agents", "/healthz", "/login", "/v1/models"]) {
            expect(outcome(asked({ host, origin }, { url }))).toBe("Forbidden")
          }
        }
      ),
      { numRuns: 500 }
    )
    expect(outcome(asked({ host, origin: `http://${host}` }))).toBe("passed")
  })

  it("may be https for a name of ours behind a declared proxy, and from it alone", () => {
    const proxied = policy(
      gateway({
        allowedHosts: ["nas.lan"],
        reverseProxy: { trusted: ["10.0.0.1"], publicUrl: "https://desk.example.org" }
      })
    )
    const from = (remoteAddress: string, host: string, origin: string) =>
      outcome(asked({ host, origin }, { socket: { ...here, remoteAddress } }), proxied)
    expect(from("10.0.0.1", "nas.lan", "https://nas.lan")).toBe("passed")
    expect(from("10.0.0.2", "nas.lan", "https://nas.lan")).toBe("Forbidden")
    expect(from("10.0.0.1", `127.0.0.1:${port}`, "https://desk.example.org")).toBe("passed")
    expect(from("10.0.0.1", "desk.example.org", "http://desk.example.org")).toBe("passed")
    expect(from("10.0.0.1", "nas.lan", "https://other.lan")).toBe("Forbidden")
  })
})

describe("Boundary: paths and queries", () => {
  it("decodes a path once, to one without steps, doubled slashes or controls, or not at all", () => {
    const parts = FastCheck.array(
      FastCheck.constantFrom(
        "/",
        "a",
        ".",
        "..",
        "%2e",
        "%2E",
        "%2f",
        "%5c",
        "\\",
        "%25",
        "%00",
        ";",
        "%3b",
        "é",
        "%c3%a9",
        "%ff",
        " ",
        "%20",
        "#"
      ),
      { maxLength: 12 }
    ).map((list) => `/${list.join("")}`)
    FastCheck.assert(
      FastCheck.property(FastCheck.oneof(parts, FastCheck.string()), (raw) => {
        const path = decodePath(raw)
        if (path === undefined) return
        expect(path.startsWith("/")).toBe(true)
        expect(path).not.toMatch(/[\\;%\x00-\x1f\x7f]|\/\//)
        expect(path.split("/")).not.toContain("..")
        expect(path.split("/")).not.toContain(".")
        // A URL parser, which resolves steps, sees the same.
        expect(decodeURIComponent(new URL(raw, "http://x").pathname)).toBe(path)
      }),
      { numRuns: 2000 }
    )
  })

  it("takes a query only if every reader finds the same in it", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.oneof(
          FastCheck.webQueryParameters(),
          FastCheck.array(FastCheck.constantFrom("a", "b", "%61", "=", "&", "+", "%20", "%", "%ff", "__proto__"), {
            maxLength: 12
          }).map((x) => x.join(""))
        ),
        (query) => {
          if (queryProblem(query) !== undefined) return
          const names = [...new URLSearchParams(query).keys()]
          expect(new Set(names).size).toBe(names.length)
          expect(names).not.toContain("__proto__")
        }
      ),
      { numRuns: 2000 }
    )
  })

  it("never fails but by saying so", () => {
    const text = FastCheck.oneof(FastCheck.string(), FastCheck.string({ unit: "binary" }), FastCheck.webUrl())
    FastCheck.assert(
      FastCheck.property(text, text, text, text, (method, url, host, origin) => {
        expect(typeof outcome(asked({ host, origin, "x-forwarded-for": origin }, { method, url }))).toBe("string")
        expect(typeof outcome(asked({ host: `localhost:${port}` }, { method, url }))).toBe("string")
      })
    )
  })
})

describe("Boundary: settings", () => {
  it("names the ranges of proxies that it cannot read", () => {
    const broken = policy(
      gateway({ reverseProxy: { trusted: ["10.0.0.0/8", "1.2.3.4/99"], publicUrl: "https://x.org" } })
    )
    expect(broken.unreadable).toEqual(["1.2.3.4/99"])
    expect(broken.trusts("1.2.3.4")).toBe(false)
  })
})
