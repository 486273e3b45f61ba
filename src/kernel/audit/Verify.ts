/**
 * Checks the whole audit log: every row's content, chain and MAC; every checkpoint's signature, root
 * and presence; and the heads remembered outside audit.db. Guarantees: whatever the files hold, it
 * ends with a report, in time linear in their size, and never holds up the event loop for long.
 */
import { Effect } from "effect"
import { AuditFinding, AuditReport, type AuditUnavailable } from "../../domain/Audit.ts"
import type { SigningKey } from "../Crypto.ts"
import type { DatabaseError, Store } from "../Database.ts"
import { decode, genesis, rowHash } from "./Canon.ts"
import { type Checkpoint, fromLine } from "./Checkpoint.ts"
import * as Head from "./Head.ts"
import * as Merkle from "./Merkle.ts"
import { headOf, isRow, type Row, rowsBetween, stateOf } from "./Row.ts"

/** Rows between two turns of the event loop: about two milliseconds. */
const chunk = 64
/** More findings of the same cause help nobody. */
const maxFindings = 100

export interface Evidence {
  readonly audit: Store
  readonly signing: SigningKey
  /** The MAC key of epoch 0. */
  readonly first: Head.EpochKey
  /** The text of checkpoints.jsonl; undefined when there is no such file. */
  readonly checkpoints: Effect.Effect<string | undefined, AuditUnavailable>
  /** `missing`: there is none. `damaged`: it is not one of ours. Read before the rows. */
  readonly pins: ReadonlyArray<{ readonly where: string; readonly pin: Head.Pin | "missing" | "damaged" }>
  /** Epoch milliseconds. */
  readonly now: Effect.Effect<number>
}

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

const nextTurn: Effect.Effect<void> = Effect.async((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** What the columns say must be what was hashed. */
const wrongIn = (row: Row): string | undefined => {
  const canon = decode(row.canon)
  if (canon === undefined) return "its content is not readable"
  if (canon.seq !== row.seq) return `its content belongs to row ${canon.seq}`
  if (canon.at !== row.at || canon.event.type !== row.type || (canon.event.agent ?? null) !== row.agent) {
    return "a column differs from what was recorded"
  }
  return same(rowHash(row.prev, row.canon), row.hash) ? undefined : "its content does not fit its hash"
}

export const verify = (evidence: Evidence): Effect.Effect<AuditReport, DatabaseError | AuditUnavailable> =>
  Effect.gen(function* () {
    const started = yield* evidence.now
    const findings: Array<AuditFinding> = []
    let suppressed = 0
    const report = (kind: AuditFinding["kind"], detail: string, seq?: number): void => {
      if (findings.length < maxFindings)
        findings.push(new AuditFinding({ kind, detail, ...(seq === undefined ? {} : { seq }) }))
      else suppressed += 1
    }

    // In this order other processes may append and sign meanwhile: each is covered by what is read after it.
    const state = yield* evidence.audit.read(stateOf)
    const lines = yield* evidence.checkpoints
    const head = yield* evidence.audit.read(headOf)
    const last = head?.seq ?? Number.MAX_SAFE_INTEGER
    if (head === undefined) report("row_changed", "the newest row has no readable number or hash")
    if (state === undefined) report("missing", "the state of the log (audit_state) is not readable")

    // --- Checkpoints, by themselves ---
    const points: Array<Checkpoint> = []
    for (const [index, line] of (lines ?? "").split("\n").entries()) {
      if (line === "") continue
      const point = fromLine(evidence.signing, line)
      if (point === "forged") report("checkpoint_wrong", `line ${index + 1} is not signed by this folder's key`)
      else if (point !== "torn") points.push(point)
      if (index % chunk === chunk - 1) yield* nextTurn
    }
    const pins = evidence.pins.flatMap(({ pin }) => (typeof pin === "string" ? [] : [pin]))
    const epochs = Math.max(state?.epoch ?? 0, ...pins.map((pin) => pin.epoch), 0)
    if (lines === undefined && epochs > 0) report("missing", "the file of checkpoints is gone")
    else {
      const present = new Set(points.map((point) => point.epoch))
      for (let epoch = 1; epoch <= epochs && findings.length < maxFindings; epoch++) {
        if (!present.has(epoch)) report("checkpoint_missing", `there is no checkpoint that begins epoch ${epoch}`)
      }
    }
    points.sort((a, b) => a.size - b.size)

    // --- Pins, by themselves ---
    const began = last > 0 || epochs > 0
    // The first checkpoint is pinned in its last steps: a kill before them leaves epoch 1 without a pin.
    const pinned = (state?.epoch ?? 0) > 1 || pins.some((pin) => pin.epoch > 0)
    for (const { pin, where } of evidence.pins) {
      if (pin === "damaged") report("missing", `the head kept in ${where} is not one of ours`)
      else if (pin === "missing") {
        if (where === Head.fileName ? began : pinned) report("missing", `the head kept in ${where} is gone`)
      } else if (pin.seq > last) {
        const older = state !== undefined && state.epoch < pin.epoch
        report(
          older ? "rolled_back" : "truncated",
          older
            ? `an older audit.db stands in its place: ${where} knows row ${pin.seq}, the newest here is ${last}`
            : `rows ${last + 1} to ${pin.seq} are gone, says the head kept in ${where}`
        )
      } else if (state !== undefined && state.epoch < pin.epoch) {
        report("rolled_back", `the log is in epoch ${state.epoch}, ${where} knows epoch ${pin.epoch}`)
      }
    }

    // --- Rows ---
    let prev = genesis
    let seq = 0
    let entries = 0
    let mac = evidence.first
    let range = Merkle.empty
    let nextPoint = 0
    let stop = head === undefined
    const check = (value: unknown): void => {
      entries += 1
      if (!isRow(value)) {
        report("row_changed", "a column is not of its type", seq + 1)
        seq += 1
        range = Merkle.append(range, [Merkle.absent])
        prev = genesis
        return pass(genesis)
      }
      const gap = value.seq - seq - 1
      if (gap > 0) {
        report(
          "gap",
          gap === 1 ? `row ${seq + 1} is not there` : `rows ${seq + 1} to ${value.seq - 1} are not there`,
          seq + 1
        )
        if (gap > 1_000_000) {
          stop = true
          return
        }
        for (let missing = 0; missing < gap; missing++) {
          range = Merkle.append(range, [Merkle.absent])
          seq += 1
          pass(genesis)
        }
      }
      const wrong = wrongIn(value)
      if (wrong !== undefined) report("row_changed", wrong, value.seq)
      if (!same(value.prev, prev)) report("chain_broken", "it does not follow the row before it", value.seq)
      if (value.epoch < mac.epoch || value.epoch > value.seq) {
        report("mac_wrong", `it claims epoch ${value.epoch} in epoch ${mac.epoch}`, value.seq)
      } else {
        mac = Head.forward(mac, value.epoch)
        if (!same(Head.macOf(mac, value.hash), value.mac))
          report("mac_wrong", "its authentication code is not ours", value.seq)
      }
      seq = value.seq
      prev = value.hash
      range = Merkle.append(range, [value.hash])
      pass(value.hash)
    }
    /** Compares everything that was said about the log when row `seq` was its newest. */
    const pass = (hash: Uint8Array): void => {
      for (let point = points[nextPoint]; point !== undefined && point.size <= seq; point = points[nextPoint]) {
        nextPoint += 1
        if (point.size !== seq) continue
        if (!same(point.root, Merkle.root(range)) || !same(point.head, hash)) {
          report("checkpoint_wrong", "the rows up to here are not those that were signed", seq)
        }
      }
      for (const { pin, where } of evidence.pins) {
        if (typeof pin !== "string" && pin.seq === seq && !same(pin.hash, hash)) {
          report("rolled_back", `it is not the row that the head kept in ${where} knows`, seq)
        }
      }
    }
    while (!stop && seq < last) {
      const after = seq
      const rows = yield* evidence.audit.read((db) => rowsBetween(db, after, last, chunk))
      if (rows.length === 0) break
      for (const row of rows) if (!stop) check(row)
      yield* nextTurn
    }
    for (const point of points.slice(nextPoint)) {
      if (point.size > seq && head !== undefined) {
        report("truncated", `a checkpoint covers ${point.size} rows, the newest here is ${seq}`)
      }
    }
    if (suppressed > 0) {
      findings.push(new AuditFinding({ kind: "row_changed", detail: `and ${suppressed} findings more` }))
    }
    const ended = yield* evidence.now
    return new AuditReport({
      ok: findings.length === 0,
      entries,
      checkpoints: points.length,
      head: hex(prev),
      findings,
      durationMs: ended - started
    })
  })
