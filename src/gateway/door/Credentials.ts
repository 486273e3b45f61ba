/**
 * Credentials: what a request brought to prove who sent it. Read from headers and the connection,
 * never from the URL: that ends up in logs and histories.
 *
 * Guarantees: an empty credential is none; two that differ are refused rather than one of them chosen;
 * a cookie without the proof that only our own page knows is none, because all ports of a host share
 * cookies; a certificate counts only when TLS itself has verified it.
 */
import type { IncomingMessage } from "node:http"
import type { TLSSocket } from "node:tls"
import { Either, Redacted } from "effect"
import type { Presented } from "../Auth.ts"
import { peerPin } from "../Tls.ts"
import { malformed, type TurnedAway } from "./Refusal.ts"

/** The cookie of a log-in. With the prefix, which browsers take over TLS only, no other host or path can set it. */
export const sessionCookie = (encrypted: boolean): string => (encrypted ? "__Host-ai-desk" : "ai-desk")
export const proofHeader = "x-ai-desk-proof"

/** A browser can give a WebSocket no header but this one. */
const tokenProtocol = "ai-desk.token."
const proofProtocol = "ai-desk.proof."

type Headers = Readonly<Record<string, string | undefined>>

/** Absent and empty are the same. */
const filled = (text: string | undefined): string | undefined => {
  const trimmed = text?.trim()
  return trimmed === "" ? undefined : trimmed
}

const fromAuthorization = (header: string | undefined): string | undefined =>
  filled(/^bearer(?:[ \t]+(.*))?$/i.exec(header?.trim() ?? "")?.[1])

/** Under either name: a proxy may speak TLS for us. Two of one name with different values are none. */
const cookieIn = (header: string | undefined): string | undefined => {
  const names = [sessionCookie(true), sessionCookie(false)]
  const pairs = (header ?? "").split(";").map((pair) => pair.trim())
  for (const name of names) {
    const values = new Set(
      pairs.filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1))
    )
    if (values.size > 0) return values.size === 1 ? filled([...values][0]) : undefined
  }
  return undefined
}

const offered = (header: string | undefined, prefix: string): ReadonlyArray<string> =>
  (header ?? "").split(",").flatMap((name) => {
    const text = name.trim()
    const rest = text.startsWith(prefix) ? filled(text.slice(prefix.length)) : undefined
    return rest === undefined ? [] : [rest]
  })

/** The certificate that a connection has shown never changes, and reading it takes a while. */
const pins = new WeakMap<object, string | null>()

type NodeSocket = IncomingMessage["socket"]

// Node gives a request of its HTTPS server the TLS socket, and says no more in its types than for the plain one.
const isTls = (socket: NodeSocket): socket is TLSSocket => "encrypted" in socket && socket.encrypted === true

const pinOf = (socket: NodeSocket): string | null => {
  if (!isTls(socket)) return null
  const known = pins.get(socket)
  if (known !== undefined) return known
  const pin = peerPin(socket)
  pins.set(socket, pin)
  return pin
}

const secret = (text: string) => Redacted.make(text)

/** Everything but the address. */
export const extract = (
  headers: Headers,
  upgrade: boolean,
  socket: NodeSocket
): Either.Either<Omit<Presented, "address">, TurnedAway> => {
  const protocols = upgrade ? headers["sec-websocket-protocol"] : undefined
  const tokens = new Set(
    [
      fromAuthorization(headers["authorization"]),
      filled(headers["x-api-key"]),
      ...offered(protocols, tokenProtocol)
    ].filter((token) => token !== undefined)
  )
  const proofs = new Set(
    [filled(headers[proofHeader]), ...offered(protocols, proofProtocol)].filter((proof) => proof !== undefined)
  )
  const cookie = cookieIn(headers["cookie"])
  const [token] = tokens
  const [proof] = proofs
  const session = cookie === undefined || proof === undefined ? null : { cookie: secret(cookie), proof: secret(proof) }
  if (tokens.size > 1 || proofs.size > 1 || (token !== undefined && session !== null)) {
    return Either.left(malformed("the request: brings two different credentials", "send one"))
  }
  return Either.right({ bearer: token === undefined ? null : secret(token), session, certificate: pinOf(socket) })
}
