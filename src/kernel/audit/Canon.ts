/**
 * The canonical bytes of an audit row: what is hashed, and the only place the event is read from.
 * Guarantees: one event has one encoding; no two rows share one; reading takes any bytes and never
 * throws.
 */
import type { AuditData, AuditEvent } from "../../domain/Audit.ts"
import { sha256 } from "../Crypto.ts"
import { redactText } from "../Redaction.ts"

/** Raised when the encoding changes; older rows keep theirs. */
const version = 1
/** Facts are small. What is longer is a mistake of the caller and is cut, so that it cannot fill the disk. */
const longestText = 2000

const domain = Buffer.from("aidesk-audit-v1", "latin1")

/** Before the first row. */
export const genesis: Uint8Array = new Uint8Array(32)

export const rowHash = (prev: Uint8Array, canon: Uint8Array): Uint8Array => sha256(Buffer.concat([domain, prev, canon]))

export interface CanonRow {
  readonly seq: number
  readonly at: number
  readonly event: {
    readonly type: string
    readonly agent?: string
    readonly principal?: string
    readonly session?: string
    readonly run?: string
    readonly data: AuditData
  }
}

const who = ["agent", "principal", "session", "run"] as const

/** Its texts as they go into the log: of bounded length, and without anything that looks like a secret. */
const fact = (text: string): string => {
  const cut = text.length > longestText ? `${text.slice(0, longestText)}…` : text
  // Ids and codes of up to 12 characters hold no key; most facts are that short.
  return cut.length > 12 ? redactText(cut) : cut
}

const text = (value: string): Uint8Array => {
  const bytes = Buffer.from(value, "utf8")
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

const float = (value: number): Uint8Array => {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes
}

export const encode = (seq: number, at: number, event: AuditEvent): Uint8Array => {
  const chunks: Array<Uint8Array> = [Buffer.from([version]), float(seq), float(at), text(event.type)]
  for (const name of who) {
    const value = event[name]
    chunks.push(Buffer.from([value === undefined ? 0 : 1]))
    if (value !== undefined) chunks.push(text(fact(value)))
  }
  const entries = Object.entries(event.data).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  chunks.push(float(entries.length))
  for (const [key, value] of entries) {
    chunks.push(text(fact(key)))
    if (typeof value === "string") chunks.push(Buffer.from("s"), text(fact(value)))
    else if (typeof value === "number") chunks.push(Buffer.from("n"), float(value))
    else chunks.push(Buffer.from(value ? "t" : "f"))
  }
  return Buffer.concat(chunks)
}

/** Undefined for anything that `encode` did not make. */
export const decode = (canon: Uint8Array): CanonRow | undefined => {
  const bytes = Buffer.from(canon.buffer, canon.byteOffset, canon.byteLength)
  let at = 0
  let whole = true
  const take = (count: number): Buffer => {
    if (at + count > bytes.length) {
      whole = false
      at = bytes.length
      return Buffer.alloc(count > 8 ? 0 : count)
    }
    at += count
    return bytes.subarray(at - count, at)
  }
  const readFloat = () => take(8).readDoubleBE(0)
  const readText = () => take(take(4).readUInt32BE(0)).toString("utf8")
  if (take(1)[0] !== version) return undefined
  const seq = readFloat()
  const time = readFloat()
  const type = readText()
  const names: { agent?: string; principal?: string; session?: string; run?: string } = {}
  for (const name of who) {
    const present = take(1)[0]
    if (present === 1) names[name] = readText()
    else if (present !== 0) return undefined
  }
  const count = readFloat()
  const data: Record<string, string | number | boolean> = {}
  for (let index = 0; index < count && whole; index++) {
    const key = readText()
    const kind = take(1).toString("latin1")
    const value =
      kind === "s" ? readText() : kind === "n" ? readFloat() : kind === "t" ? true : kind === "f" ? false : undefined
    if (value === undefined) return undefined
    // As an own property, also for a key such as __proto__.
    Object.defineProperty(data, key, { value, enumerable: true, configurable: true, writable: true })
  }
  return whole && at === bytes.length ? { seq, at: time, event: { type, ...names, data } } : undefined
}
