/**
 * Arguments: what a model sent as a tool's arguments, made into a value that can be judged.
 *
 * Guarantees: `freshCopy` shares no object with what the model's adapter holds and contains only
 * JSON of bounded depth and size; `canonical` is equal for equal values whatever the order of keys;
 * `deepFreeze` leaves nothing to change between judging and running.
 */
import { Either } from "effect"

/** Far above what a tool needs; far below what a recursion or a prompt can bear. */
const maxDepth = 32
const maxNodes = 50_000

/** A copy of plain JSON, or what is wrong with it. Fields that are `undefined` are left out. */
export const freshCopy = (value: unknown): Either.Either<unknown, string> => {
  let nodes = 0
  const copy = (node: unknown, depth: number, at: string): Either.Either<unknown, string> => {
    nodes += 1
    if (nodes > maxNodes) return Either.left(`more than ${maxNodes} values`)
    if (depth > maxDepth) return Either.left(`nested more than ${maxDepth} deep`)
    if (node === null || typeof node === "string" || typeof node === "boolean") return Either.right(node)
    if (typeof node === "number") {
      return Number.isFinite(node) ? Either.right(node) : Either.left(`${at}: a number that is not finite`)
    }
    if (Array.isArray(node)) {
      const items: Array<unknown> = []
      for (let i = 0; i < node.length; i++) {
        const item = copy(node[i], depth + 1, `${at}[${i}]`)
        if (Either.isLeft(item)) return item
        items.push(item.right)
      }
      return Either.right(items)
    }
    if (typeof node === "object") {
      const fields: Record<string, unknown> = {}
      for (const [key, field] of Object.entries(node)) {
        if (key === "__proto__") return Either.left(`${at}: a field named __proto__`)
        if (field === undefined) continue
        const item = copy(field, depth + 1, `${at}.${key.slice(0, 40)}`)
        if (Either.isLeft(item)) return item
        fields[key] = item.right
      }
      return Either.right(fields)
    }
    return Either.left(`${at}: a ${typeof node}, which is not JSON`)
  }
  return copy(value, 0, "arguments")
}

/** JSON with sorted keys and no spaces. For values that `freshCopy` made. */
export const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`)
    return `{${fields.join(",")}}`
  }
  return JSON.stringify(value) ?? "null"
}

export const deepFreeze = <A>(value: A): A => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const field of Object.values(value)) deepFreeze(field)
  }
  return value
}
