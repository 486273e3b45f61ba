/**
 * Front: the most recently used answers in memory. Guarantees: never more than `maxBytes` and
 * `maxEntries`; what was not used longest goes first. Whether an entry is still valid is its
 * reader's question.
 */

const maxBytes = 16 * 1024 * 1024
const maxEntries = 4096

export interface Front<A> {
  readonly get: (id: string) => A | undefined
  readonly put: (id: string, value: A, bytes: number) => void
  readonly remove: (id: string) => void
  readonly clear: () => void
}

export const make = <A>(): Front<A> => {
  // A Map keeps insertion order, so the first entry is the one that was not used longest.
  const entries = new Map<string, { readonly value: A; readonly bytes: number }>()
  let total = 0
  const remove = (id: string): void => {
    total -= entries.get(id)?.bytes ?? 0
    entries.delete(id)
  }
  return {
    get: (id) => {
      const found = entries.get(id)
      if (found === undefined) return undefined
      entries.delete(id)
      entries.set(id, found)
      return found.value
    },
    put: (id, value, bytes) => {
      remove(id)
      if (bytes > maxBytes) return
      entries.set(id, { value, bytes })
      total += bytes
      for (const oldest of entries.keys()) {
        if (total <= maxBytes && entries.size <= maxEntries) break
        remove(oldest)
      }
    },
    remove,
    clear: () => {
      entries.clear()
      total = 0
    }
  }
}
