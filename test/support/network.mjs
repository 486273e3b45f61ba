/**
 * Refuses every connection, datagram and name look-up that would leave this machine, and remembers
 * each attempt. `setup.ts` loads it into every test worker and, through NODE_OPTIONS, into every Node
 * process that a test starts; the test that tried is then failed, whatever it did with the error.
 * Plain JavaScript, because it must load in any Node a test may start.
 */
import dgram from "node:dgram"
import dns from "node:dns"
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import net from "node:net"

/** Attempts of this process; those of child processes are appended to the file named by this variable. */
const log = process.env.TEST_NETWORK_LOG
export const attempts = []

export const isLocal = (host) => {
  if (host === undefined || host === null || host === "") return true
  const name = String(host).toLowerCase().replace(/^\[|\]$/g, "").replace(/%.*$/, "").replace(/\.$/, "")
  if (name === "localhost" || name.endsWith(".localhost")) return true
  const v4 = name.replace(/^::ffff:/, "")
  if (net.isIPv4(v4)) return v4.startsWith("127.") || v4 === "0.0.0.0"
  return name === "::1" || name === "::" || name === "0:0:0:0:0:0:0:1"
}

const refuse = (what, host) => {
  const attempt = `${what} to ${host}`
  attempts.push(attempt)
  if (log !== undefined) fs.appendFileSync(log, `${process.pid} ${attempt}\n`)
  return Object.assign(new Error(`tests may reach only this machine: refused ${attempt}`), { code: "ENETUNREACH" })
}

const connect = net.Socket.prototype.connect
net.Socket.prototype.connect = function (...args) {
  // net.connect passes one already normalised array: [options, callback].
  const first = Array.isArray(args[0]) ? args[0][0] : args[0]
  const options = typeof first === "object" && first !== null ? first : { port: first, host: args[1] }
  // connect(path) and connect({ path }) are Unix sockets.
  const unix = options.path !== undefined || (typeof first === "string" && !/^\d+$/.test(first))
  const host = typeof options.host === "string" ? options.host : undefined
  if (unix || isLocal(host)) return connect.apply(this, args)
  const error = refuse("connection", `${host}:${options.port}`)
  process.nextTick(() => this.destroy(error))
  return this
}

for (const method of ["send", "connect"]) {
  const original = dgram.Socket.prototype[method]
  dgram.Socket.prototype[method] = function (...args) {
    const host = args.slice(method === "send" ? 1 : 0).find((arg) => typeof arg === "string")
    if (isLocal(host)) return original.apply(this, args)
    throw refuse("datagram", host)
  }
}

for (const name of Object.keys(dns).filter((key) => /^(lookup|resolve|reverse)/.test(key))) {
  const original = dns[name]
  if (typeof original !== "function") continue
  dns[name] = function (host, ...rest) {
    if (name === "lookupService" || isLocal(host) || net.isIP(String(host)) !== 0) {
      return original.call(dns, host, ...rest)
    }
    const error = refuse(`name look-up (${name})`, host)
    const callback = rest.at(-1)
    if (typeof callback !== "function") throw error
    process.nextTick(callback, error)
  }
  const promised = dns.promises[name]
  if (typeof promised !== "function") continue
  dns.promises[name] = (host, ...rest) =>
    isLocal(host) || net.isIP(String(host)) !== 0
      ? promised.call(dns.promises, host, ...rest)
      : Promise.reject(refuse(`name look-up (${name})`, host))
}
syncBuiltinESMExports()
