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

const kinds = { text: 0x73, number: 0x6e, true: 0x74, false: 0x66 } as const
const who = ["agent", "principal", "session", "run"] as const

/** An id that the gateway made (see `domain/Ids.ts`): the most frequent fact by far. */
const ownId = /^(?:run|sess|appr|lease)-[0-9A-HJKMNP-TV-Z]{26}$/

/** Its texts as they go into the log: of bounded length, and without anything that looks like a secret. */
const fact = (text: string): string => {
  // Codes of up to 12 characters hold no key either.
  if (text.length <= 12 || ownId.test(text)) return text
  return redactText(text.length > longestText ? `${text.slice(0, longestText)}…` : text)
}

/** The event as it goes into the log. */
export const clean = (event: AuditEvent): CanonRow["event"] => {
  const data: Record<string, string | number | boolean> = {}
  for (const [key, value] of Object.entries(event.data))
    put(data, fact(key), typeof value === "string" ? fact(value) : value)
  const { agent, principal, run, session } = event
  return {
    type: event.type,
    ...(agent === undefined ? {} : { agent: fact(agent) }),
    ...(principal === undefined ? {} : { principal: fact(principal) }),
    ...(session === undefined ? {} : { session: fact(session) }),
    ...(run === undefined ? {} : { run: fact(run) }),
    data
  }
}

/** As an own property, also for a key such as __proto__. */
const put = (data: Record<string, string | number | boolean>, key: string, value: string | number | boolean): void => {
  if (key === "__proto__")
    Object.defineProperty(data, key, { value, enumerable: true, configurable: true, writable: true })
  else data[key] = value
}

/** Bytes of one row are gathered here: allocating each part by itself would take longer than hashing. */
let scratch = Buffer.allocUnsafe(16_384)
let used = 0
const room = (count: number): void => {
  if (used + count > scratch.length) scratch = Buffer.concat([scratch], Math.max(scratch.length * 2, used + count))
}
const putByte = (value: number): void => {
  room(1)
  scratch[used++] = value
}
const putFloat = (value: number): void => {
  room(8)
  used = scratch.writeDoubleBE(value, used)
}
const putText = (value: string): void => {
  room(4 + value.length * 3)
  const length = scratch.write(value, used + 4, "utf8")
  scratch.writeUInt32BE(length, used)
  used += 4 + length
}

/** `event` must be clean. */
export const encode = (seq: number, at: number, event: CanonRow["event"]): Uint8Array => {
  used = 0
  putByte(version)
  putFloat(seq)
  putFloat(at)
  putText(event.type)
  for (const name of who) {
    const value = event[name]
    putByte(value === undefined ? 0 : 1)
    if (value !== undefined) putText(value)
  }
  const keys = Object.keys(event.data).sort()
  putFloat(keys.length)
  for (const key of keys) {
    const value = event.data[key]
    putText(key)
    if (typeof value === "string") {
      putByte(kinds.text)
      putText(value)
    } else if (typeof value === "number") {
      putByte(kinds.number)
      putFloat(value)
    } else putByte(value === true ? kinds.true : kinds.false)
  }
  return Buffer.from(scratch.subarray(0, used))
}

/** Undefined for anything that `encode` did not make. */
export const decode = (canon: Uint8Array): CanonRow | undefined => {
  const bytes = Buffer.from(canon.buffer, canon.byteOffset, canon.byteLength)
  let at = 0
  let whole = true
  /** Moves on by `count` and returns where it was; undefined at the end of the bytes. */
  const skip = (count: number): number | undefined => {
    const from = at
    at += count
    if (at <= bytes.length) return from
    whole = false
    at = bytes.length
    return undefined
  }
  const readByte = () => bytes[skip(1) ?? bytes.length]
  const readFloat = () => {
    const from = skip(8)
    return from === undefined ? 0 : bytes.readDoubleBE(from)
  }
  const readText = () => {
    const head = skip(4)
    const length = head === undefined ? 0 : bytes.readUInt32BE(head)
    const from = skip(length)
    return from === undefined ? "" : bytes.toString("utf8", from, from + length)
  }
  if (readByte() !== version) return undefined
  const seq = readFloat()
  const time = readFloat()
  const type = readText()
  const names: { agent?: string; principal?: string; session?: string; run?: string } = {}
  for (const name of who) {
    const present = readByte()
    if (present === 1) names[name] = readText()
    else if (present !== 0) return undefined
  }
  const count = readFloat()
  const data: Record<string, string | number | boolean> = {}
  for (let index = 0; index < count && whole; index++) {
    const key = readText()
    const kind = readByte()
    if (kind === kinds.text) put(data, key, readText())
    else if (kind === kinds.number) put(data, key, readFloat())
    else if (kind === kinds.true || kind === kinds.false) put(data, key, kind === kinds.true)
    else return undefined
  }
  return whole && at === bytes.length ? { seq, at: time, event: { type, ...names, data } } : undefined
}
