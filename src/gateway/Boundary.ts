/**
 * Boundary: which requests may come at all, whoever sends them. Pure: it looks at the request line, the
 * headers and the connection, asks for no credential, and holds before set-up as it does after.
 *
 * Guarantees: a request comes under a name of this gateway (another name may have been pointed here by
 * a foreign site), and from no page of another origin, a WebSocket's opening included; a path that two
 * readers could take for two places leads nowhere; what must stand once stands once.
 */
import { Either } from "effect"
import { Forbidden, NotForThisDoor } from "../contract/access.ts"
import type { Config } from "../domain/Config.ts"
import { canonical, clientAddress, type Trusts, trusting } from "./ClientAddress.ts"
import { forbiddenKeys } from "./door/Json.ts"
import { allowed, malformed, TurnedAway } from "./door/Refusal.ts"

/** What the settings say about it. */
export interface Policy {
  /** Names that count with the port of the connection. */
  readonly ownNames: ReadonlySet<string>
  /** Names that count with any port. */
  readonly furtherNames: ReadonlySet<string>
  /** Name and port of the proxy's address, as a Host header has them; null without a proxy. */
  readonly publicHost: string | null
  /** Origins of other pages that may call; with a proxy also its own. */
  readonly publicOrigin: string | null
  readonly foreignOrigins: ReadonlySet<string>
  readonly trusts: Trusts
  /** Ranges of proxies that cannot be read; a gateway with such does not start. */
  readonly unreadable: ReadonlyArray<string>
}

const loopback = ["localhost", "127.0.0.1", "[::1]"]
/** To bind to all addresses is no name. */
const everywhere = new Set(["0.0.0.0", "::", "0:0:0:0:0:0:0:0"])

const bracketed = (name: string): string => (name.includes(":") ? `[${name}]` : name)

export const policy = (gateway: Config["gateway"]): Policy => {
  const { allowedHosts, allowedOrigins, bind, reverseProxy } = gateway
  const address = canonical(bind)
  const bindNames = everywhere.has(bind) ? [] : [bracketed(bind), ...(address === null ? [] : [bracketed(address)])]
  const publicUrl = reverseProxy === undefined ? null : URL.parse(reverseProxy.publicUrl)
  const { trusts, unreadable } = trusting(reverseProxy?.trusted ?? [])
  const lower = (names: ReadonlyArray<string>) => new Set(names.map((name) => name.toLowerCase()))
  return {
    ownNames: lower([...loopback, ...bindNames]),
    furtherNames: lower(allowedHosts),
    publicHost: publicUrl?.host ?? null,
    publicOrigin: publicUrl?.origin ?? null,
    // A default port that is written out is not what a browser sends.
    foreignOrigins: lower(allowedOrigins.map((origin) => URL.parse(origin)?.origin ?? origin)),
    trusts,
    unreadable
  }
}

/** What the boundary looks at; Node's own request has it. */
export interface Asked {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly rawHeaders: ReadonlyArray<string>
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly socket: {
    readonly remoteAddress?: string | undefined
    readonly localAddress?: string | undefined
    readonly localPort?: number | undefined
    readonly encrypted?: boolean
  }
}

export interface Passed {
  /** The path, decoded once. */
  readonly path: string
  /** Canonical address of the client. */
  readonly address: string
  /** The allowed origin of another page; null for our own pages and for what is no browser. */
  readonly foreignOrigin: string | null
  /** The browser of such a page asks whether it may send something; nothing else is to be done. */
  readonly preflight: boolean
  /** Asks for a WebSocket. */
  readonly upgrade: boolean
  /** The way from the client is encrypted, by a proxy's word in the settings if not by our own TLS. */
  readonly encrypted: boolean
}

export type Refused = TurnedAway | Forbidden | NotForThisDoor

// --- The request line ---

const longestPath = 2048
const longestQuery = 8192
const mostParameters = 100

const nothingHere = new TurnedAway({ status: 404, detail: "nothing answers this path" })

/** A model's name may have a slash; nothing else that stands in a path has one. */
const slashed = /^\/v1\/models\/[^/]+$/

/** The path decoded once, or undefined for one that could mean another place. */
export const decodePath = (raw: string): string | undefined => {
  if (!raw.startsWith("/") || raw.length > longestPath) return undefined
  // Backslash, semicolon, hash, controls and what is beyond ASCII: no honest client sends them so.
  if (/[^\x21-\x7e]|[\\;#]/.test(raw)) return undefined
  if (/%(?![0-9a-f]{2})|%(?:5c|3b|25|[01][0-9a-f]|7f)/i.test(raw)) return undefined
  if (/%2f/i.test(raw) && !slashed.test(raw)) return undefined
  let path: string
  try {
    path = decodeURIComponent(raw)
  } catch {
    return undefined
  }
  if (/\/\/|[\x80-\x9f]/.test(path)) return undefined
  return path.split("/").some((segment) => segment === "." || segment === "..") ? undefined : path
}

/** What is wrong with a query; undefined for nothing. */
export const queryProblem = (query: string): string | undefined => {
  if (query === "") return undefined
  if (query.length > longestQuery) return `the query: longer than ${longestQuery} characters`
  const pairs = query.split("&")
  if (pairs.length > mostParameters) return `the query: more than ${mostParameters} parameters`
  const seen = new Set<string>()
  for (const pair of pairs) {
    const equals = pair.indexOf("=")
    const raw = equals === -1 ? pair : pair.slice(0, equals)
    let name: string
    try {
      name = decodeURIComponent(raw.replaceAll("+", " "))
      decodeURIComponent(pair.slice(raw.length).replaceAll("+", " "))
    } catch {
      return "the query: expected percent-encoded UTF-8"
    }
    if (forbiddenKeys.has(name)) return "the query: a parameter has a name that is not taken"
    // Of two readers one would take the first, the other the last.
    if (seen.has(name)) return "the query: a parameter stands twice"
    seen.add(name)
  }
  return undefined
}

// --- Headers ---

const mostHeaders = 100

/** Two of these would let two readers see different requests. */
const once = new Set([
  "authorization",
  "content-encoding",
  "content-length",
  "content-type",
  "cookie",
  "origin",
  "sec-fetch-site",
  "transfer-encoding",
  "upgrade",
  "x-ai-desk-proof",
  "x-api-key"
])

const headersProblem = (raw: ReadonlyArray<string>): Refused | undefined => {
  if (raw.length > 2 * mostHeaders) {
    return new TurnedAway({ status: 431, detail: `the request has more than ${mostHeaders} headers` })
  }
  const seen = new Set<string>()
  let hosts = 0
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] ?? "").toLowerCase()
    if (name === "host") hosts += 1
    if (!once.has(name)) continue
    if (seen.has(name)) return malformed(`the header ${name}: stands twice`)
    seen.add(name)
  }
  return hosts === 1 ? undefined : notOurs
}

// --- Who is meant, and whose page asks ---

const notOurs = new NotForThisDoor({
  detail: "the request is for another name than this gateway's",
  fix: "use the address that the gateway printed at its start; further names go into gateway.allowedHosts"
})

const hostForm = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9_.-]{0,251}[a-z0-9])?)(?::(\d{1,5}))?$/

/** Whether the Host header names this gateway on this connection. */
export const isOurs = (
  host: string,
  { furtherNames, ownNames, publicHost }: Policy,
  socket: Asked["socket"]
): boolean => {
  const found = hostForm.exec(host.toLowerCase())
  if (found === null) return false
  const [whole, name = "", port] = found
  if (whole.replace(/:443$/, "") === publicHost || furtherNames.has(name)) return true
  const usual = socket.encrypted === true ? 443 : 80
  if (socket.localPort === undefined || (port === undefined ? usual : Number(port)) !== socket.localPort) return false
  if (ownNames.has(name)) return true
  // Bound to all addresses: the one that was connected to. An address cannot be pointed elsewhere.
  const local = canonical(socket.localAddress ?? "")
  return local !== null && canonical(name.replace(/^\[|\]$/g, "")) === local
}

const foreignPage = new Forbidden({
  detail: "a page of another origin may not call this gateway; if it is yours, name it in gateway.allowedOrigins"
})

/** Their answers are the same for everybody, so a person may follow a link to them from anywhere. */
const isPage = (path: string): boolean => !/^\/(dashboard\/api|v1)(\/|$)/i.test(path)

/** Which origin counts as whose. Undefined: none that may call. */
const originOf = (
  asked: Asked,
  rules: Policy,
  host: string,
  path: string,
  header: (name: string) => string | undefined
): { readonly foreign: string | null } | undefined => {
  const origin = header("origin")
  const site = header("sec-fetch-site")
  if (origin === undefined) {
    if (site === undefined || site === "same-origin" || site === "none") return { foreign: null }
    const followsLink =
      asked.method === "GET" && header("sec-fetch-mode") === "navigate" && header("sec-fetch-dest") === "document"
    return followsLink && isPage(path) ? { foreign: null } : undefined
  }
  if (rules.foreignOrigins.has(origin)) return { foreign: origin }
  // A form of ours: its page sends no referrer, and browsers then leave out the origin as well.
  if (origin === "null") return site === "same-origin" && path === "/setup" ? { foreign: null } : undefined
  if (site !== undefined && site !== "same-origin" && site !== "none") return undefined
  if (origin === rules.publicOrigin) return { foreign: null }
  const behindProxy = rules.trusts(canonical(asked.socket.remoteAddress ?? "") ?? "")
  const encrypted = asked.socket.encrypted === true
  // The page must come from the very name that is asked: another program may have the port under another.
  const own =
    ((encrypted || behindProxy) && origin === `https://${host.replace(/:443$/, "")}`) ||
    (!encrypted && origin === `http://${host.replace(/:80$/, "")}`)
  return own ? { foreign: null } : undefined
}

/** Looks at one request. */
export const check = (asked: Asked, rules: Policy): Either.Either<Passed, Refused> => {
  const headers = headersProblem(asked.rawHeaders)
  if (headers !== undefined) return Either.left(headers)
  const header = (name: string): string | undefined => {
    const value = asked.headers[name]
    return typeof value === "string" ? value : undefined
  }
  const host = (header("host") ?? "").toLowerCase()
  const url = asked.url ?? ""
  // A whole URL names a host of its own.
  if (!url.startsWith("/") && /^[a-z][a-z0-9+.-]*:/i.test(url)) return Either.left(notOurs)
  if (!isOurs(host, rules, asked.socket)) return Either.left(notOurs)

  const method = asked.method ?? ""
  if (!allowed.includes(method)) {
    return Either.left(new TurnedAway({ status: 405, detail: "this method is not taken" }))
  }
  const questionMark = url.indexOf("?")
  const path = decodePath(questionMark === -1 ? url : url.slice(0, questionMark))
  const origin = originOf(asked, rules, host, path ?? "", header)
  if (origin === undefined) return Either.left(foreignPage)
  if (path === undefined) return Either.left(nothingHere)
  const query = queryProblem(questionMark === -1 ? "" : url.slice(questionMark + 1))
  if (query !== undefined) return Either.left(malformed(query))

  // What asks for another protocol (some clients offer HTTP/2 so) is answered without it.
  const upgrade = header("upgrade")?.toLowerCase() === "websocket"
  if (upgrade && method !== "GET") return Either.left(malformed("the header upgrade: a WebSocket is opened by GET"))
  const preflight = method === "OPTIONS"
  if (preflight && (origin.foreign === null || header("access-control-request-method") === undefined)) {
    return Either.left(new TurnedAway({ status: 405, detail: "OPTIONS answers the browsers of allowed origins only" }))
  }
  return Either.right({
    path,
    address: clientAddress(asked.socket.remoteAddress, asked.headers, rules.trusts),
    foreignOrigin: origin.foreign,
    preflight,
    upgrade,
    encrypted: asked.socket.encrypted === true || rules.publicOrigin?.startsWith("https:") === true
  })
}
