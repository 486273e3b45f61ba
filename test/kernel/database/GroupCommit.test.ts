/** Writes that nobody waits for: when they are committed, in which order, and that none is lost. */
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Fiber } from "effect"
import { make } from "../../../src/kernel/database/GroupCommit.ts"
import { temporaryFolder } from "../../support/database.ts"

// Only the patience is counted by setTimeout; with the clock in the test's hand nothing here depends on the machine.
beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }))
afterEach(() => void vi.useRealTimers())

const opened = Effect.gen(function* () {
  const path = join(yield* temporaryFolder, "a.db")
  const connection = new Sqlite(path, { timeout: 2 })
  connection.pragma("journal_mode = WAL")
  connection.exec("CREATE TABLE things (place INTEGER PRIMARY KEY, id INTEGER UNIQUE)")
  const store = make("a.db", connection)
  const watcher = yield* Effect.acquireRelease(
    Effect.sync(() => new Sqlite(path)),
    (db) => Effect.sync(() => db.close())
  )
  yield* Effect.addFinalizer(() => (connection.open ? store.close : Effect.void))
  return {
    store,
    add: (id: number, when?: "now" | "later") =>
      store.write((db) => db.run("INSERT INTO things (id) VALUES (?)", id), when),
    /** What another process sees, in the order it was written. */
    seen: () => watcher.prepare("SELECT id FROM things ORDER BY place").pluck().all(),
    watcher
  }
})

/** Long enough for everything that is due to happen. */
const turns = Effect.forEach(
  Array.from({ length: 5 }),
  () => Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void))),
  { discard: true }
)

describe("a write that nobody waits for", () => {
  it.scoped("is committed when its patience ends, 25 ms, and not before", () =>
    Effect.gen(function* () {
      const { add, seen } = yield* opened
      const fiber = yield* Effect.fork(add(1, "later"))
      yield* turns
      vi.advanceTimersByTime(24)
      yield* turns
      expect(seen()).toEqual([])
      vi.advanceTimersByTime(1)
      expect(yield* Fiber.join(fiber)).toBe(1)
      expect(seen()).toEqual([1])
    })
  )

  it.scoped("does not wait longer because others of its kind follow", () =>
    Effect.gen(function* () {
      const { add, seen } = yield* opened
      yield* Effect.fork(add(1, "later"))
      yield* turns
      vi.advanceTimersByTime(20)
      yield* Effect.fork(add(2, "later"))
      yield* turns
      vi.advanceTimersByTime(5)
      yield* turns
      expect(seen()).toEqual([1, 2])
    })
  )

  it.scoped("joins the next write that somebody waits for, in one commit and before it", () =>
    Effect.gen(function* () {
      const { add, seen, watcher } = yield* opened
      const first = yield* Effect.fork(add(1, "later"))
      const second = yield* Effect.fork(add(2, "later"))
      yield* turns
      vi.advanceTimersByTime(10)
      // Moves once for each commit of another connection.
      const commits = () => Number(watcher.pragma("data_version", { simple: true }))
      const before = commits()
      yield* add(3)
      expect(commits()).toBe(before + 1)
      expect(seen()).toEqual([1, 2, 3])
      yield* Fiber.joinAll([first, second])
      // The timer of before is gone: what comes next has its whole patience again.
      yield* Effect.fork(add(4, "later"))
      yield* turns
      vi.advanceTimersByTime(24)
      yield* turns
      expect(seen()).toEqual([1, 2, 3])
      vi.advanceTimersByTime(1)
      yield* turns
      expect(seen()).toEqual([1, 2, 3, 4])
    })
  )

  it.scoped("that comes between two waited ones keeps its place", () =>
    Effect.gen(function* () {
      const { add, seen } = yield* opened
      yield* Effect.all([add(1), add(2, "later"), add(3), add(4, "later"), add(5, "later"), add(6)], {
        concurrency: "unbounded"
      })
      expect(seen()).toEqual([1, 2, 3, 4, 5, 6])
    })
  )

  it.scoped("is committed by the closing of the store, whole queues of them in order", () =>
    Effect.gen(function* () {
      const { add, seen, store } = yield* opened
      const ids = Array.from({ length: 1200 }, (_, id) => id)
      const fibers = yield* Effect.forEach(ids, (id) => Effect.fork(add(id, "later")))
      yield* Effect.yieldNow()
      yield* store.close
      expect(seen()).toEqual(ids)
      expect(yield* Fiber.joinAll(fibers)).toEqual(ids.map(() => 1))
      expect((yield* Effect.flip(add(9999, "later"))).message).toContain("closed")
    })
  )

  it.scoped("is carried out although its fiber is interrupted", () =>
    Effect.gen(function* () {
      const { add, seen } = yield* opened
      const fiber = yield* Effect.fork(add(1, "later"))
      yield* turns
      const interruption = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* turns
      vi.advanceTimersByTime(25)
      yield* Fiber.join(interruption)
      expect(seen()).toEqual([1])
    })
  )

  it.scoped("that is refused undoes only itself, also in a waited one's commit", () =>
    Effect.gen(function* () {
      const { add, seen } = yield* opened
      yield* add(1)
      const clash = yield* Effect.fork(Effect.flip(add(1, "later")))
      yield* turns
      yield* add(2)
      expect((yield* Fiber.join(clash)).reason).toBe("statement")
      expect(seen()).toEqual([1, 2])
    })
  )

  it.scoped("waits out another process' lock like any other", () =>
    Effect.gen(function* () {
      const { add, seen, watcher } = yield* opened
      watcher.exec("BEGIN IMMEDIATE")
      const later = yield* Effect.fork(add(1, "later"))
      yield* turns
      vi.advanceTimersByTime(25)
      yield* turns
      const now = yield* Effect.fork(add(2))
      yield* turns
      expect(seen()).toEqual([])
      watcher.exec("COMMIT")
      vi.advanceTimersByTime(50)
      yield* Fiber.joinAll([later, now])
      expect(seen()).toEqual([1, 2])
    })
  )
})
