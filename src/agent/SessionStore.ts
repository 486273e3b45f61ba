/**
 * SessionStore: one append-only, sealed event log per session, and the keys of its messages.
 *
 * Guarantees: `append` returns when the events are durable, in order and without gaps; events given
 * together are stored together or not at all; a log is read whole or refused with the event at which
 * it is damaged, and one damaged session harms no other; every value is bound to its session and
 * position, so that rows cannot be swapped. A message's key is stored with it or not at all, and a
 * second message under the same key is refused.
 */
import { Clock, Context, Effect, Either, Layer, ParseResult, Schema } from "effect"
import { AgentId, type MessageKey, type PrincipalId, RunId, SessionId } from "../domain/Ids.ts"
import { textOf } from "../domain/Message.ts"
import { SessionCorrupt, SessionNotFound, SessionSummary } from "../domain/Session.ts"
import { Logged, SessionEvent } from "../domain/SessionEvent.ts"
import { type Address, Crypto } from "../kernel/Crypto.ts"
import { Database, DatabaseError, type SqlValue, type Statements } from "../kernel/Database.ts"
import * as KeyedLock from "../kernel/KeyedLock.ts"

/** A place in the order of `list`: what comes after it is older. */
export interface SessionPlace {
  readonly updatedAt: number
  readonly id: string
}

export interface SessionFilter {
  readonly agent?: AgentId
  readonly principal?: string
  /** Of the last change, epoch milliseconds, both included. */
  readonly since?: number
  readonly until?: number
  readonly after?: SessionPlace
  readonly limit: number
}

export class SessionStore extends Context.Tag("ai-desk/agent/SessionStore")<
  SessionStore,
  {
    /** Adds events to a session; the first append, which must begin with MessageAccepted (or with HistoryGiven before it), creates it. */
    readonly append: (
      session: SessionId,
      events: readonly [SessionEvent, ...ReadonlyArray<SessionEvent>]
    ) => Effect.Effect<void, DatabaseError>
    /** The whole log, oldest first. */
    readonly log: (
      session: SessionId
    ) => Effect.Effect<ReadonlyArray<Logged>, SessionNotFound | SessionCorrupt | DatabaseError>
    readonly summary: (
      session: SessionId
    ) => Effect.Effect<SessionSummary, SessionNotFound | SessionCorrupt | DatabaseError>
    /** Newest first. */
    readonly list: (
      filter: SessionFilter
    ) => Effect.Effect<ReadonlyArray<SessionSummary>, SessionCorrupt | DatabaseError>
    /** The message that was accepted under this key; null when there is none. */
    readonly messageOf: (
      principal: PrincipalId,
      key: MessageKey
    ) => Effect.Effect<{ readonly session: SessionId; readonly run: RunId } | null, DatabaseError>
    /** Sessions whose last run never ended, because its process died. */
    readonly open: Effect.Effect<ReadonlyArray<{ readonly session: SessionId; readonly run: RunId }>, DatabaseError>
  }
>() {}

const titleLength = 80

const EventJson = Schema.parseJson(SessionEvent)
const encodeEvent = Schema.encodeSync(EventJson)
const decodeEvent = Schema.decodeUnknownEither(EventJson)

const EventRow = Schema.Struct({ seq: Schema.Int, at: Schema.Number, body: Schema.Uint8ArrayFromSelf })
const decodeEventRow = Schema.decodeUnknownEither(EventRow)

const SessionRow = Schema.Struct({
  id: SessionId,
  agent: AgentId,
  principal: Schema.String,
  title: Schema.Uint8ArrayFromSelf,
  events: Schema.Int,
  created_at: Schema.Number,
  updated_at: Schema.Number
})
const decodeSessionRow = Schema.decodeUnknownEither(SessionRow)
const OpenRow = Schema.Struct({ id: SessionId, open_run: Schema.String })

const columns = "id, agent, principal, title, events, created_at, updated_at"

/** Each sealed column of this store, for key rotation. */
const bodyAddress = (session: SessionId, seq: number): Address => ({
  table: "session_events",
  row: `${session}/${seq}`,
  column: "body"
})
const titleAddress = (session: SessionId): Address => ({ table: "sessions", row: session, column: "title" })

const utf8 = new TextEncoder()
const fromUtf8 = new TextDecoder("utf-8", { fatal: false })

/** The run that is open after these events, given the one open before. */
const openRunAfter = (before: string | null, events: ReadonlyArray<SessionEvent>): string | null =>
  events.reduce<string | null>(
    (open, event) => (event._tag === "MessageAccepted" ? event.run : event._tag === "TurnEnded" ? null : open),
    before
  )

const NextRow = Schema.Struct({ events: Schema.Int, open_run: Schema.NullOr(Schema.String) })
const decodeNext = Schema.decodeUnknownSync(Schema.UndefinedOr(NextRow))

const KeyRow = Schema.Struct({ session: SessionId, run: RunId })
const decodeKeyRow = Schema.decodeUnknownSync(Schema.UndefinedOr(KeyRow))

const make = Effect.gen(function* () {
  const crypto = yield* Crypto
  const { desk } = yield* Database
  // Two appends to one session keep their order; different sessions share a commit.
  const sessions = KeyedLock.make<SessionId>()

  const append = Effect.fn("SessionStore.append")(function* (
    session: SessionId,
    events: readonly [SessionEvent, ...ReadonlyArray<SessionEvent>]
  ) {
    const at = yield* Clock.currentTimeMillis
    const first = yield* desk.read((db) =>
      decodeNext(db.get("SELECT events, open_run FROM sessions WHERE id = ?", session))
    )
    const start = first?.events ?? 0
    const bodies = yield* Effect.forEach(events, (event, i) =>
      crypto.seal("sessions", bodyAddress(session, start + i), utf8.encode(encodeEvent(event)))
    )
    const opening = events[0]._tag === "HistoryGiven" ? events[1] : events[0]
    const title =
      first === undefined && opening?._tag === "MessageAccepted"
        ? yield* crypto.seal(
            "sessions",
            titleAddress(session),
            utf8.encode(textOf(opening.message).replaceAll(/\s+/g, " ").slice(0, titleLength))
          )
        : undefined
    yield* desk.write<void, DatabaseError>((db, fail) => {
      const open = openRunAfter(first?.open_run ?? null, events)
      const changed =
        title !== undefined && opening?._tag === "MessageAccepted"
          ? db.run(
              "INSERT INTO sessions (id, agent, principal, title, events, open_run, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
              session,
              opening.agent,
              opening.principal,
              title,
              events.length,
              open,
              at,
              at
            )
          : // The count guards against a second writer: its events would take the same places.
            db.run(
              "UPDATE sessions SET events = ?, open_run = ?, updated_at = ? WHERE id = ? AND events = ?",
              start + events.length,
              open,
              at,
              session,
              start
            )
      if (changed !== 1) {
        fail(
          new DatabaseError({
            file: desk.name,
            reason: "busy",
            detail: `session ${session} was changed by someone else, or does not begin with an accepted message`
          })
        )
      }
      bodies.forEach((body, i) => {
        db.run("INSERT INTO session_events (session, seq, at, body) VALUES (?, ?, ?, ?)", session, start + i, at, body)
      })
      for (const event of events) {
        if (event._tag !== "MessageAccepted" || event.key === undefined) continue
        // The primary key refuses a second one, and with it the whole append.
        const { key, principal, run } = event
        db.run(
          "INSERT INTO message_keys (principal, message_key, session, run) VALUES (?, ?, ?, ?)",
          principal,
          key,
          session,
          run
        )
      }
    })
  })

  const openEvent = (session: SessionId, row: unknown) =>
    Effect.gen(function* () {
      const stored = yield* decodeEventRow(row)
      const corrupt = (detail: string) => new SessionCorrupt({ id: session, seq: stored.seq, detail })
      const plain = yield* crypto
        .open("sessions", bodyAddress(session, stored.seq), stored.body)
        .pipe(Effect.mapError((error) => corrupt(error.message)))
      const event = yield* Either.mapLeft(decodeEvent(fromUtf8.decode(plain)), () => corrupt("not a known event"))
      return new Logged({ seq: stored.seq, at: stored.at, event })
    }).pipe(
      Effect.catchTag("ParseError", () =>
        Effect.fail(new SessionCorrupt({ id: session, seq: -1, detail: "the row is not of the expected form" }))
      )
    )

  const toSummary = (row: unknown) =>
    Effect.gen(function* () {
      const stored = yield* Either.mapLeft(
        decodeSessionRow(row),
        (error) =>
          new DatabaseError({
            file: desk.name,
            reason: "corrupt",
            detail: ParseResult.TreeFormatter.formatErrorSync(error)
          })
      )
      const title = yield* crypto
        .open("sessions", titleAddress(stored.id), stored.title)
        .pipe(Effect.mapError((error) => new SessionCorrupt({ id: stored.id, seq: -1, detail: error.message })))
      return SessionSummary.make({
        id: stored.id,
        agent: stored.agent,
        principal: stored.principal as PrincipalId,
        title: fromUtf8.decode(title),
        events: stored.events,
        createdAt: stored.created_at,
        updatedAt: stored.updated_at
      })
    })

  const findRow = (session: SessionId) =>
    Effect.filterOrFail(
      desk.read((db) => db.get(`SELECT ${columns} FROM sessions WHERE id = ?`, session)),
      (row) => row !== undefined,
      () => new SessionNotFound({ id: session })
    )

  const log = Effect.fn("SessionStore.log")(function* (session: SessionId) {
    const summary = yield* Effect.flatMap(findRow(session), toSummary)
    const rows = yield* desk.read((db) =>
      db.all("SELECT seq, at, body FROM session_events WHERE session = ? ORDER BY seq", session)
    )
    const events = yield* Effect.forEach(rows, (row) => openEvent(session, row))
    const gap = events.findIndex((event, i) => event.seq !== i)
    if (gap !== -1 || events.length !== summary.events) {
      return yield* new SessionCorrupt({
        id: session,
        seq: gap === -1 ? events.length : gap,
        detail: `${summary.events} events are recorded and ${events.length} are there`
      })
    }
    return events
  })

  const listRows = (filter: SessionFilter) => (db: Statements) => {
    const { after, agent, limit, principal, since, until } = filter
    const conditions: ReadonlyArray<readonly [string, ...ReadonlyArray<SqlValue>]> = [
      ...(agent === undefined ? [] : [["agent = ?", agent] as const]),
      ...(principal === undefined ? [] : [["principal = ?", principal] as const]),
      ...(since === undefined ? [] : [["updated_at >= ?", since] as const]),
      ...(until === undefined ? [] : [["updated_at <= ?", until] as const]),
      ...(after === undefined
        ? []
        : [["(updated_at < ? OR (updated_at = ? AND id < ?))", after.updatedAt, after.updatedAt, after.id] as const])
    ]
    const where = conditions.length === 0 ? "" : `WHERE ${conditions.map(([text]) => text).join(" AND ")}`
    return db.all(
      `SELECT ${columns} FROM sessions ${where} ORDER BY updated_at DESC, id DESC LIMIT ?`,
      ...conditions.flatMap(([, ...values]) => values),
      limit
    )
  }

  const decodeOpen = Schema.decodeUnknownSync(Schema.Array(OpenRow))

  return SessionStore.of({
    append: (session, events) => sessions.withLock(session)(append(session, events)),
    log,
    summary: (session) => Effect.flatMap(findRow(session), toSummary),
    messageOf: (principal, key) =>
      Effect.map(
        desk.read((db) =>
          decodeKeyRow(
            db.get("SELECT session, run FROM message_keys WHERE principal = ? AND message_key = ?", principal, key)
          )
        ),
        (row) => row ?? null
      ),
    list: (filter) => Effect.flatMap(desk.read(listRows(filter)), (rows) => Effect.forEach(rows, toSummary)),
    open: Effect.map(
      desk.read((db) => decodeOpen(db.all("SELECT id, open_run FROM sessions WHERE open_run IS NOT NULL ORDER BY id"))),
      (rows) => rows.map((row) => ({ session: row.id, run: row.open_run as RunId }))
    )
  })
})

export const layer = Layer.effect(SessionStore, make)
