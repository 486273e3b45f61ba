import { spawnSync } from "node:child_process"
import { lookup } from "node:dns/promises"
import { createServer, type AddressInfo } from "node:net"
import { describe, expect, it } from "vitest"
import { refuseAttempts, takeAttempts } from "./setup.ts"

/** RFC 5737 address: routed nowhere, should the guard ever be missing. */
const away = "http://192.0.2.1:8443/"

describe("network refusal", () => {
  it("refuses a connection and would fail the test that tried", async () => {
    await expect(fetch(away)).rejects.toThrow()
    const tried = takeAttempts()
    expect(tried).toEqual([expect.stringContaining("connection to 192.0.2.1:8443")])
    expect(() => refuseAttempts(tried)).toThrow("192.0.2.1")
  })

  it("refuses a name look-up", async () => {
    await expect(lookup("example.com")).rejects.toThrow("only this machine")
    expect(takeAttempts()).toHaveLength(1)
  })

  it("holds in a Node process that a test starts", () => {
    const child = spawnSync(process.execPath, ["-e", `fetch("${away}").catch(() => {})`], { encoding: "utf8" })
    expect(child.status).toBe(0)
    expect(takeAttempts()).toEqual([expect.stringContaining("connection to 192.0.2.1:8443")])
  })

  it("leaves this machine reachable", async () => {
    const server = createServer((socket) => socket.end("HTTP/1.1 204 No Content\r\n\r\n"))
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(204)
    expect((await fetch(`http://localhost:${port}/`)).status).toBe(204)
    server.close()
    expect(takeAttempts()).toEqual([])
  })
})
