/**
 * Ids: makes the identifiers of `domain/Ids.ts`. Guarantees: 80 random bits each, so that processes
 * need not ask one another; those of a later millisecond sort after those of an earlier one.
 */
import { Clock, Effect } from "effect"
import { ApprovalId, LeaseId, RunId, SessionId } from "../domain/Ids.ts"
import { randomBytes } from "./Crypto.ts"

const makers = { run: RunId, sess: SessionId, appr: ApprovalId, lease: LeaseId } as const
type Kind = keyof typeof makers

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

/** 48 bits of time, then 80 random bits, five bits a character. */
export const ulid = (millis: number, random: Uint8Array): string => {
  let bits = BigInt(Math.max(0, Math.floor(millis))) & 0xffff_ffff_ffffn
  for (const byte of random.subarray(0, 10)) bits = (bits << 8n) | BigInt(byte)
  let text = ""
  for (let index = 0; index < 26; index++) {
    text = `${alphabet.charAt(Number(bits & 31n))}${text}`
    bits >>= 5n
  }
  return text
}

/** A new id of that kind, for example `run-01JD…`. */
export const newId = <K extends Kind>(kind: K): Effect.Effect<(typeof makers)[K]["Type"]> =>
  Effect.map(
    Clock.currentTimeMillis,
    // The lookup by K loses which brand belongs to which kind; `makers` pairs them.
    (millis) => makers[kind].make(`${kind}-${ulid(millis, randomBytes(10))}`) as (typeof makers)[K]["Type"]
  )
