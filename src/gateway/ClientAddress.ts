/**
 * ClientAddress: whom a request is counted under. Addresses are told apart as people are: an
 * IPv4-mapped IPv6 address is that IPv4 address, an IPv6 address stands for its /64, a zone is no part
 * of it.
 *
 * Guarantees: what a request says about its sender counts only when the connection comes from a
 * declared proxy, and then only the nearest hop that is not one; whatever cannot be read, or says two
 * things, leaves the connection's own address. No other header is looked at.
 */
import { BlockList, isIPv4, isIPv6 } from "node:net"

/** Eight groups, or null for what is no IPv6 address. */
const groupsOf = (text: string): ReadonlyArray<number> | null => {
  if (!isIPv6(text)) return null
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text)
  const hex =
    dotted === null
      ? text
      : `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`
  const [head = "", tail] = hex.split("::")
  const parse = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)))
  const left = parse(head)
  if (tail === undefined) return left
  const right = parse(tail)
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right]
}

/** One spelling per address: dotted IPv4, or eight lowercase groups. Null for what is no address. */
export const canonical = (text: string): string | null => {
  if (isIPv4(text)) return text
  const zone = text.indexOf("%")
  const groups = groupsOf(zone === -1 ? text : text.slice(0, zone))
  if (groups === null) return null
  const [a = 0, b = 0, c = 0, d = 0, e = 0, mark = 0, high = 0, low = 0] = groups
  if (mark === 0xffff && (a | b | c | d | e) === 0) return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  return groups.map((group) => group.toString(16)).join(":")
}

/** What failures and requests of a canonical address are counted under. */
export const counted = (address: string): string =>
  address.includes(":") ? `${address.split(":").slice(0, 4).join(":")}::/64` : address

export type Trusts = (address: string) => boolean

/** Whether a canonical address is a declared proxy's. Ranges that cannot be read trust nobody and are named. */
export const trusting = (
  ranges: ReadonlyArray<string>
): { readonly trusts: Trusts; readonly unreadable: ReadonlyArray<string> } => {
  const list = new BlockList()
  const unreadable: Array<string> = []
  for (const range of ranges) {
    const [text = "", bits, ...rest] = range.split("/")
    const address = canonical(text)
    const mapped = address !== null && isIPv4(address) && !isIPv4(text)
    const width = address === null ? 0 : isIPv4(address) ? 32 : 128
    const prefix = (bits === undefined ? width + (mapped ? 96 : 0) : Number(bits)) - (mapped ? 96 : 0)
    const readable = address !== null && rest.length === 0 && Number.isInteger(prefix) && prefix >= 0 && prefix <= width
    if (readable) list.addSubnet(address, prefix, width === 32 ? "ipv4" : "ipv6")
    else unreadable.push(range)
  }
  return { trusts: (address) => list.check(address, address.includes(":") ? "ipv6" : "ipv4"), unreadable }
}

/** Longer chains of proxies than this are no one's. */
const mostHops = 32

/** `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`. */
const hop = (text: string): string | null => {
  const bracketed = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text)
  if (bracketed !== null) return canonical(bracketed[1] ?? "")
  const ported = /^([^:]+):\d{1,5}$/.exec(text)
  return canonical(ported?.[1] ?? text)
}

/** The nearest hop that is no proxy; the farthest where all are. Null for what cannot be read. */
const nearest = (chain: ReadonlyArray<string | null>, trusts: Trusts): string | null => {
  if (chain.length === 0 || chain.length > mostHops) return null
  for (let index = chain.length - 1; index >= 0; index--) {
    const address = chain[index] ?? null
    if (address === null || !trusts(address) || index === 0) return address
  }
  return null
}

const ofForwardedFor = (header: string) => header.split(",").map((text) => hop(text.trim()))

/** RFC 7239. A quoted value may hold neither comma nor semicolon: an address has none. */
const ofForwarded = (header: string) =>
  header.split(",").map((element) => {
    const found = /(?:^|;)\s*for=(?:"([^"]*)"|([^";\s]*))\s*(?:;|$)/i.exec(element.trim())
    return found === null ? null : hop(found[1] ?? found[2] ?? "")
  })

/**
 * The canonical address of the client behind a connection from `peer`. Where both headers stand, one
 * may be the client's own invention that the proxy passed on, so they count only if they agree.
 */
export const clientAddress = (
  peer: string | undefined,
  headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>,
  trusts: Trusts
): string => {
  const own = canonical(peer ?? "")
  // Only a connection that is already gone has no address; it is counted with its like.
  if (own === null) return "unknown"
  if (!trusts(own)) return own
  const found = (
    [
      [headers["x-forwarded-for"], ofForwardedFor],
      [headers["forwarded"], ofForwarded]
    ] as const
  ).flatMap(([value, read]) => (value === undefined ? [] : [nearest(read(String(value)), trusts)]))
  const [first, second] = found
  return (second === undefined || first === second ? first : null) ?? own
}
