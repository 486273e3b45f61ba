/**
 * GroupCommit: turns writes that arrive together into one transaction.
 *
 * Guarantees: a result is handed out only after the COMMIT that contains it; each write stands in
 * its own savepoint, so one refusal undoes only itself; a failed commit fails every write in it;
 * a queued write is never forgotten, also when its fiber is interrupted meanwhile; waiting for
 * another process never blocks the event loop for longer than the busy timeout; after a failed
 * disk write or sync the store takes no more writes, because what the disk holds is then unknown.
 */
import type Sqlite from "better-sqlite3"
import { Effect } from "effect"
import { randomBytes } from "../Crypto.ts"
import { isStorageFailure, statementsOf, toDatabaseError } from "./Connection.ts"
import { DatabaseError, type Statements, type Store } from "./Store.ts"

/** Bounds how long one transaction may hold up the event loop and other processes. */
const maxBatch = 512
/** How long a write that nobody waits for may wait for company, milliseconds. */
const patienceMs = 25
/** How long writes wait for another process before they fail as busy, milliseconds. */
const maxWaitMs = 5000

/** Thrown by `fail` to leave the caller's function. Not an error: only `runOne` sees it. */
class Refusal {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

/** How a write ended. Of many types in one queue, hence unknown; each is given back only to its own caller. */
type Outcome =
  | { readonly how: "done"; readonly value: unknown }
  | { readonly how: "failed"; readonly error: unknown }
  | { readonly how: "died"; readonly defect: unknown }

interface Job {
  readonly f: (db: Statements, fail: (error: unknown) => never) => unknown
  readonly resume: (outcome: Outcome) => void
}

const done = (value: unknown): Outcome => ({ how: "done", value })
const failed = (error: unknown): Outcome => ({ how: "failed", error })
const died = (defect: unknown): Outcome => ({ how: "died", defect })

const fail = (error: unknown): never => {
  throw new Refusal(error)
}

export interface GroupCommit extends Store {
  /** Ends the queue, then closes the connection. Later use fails. */
  readonly close: Effect.Effect<void>
}

export const make = (name: string, db: Sqlite.Database): GroupCommit => {
  const { reader, writer } = statementsOf(name, db)
  const begin = db.prepare("BEGIN IMMEDIATE")
  const commit = db.prepare("COMMIT")
  const rollback = db.prepare("ROLLBACK")
  const savepoint = db.prepare("SAVEPOINT job")
  const release = db.prepare("RELEASE job")
  const undo = db.prepare("ROLLBACK TO job")

  let queue: Array<Job> = []
  let scheduled = false
  let closed = false
  let waitingSince: number | undefined
  let retries = 0
  /** Set for good once the disk failed. */
  let broken: DatabaseError | undefined
  let whenIdle: (() => void) | undefined

  const abandon = (): void => {
    // After a full disk or an I/O error SQLite has already rolled back by itself.
    if (db.inTransaction) rollback.run()
  }

  const noteFailure = (error: DatabaseError): DatabaseError => {
    if (error.reason === "io" || error.reason === "corrupt") {
      broken ??= new DatabaseError({
        file: name,
        reason: error.reason,
        detail: `read-only since a write failed: ${error.detail}`
      })
    }
    return error
  }

  const failureOf = (cause: unknown): Outcome => {
    if (cause instanceof Refusal) return failed(cause.error)
    if (!isStorageFailure(cause)) return died(cause)
    const error = toDatabaseError(name, cause)
    // Anything but a bad statement concerns the file, and with it the whole batch.
    if (error.reason !== "statement") throw error
    return failed(error)
  }

  /** Runs one job in a savepoint of the open transaction. Throws only what ended the transaction itself. */
  const runOne = (job: Job): Outcome => {
    savepoint.run()
    try {
      const value = job.f(writer, fail)
      release.run()
      return done(value)
    } catch (cause) {
      if (!db.inTransaction) throw cause
      undo.run()
      release.run()
      return failureOf(cause)
    }
  }

  /**
   * Most batches hold no refusal, so they are first tried without savepoints, which would take as
   * long as the writes. Undefined when one of several jobs failed and all must run again.
   */
  const runPlain = (batch: ReadonlyArray<Job>): Array<Outcome> | undefined => {
    try {
      return batch.map((job) => done(job.f(writer, fail)))
    } catch (cause) {
      if (!db.inTransaction) throw cause
      rollback.run()
      return batch.length === 1 ? [failureOf(cause)] : undefined
    }
  }

  const runBatch = (batch: ReadonlyArray<Job>): ReadonlyArray<Outcome> => {
    begin.run()
    let results = runPlain(batch)
    if (results === undefined) {
      begin.run()
      results = batch.map(runOne)
    }
    if (db.inTransaction) commit.run()
    return results
  }

  /** Set while only writes that nobody waits for are queued. */
  let lingering: NodeJS.Timeout | undefined

  const linger = (): void => {
    if (!scheduled) lingering ??= setTimeout(schedule, patienceMs)
  }

  const schedule = (): void => {
    clearTimeout(lingering)
    lingering = undefined
    if (scheduled) return
    scheduled = true
    // The end of this turn of the event loop: every fiber that is runnable now joins the batch.
    setImmediate(flush)
  }

  const retryLater = (batch: ReadonlyArray<Job>): void => {
    queue = [...batch, ...queue]
    scheduled = true
    retries += 1
    // Full jitter, so that processes waiting for the same lock do not wake together.
    setTimeout(flush, 1 + ((randomBytes(1)[0] ?? 0) / 256) * Math.min(40, 2 ** Math.min(retries, 6)))
  }

  const settle = (): void => {
    waitingSince = undefined
    retries = 0
    if (queue.length > 0) schedule()
    else whenIdle?.()
  }

  const flush = (): void => {
    scheduled = false
    const batch = queue.splice(0, maxBatch)
    if (batch.length === 0) return settle()
    if (broken !== undefined) {
      for (const job of batch) job.resume(failed(broken))
      return settle()
    }
    let results: ReadonlyArray<Outcome>
    try {
      results = runBatch(batch)
    } catch (cause) {
      let error = isStorageFailure(cause) ? toDatabaseError(name, cause) : undefined
      try {
        abandon()
      } catch (second) {
        error = toDatabaseError(name, second)
      }
      if (error?.reason === "busy") {
        waitingSince ??= performance.now()
        if (performance.now() - waitingSince < maxWaitMs) return retryLater(batch)
      }
      const result = error === undefined ? died(cause) : failed(noteFailure(error))
      for (const job of batch) job.resume(result)
      return settle()
    }
    for (const [index, job] of batch.entries()) job.resume(results[index] ?? died("a write without a result"))
    settle()
  }

  const closedError = () => new DatabaseError({ file: name, reason: "io", detail: "the database is closed" })

  return {
    name,
    read: <A>(f: (db: Statements) => A) =>
      Effect.suspend((): Effect.Effect<A, DatabaseError> => {
        if (closed) return Effect.fail(closedError())
        try {
          return Effect.succeed(f(reader))
        } catch (cause) {
          return isStorageFailure(cause) ? Effect.fail(toDatabaseError(name, cause)) : Effect.die(cause)
        }
      }),
    write: <A, E = never>(f: (db: Statements, fail: (error: E) => never) => A, when: "now" | "later" = "now") =>
      Effect.async<A, E | DatabaseError>((resume) => {
        if (closed || broken !== undefined) {
          resume(Effect.fail(broken ?? closedError()))
          return
        }
        queue.push({
          f,
          resume: (outcome) => {
            // The value is what `f` returned and the error what it gave to `fail`, or a DatabaseError: nothing else makes an Outcome for this job.
            if (outcome.how === "done") resume(Effect.succeed(outcome.value as A))
            else if (outcome.how === "failed") resume(Effect.fail(outcome.error as E | DatabaseError))
            else resume(Effect.die(outcome.defect))
          }
        })
        if (when === "now") schedule()
        else linger()
      }).pipe(Effect.uninterruptible),
    close: Effect.async<void>((resume) => {
      closed = true
      const end = () => {
        db.close()
        resume(Effect.void)
      }
      if (queue.length === 0 && !scheduled) end()
      else {
        whenIdle = end
        schedule()
      }
    })
  }
}
