/**
 * A compact Merkle range in the manner of RFC 9162: the roots of the perfect subtrees that cover the
 * first `size` leaves. Guarantees: appending costs amortised two hashes; the state of a million rows
 * is 20 hashes; leaf and node hashes cannot be taken for one another.
 */
import { sha256 } from "../Crypto.ts"

export interface Range {
  readonly size: number
  /** From the largest subtree to the smallest; as many as `size` has one-bits. */
  readonly roots: ReadonlyArray<Uint8Array>
}

export const empty: Range = { size: 0, roots: [] }

/** Stands for a row that is not there, so that a leaf's position is always its row's number. */
export const absent: Uint8Array = new Uint8Array(32)

const leafPrefix = Buffer.from([0])
const nodePrefix = Buffer.from([1])
const node = (left: Uint8Array, right: Uint8Array) => sha256(Buffer.concat([nodePrefix, left, right]))

export const append = (range: Range, leaves: ReadonlyArray<Uint8Array>): Range => {
  const roots = [...range.roots]
  let size = range.size
  for (const leaf of leaves) {
    let carry = sha256(Buffer.concat([leafPrefix, leaf]))
    for (let bits = size; bits % 2 === 1; bits = Math.floor(bits / 2)) {
      const left = roots.pop()
      if (left !== undefined) carry = node(left, carry)
    }
    roots.push(carry)
    size += 1
  }
  return { size, roots }
}

export const root = (range: Range): Uint8Array => {
  const [last, ...rest] = range.roots.toReversed()
  return last === undefined ? sha256("") : rest.reduce((right, left) => node(left, right), last)
}

export const toBytes = (range: Range): Uint8Array => Buffer.concat(range.roots)

/** Undefined when the bytes cannot be a range of that size. */
export const fromBytes = (size: number, bytes: Uint8Array): Range | undefined => {
  let ones = 0
  for (let bits = size; bits > 0; bits = Math.floor(bits / 2)) ones += bits % 2
  if (!Number.isSafeInteger(size) || size < 0 || bytes.length !== ones * 32) return undefined
  return {
    size,
    roots: Array.from({ length: ones }, (_, index) => Uint8Array.from(bytes.subarray(index * 32, index * 32 + 32)))
  }
}
