import { isIPv4, isIPv6 } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import { canonical, clientAddress, counted, trusting } from "../../src/gateway/ClientAddress.ts"

const none = trusting([]).trusts
const local = trusting(["127.0.0.1/32", "::1", "10.0.0.0/8"]).trusts

describe("ClientAddress", () => {
  it("gives one spelling per address", () => {
    for (const [text, expected] of [
      ["1.2.3.4", "1.2.3.4"],
      ["::ffff:1.2.3.4", "1.2.3.4"],
      ["::FFFF:102:304", "1.2.3.4"],
      ["0:0:0:0:0:ffff:1.2.3.4", "1.2.3.4"],
      ["::1", "0:0:0:0:0:0:0:1"],
      ["::", "0:0:0:0:0:0:0:0"],
      ["2001:DB8::A", "2001:db8:0:0:0:0:0:a"],
      ["2001:0db8:0000:0000:0000:0000:0000:000a", "2001:db8:0:0:0:0:0:a"],
      ["fe80::1%eth0", "fe80:0:0:0:0:0:0:1"],
      ["::ffff:1.2.3.4%eth0", "1.2.3.4"],
      ["fe80::%eth0", "fe80:0:0:0:0:0:0:0"],
      ["64:ff9b::1.2.3.4", "64:ff9b:0:0:0:0:102:304"],
      ["01.2.3.4", null],
      ["1.2.3", null],
      ["", null],
      ["evil", null],
      ["1.2.3.4:80", null]
    ] as const) {
      expect([text, canonical(text)]).toEqual([text, expected])
    }
  })

  it("counts people: an IPv4 address however it is written, an IPv6 address with all of its network", () => {
    const same = (a: string, b: string) => counted(canonical(a) ?? "") === counted(canonical(b) ?? "")
    expect(same("1.2.3.4", "::ffff:1.2.3.4")).toBe(true)
    expect(same("1.2.3.4", "1.2.3.5")).toBe(false)
    expect(same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff")).toBe(true)
    expect(same("2001:db8:1:2::1", "2001:db8:1:3::1")).toBe(false)
  })

  it("is stable, and never fails, whatever text it is given", () => {
    const texts = FastCheck.oneof(
      FastCheck.ipV4(),
      FastCheck.ipV6(),
      FastCheck.string(),
      FastCheck.string({ unit: "binary" })
    )
    FastCheck.assert(
      FastCheck.property(texts, (text) => {
        const first = canonical(text)
        if (first !== null) {
          expect(canonical(first)).toBe(first)
          expect(isIPv4(first) || isIPv6(first)).toBe(true)
        } else expect(isIPv4(text) || isIPv6(text)).toBe(false)
        expect(typeof clientAddress(text, { "x-forwarded-for": text, forwarded: text }, local)).toBe("string")
      })
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.ipV4(), (v4) => {
        expect(canonical(`::ffff:${v4}`)).toBe(v4)
      })
    )
  })

  it("hears no stranger about who they are", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.ipV4(), FastCheck.string(), FastCheck.ipV4(), (peer, garbage, invented) => {
        for (const value of [garbage, invented, `${invented}, 127.0.0.1`]) {
          const headers = {
            "x-forwarded-for": value,
            forwarded: `for=${value}`,
            "x-real-ip": value,
            "cf-connecting-ip": value,
            "true-client-ip": value,
            "x-client-ip": value
          }
          expect(clientAddress(peer, headers, none)).toBe(peer)
        }
      })
    )
  })

  it("takes the nearest hop that is no proxy from a proxy, and its own address where that cannot be read", () => {
    const of = (xff: string | undefined, forwarded?: string) =>
      clientAddress("127.0.0.1", { "x-forwarded-for": xff, forwarded, "x-real-ip": "9.9.9.9" }, local)
    expect(of("1.1.1.1")).toBe("1.1.1.1")
    expect(of("6.6.6.6, 1.1.1.1")).toBe("1.1.1.1")
    expect(of("6.6.6.6, 1.1.1.1, 10.1.2.3")).toBe("1.1.1.1")
    expect(of("10.0.0.1, 10.0.0.2")).toBe("10.0.0.1")
    expect(of("1.1.1.1:4711")).toBe("1.1.1.1")
    expect(of("[2001:db8::1]:80")).toBe("2001:db8:0:0:0:0:0:1")
    expect(of("::ffff:1.1.1.1")).toBe("1.1.1.1")
    for (const garbage of ["", "unknown", "6.6.6.6, evil", "1.1.1.1,", "1.1.1.1 2.2.2.2", "a".repeat(9999)]) {
      expect([garbage, of(garbage)]).toEqual([garbage, "127.0.0.1"])
    }
    expect(of(Array.from({ length: 33 }, () => "10.0.0.1").join(","))).toBe("127.0.0.1")
    expect(of(undefined, "for=1.1.1.1;proto=https")).toBe("1.1.1.1")
    expect(of(undefined, 'for=6.6.6.6, by=x;For="[2001:db8::1]:4711"')).toBe("2001:db8:0:0:0:0:0:1")
    expect(of(undefined, "for=_hidden")).toBe("127.0.0.1")
    expect(of(undefined, "by=1.1.1.1")).toBe("127.0.0.1")
    // One of them is what the client sent, and the proxy passed it on.
    expect(of("1.1.1.1", "for=1.1.1.1")).toBe("1.1.1.1")
    expect(of("1.1.1.1", "for=6.6.6.6")).toBe("127.0.0.1")
    expect(clientAddress(undefined, { "x-forwarded-for": "1.1.1.1" }, local)).toBe("unknown")
  })

  it("reads ranges, and trusts nobody by one that it cannot read", () => {
    const { trusts, unreadable } = trusting([
      "10.0.0.0/8",
      "2001:db8::/32",
      "::ffff:192.168.0.0/112",
      "1.2.3.4/33",
      "x",
      "::/-1",
      "1.1.1.1/8/8",
      ":::"
    ])
    expect(unreadable).toEqual(["1.2.3.4/33", "x", "::/-1", "1.1.1.1/8/8", ":::"])
    for (const [address, expected] of [
      ["10.255.0.1", true],
      ["11.0.0.1", false],
      ["2001:db8:ffff:0:0:0:0:1", true],
      ["2001:db9:0:0:0:0:0:1", false],
      ["192.168.3.4", true],
      ["192.169.3.4", false],
      ["1.2.3.4", false]
    ] as const) {
      expect([address, trusts(address)]).toEqual([address, expected])
    }
  })
})
