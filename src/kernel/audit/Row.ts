/** A row of audit_rows as it comes from the database, looked at before it is believed. */
import { Option, Schema } from "effect"
import { AuditEntry, AuditEvent } from "../../domain/Audit.ts"
import type { Statements } from "../Database.ts"
import { decode } from "./Canon.ts"

export interface Row {
  readonly seq: number
  readonly at: number
  readonly type: string
  readonly agent: string | null
  readonly epoch: number
  readonly canon: Uint8Array
  readonly prev: Uint8Array
  readonly hash: Uint8Array
  readonly mac: Uint8Array
}

const columns = "seq, at, type, agent, epoch, canon, prev, hash, mac"
const isBytes = (value: unknown, length?: number): value is Uint8Array =>
  value instanceof Uint8Array && (length === undefined || value.length === length)

/** Checked by hand: a Schema would take most of the time of verifying a row. */
export const isRow = (value: unknown): value is Row => {
  if (typeof value !== "object" || value === null) return false
  const row: { readonly [K in keyof Row]?: unknown } = value
  return (
    Number.isSafeInteger(row.seq) &&
    typeof row.at === "number" &&
    typeof row.type === "string" &&
    (row.agent === null || typeof row.agent === "string") &&
    Number.isSafeInteger(row.epoch) &&
    isBytes(row.canon) &&
    isBytes(row.prev, 32) &&
    isBytes(row.hash, 32) &&
    isBytes(row.mac, 32)
  )
}

/** Rows after `after` up to `until`, in order. */
export const rowsBetween = (db: Statements, after: number, until: number, limit: number): ReadonlyArray<unknown> =>
  db.all(`SELECT ${columns} FROM audit_rows WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`, after, until, limit)

/** Rows before `before`, newest first. */
export const rowsBefore = (db: Statements, before: number, limit: number): ReadonlyArray<unknown> =>
  db.all(`SELECT ${columns} FROM audit_rows WHERE seq < ? ORDER BY seq DESC LIMIT ?`, before, limit)

export const insertSql = `INSERT INTO audit_rows (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

/** The newest row's number and hash; number 0 when there is none. */
export const headOf = (db: Statements): { readonly seq: number; readonly hash: Uint8Array } | undefined => {
  const row = db.get("SELECT seq, hash FROM audit_rows ORDER BY seq DESC LIMIT 1")
  if (row === undefined) return { seq: 0, hash: new Uint8Array(32) }
  return isHead(row) ? row : undefined
}

const isHead = (row: unknown): row is { readonly seq: number; readonly hash: Uint8Array } =>
  typeof row === "object" &&
  row !== null &&
  "seq" in row &&
  Number.isSafeInteger(row.seq) &&
  "hash" in row &&
  isBytes(row.hash, 32)

/** Both in one question, for appending: the newest row and the epoch. */
export const tipOf = (
  db: Statements
): { readonly seq: number; readonly hash: Uint8Array; readonly epoch: number } | undefined => {
  const row = db.get(
    "SELECT r.seq, r.hash, s.epoch FROM audit_rows r, audit_state s WHERE s.id = 1 ORDER BY r.seq DESC LIMIT 1"
  )
  if (row !== undefined)
    return isHead(row) && "epoch" in row && typeof row.epoch === "number" ? { ...row, epoch: row.epoch } : undefined
  const head = headOf(db)
  const state = stateOf(db)
  return head === undefined || state === undefined ? undefined : { ...head, epoch: state.epoch }
}

export interface State {
  readonly epoch: number
  readonly size: number
  readonly merkle: Uint8Array
}

export const stateOf = (db: Statements): State | undefined => {
  const row = db.get("SELECT epoch, size, merkle FROM audit_state WHERE id = 1")
  return isState(row) ? row : undefined
}

const isState = (row: unknown): row is State =>
  typeof row === "object" &&
  row !== null &&
  "epoch" in row &&
  Number.isSafeInteger(row.epoch) &&
  "size" in row &&
  Number.isSafeInteger(row.size) &&
  "merkle" in row &&
  isBytes(row.merkle)

const decodeEvent = Schema.decodeUnknownOption(AuditEvent)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

/** The entry as callers see it; undefined when the row cannot be read. */
export const toEntry = (value: unknown): AuditEntry | undefined => {
  if (!isRow(value)) return undefined
  const canon = decode(value.canon)
  if (canon === undefined || canon.seq !== value.seq) return undefined
  return Option.getOrUndefined(
    Option.map(
      decodeEvent(canon.event),
      (event) =>
        new AuditEntry({ seq: canon.seq, at: canon.at, event, prev: hex(value.prev), hash: hex(value.hash) }, true)
    )
  )
}
