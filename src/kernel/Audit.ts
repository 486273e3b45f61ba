/**
 * Audit: the tamper-evident record. Each row carries the hash of the one before and a MAC under a
 * key that ratchets forward at every checkpoint; checkpoints are signed with Ed25519 and kept
 * beside the database; the head is pinned outside audit.db, so that a cut tail, a rolled-back
 * file or a deleted database shows.
 *
 * Guarantees: `append` returns only when the row is durable; what cannot be recorded fails with
 * `AuditUnavailable`, and the caller must then not do what it announced. `note` is for facts that
 * announce nothing: a kill can lose only the newest, those after which no `append` and no reader has
 * returned yet (25 ms of them, more only while another process holds the lock), never one in the middle.
 *
 * Who can do what: without the keyring nobody can add or change a row unseen. With the MAC key that
 * a running process holds, rows since the last checkpoint can be forged, earlier ones not: their
 * keys are on no disk, and each checkpoint fixes them by root and signature.
 *
 * What is missed without a witness outside the folder: (1) rows cut off after the newest checkpoint,
 * about 1,000 or what came within 60 seconds of a kill; a clean stop signs the last row, so then
 * none; (2) the whole folder put back as it once was, all files together: each file then agrees with
 * the others; (3) everything rewritten by one who has the master key and can write the folder. All
 * three contradict a checkpoint line that was copied elsewhere before.
 */
import { existsSync, readFileSync } from "node:fs"
import { Chunk, Clock, Context, Effect, Fiber, FiberSet, Layer, Option, Queue, type Scope, Stream } from "effect"
import { AuditEntry, type AuditEvent, type AuditReport, type AuditType, AuditUnavailable } from "../domain/Audit.ts"
import * as Canon from "./audit/Canon.ts"
import * as Checkpoint from "./audit/Checkpoint.ts"
import * as Head from "./audit/Head.ts"
import * as Merkle from "./audit/Merkle.ts"
import { headOf, insertSql, isRow, rowsBefore, rowsBetween, stateOf, tipOf, toEntry } from "./audit/Row.ts"
import { verify as verifyLog } from "./audit/Verify.ts"
import { DataDir } from "./DataDir.ts"
import { Database, type Statements } from "./Database.ts"
import { appendLine, fileError, replaceFile } from "./DurableFile.ts"
import { Keyring } from "./Keyring.ts"
import * as Meters from "./Meters.ts"

export interface AuditFilter {
  readonly type?: string
  readonly agent?: string
  /** Epoch milliseconds. */
  readonly since?: number
  readonly limit: number
}

/** A part of the log: the newest entries that match, or those next to a place in it. */
export interface AuditQuery extends AuditFilter {
  readonly principal?: string
  /** Epoch milliseconds; it and `since` are included. */
  readonly until?: number
  /** Entries older than this number, or newer than it; without either, the newest. */
  readonly from?: { readonly side: "older" | "newer"; readonly seq: number }
}

export interface AuditPage {
  /** Oldest first. */
  readonly entries: ReadonlyArray<AuditEntry>
  /** Where to go on in each direction; `older` is null at the beginning of the log. */
  readonly older: number | null
  readonly newer: number
}

export class Audit extends Context.Tag("ai-desk/kernel/Audit")<
  Audit,
  {
    /** Durable on return. Concurrent appends share one commit. */
    readonly append: (event: AuditEvent) => Effect.Effect<AuditEntry, AuditUnavailable>
    /** For facts that announce nothing: takes its place in the order now and is committed with the next `append`, else after 25 ms, without being waited for. Readers see it. If it cannot be written, all that comes later is refused until it is made good. */
    readonly note: (event: AuditEvent) => Effect.Effect<void>
    /** Checks every row, checkpoint and pin. Damage is in the report, not in the error channel. */
    readonly verify: Effect.Effect<AuditReport, AuditUnavailable>
    /** The newest entries that match, newest last. */
    readonly tail: (filter: AuditFilter) => Effect.Effect<ReadonlyArray<AuditEntry>, AuditUnavailable>
    /** A page of entries; short, or empty, where the rows looked at hold no more that match. */
    readonly page: (query: AuditQuery) => Effect.Effect<AuditPage, AuditUnavailable>
    /** All entries in order. */
    readonly entries: Stream.Stream<AuditEntry, AuditUnavailable>
    /** Signs the head now (also done by row count, by time, and when the scope closes). */
    readonly checkpoint: Effect.Effect<void, AuditUnavailable>
  }
>() {}

const rowsPerCheckpoint = 1000
/** Soon after these there is a checkpoint, because they are what somebody would want to undo. */
const keyEvents: ReadonlySet<AuditType> = new Set<AuditType>([
  "config.changed",
  "key.created",
  "key.rotated",
  "credential.set",
  "credential.removed",
  "approval.given",
  "budget.resumed"
])
const readChunk = 256
/** Rows that one page looks at before it answers with what it has. */
const mostLooked = 20_000
const unreadable = new AuditUnavailable({ reason: "audit.db: the newest row or the state of the log is not readable" })

const matches = (
  { agent, principal, since, type, until }: Omit<AuditQuery, "limit" | "from">,
  { at, event }: AuditEntry
) =>
  (type === undefined || event.type === type) &&
  (agent === undefined || event.agent === agent) &&
  (principal === undefined || event.principal === principal) &&
  (since === undefined || at >= since) &&
  (until === undefined || at <= until)

const unavailable = (error: { readonly message: string }) => new AuditUnavailable({ reason: error.message })
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const nextTurn: Effect.Effect<void> = Effect.async((resume) => {
  setImmediate(() => resume(Effect.void))
})

const readIfThere = (path: string) =>
  Effect.try({
    try: () => (existsSync(path) ? readFileSync(path) : undefined),
    catch: (cause) => fileError(path, "read", cause)
  }).pipe(Effect.mapError(unavailable))

const make: Effect.Effect<
  Context.Tag.Service<typeof Audit>,
  AuditUnavailable,
  Database | Keyring | DataDir | Scope.Scope
> = Effect.gen(function* () {
  const { audit, desk } = yield* Database
  const keyring = yield* Keyring
  const dir = yield* DataDir
  const stable = Head.stableKeys(yield* keyring.keys)
  const headPath = dir.file(Head.fileName)
  const checkpointsPath = dir.file(Checkpoint.fileName)

  const firstKey = keyring.auditRoot.pipe(Effect.map(Head.firstKey), Effect.mapError(unavailable))
  const read = <A>(f: (db: Statements) => A) => Effect.mapError(audit.read(f), unavailable)

  const deskPin = desk
    .read((db) => db.get("SELECT pin FROM audit_pins WHERE name = ?", Head.deskPinName))
    .pipe(
      Effect.mapError(unavailable),
      Effect.map((row): Head.Pin | "missing" | "damaged" => {
        if (row === undefined) return "missing"
        const pin = typeof row === "object" && row !== null && "pin" in row ? row.pin : undefined
        return (pin instanceof Uint8Array ? Head.openPin(stable.head, pin) : undefined) ?? "damaged"
      })
    )
  const headFile = Effect.map(readIfThere(headPath), (bytes) =>
    bytes === undefined ? "missing" : (Head.openHead(stable.head, bytes) ?? "damaged")
  )

  // --- Where we stand ---

  const begin = yield* read((db) => ({ head: headOf(db), state: stateOf(db) }))
  if (begin.head === undefined || begin.state === undefined) {
    return yield* unreadable
  }
  const pinAtStart = yield* deskPin
  const fileAtStart = yield* headFile
  /** The MAC key of the newest epoch seen. Only moves forward. */
  let mac = typeof fileAtStart === "string" ? Head.forward(yield* firstKey, begin.state.epoch) : fileAtStart.mac
  if (fileAtStart === "missing" && begin.head.seq === 0 && begin.state.epoch === 0) {
    yield* replaceFile(headPath, Head.sealHead(stable.head, { seq: 0, hash: Canon.genesis, epoch: 0 }, mac)).pipe(
      Effect.mapError(unavailable)
    )
  } else if (typeof fileAtStart === "string") {
    yield* Effect.logWarning(`the audit log's head file is ${fileAtStart}; run: ai-desk audit verify`)
  }
  const pins = [pinAtStart, typeof fileAtStart === "string" ? fileAtStart : fileAtStart.pin]
  /**
   * The newest row known from outside audit.db. When the database ends before it, rows were cut off
   * or an older file was put there. The log then goes on behind the gap, so that it shows for ever.
   */
  const floor = pins.reduce<Head.Pin>(
    (newest, pin) => (typeof pin !== "string" && pin.seq > newest.seq ? pin : newest),
    { seq: 0, hash: Canon.genesis, epoch: 0 }
  )
  if (begin.head.seq < floor.seq) {
    yield* Effect.logError(
      `audit.db ends at row ${begin.head.seq}, but row ${floor.seq} was recorded; run: ai-desk audit verify`
    )
  }

  // --- Appending ---

  /** Within the transaction of a batch, so that the chain also holds across processes. */
  const insert = (
    db: Statements,
    fail: (error: AuditUnavailable) => never,
    at: number,
    event: AuditEvent
  ): AuditEntry => {
    const tip = tipOf(db)
    if (tip === undefined) return fail(unreadable)
    const base = tip.seq >= floor.seq ? tip : floor
    const seq = base.seq + 1
    const prev = seq === 1 ? Canon.genesis : base.hash
    mac = Head.forward(mac, tip.epoch)
    const facts = Canon.clean(event)
    const canon = Canon.encode(seq, at, facts)
    const hash = Canon.rowHash(prev, canon)
    db.run(insertSql, seq, at, event.type, facts.agent ?? null, mac.epoch, canon, prev, hash, Head.macOf(mac, hash))
    return new AuditEntry({ seq, at, event, prev: hex(prev), hash: hex(hash) }, true)
  }

  const wanted = yield* Queue.sliding<void>(1)
  let sinceCheckpoint = 0
  const write = (at: number, event: AuditEvent, when: "now" | "later") =>
    audit
      .write<AuditEntry, AuditUnavailable>((db, fail) => insert(db, fail, at, event), when)
      .pipe(
        Effect.catchTag("DatabaseError", (error) => Effect.fail(unavailable(error))),
        Effect.tap(() => {
          sinceCheckpoint += 1
          Meters.count(event)
          return sinceCheckpoint >= rowsPerCheckpoint || keyEvents.has(event.type)
            ? Effect.asVoid(Queue.offer(wanted, undefined))
            : Effect.void
        })
      )

  /** Notes that could not be written yet. While there are any, nothing else is recorded. */
  const owed: Array<{ readonly at: number; readonly event: AuditEvent }> = []
  const paying = yield* Effect.makeSemaphore(1)
  const payOwed = Effect.gen(function* () {
    for (let next = owed[0]; next !== undefined; next = owed[0]) {
      // Together, or an interruption in between would have it recorded twice.
      yield* Effect.uninterruptible(
        Effect.tap(write(next.at, next.event, "now"), () => Effect.sync(() => owed.shift()))
      )
    }
  }).pipe(paying.withPermits(1))

  const record = (at: number, event: AuditEvent, when: "now" | "later") =>
    Effect.suspend(() => (owed.length === 0 ? Effect.void : payOwed)).pipe(Effect.zipRight(write(at, event, when)))

  const append = (event: AuditEvent): Effect.Effect<AuditEntry, AuditUnavailable> =>
    Effect.flatMap(Clock.currentTimeMillis, (at) => record(at, event, "now"))

  const notes = yield* FiberSet.make<void>()
  const atOnce = yield* FiberSet.runtime(notes)<never>()
  const note = (event: AuditEvent): Effect.Effect<void> =>
    Effect.flatMap(Clock.currentTimeMillis, (at) => {
      const recorded = record(at, event, "later").pipe(
        Effect.asVoid,
        Effect.catchTag("AuditUnavailable", (error) => {
          owed.push({ at, event })
          return Effect.logError(`${error.message} (an entry of type ${event.type} is owed)`)
        })
      )
      // Either way the entry takes its place in the queue before whatever the caller records next.
      if (owed.length > 0) return Effect.zipRight(FiberSet.run(notes, recorded), Effect.yieldNow())
      atOnce(recorded)
      return Effect.void
    })

  /** Readers see every note that was made before them. */
  const noted = Effect.suspend(() => Fiber.awaitAll([...notes]))

  // --- Checkpoints ---

  const checkpointing = yield* Effect.makeSemaphore(1)
  const extend = (from: Merkle.Range, until: number) =>
    Effect.gen(function* () {
      let range = from
      while (range.size < until) {
        const after = range.size
        const rows = yield* read((db) => rowsBetween(db, after, until, readChunk))
        if (rows.length === 0) return yield* new AuditUnavailable({ reason: `rows after ${after} are gone` })
        for (const row of rows) {
          if (!isRow(row)) return yield* new AuditUnavailable({ reason: `row ${range.size + 1} is not readable` })
          if (row.seq - range.size > 1_000_000) return yield* new AuditUnavailable({ reason: "too many rows are gone" })
          const missing = Array.from({ length: row.seq - range.size - 1 }, () => Merkle.absent)
          range = Merkle.append(range, [...missing, row.hash])
        }
        yield* nextTurn
      }
      return range
    })

  const checkpoint = Effect.gen(function* () {
    const { head, state } = yield* read((db) => ({ head: headOf(db), state: stateOf(db) }))
    if (head === undefined || state === undefined) return yield* unreadable
    if (head.seq <= state.size) return
    const from = Merkle.fromBytes(state.size, state.merkle)
    if (from === undefined) return yield* new AuditUnavailable({ reason: "the state of the log does not fit its size" })
    const counted = sinceCheckpoint
    const range = yield* extend(from, head.seq)
    const epoch = Math.max(mac.epoch, state.epoch) + 1
    const at = yield* Clock.currentTimeMillis
    const point = { size: head.seq, root: Merkle.root(range), head: head.hash, epoch, at }
    // Said first, then believed: a crash in between leaves a true statement too many, never one too few.
    yield* Effect.mapError(appendLine(checkpointsPath, Checkpoint.toLine(stable.signing, point), 0o600), unavailable)
    const changed = yield* audit
      .write((db) =>
        db.run(
          "UPDATE audit_state SET epoch = ?, size = ?, merkle = ? WHERE id = 1 AND size < ? AND epoch <= ?",
          epoch,
          range.size,
          Merkle.toBytes(range),
          range.size,
          epoch
        )
      )
      .pipe(Effect.mapError(unavailable))
    mac = Head.forward(mac, epoch)
    sinceCheckpoint = Math.max(0, sinceCheckpoint - counted)
    // Another process signed more than we did and pinned it.
    if (changed === 0) return
    const pin: Head.Pin = { seq: head.seq, hash: head.hash, epoch }
    yield* desk
      .write((db) =>
        db.run(
          "INSERT INTO audit_pins (name, pin) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET pin = excluded.pin",
          Head.deskPinName,
          Head.sealPin(stable.head, pin)
        )
      )
      .pipe(Effect.mapError(unavailable))
    yield* Effect.mapError(replaceFile(headPath, Head.sealHead(stable.head, pin, mac)), unavailable)
  }).pipe(Effect.uninterruptible, checkpointing.withPermits(1))

  const checkpointOrWarn = Effect.catchTag(checkpoint, "AuditUnavailable", (error) =>
    Effect.logError(`the audit log could not be signed: ${error.reason}`)
  )
  yield* Effect.addFinalizer(() =>
    noted.pipe(
      Effect.zipRight(payOwed),
      Effect.catchTag("AuditUnavailable", (error) =>
        Effect.logError(`${owed.length} entries could not be recorded: ${error.reason}`)
      ),
      Effect.zipRight(checkpointOrWarn)
    )
  )
  yield* Effect.forkScoped(
    Effect.forever(
      Queue.take(wanted).pipe(
        Effect.timeoutOption("60 seconds"),
        Effect.zipRight(checkpointOrWarn),
        // Key events that follow one another closely share a checkpoint; a thousand rows do not wait.
        Effect.zipRight(
          Effect.suspend(() => (sinceCheckpoint >= rowsPerCheckpoint ? Effect.void : Effect.sleep("250 millis")))
        )
      )
    )
  )

  // --- Reading ---

  const entryOf = (row: unknown): Effect.Effect<AuditEntry, AuditUnavailable> => {
    const entry = toEntry(row)
    const at = isRow(row) ? `row ${row.seq}` : "a row"
    return entry === undefined
      ? Effect.fail(new AuditUnavailable({ reason: `${at} is damaged; run: ai-desk audit verify` }))
      : Effect.succeed(entry)
  }

  const page = ({ from, limit, ...query }: AuditQuery) =>
    Effect.gen(function* () {
      const newer = from?.side === "newer"
      let place = from?.seq ?? Number.MAX_SAFE_INTEGER
      const found: Array<AuditEntry> = []
      let looked = 0
      let ended = false
      let least = Number.MAX_SAFE_INTEGER
      let most = newer ? place : 0
      while (!ended && found.length < limit && looked < mostLooked) {
        const at = place
        const rows = yield* read((db) =>
          newer ? rowsBetween(db, at, Number.MAX_SAFE_INTEGER, readChunk) : rowsBefore(db, at, readChunk)
        )
        ended = rows.length < readChunk
        for (const row of rows) {
          if (found.length === limit) {
            ended = false
            break
          }
          const entry = yield* entryOf(row)
          place = entry.seq
          least = Math.min(least, entry.seq)
          most = Math.max(most, entry.seq)
          looked += 1
          if (matches(query, entry)) found.push(entry)
        }
        yield* nextTurn
      }
      const nothing = least === Number.MAX_SAFE_INTEGER
      if (newer) return { entries: found, older: nothing ? place + 1 : least, newer: most }
      return {
        entries: found.reverse(),
        older: ended || nothing ? null : least,
        newer: nothing ? Math.max(0, (from?.seq ?? 1) - 1) : most
      }
    })

  const tail = (filter: AuditFilter) =>
    Effect.gen(function* () {
      const found: Array<AuditEntry> = []
      let before = Number.MAX_SAFE_INTEGER
      while (found.length < filter.limit) {
        const from = before
        const rows = yield* read((db) => rowsBefore(db, from, readChunk))
        for (const row of rows) {
          const entry = yield* entryOf(row)
          before = entry.seq
          if (matches(filter, entry) && found.length < filter.limit) found.push(entry)
        }
        if (rows.length < readChunk) break
        yield* nextTurn
      }
      return found.reverse()
    })

  const entries = Stream.paginateChunkEffect(0, (after: number) =>
    Effect.gen(function* () {
      const rows = yield* read((db) => rowsBetween(db, after, Number.MAX_SAFE_INTEGER, readChunk))
      const page = yield* Effect.forEach(rows, entryOf)
      const last = page.at(-1)
      return [Chunk.fromIterable(page), last === undefined ? Option.none() : Option.some(last.seq)] as const
    })
  )

  const verify = Effect.gen(function* () {
    const first = yield* firstKey
    // The heads before the rows, so that what is appended meanwhile is not taken for a contradiction.
    const inDesk = yield* deskPin
    const inFile = yield* headFile
    return yield* verifyLog({
      audit,
      signing: stable.signing,
      first,
      checkpoints: Effect.map(readIfThere(checkpointsPath), (bytes) => bytes?.toString("utf8")),
      pins: [
        { where: "desk.db", pin: inDesk },
        { where: Head.fileName, pin: typeof inFile === "string" ? inFile : inFile.pin }
      ],
      now: Clock.currentTimeMillis
    }).pipe(Effect.catchTag("DatabaseError", (error) => Effect.fail(unavailable(error))))
  })

  return {
    append,
    note,
    verify: Effect.zipRight(noted, verify),
    page: (query) => Effect.zipRight(noted, page(query)),
    tail: (filter) => Effect.zipRight(noted, tail(filter)),
    entries: Stream.concat(Stream.drain(Stream.fromEffect(noted)), entries),
    checkpoint: Effect.zipRight(noted, checkpoint)
  }
})

export const layer: Layer.Layer<Audit, AuditUnavailable, Database | Keyring | DataDir> = Layer.scoped(Audit, make)
