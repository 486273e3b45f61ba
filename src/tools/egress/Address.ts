/**
 * Address: which IP addresses are the public internet.
 *
 * Guarantees: an allow-list by nature: for IPv6 only global unicast passes, less the ranges that
 * carry an IPv4 address inside or are special; for IPv4 everything special is taken out. An address
 * that cannot be read is not public.
 */
import { BlockList, isIP } from "node:net"

/** IANA special-purpose registry, multicast, reserved, and the metadata addresses that stand in public space. */
const special4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
  // Azure's wire server answers every virtual machine here.
  "168.63.129.16/32"
]

/** Inside 2000::/3: protocol assignments with Teredo and ORCHID, documentation, 6to4, AS112. */
const special6 = ["2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"]

const listOf = (subnets: ReadonlyArray<string>, family: "ipv4" | "ipv6"): BlockList => {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [net = "", bits = ""] = subnet.split("/")
    list.addSubnet(net, Number(bits), family)
  }
  return list
}

const refused4 = listOf(special4, "ipv4")
const refused6 = listOf(special6, "ipv6")
const global6 = listOf(["2000::/3"], "ipv6")

/** ISATAP: an interface id of 0:5efe or 200:5efe is followed by an IPv4 address, whatever the prefix. */
const isatap = (address: string): boolean => {
  const canonical = URL.canParse(`http://[${address}]/`) ? new URL(`http://[${address}]/`).hostname : ""
  return /(?:^|:)(?:0|200)?:?5efe:[0-9a-f]{1,4}:[0-9a-f]{1,4}\]$/.test(canonical)
}

export const isPublic = (address: string): boolean => {
  // A zone id names a local interface.
  if (address.includes("%")) return false
  switch (isIP(address)) {
    case 4:
      return !refused4.check(address, "ipv4")
    case 6:
      return global6.check(address, "ipv6") && !refused6.check(address, "ipv6") && !isatap(address)
    default:
      return false
  }
}
