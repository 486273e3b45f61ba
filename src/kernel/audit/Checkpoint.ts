/**
 * Signed statements "the log had these rows": a text note in the manner of C2SP tlog-checkpoint, one
 * JSON line each in checkpoints.jsonl. Guarantees: a note that this folder's key did not sign, or
 * that was altered in any byte, is not taken for one.
 */
import { Schema } from "effect"
import { sha256, type SigningKey } from "../Crypto.ts"

export interface Checkpoint {
  /** Rows covered: 1 to `size`. */
  readonly size: number
  /** Merkle root over their hashes. */
  readonly root: Uint8Array
  /** Hash of row `size`. */
  readonly head: Uint8Array
  /** The MAC key's epoch from here on. */
  readonly epoch: number
  /** Epoch milliseconds. */
  readonly at: number
}

export const fileName = "checkpoints.jsonl"
const origin = "ai-desk audit log"

const Line = Schema.parseJson(Schema.Struct({ note: Schema.String }))
const decodeLine = Schema.decodeUnknownOption(Line)
const encodeLine = Schema.encodeSync(Line)

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64")

const bodyOf = (point: Checkpoint): string =>
  `${origin}\n${point.size}\n${base64(point.root)}\nhead ${Buffer.from(point.head).toString("hex")}\nepoch ${point.epoch}\ntime ${point.at}\n`

/** First four bytes of the hash over name and key, as C2SP signed notes have it. */
const keyId = (key: SigningKey): Uint8Array =>
  sha256(Buffer.concat([Buffer.from(`${origin}\n`), Buffer.from([1]), key.publicKey])).subarray(0, 4)

export const toLine = (key: SigningKey, point: Checkpoint): string => {
  const body = bodyOf(point)
  const signature = base64(Buffer.concat([keyId(key), key.sign(Buffer.from(body))]))
  return encodeLine({ note: `${body}\n\u2014 ${origin} ${signature}\n` })
}

const form =
  /^(ai-desk audit log\n(\d{1,15})\n([A-Za-z0-9+/]{43}=)\nhead ([0-9a-f]{64})\nepoch (\d{1,15})\ntime (\d{1,16})\n)\n\u2014 ai-desk audit log ([A-Za-z0-9+/=]{92})\n$/

/** `torn` for what is no whole line, which a crash can leave; `forged` for a line whose signature is not ours. */
export const fromLine = (key: SigningKey, line: string): Checkpoint | "torn" | "forged" => {
  const decoded = decodeLine(line)
  if (decoded._tag === "None") return "torn"
  const parts = form.exec(decoded.value.note)
  if (parts === null) return "forged"
  const [, body = "", size = "", root = "", head = "", epoch = "", at = "", signature = ""] = parts
  const signed = Buffer.from(signature, "base64")
  if (!signed.subarray(0, 4).equals(keyId(key)) || !key.verify(Buffer.from(body), signed.subarray(4))) return "forged"
  return {
    size: Number(size),
    root: Buffer.from(root, "base64"),
    head: Buffer.from(head, "hex"),
    epoch: Number(epoch),
    at: Number(at)
  }
}
