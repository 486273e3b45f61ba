/**
 * AllowList: the owner's `tools.egress` against one URL.
 *
 * Guarantees: both sides are compared after the same normalisation (WHATWG host parsing, so that
 * case, IDN and the many spellings of an IP address are one); an entry that cannot be read matches
 * nothing; no entry means nowhere. https on port 443 unless an entry states a port; plain http only
 * where an entry states its port.
 */
import { isIP } from "node:net"

export interface Target {
  readonly url: URL
  /** Without brackets and without the trailing dot. */
  readonly host: string
  readonly port: number
  readonly secure: boolean
}

interface Entry {
  readonly host: string
  readonly subdomains: boolean
  /** `null` when the entry states none. */
  readonly port: number | null
}

const bare = (hostname: string): string => hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "")

/** The host of an entry or URL in its one spelling, or null. */
const normalHost = (host: string): string | null => {
  if (!URL.canParse(`https://${host}/`)) return null
  const url = new URL(`https://${host}/`)
  return url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "" && url.port === ""
    ? bare(url.hostname)
    : null
}

const entryOf = (text: string): Entry | null => {
  const match = /^(\*\.)?(\[[^\]]*\]|[^:\s/@?#\\*[\]]+)(?::(\d{1,5}))?$/.exec(text.trim())
  if (match === null) return null
  const host = normalHost(match[2] ?? "")
  const port = match[3] === undefined ? null : Number(match[3])
  if (host === null || host === "" || (port !== null && (port < 1 || port > 65_535))) return null
  // *.1.2.3.4 or *.com of an address makes no sense.
  return match[1] !== undefined && isIP(host) !== 0 ? null : { host, subdomains: match[1] !== undefined, port }
}

/** What is wrong with the URL itself, or where it leads. */
export const targetOf = (text: string): Target | string => {
  // WHATWG parsing drops or converts these silently; a URL that contains them was made to be misread.
  if (/[\u0000-\u0020\u007f\\]/.test(text)) return "the URL contains spaces, control characters or backslashes"
  if (!URL.canParse(text)) return "this is not an absolute URL"
  const url = new URL(text)
  if (url.protocol !== "https:" && url.protocol !== "http:") return `${url.protocol} is not supported, only https`
  if (url.username !== "" || url.password !== "") return "the URL contains credentials"
  const secure = url.protocol === "https:"
  const host = bare(url.hostname)
  if (host === "") return "the URL names no host"
  return { url, host, port: url.port === "" ? (secure ? 443 : 80) : Number(url.port), secure }
}

export const isAllowed = (target: Target, allow: ReadonlyArray<string>): boolean =>
  allow.some((text) => {
    const entry = entryOf(text)
    if (entry === null) return false
    const host = entry.subdomains
      ? isIP(target.host) === 0 && target.host.endsWith(`.${entry.host}`)
      : target.host === entry.host
    const port = entry.port === null ? target.secure && target.port === 443 : target.port === entry.port
    return host && port
  })

/** True when an entry names this very address and port: the owner's word that a private one is meant. */
export const isNamed = (address: string, port: number, allow: ReadonlyArray<string>): boolean => {
  const host = normalHost(isIP(address) === 6 ? `[${address}]` : address)
  return allow.some((text) => {
    const entry = entryOf(text)
    return entry !== null && !entry.subdomains && entry.port === port && isIP(entry.host) !== 0 && entry.host === host
  })
}
