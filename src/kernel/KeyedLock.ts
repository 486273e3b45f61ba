/**
 * KeyedLock: mutual exclusion per key, first come first served. Different keys never wait for each
 * other, and a key that nobody holds or waits for takes no memory.
 */
import { Effect } from "effect"

export interface KeyedLock<K> {
  /** Runs the effect while holding the key's lock; released on success, failure and interruption. */
  readonly withLock: (key: K) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export const make = <K>(): KeyedLock<K> => {
  const locks = new Map<K, { readonly semaphore: Effect.Semaphore; users: number }>()
  const enter = (key: K) =>
    Effect.sync(() => {
      const lock = locks.get(key) ?? { semaphore: Effect.unsafeMakeSemaphore(1), users: 0 }
      lock.users += 1
      locks.set(key, lock)
      return lock
    })
  const leave = (key: K, lock: { users: number }) =>
    Effect.sync(() => {
      lock.users -= 1
      if (lock.users === 0) locks.delete(key)
    })
  return {
    withLock: (key) => (effect) =>
      Effect.acquireUseRelease(
        enter(key),
        (lock) => lock.semaphore.withPermits(1)(effect),
        (lock) => leave(key, lock)
      )
  }
}
