/**
 * SecretText: the form of every secret that the gateway hands out.
 *
 * Guarantees: 256 random bits each; the first letters say what it is, so that people, secret scanners
 * and our own redaction know it where it turns up; a checksum at its end tells a slip of the pen or a
 * cut-off paste from a secret, without asking anyone. The checksum is no proof of anything.
 */
import { Redacted } from "effect"
import { newSecretKey, sha256 } from "../../kernel/Crypto.ts"

/** Token, cookie of a log-in, its proof, one-time link. */
export type Kind = "aidt" | "aids" | "aidp" | "aidl"

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
/** Of base 62 that hold 256 bits, and 32. */
const secretDigits = 43
const checkDigits = 6

export const secretLength = 5 + secretDigits + checkDigits

/** Big-endian, in so many digits. */
const base62 = (bytes: Uint8Array, length: number): string => {
  let rest = bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n)
  let text = ""
  for (let place = 0; place < length; place++) {
    text = `${digits.charAt(Number(rest % 62n))}${text}`
    rest /= 62n
  }
  return text
}

const checksum = (text: string): string => base62(sha256(text).subarray(0, 4), checkDigits)

export const newSecret = (kind: Kind): Redacted.Redacted<string> => {
  const bytes = newSecretKey().export()
  const text = `${kind}_${base62(bytes, secretDigits)}`
  bytes.fill(0)
  return Redacted.make(`${text}${checksum(text)}`)
}

/** Whether it has the form. What has not was never handed out by anyone. */
export const isSecret = (kind: Kind, text: string): boolean =>
  text.length === secretLength &&
  text.startsWith(`${kind}_`) &&
  /^[0-9A-Za-z]+$/.test(text.slice(5)) &&
  text.slice(-checkDigits) === checksum(text.slice(0, -checkDigits))
