/**
 * Uses: when credentials were last used, written down once for many uses. What cannot be written is kept
 * and tried again with the next; what ended since is forgotten.
 */
import { Effect, type Scope } from "effect"
import type { DatabaseError, Statements, Store } from "../../kernel/Database.ts"
import { soon } from "./Until.ts"

export interface Uses<A> {
  readonly add: (used: A) => Effect.Effect<void>
  readonly forget: (used: A) => void
}

/** `what` names them in the log; `write` writes one down. The rest is written when the scope closes. */
export const make = <A>(
  desk: Store,
  what: string,
  everyMs: number,
  write: (db: Statements, used: A) => void
): Effect.Effect<Uses<A>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const used = new Set<A>()
    const flush = Effect.suspend(() => {
      const now = [...used]
      used.clear()
      if (now.length === 0) return Effect.void
      return desk
        .write<void, DatabaseError>((db) => {
          for (const one of now) write(db, one)
        })
        .pipe(
          Effect.catchAll((error) => {
            for (const one of now) used.add(one)
            return Effect.logWarning(`when ${what} were last used is not written down: ${error.message}`)
          })
        )
    })
    const flushSoon = yield* soon(everyMs, flush)
    return {
      add: (one) => {
        used.add(one)
        return flushSoon()
      },
      forget: (one) => void used.delete(one)
    }
  })
