/**
 * The audit log's head as it is remembered outside audit.db: sealed in `audit.head`, together with
 * the MAC key of the current epoch, and sealed without the key in desk.db. Guarantees: neither can be
 * made by someone without the keyring; the key of an epoch can be carried forward, never back; a
 * replaced head leaves no earlier key in any file.
 */
import { Schema } from "effect"
import {
  decrypt,
  deriveKey,
  encrypt,
  type KeySet,
  type SecretKey,
  secretKeyFrom,
  signingKeyFrom,
  hmac
} from "../Crypto.ts"

/** Row `seq` had `hash` when the log was in `epoch`. */
export interface Pin {
  readonly seq: number
  readonly hash: Uint8Array
  readonly epoch: number
}

export interface EpochKey {
  readonly epoch: number
  readonly key: SecretKey
}

export const fileName = "audit.head"
export const deskPinName = "head"

const PinFields = {
  seq: Schema.Int.pipe(Schema.nonNegative()),
  hash: Schema.Uint8ArrayFromHex,
  epoch: Schema.Int.pipe(Schema.nonNegative())
}
const PinJson = Schema.parseJson(Schema.Struct(PinFields))
const HeadJson = Schema.parseJson(Schema.Struct({ ...PinFields, key: Schema.Uint8ArrayFromHex }))

const filePlace = Buffer.from("ai-desk v1 audit head, file")
const deskPlace = Buffer.from("ai-desk v1 audit head, desk")

/** Keys that stay the same for as long as the keyring lives. */
export const stableKeys = (set: KeySet) => ({
  head: deriveKey(set.stable, "ai-desk v1 audit head"),
  signing: signingKeyFrom(deriveKey(set.stable, "ai-desk v1 audit signing"))
})

export const firstKey = (auditRoot: SecretKey): EpochKey => ({
  epoch: 0,
  key: deriveKey(auditRoot, "ai-desk v1 audit mac")
})

/** One way: the key of `epoch` from an earlier one. */
export const forward = (from: EpochKey, epoch: number): EpochKey => {
  let { key } = from
  for (let at = from.epoch; at < epoch; at++) key = deriveKey(key, "ai-desk v1 audit ratchet")
  return epoch <= from.epoch ? from : { epoch, key }
}

export const macOf = ({ epoch, key }: EpochKey, hash: Uint8Array): Uint8Array => {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(epoch)
  return hmac(key, Buffer.concat([bytes, hash]))
}

const decodePin = Schema.decodeOption(PinJson)
const encodePin = Schema.encodeSync(PinJson)
const decodeHead = Schema.decodeOption(HeadJson)
const encodeHead = Schema.encodeSync(HeadJson)

export const sealPin = (key: SecretKey, pin: Pin): Uint8Array => encrypt(key, deskPlace, Buffer.from(encodePin(pin)))

/** Undefined for what `sealPin` with this key did not make. */
export const openPin = (key: SecretKey, sealed: Uint8Array): Pin | undefined => {
  const plain = decrypt(key, deskPlace, sealed)
  if (plain === undefined) return undefined
  const decoded = decodePin(Buffer.from(plain).toString("utf8"))
  return decoded._tag === "Some" ? decoded.value : undefined
}

export const sealHead = (key: SecretKey, pin: Pin, mac: EpochKey): Uint8Array => {
  const bytes = mac.key.export()
  const plain = Buffer.from(encodeHead({ ...pin, epoch: mac.epoch, key: bytes }))
  const sealed = encrypt(key, filePlace, plain)
  bytes.fill(0)
  plain.fill(0)
  return sealed
}

export const openHead = (
  key: SecretKey,
  sealed: Uint8Array
): { readonly pin: Pin; readonly mac: EpochKey } | undefined => {
  const plain = decrypt(key, filePlace, sealed)
  if (plain === undefined) return undefined
  const decoded = decodeHead(Buffer.from(plain).toString("utf8"))
  plain.fill(0)
  if (decoded._tag === "None" || decoded.value.key.length !== 32) return undefined
  const { epoch, hash, key: bytes, seq } = decoded.value
  return { pin: { seq, hash, epoch }, mac: { epoch, key: secretKeyFrom(bytes) } }
}
